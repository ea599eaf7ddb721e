"""Which of many candidates are drawn."""

from __future__ import annotations

from evometrics.deploy.ui.page import Rows


def thinned(rows: Rows, most: int) -> Rows:
    """Return at most `most` candidates: those at which the best so far changes, the last, and an even share.

    Of more changes than that an even share is returned, too: the line is drawn a step coarser, not cut.
    """
    if len(rows) <= most:
        return rows
    changes = [
        place
        for place, row in enumerate(rows)
        if not place or row["best_so_far"] != rows[place - 1]["best_so_far"]
    ]
    kept = set(evenly(changes, most // 2)) | {len(rows) - 1}
    others = [place for place in range(len(rows)) if place not in kept]
    kept.update(evenly(others, most - len(kept)))
    return [rows[place] for place in sorted(kept)]


def evenly(places: list[int], most: int) -> list[int]:
    """Return at most so many of the places, evenly spread."""
    if len(places) <= most:
        return places
    return [places[number * len(places) // most] for number in range(most)]
