"""Resource use of a process and its children: CPU, memory, GPU, network.

Imports nothing else of this package.
"""

__all__ = ["children", "sampler"]
