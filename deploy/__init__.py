"""The command line and the embedded local stack."""
