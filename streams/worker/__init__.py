"""The stream worker: Faust delivers batches, results go to Kafka, states are written before offsets are
committed.

The only room that imports Faust.
"""
