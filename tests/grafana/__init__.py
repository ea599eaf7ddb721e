"""Every panel of deploy/grafana on a real stack; `python -m tests.grafana` runs it and prints the table."""
