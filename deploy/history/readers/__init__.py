"""Reads what other tools have written while they searched: a module for each tool.

Each gives the rows of its files as evolutions, decided by the same `Run` that live adapters record with, so
that ids, types and statuses are theirs. Imports `producers` (recording, cells, and what the adapters share
with files) and the file helpers of `history`.
"""
