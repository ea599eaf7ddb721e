"""The pipeline as a whole: its topics, its nodes, and whether it has caught up.

Imports `process` and the other folders.
"""
