"""What every part asks of a Kafka cluster besides consuming and producing.

Topics and their settings, groups' offsets and lag, ranges of offsets, partitions, and workarounds that
aiokafka needs. Imports the topics, the settings and `service`.
"""
