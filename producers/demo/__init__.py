"""Demo agents that really evolve: small scikit-learn models on the digits data set."""
