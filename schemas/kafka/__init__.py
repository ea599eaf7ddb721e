"""What every part asks of a Kafka cluster beside consuming and producing.

Topics and their settings, groups' offsets and lag, ranges of offsets, partitions, and the mends that aiokafka
needs. Imports the topics, the settings and `service`.
"""
