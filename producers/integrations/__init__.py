"""Adapters for the frameworks that people evolve with: a module each, which imports its framework."""

__all__ = ["optuna_trials"]
