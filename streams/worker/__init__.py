"""The stream worker: batches by Faust, outcomes to Kafka, states before offsets.

The only room that imports Faust.
"""
