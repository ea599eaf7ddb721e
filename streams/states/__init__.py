"""What is remembered about agents and scopes, and its bytes.

Imports the formulas and the contract.
"""
