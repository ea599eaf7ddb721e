"""What every long-running process of this package needs: settings, health, HTTP, shutdown, backoff, disks.

Knows neither events nor Kafka.
"""
