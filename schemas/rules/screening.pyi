"""What the compiled module takes and returns; `screening.pyx` says what it is for."""

from evometrics.schemas.events import Event

def surely_valid(event: Event, now: int) -> bool:
    """Tell whether an event that is exact surely passes `validate(event, now)`; `now` in microseconds.

    True means that `validate` would pass it; False means nothing but that it must be asked, for it may be
    good for all that (names that are long together), and only `validate` names what is wrong.
    """
