"""The outbox's budget: when something is shed, how much, and what first. Values in, values out."""

from evometrics.producers.outbox.budget import PROGRESS, Space, enough
from evometrics.producers.outbox.row import ROW_OVERHEAD, Row
from evometrics.schemas.topics import EVOLUTION_COMPLETED

COMPLETED = EVOLUTION_COMPLETED.name


def row(topic: str, size: int = 1000) -> Row:
    """Return a row that takes `size` bytes of the budget."""
    return Row(0, topic, "agent", b"x" * (size - ROW_OVERHEAD))


def test_nothing_is_shed_for_a_batch_that_fills_the_outbox_exactly() -> None:
    space = Space(10_000)
    space.came([row(COMPLETED)] * 8)
    assert space.excess([row(COMPLETED)] * 2) == 0
    assert space.fit([row(COMPLETED)] * 2) == [True, True]


def test_a_full_outbox_is_emptied_to_nine_tenths_with_the_new_batch_in_it() -> None:
    space = Space(10_000)
    space.came([row(COMPLETED)] * 8)
    assert space.excess([row(COMPLETED), row(COMPLETED, 1001)]) == 1001


def test_as_few_of_the_oldest_go_as_free_enough() -> None:
    found = [(3, 100), (5, 100), (9, 100)]
    assert enough(found, 100) == ([3], 100)
    assert enough(found, 101) == ([3, 5], 200)
    assert enough(found, 1000) == ([3, 5, 9], 300)


def test_what_was_shed_counts_as_neither_recorded_nor_waiting() -> None:
    space = Space(10_000)
    space.came([row(PROGRESS)] * 3 + [row(COMPLETED)])
    space.shed_progress(2, 2000)
    assert (space.depth, space.bytes, space.progress_rows) == (2, 2000, 1)
    assert space.recorded == {PROGRESS: 1, COMPLETED: 1}
    assert space.shed == {PROGRESS: 2}


def test_new_progress_leaves_the_room_to_other_events_of_its_batch() -> None:
    space = Space(10_000)
    space.came([row(COMPLETED)] * 8)
    batch = [row(PROGRESS), row(COMPLETED), row(PROGRESS), row(COMPLETED)]
    assert space.fit(batch) == [False, True, False, True]
    assert space.shed == {PROGRESS: 2}


def test_a_new_budget_begins_at_nothing_and_is_empty_again_after_its_last_row() -> None:
    space = Space(10_000)
    figures = (space.depth, space.bytes, space.high_water, space.progress_rows)
    assert figures == (0, 0, 0, 0)
    space.came([row(PROGRESS, 1200)])
    assert (space.depth, space.bytes, space.high_water, space.progress_rows) == (1, 1200, 1200, 1)
    space.went([row(PROGRESS, 1300)])  # larger than it came, as its times were corrected in between
    assert (space.depth, space.bytes, space.high_water, space.progress_rows) == (0, 0, 1200, 0)
    assert space.excess([row(COMPLETED, 10_000)]) == 0
