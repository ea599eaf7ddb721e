"""python-api.md: the public names of producers, sinks and schemas, from their signatures and docstrings."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, NamedTuple

from evometrics.schemas.events import Event
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.catalog import newest
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
        Names("evometrics.sinks.query", ("MetricsQuery",)),
        Names("evometrics.sinks.settings", ("ClickHouseSettings", "SinkSettings")),
        Names("evometrics.sinks.clickhouse.client", ("ClickHouseUnavailable",)),
    ),
    "schemas": (
        Names("evometrics.schemas.events", ()),
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
WIDTH = 96


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
    parameters = list(found.parameters.values())[1 if drop else 0 :]
    found = found.replace(parameters=parameters)
    text = name + plain(str(found))
    if len(text) <= WIDTH:
        return text
    parts = []
    star = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        parts.append(plain(str(parameter)))
    returned = "" if found.return_annotation is found.empty else f" -> {plain(annotation(found))}"
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returned}"


def annotation(found: inspect.Signature) -> str:
    """Return what is returned, as the source has it."""
    returned = found.return_annotation
    return returned if isinstance(returned, str) else inspect.formatannotation(returned)


def plain(text: str) -> str:
    """Return a signature without what a reader has no use for: quotes around annotations, module names."""
    text = re.sub(r"'((?:[^'\\]|\\.)*)'", unquote, text)
    return text.replace("typing.", "")


def unquote(found: re.Match[str]) -> str:
    """Take the quotes from an annotation, and leave those of a default value."""
    before = found.string[: found.start()]
    return found[1] if before.endswith((": ", "-> ")) else f'"{found[1]}"'


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
        if (
            not name.startswith("_")
            and isinstance(documented, FunctionType | property)
            and documented.__doc__
        ):
            yield name, member


def method(name: str, member: Any) -> str:
    """Return a method's entry in a class: signature, then the first paragraph."""
    if isinstance(member, property):
        called: Callable[..., Any] = member.fget  # type: ignore[assignment]
        returned = annotation(inspect.signature(called))
        head = f"{name}: {plain(returned)}"
        docstring = member.__doc__
    else:
        function = getattr(member, "__func__", member)
        prefix = "async def " if inspect.iscoroutinefunction(function) else "def "
        head = prefix + signature(name, function, drop=not isinstance(member, staticmethod))
        docstring = function.__doc__
    text = paragraphs(docstring)[:1]
    return f"```python\n{head}\n```\n\n" + "\n\n".join(wrapped(each) for each in text)


def entry(name: str, found: Any) -> list[str]:
    """Return a public name's entry."""
    blocks = [f"#### {name}"]
    if not isinstance(found, type):
        return [*blocks, f"```python\ndef {signature(name, found)}\n```", *described(found.__doc__)]
    if issubclass(found, Exception):
        bases = [each.__name__ for each in found.__bases__]
        return [*blocks, f"```python\nclass {name}({', '.join(bases)})\n```", *described(found.__doc__)]
    blocks += [f"```python\nclass {signature(name, found)}\n```", *described(found.__doc__)]
    if dataclasses.is_dataclass(found) and (fields := attributes(found.__doc__)):
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
