"""A changelog read again gives what its owners wrote, whatever an earlier owner wrote late."""

from __future__ import annotations

import random

from evometrics.streams.changelog.tables import MARKER, ChangelogReplay, changelog_key

Record = tuple[bytes, bytes | None]


def mark(term: int) -> Record:
    """An owner's marker."""
    return MARKER, term.to_bytes(8, "big")


def replay(log: list[Record | None]) -> ChangelogReplay:
    """Read a log; None stands for what compaction has removed."""
    found = ChangelogReplay()
    for offset, record in enumerate(log):
        if record is not None:
            found.add(offset, *record)
    return found


def compacted(log: list[Record | None], upto: int) -> list[Record | None]:
    """What the broker may leave of a log: of the records before `upto` those that are their key's last."""
    last = {record[0]: offset for offset, record in enumerate(log) if record is not None}
    return [
        r if r is None or offset >= upto or last[r[0]] == offset else None for offset, r in enumerate(log)
    ]


def test_what_an_earlier_owner_writes_after_the_marker_does_not_count() -> None:
    log: list[Record | None] = [
        mark(1),
        (changelog_key(0, b"a"), b"a0"),
        (changelog_key(0, b"b"), b"b0"),
        mark(2),
        (changelog_key(0, b"a"), b"late"),
        (changelog_key(3, b"a"), b"a3"),
        (changelog_key(0, b"a"), b"later"),
        (changelog_key(0, b"c"), b"late too"),
    ]
    found = replay(log)
    assert found.values == {b"a": b"a3", b"b": b"b0"}
    assert found.obsolete == {changelog_key(0, b"a"), changelog_key(0, b"c")}
    assert replay([*log, *((key, None) for key in found.obsolete)]).obsolete == set()


def test_a_marker_that_is_late_does_not_count() -> None:
    log: list[Record | None] = [
        mark(1),
        (changelog_key(0, b"a"), b"a0"),
        mark(2),
        mark(2),
        (changelog_key(2, b"a"), b"a2"),
        mark(1),
        (changelog_key(2, b"b"), b"b2"),
        (changelog_key(5, b"b"), b"late"),
    ]
    found = replay(log)
    assert (found.marker, found.term) == (2, 2)
    assert found.values == {b"a": b"a2", b"b": b"b2"}


def test_values_of_another_epoch_are_obsolete_once_written_again() -> None:
    first = replay([mark(1), (changelog_key(0, b"a"), b"1"), mark(2)])
    assert first.values == {b"a": b"1"}
    assert first.epochs == {b"a": 0}
    again = replay([mark(1), (changelog_key(0, b"a"), b"1"), mark(2), (changelog_key(2, b"a"), b"2")])
    assert again.values == {b"a": b"2"}
    assert again.obsolete == {changelog_key(0, b"a")}


def test_a_tombstone_of_the_owners_epoch_deletes_and_any_other_only_tidies_up() -> None:
    log: list[Record | None] = [
        mark(1),
        (changelog_key(0, b"a"), b"a0"),
        (changelog_key(0, b"b"), b"b0"),
        mark(2),
        (changelog_key(3, b"a"), None),
        (changelog_key(0, b"b"), None),
    ]
    found = replay(log)
    assert found.values == {b"b": b"b0"}, "what came late deletes nothing"
    assert found.obsolete == {changelog_key(0, b"a")}, "it would be there again without the tombstone"
    again = replay([*log, (changelog_key(3, b"a"), b"a3")])
    assert again.values == {b"a": b"a3", b"b": b"b0"}
    assert replay([mark(1), (changelog_key(0, b"a"), b"x"), (changelog_key(0, b"a"), None)]).values == {}


class Owners:
    """A changelog, its owners one after the other, and what they know."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.log: list[Record | None] = []
        self.state: dict[bytes, bytes] = {}
        self.epochs: list[int] = []
        self.earlier: dict[bytes, int] = {}

    def take_over(self) -> ChangelogReplay:
        """The next owner marks the log, reads it, and deletes what is obsolete."""
        self.epochs.append(len(self.log))
        self.log.append(mark(len(self.epochs)))
        found = replay(self.log)
        assert found.marker == self.epochs[-1]
        self.log.extend((key, None) for key in found.obsolete)
        self.earlier = found.epochs
        return found

    def write(self, name: bytes) -> None:
        """The owner writes a key."""
        self.state[name] = self.rng.randbytes(4)
        self.log.append((changelog_key(self.epochs[-1], name), self.state[name]))
        if name in self.earlier:
            self.log.append((changelog_key(self.earlier.pop(name), name), None))

    def delete(self, name: bytes) -> None:
        """The owner deletes a key."""
        self.state.pop(name, None)
        self.log.append((changelog_key(self.epochs[-1], name), None))
        if name in self.earlier:
            self.log.append((changelog_key(self.earlier.pop(name), name), None))

    def write_late(self, name: bytes) -> None:
        """An earlier owner writes a key."""
        epoch = self.rng.choice(self.epochs[:-1])
        self.log.append((changelog_key(epoch, name), self.rng.choice([None, self.rng.randbytes(4)])))

    def compact(self) -> None:
        """The broker removes what is not its key's last."""
        self.log = compacted(self.log, self.rng.randrange(len(self.log) + 1))


def test_any_owners_with_late_writes_and_compaction_leave_the_owners_values() -> None:
    for seed in range(300):
        owners = Owners(seed)
        for _ in range(owners.rng.randrange(1, 7)):
            assert owners.take_over().values == owners.state, seed
            late = []
            for _ in range(owners.rng.randrange(12)):
                name = owners.rng.choice([b"a", b"b", b"c"])
                if len(owners.epochs) > 1 and owners.rng.random() < 0.4:
                    late.append(name)
                    owners.write_late(name)
                elif owners.rng.random() < 0.3:
                    owners.delete(name)
                else:
                    owners.write(name)
            # an owner comes to what the earlier one did not commit before compaction comes to it
            for name in late:
                owners.write(name)
            if owners.rng.random() < 0.5:
                owners.compact()
