"""From an application's objects to events and their bytes; a bad value costs that value.

Pure, but for the clock. Imports the contract alone.
"""
