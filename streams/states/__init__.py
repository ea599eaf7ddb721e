"""The remembered states of agents and scopes, and their encodings.

Imports the formulas and the contract.
"""

__all__ = ["agent_states", "id_rings", "incarnations", "live", "waiting", "window_counts"]
