"""From an application's objects to events and their bytes; a bad value costs only that value.

Pure, except for the clock. Imports only the contract.
"""
