"""Derived rows as message values, fast.

Imports the formulas and the contract.
"""
