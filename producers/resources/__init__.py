"""What a process and its children use: CPU, memory, GPU, network.

Imports nothing of ours.
"""
