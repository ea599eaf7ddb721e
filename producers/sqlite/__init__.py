"""SQLite files as found on disk: whose a file is, and its pages.

Imports nothing else of this package.
"""

__all__ = ["kinds", "pages"]
