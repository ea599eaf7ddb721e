"""The collector: what an orchestrator calls, and what becomes of each call.

Recording, open evolutions, the last completions, and forked children. Imports every other room of the
producers but the orchestrator and the demo.
"""
