"""SQLite files as found on disk: whose a file is, its pages; and SQLite beside forks.

Imports nothing else of this package.
"""

__all__ = ["forking", "kinds", "pages"]
