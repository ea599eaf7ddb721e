"""The remembered states of agents and scopes, and their encodings.

Imports the formulas and the contract.
"""
