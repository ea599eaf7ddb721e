"""Demo agents that truly evolve: small scikit-learn models on the digits data set."""
