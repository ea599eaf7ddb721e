"""What any long-running process of ours needs: settings, health, HTTP, ending, pauses, disks.

Knows neither events nor Kafka.
"""
