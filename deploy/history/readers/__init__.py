"""Reads what other tools have written while they searched: a module for each tool.

Each gives the rows of its files as evolutions, with the ids, types and fields that the live adapters
(`producers/integrations`) give them. Imports the contract, the cells and scores of `producers`, and the file
helpers of `history`.
"""
