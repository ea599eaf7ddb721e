"""What derived rows must be: windows and calculations, without state or I/O.

Imports the contract alone.
"""
