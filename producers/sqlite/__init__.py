"""SQLite files as strangers see them: whose a file is, what its errors mean, its pages.

Imports nothing of ours.
"""
