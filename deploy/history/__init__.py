"""Imports history recorded elsewhere or earlier: `evometrics import`.

Its events are recorded as a node's are, through an outbox and a publisher. Imports these, the contract,
`console` and `pipeline`.
"""

__all__ = ["run"]
