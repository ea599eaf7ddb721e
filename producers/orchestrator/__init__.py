"""The reference orchestrator: who is evolved when, how, and what came of it.

Imports the collector.
"""
