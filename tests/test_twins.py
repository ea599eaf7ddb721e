"""Compiled modules and their Python sources say the same, to the bit."""

from __future__ import annotations

import dataclasses
import random
import struct
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from evometrics.producers.events.left_out import LeftOut
from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.ids import name_hash
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.codec import codec_of, fields_of, read_exact
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.clickhouse.blocks import row_format
from evometrics.streams.formulas.windows import WINDOWS
from tests.support.examples import EXAMPLES, NOW
from tests.support.twins import outcome, twins

WIRE = WireFormat()
SECOND = 1_000_000
numbers = st.integers(-(2**65), 2**65) | st.sampled_from(
    [0, -1, 63, 64, -64, -65, 2**63 - 1, 2**63, -(2**63)]
)
floats = st.floats() | st.sampled_from([0.0, -0.0, 5e-324, 1.7e308, float("inf")])
scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | numbers | floats | st.text(max_size=6) | st.binary(max_size=6)
)
values = st.recursive(
    scalars | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=5,
)
events = st.sampled_from(EXAMPLES)
bits = st.binary(max_size=40) | st.lists(st.sampled_from([0, 1, 2, 72, 127, 128, 255]), max_size=30).map(
    bytes
)


def unusual(found: str) -> str:
    """All exceptions that the encoding may raise mean the same."""
    return "unusual" if found.startswith("raised ") else found


@given(bits, st.integers(-2, 42))
@example(b"\x80\x00", 0)  # longer than necessary
@example(b"\xff" * 9 + b"\x01", 0)
@example(b"\xff" * 9 + b"\x02", 0)
def test_what_bytes_are_read_as(raw: bytes, place: int) -> None:
    compiled, plain = twins("evometrics.schemas.wire.binary")
    for name in ("read_long", "read_length", "read_text"):
        found = [unusual(outcome(getattr(module, name), raw, place)) for module in (compiled, plain)]
        assert found[0] == found[1], name


@given(values)
def test_what_values_are_written_as(value: Any) -> None:
    compiled, plain = twins("evometrics.schemas.wire.binary")
    assert compiled.KINDS == plain.KINDS
    for name in ("write_long", "write_text", "write_bytes"):
        found = [unusual(outcome(getattr(module, name), value)) for module in (compiled, plain)]
        assert found[0] == found[1], name
    for kind in (*compiled.KINDS, "none of them"):
        assert compiled.fits(kind, value) == plain.fits(kind, value), kind


@given(numbers, numbers, numbers, bits, st.integers(-1, 42), st.binary(min_size=14, max_size=30))
def test_what_a_block_is_written_as(a: int, b: int, c: int, value: bytes, start: int, end: bytes) -> None:
    compiled, plain = twins("evometrics.schemas.wire.binary")
    given = (a, b, c, value, start, end)
    assert unusual(outcome(compiled.write_block, *given)) == unusual(outcome(plain.write_block, *given))


@given(events, st.data())
def test_what_a_record_is_read_and_written_as(event: Event, data: st.DataObject) -> None:
    modules = twins("evometrics.schemas.wire.binary")
    fields = fields_of(newest(event.record))
    codecs = [module.RecordCodec(type(event), fields, {}) for module in modules]
    name = data.draw(st.sampled_from([f.name for f in dataclasses.fields(event)]))
    changed = dataclasses.replace(event, **{name: data.draw(values | st.just(getattr(event, name)))})
    written = [unusual(outcome(codec.write, b"prefix", changed)) for codec in codecs]
    assert written[0] == written[1]
    datum = bytearray(codecs[0].write(b"", event))
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(datum) - 1))
        datum[place : place + 1] = data.draw(st.binary(max_size=2))
    read = [unusual(outcome(codec.read, bytes(datum), 0)) for codec in codecs]
    assert read[0] == read[1]


@given(events, numbers, numbers, numbers, st.data())
def test_what_columns_an_event_is_put_in(event: Event, a: int, b: int, c: int, data: st.DataObject) -> None:
    modules = twins("evometrics.sinks.clickhouse.columns")
    schema = newest(event.record)
    fields = row_format(schema).fields
    assert fields is not None
    blocks = [module.EventColumns(fields) for module in modules]
    datum = bytearray(WIRE.encode(event)[10:])
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(datum) - 1))
        datum[place : place + 1] = data.draw(st.binary(max_size=2))
    there = SimpleNamespace(partition=a, offset=b, timestamp=c)
    added = [unusual(outcome(columns.add, b"head" + bytes(datum), 4, there)) for columns in blocks]
    assert added[0] == added[1]
    if added[0] != "unusual":
        assert blocks[0].block() == blocks[1].block() and blocks[0].rows == blocks[1].rows == 1
        assert read_exact(codec_of(schema), bytes(datum), 0) is not None


def heads(count: int) -> st.SearchStrategy[list[tuple[int, int, int, int, int]]]:
    small = st.integers(0, 3)
    return st.lists(st.tuples(small, small, small, small, st.integers(0, 2)), max_size=count)


@given(heads(6), st.binary(max_size=3), st.integers(0, 30))
def test_what_events_a_container_is_cut_into(found: list[Any], rubbish: bytes, cut: int) -> None:
    compiled, plain = twins("evometrics.sinks.raw.event")
    write_long = twins("evometrics.schemas.wire.binary")[0].write_long
    container = b""
    for timestamp, occurred_at, partition, offset, count in found:
        texts = [f"0{offset}912345-6789-7abc-8def-0123456789ab", "agent" * (partition % 2), "node"]
        datum = b"".join(write_long(len(text)) + text.encode() for text in texts) + write_long(occurred_at)
        record = struct.pack("<qqiq", timestamp, occurred_at, partition, offset) + datum
        record = record if count else b""
        container += write_long(count) + write_long(len(record)) + record + b"s" * 16
        event = outcome(compiled.read_head, datum, 0)
        assert event == outcome(plain.read_head, datum, 0)
    for raw in (container, container + rubbish, container[: len(container) - cut]):
        cuts = [outcome(module.cut_events, raw, 0, "topic", b"prefix") for module in (compiled, plain)]
        assert cuts[0] == cuts[1]


@given(events, st.data())
def test_which_events_are_surely_valid(event: Event, data: st.DataObject) -> None:
    compiled, plain = twins("evometrics.schemas.rules.screening")
    name = data.draw(st.sampled_from([f.name for f in dataclasses.fields(event)]))
    typical = st.none() | st.integers(-1, 2) | st.floats(-1, 2) | st.text(max_size=3) | st.just("ä" * 1001)
    odd = (
        typical | st.lists(st.text(max_size=2), max_size=2) | st.sampled_from(["pareto", "a" * 64, "A" * 64])
    )
    changed = dataclasses.replace(event, **{name: data.draw(odd)})
    if WIRE.encode_exact(changed) is None:  # asked of exactly typed events only
        return
    for now in (NOW, 0, 2**70, -(2**70)):
        assert compiled.surely_valid(changed, now) == plain.surely_valid(changed, now)


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add_steps", "prune", "tidy", "takes", "pack", "again"]),
        st.integers(0, 3_000) | st.integers(0, 30),
        st.integers(0, 2) | st.sampled_from([255, 256, 2**32 - 1, 2**32, 2**40]),
    ),
    max_size=25,
)


@given(steps)
@example([("add_steps", 7, 254)])  # and one more in the last window: the most in a byte
@example([("add_steps", 7, 255)])
@example([("add_steps", 7, 2**32 - 2)])
@example([("add_steps", 7, 2**32 - 1)])
def test_what_windows_count(calls: list[tuple[str, int, int]]) -> None:
    modules = twins("evometrics.streams.states.window_counts")
    counts = [module.WindowCounts(WINDOWS) for module in modules]
    for name, step, number in calls:
        late = 3 * 86_400
        given: dict[str, tuple[Any, ...]] = {
            "add": (step * 300 * SECOND, bool(number % 2), late),
            "add_steps": ({step: (number, number // 2), step + number % 50: (1, 1)},),
            "prune": (late,),
            "tidy": (late,),
            "takes": (step, step + number, late),
            "pack": (),
        }
        if name == "again":
            counts = [
                module.WindowCounts(WINDOWS, each.pack())
                for module, each in zip(modules, counts, strict=True)
            ]
        else:
            found = [outcome(getattr(each, name), *given[name]) for each in counts]
            assert found[0] == found[1], name
        assert [list(each.items()) for each in counts[0].counts] == [
            list(each.items()) for each in counts[1].counts
        ]
        assert counts[0].newest == counts[1].newest
        assert counts[0].pack() == counts[1].pack()


@given(bits.map(lambda raw: struct.pack("<qBH", 3, 1, len(raw)) + raw) | bits)
def test_what_counts_bytes_are(packed: bytes) -> None:
    found = []
    for module in twins("evometrics.streams.states.window_counts"):
        try:
            counts = module.WindowCounts(WINDOWS, packed)
            found.append((counts.counts, counts.newest))
        except ValueError as error:
            found.append((str(error), None))
    assert found[0] == found[1]


kpis = st.dictionaries(
    st.sampled_from(
        ["performance", "accuracy", "evaluation_count", "novelty", "ü", "memory_usage_mb", "cpu_utilization"]
    ),
    st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([12.0, 2.5, 2.0**63]),
)
DONE = next(e for e in EXAMPLES if isinstance(e, EvolutionCompleted))
START = next(e for e in EXAMPLES if isinstance(e, EvolutionStarted))


SNAPSHOTS = [dataclasses.replace(e, agent_id=a) for e in EXAMPLES if isinstance(e, KpiSnapshot) for a in "ab"]


def checked(maker: Any, value: bytes) -> str:
    """Return the id of a snapshot that is certainly valid."""
    return str(maker.read(value, 10, NOW).event_id)


@given(st.lists(st.tuples(kpis, st.sampled_from(["accuracy", "ü", None])), min_size=2, max_size=2), st.data())
def test_what_rows_snapshots_lead_to(given: list[tuple[Any, Any]], data: st.DataObject) -> None:
    makers = [module.DeltaRows(WIRE) for module in twins("evometrics.streams.rows.rows")]
    read: list[list[Any]] = [[None, None], [None, None]]
    for place, (extra, objective) in enumerate(given):
        aim = {"objective": objective, "direction": objective and "minimize"}
        value = bytearray(WIRE.encode(dataclasses.replace(SNAPSHOTS[place], extra=extra, **aim)))
        for _ in range(data.draw(st.integers(0, 1))):
            at = data.draw(st.integers(10, len(value) - 1))
            value[at : at + 1] = data.draw(st.binary(max_size=2))
        for maker, found in zip(makers, read, strict=True):
            try:
                found[place] = maker.recall(bytes(value), 10)
            except Exception as error:
                assert unusual(f"raised {type(error).__name__}") == "unusual"
        assert (read[0][place] is None) == (read[1][place] is None)
        valid = [unusual(outcome(checked, maker, bytes(value))) for maker in makers]
        assert valid[0] == valid[1]
    for now, before in ((0, 1), (1, 0)):
        if read[0][now] is not None:
            rows = [maker.row(found[now], found[before]) for maker, found in zip(makers, read, strict=True)]
            assert rows[0] == rows[1]


@given(
    kpis,
    kpis,
    st.floats(0, 1e6),
    st.sampled_from(["", "unknown", "nightly"]),
    st.none() | st.sampled_from(["accuracy", "ü"]),
    st.lists(st.sampled_from(["pre_evolution", "post_evolution"])),
    st.lists(st.sampled_from(["duration_seconds", "memory_used_mb", "cpu_percent_avg", "fitness"])),
)
def test_what_rows_a_completion_leads_to(
    pre: dict[str, float],
    post: dict[str, float],
    lasted: float,
    kind: str,
    objective: str | None,
    phases: list[str],
    unmeasured: list[str],
) -> None:
    modules = twins("evometrics.streams.rows.rows")
    done = dataclasses.replace(
        DONE,
        pre_kpis=pre,
        post_kpis=post,
        duration_seconds=lasted,
        evolution_type=kind,
        objective=objective,
        snapshot_phases=phases,
        unmeasured=unmeasured,
    )
    value, prefix = WIRE.encode(done), WIRE.prefixes[done.record]
    found = [module.CompletionReader(WIRE).read(value, len(prefix), NOW) for module in modules]
    names = [name for name in dir(modules[1].Completion) if not name.startswith("_")]
    assert [getattr(found[0], name) for name in names] == [getattr(found[1], name) for name in names]
    start = WIRE.encode(dataclasses.replace(START, pre_kpis=pre, evolution_type=kind, objective=objective))
    lent = [module.StartReader().lends(start, len(WIRE.prefixes[START.record])) for module in modules]
    assert lent[0] == lent[1]


@given(st.integers(1, 10**6), st.integers(0, 2**50), bits)
def test_what_a_rate_is_written_as(seconds: int, end: int, figures: bytes) -> None:
    rows = [
        m.ScopeRows(b"p", name_hash("a"), b"ids", b"scope") for m in twins("evometrics.streams.rows.rows")
    ]
    assert rows[0].row(seconds, end, figures) == rows[1].row(seconds, end, figures)


@given(st.lists(floats, min_size=7, max_size=9), floats, floats, floats)
def test_what_the_formulas_give(measured: list[float], delta: float, minutes: float, memory: float) -> None:
    compiled, plain = twins("evometrics.schemas.kpis.formula")
    assert compiled.ABSENT == plain.ABSENT
    assert outcome(compiled.weighted_performance, measured) == outcome(plain.weighted_performance, measured)
    assert repr(compiled.efficiency(delta, minutes, memory)) == repr(plain.efficiency(delta, minutes, memory))


@given(
    st.dictionaries(st.integers(-5, 400), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    st.sets(st.integers(0, 400)),
)
def test_what_steps_are_affected(totals: dict[int, tuple[int, int]], changed: set[int]) -> None:
    compiled, plain = twins("evometrics.streams.formulas.steps")
    for window in WINDOWS:
        assert compiled.affected_steps(window, totals, changed) == plain.affected_steps(
            window, totals, changed
        )
        for last in (0, 12, 100, 400):
            assert compiled.within(window, totals, last) == plain.within(window, totals, last)


@given(st.text() | st.text("0123456789abcdefABCDEF-", min_size=30, max_size=40) | st.uuids().map(str))
def test_what_ids_are(text: str) -> None:
    rings = twins("evometrics.streams.states.id_rings")
    assert outcome(rings[0].id_number, text) == outcome(rings[1].id_number, text)
    ids = twins("evometrics.schemas.ids")
    assert outcome(ids[0].derived_id, text, 7) == outcome(ids[1].derived_id, text, 7)


def test_which_ids_are_remembered() -> None:
    rng = random.Random(5)
    modules = twins("evometrics.streams.states.id_rings")
    rings: list[Any] = [module.Rings({}) for module in modules]
    for n in range(6_000):
        event = f"{rng.getrandbits(64) % 5_000:032x}"
        new = [each.new("topic", f"node-{n % 2}", event, n) for each in rings]
        assert new[0] == new[1]
        if n % 500 == 0:
            written = [each.writes() for each in rings]
            assert written[0] == written[1]
    again = [module.Rings({k: v for k, v in written[0].items() if v}) for module in modules]
    found = [
        [
            (topic, node, ring.known, ring.number, ring.used)
            for topic in each.rings
            for node, ring in each.rings[topic].items()
        ]
        for each in again
    ]
    assert found[0] and found[0] == found[1]
    assert again[0].held == again[1].held


@given(
    bits | st.sampled_from(EXAMPLES).map(WIRE.encode),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_what_an_outboxs_row_is(value: bytes, seq: int, key: str) -> None:
    modules = twins("evometrics.producers.outbox.row")
    for topic in ("evometrics.evolution.completed", "t"):
        rows = [module.Row(seq, topic, key, value) for module in modules]
        assert repr(rows[0]) == repr(rows[1])
        assert rows[0].size == rows[1].size
        for name in ("latest_time", "checksum_of"):
            found = [getattr(module, name)(row) for module, row in zip(modules, rows, strict=True)]
            assert found[0] == found[1], name
        columns = [module.columns_of([row], 7) for module, row in zip(modules, rows, strict=True)]
        assert columns[0] == columns[1]
        whole = [module.whole_row(*columns[0][:4], columns[0][5]) for module in modules]
        assert whole[0] == rows[0] and whole[1] == rows[1]


given_names = [f.name for f in dataclasses.fields(EvolutionCompleted)] + [
    "timestamp",
    "rollback",
    "generation_change",
]


@given(st.dictionaries(st.sampled_from(given_names), values, max_size=8))
def test_what_an_orchestrators_object_becomes(attributes: dict[str, Any]) -> None:
    modules = twins("evometrics.producers.events.convert")
    modules[1].values = twins("evometrics.producers.events.values")[1]
    given = SimpleNamespace(agent_id="a", **{k: v for k, v in attributes.items() if k != "agent_id"})
    found = []
    for module in modules:
        left_out = LeftOut()
        done = module.completed_event(given, "node", 1.7e9, None, None, left_out)
        done.snapshot_phases = []  # which the collector sets
        start = module.started_event(given, "node", 1.7e9, left_out)
        made = [repr(dataclasses.replace(each, event_id="")) for each in (done, start)]
        found.append((made, left_out.named, module.clues(given, 1.7e9)))
    assert repr(found[0]) == repr(found[1])


@given(values, st.floats(-1e12, 1e12))
def test_what_a_value_is_taken_for(value: Any, now: float) -> None:
    compiled, plain = twins("evometrics.producers.events.values")
    for name in ("text_of", "id_of"):
        assert outcome(getattr(compiled, name), value) == outcome(getattr(plain, name), value)
    for name in ("number_of", "truth_of", "numbers_in", "texts_in"):
        noted = [LeftOut(), LeftOut()]
        found = [
            outcome(getattr(module, name), value, "name", left_out)
            for module, left_out in zip((compiled, plain), noted, strict=True)
        ]
        assert (found[0], noted[0].named) == (found[1], noted[1].named), name
