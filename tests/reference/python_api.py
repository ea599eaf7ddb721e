"""python-api.md: the public names of producers, sinks and schemas, from their signatures and docstrings."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from evometrics.schemas.events import Event
from evometrics.schemas.service.compiled import COMPILABLE
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.catalog import newest
from tests.reference import settings
from tests.reference.markdown import attributes, cell, code, document, paragraphs, sentence, table, wrapped


class Names(NamedTuple):
    """Public names of a module; where none are given, those of its `__all__`."""

    module: str
    names: tuple[str, ...] = ()


#: By folder: where its public names are imported from.
PUBLIC = {
    "producers": (
        Names("evometrics.producers"),
        Names("evometrics.producers.collector.evolution_run", ("EvolutionRun",)),
        Names("evometrics.producers.settings", ("CollectorSettings",)),
        Names("evometrics.producers.events.custom_metrics", ("MetricError",)),
        Names("evometrics.producers.outbox.names", ("OutboxError",)),
    ),
    "sinks": (
        Names("evometrics.sinks.query", ("MetricsQuery", "QueryFailed")),
        Names("evometrics.sinks.query.result", ("FoundRows",)),
        Names("evometrics.sinks.query.binding", ("ParameterError",)),
        Names("evometrics.sinks.settings", ("ClickHouseSettings", "SinkSettings")),
        Names("evometrics.sinks.clickhouse.client", ("ClickHouseUnavailable",)),
    ),
    "schemas": (
        Names("evometrics.schemas.events", ()),
        Names("evometrics.schemas.history.found", ("FoundEvolutions",)),
        Names("evometrics.schemas.frames", ("MissingLibrary",)),
        Names("evometrics.schemas.topics", ("Topic", "topic_named")),
        Names("evometrics.schemas.ids", ("new_event_id", "derived_id")),
        Names(
            "evometrics.schemas.kpis.performance",
            ("KpiThresholds", "overall_performance", "should_retire", "should_evolve", "recommendation"),
        ),
        Names("evometrics.schemas.rules.validation", ("validate", "InvalidEvent")),
        Names("evometrics.schemas.history.file", ("HistoryError",)),
        Names("evometrics.schemas.metrics", ("MetricDef", "Instruments")),
        Names("evometrics.schemas.service.settings", ("KafkaSettings", "SettingsError", "read_settings")),
        Names("evometrics.schemas.errors", ("EvometricsError",)),
    ),
}
EVENTS = "evometrics.schemas.events"
OF_EXPORTERS = {"register", "run"}
#: Methods without an underscore that only the package's own parts call, by class.
INTERNAL = {
    "EvolutionMetricsCollector": {
        *("own", "renew_in_child", "start_here", "stop_here", "drain_while_it_moves", "count", "figures"),
        "new_sampler",
    },
    "MetricsPersistence": {"event_of"},
    "Recorder": {
        *("own", "renew_in_child", "new_run_id", "before_close", "put", "started", "miss", "close_at_exit")
    },
    "Run": {*("renew_in_child", "reference", "is_better")},
    "InfluxDBBackend": {*OF_EXPORTERS, "next_batch", "drop_oldest", "write", "post", "refuse"},
    "PrometheusBackend": OF_EXPORTERS,
    "SQLiteMetricsBackend": {
        *OF_EXPORTERS,
        *("export", "take", "write", "transact", "forget", "in_place", "disconnect"),
    },
    "LocalMetricsQuery": {"abandoned", "rows", "read"},
    "MetricsQuery": {"rows"},
}
WIDTH = 96
STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def public(folder: str) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Give a folder's modules with their public names and what they are; those it exports itself first."""
    for module, names in PUBLIC[folder]:
        loaded = importlib.import_module(module)
        yield module, [(name, getattr(loaded, name)) for name in names or getattr(loaded, "__all__", ())]


def events() -> list[type[Event]]:
    """Return the event classes, in the order of the topics."""
    classes = {each.record: each for each in Event.__subclasses__()}
    return [classes[record] for record in BY_RECORD]


def signature(name: str, called: Any, *, drop: bool = False) -> str:
    """Return a signature, over several lines where it is long; without the first parameter where `drop`."""
    found = inspect.signature(called)
    parts: list[str] = []
    for parameter in list(found.parameters.values())[1 if drop else 0 :]:
        if parameter.kind is parameter.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        parts.append(shown(parameter))
    returned = "" if isinstance(called, type) else f" -> {annotation(found.return_annotation)}"
    text = f"{name}({', '.join(parts)}){returned}"
    if len(text) <= WIDTH:
        return text
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returned}"


def shown(parameter: inspect.Parameter) -> str:
    """Return a parameter as the source has it; a default that is made for each call is `...`."""
    star = STARS.get(parameter.kind, "")
    text = f"{star}{parameter.name}: {annotation(parameter.annotation)}"
    default = parameter.default
    if default is parameter.empty:
        return text
    if isinstance(default, str):
        return f"{text} = {json.dumps(default)}"
    return f"{text} = {'...' if '<' in repr(default) else repr(default)}"


def annotation(found: Any) -> str:
    """Return an annotation as the source has it."""
    return (found if isinstance(found, str) else inspect.formatannotation(found)).replace("'", '"')


def described(docstring: str | None) -> list[str]:
    """Return the paragraphs of a docstring that are shown."""
    return [wrapped(each) for each in paragraphs(docstring)]


def functions(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """Give the public methods and properties of a class, those of base classes of ours included."""
    seen: dict[str, Any] = {}
    for each in reversed(cls.__mro__):
        if each.__module__.startswith("evometrics."):
            seen |= vars(each)
    for name, member in seen.items():
        documented = getattr(member, "__func__", member)
        if name.startswith("_") or name in INTERNAL.get(cls.__name__, ()):
            continue
        if isinstance(documented, FunctionType | property) and documented.__doc__:
            yield name, member


def compiled(name: str, found: Any) -> list[str]:
    """Return the entry of a compiled function, from its module's source."""
    module = importlib.import_module(found.__module__)
    source = Path(str(module.__file__)).parent / f"{module.__name__.rpartition('.')[2]}.py"
    text = source.read_text(encoding="utf-8")
    written = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == name)
    head = str(ast.get_source_segment(text, written)).partition(":\n")[0]
    return [f"```python\n{head}\n```", *described(ast.get_docstring(written))]


def method(name: str, member: Any) -> str:
    """Return a method's entry in a class: signature, then the first paragraph."""
    if isinstance(member, property):
        called: Callable[..., Any] = member.fget  # type: ignore[assignment]
        returned = annotation(inspect.signature(called).return_annotation)
        head = f"{name}: {returned}"
        docstring = member.__doc__
    else:
        function = getattr(member, "__func__", member)
        prefix = "@staticmethod\n" if isinstance(member, staticmethod) else ""
        prefix += "async def " if inspect.iscoroutinefunction(function) else "def "
        head = prefix + signature(name, function, drop=not isinstance(member, staticmethod))
        docstring = function.__doc__
    text = paragraphs(docstring)[:1]
    return f"```python\n{head}\n```\n\n" + "\n\n".join(wrapped(each) for each in text)


def entry(name: str, found: Any) -> list[str]:
    """Return a public name's entry."""
    blocks = [f"#### {name}"]
    if not isinstance(found, type) and found.__module__ in COMPILABLE:
        return [*blocks, *compiled(name, found)]
    if not isinstance(found, type):
        return [*blocks, f"```python\ndef {signature(name, found)}\n```", *described(found.__doc__)]
    if issubclass(found, Exception):
        bases = [each.__name__ for each in found.__bases__]
        return [*blocks, f"```python\nclass {name}({', '.join(bases)})\n```", *described(found.__doc__)]
    blocks += [f"```python\nclass {signature(name, found)}\n```", *described(found.__doc__)]
    if found in settings.CLASSES.values():
        (section,) = (name for name, cls in settings.CLASSES.items() if cls is found)
        blocks.append(f"Its fields are the settings of the section [{section}](settings.md#{section}).")
    elif dataclasses.is_dataclass(found) and (fields := attributes(found.__doc__)):
        blocks.append(
            table(["field", "meaning"], ([code(n), cell(sentence(text))] for n, text in fields.items()))
        )
    return [*blocks, *(method(*each) for each in functions(found))]


def page() -> str:
    """Return the page."""
    blocks = [
        wrapped(
            "What a program may import; everything else may change with any release. Each name is listed "
            "under the module it is imported from, with its signature and what its docstring says first."
        )
    ]
    for folder in PUBLIC:
        package = importlib.import_module(f"evometrics.{folder}")
        blocks += [f"## {folder}", wrapped(paragraphs(package.__doc__)[0])]
        for module, names in public(folder):
            blocks.append(f"### {module}")
            if module == EVENTS:
                blocks += event_classes()
            for name, found in names:
                blocks += entry(name, found)
    return document("Python API", *blocks)


def event_classes() -> list[str]:
    """Return the event classes: their fields are on another page."""
    return [
        "A class for each record; [events](events.md) has their fields, which are keyword arguments here.",
        table(
            ["class", "topic", "what it is"],
            (
                [
                    f"[`{cls.__name__}`](events.md#{newest(cls.record).source['name'].lower()})",
                    code(BY_RECORD[cls.record].name),
                    cell(paragraphs(cls.__doc__)[0]),
                ]
                for cls in events()
            ),
        ),
    ]
