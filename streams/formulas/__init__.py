"""The definition of derived rows: windows and calculations, without state or I/O.

Imports only the contract.
"""

__all__ = ["calculations", "steps", "windows"]
