"""Signatures of the compiled module, which `screening.pyx` describes."""

from evometrics.schemas.events import Event

def surely_valid(event: Event, now: int) -> bool:
    """Return whether an exactly typed event certainly passes `validate(event, now)`; `now` in microseconds.

    False only means that `validate` must be asked: the event may still be valid (for example with names that
    are long together), and only `validate` names what is wrong.
    """
