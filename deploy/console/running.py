"""Runs a command: checks its settings, ends it cleanly, reports its failures."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path

from aiokafka.client import AIOKafkaClient

from evometrics.deploy.console.options import (
    check_settings,
    clickhouse_named,
    clickhouse_settings,
    config_file,
    kafka_settings,
    running_stack,
)
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.stack.disks import Reserve
from evometrics.deploy.terminal import reader_gone, tell
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.client_fixes import never_create
from evometrics.schemas.service import tasks
from evometrics.schemas.service.disk import DiskSettings
from evometrics.schemas.service.logs import logs_json
from evometrics.schemas.service.settings import SettingsError, read_settings

log = logging.getLogger("evometrics")

Run = Callable[[argparse.Namespace], Coroutine[None, None, int]]


def run(args: argparse.Namespace) -> int:
    """Run the command that the flags name; return its exit code."""
    try:
        check_settings(args)
        never_create(AIOKafkaClient)  # only `topics` creates topics; Faust's clients would too
        args.prepare()
        return tasks.run(ending_in_order(args.run(args)))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except asyncio.CancelledError:
        return ExitCode.TERMINATED
    except ModuleNotFoundError:
        raise
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_gone():
            raise
        return failed(args, error)


async def ending_in_order(work: Coroutine[None, None, int]) -> int:
    """Run a command; SIGTERM ends it like Ctrl-C: the command cleans up what it has begun."""
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):  # not in the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def failed(args: argparse.Namespace, error: Exception) -> int:
    """Report why the command failed: in one line if the user can fix it, else with the traceback."""
    line = way_out(args, error)
    if logs_json():
        log.critical("%s", line or repr(error), exc_info=error if line is None or args.traceback else None)
        return ExitCode.MISUSED if isinstance(error, SettingsError) else ExitCode.FAILED
    if line is None or args.traceback:
        tell("".join(traceback.format_exception(error)).rstrip())
    tell(f"evometrics {args.command}: {line or f'{type(error).__name__}: {error}'}")
    return ExitCode.MISUSED if isinstance(error, SettingsError) else ExitCode.FAILED


def way_out(args: argparse.Namespace, error: Exception) -> str | None:
    """Return the line that says what to do; None for a fault of the program."""
    if denied := lacking_right(args, error):
        return denied
    if isinstance(error, EvometricsError):
        line = nothing_runs(args, error) or str(error)
        return line + (held(args) if isinstance(error, ConnectionError) else "")
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return str(error)  # an error of the system: it names the file or the address
    return unreachable(args, error)


def nothing_runs(args: argparse.Namespace, error: Exception) -> str | None:
    """Return the way out if ClickHouse was sought on a data folder in vain; None for any other error."""
    if not isinstance(error, ConnectionError) or "evometrics.sinks.clickhouse.client" not in sys.modules:
        return None
    from evometrics.sinks.clickhouse.client import ClickHouseUnavailable, error_code

    answered = error.__cause__ is not None and error_code(error.__cause__) is not None
    if not isinstance(error, ClickHouseUnavailable) or answered or getattr(args, "data", None) is None:
        return None
    if clickhouse_named(args) or running_stack(args) is not None:
        return None
    data = Path(args.data)
    return (
        f"no stack is running on {data.absolute()}{'' if data.exists() else ', which does not exist'}, and "
        f"ClickHouse's default address {clickhouse_settings(args).url} does not answer: start a stack "
        "(`evometrics up`), name its folder with --data, or another ClickHouse with --clickhouse-url or "
        "EVOMETRICS_CLICKHOUSE_URL"
    )


def lacking_right(args: argparse.Namespace, error: Exception) -> str | None:
    """Return what to grant if Kafka refused a right; None for any other error."""
    if "aiokafka.errors" not in sys.modules:
        return None
    from evometrics.deploy.pipeline.rights import roles
    from evometrics.schemas.kafka.rights import denial, right_missing

    if denial(error) is None:
        return None
    role = args.command if args.command in roles("", "") else ""
    missing = right_missing(error, kafka_settings(args), role)
    return f"{error}. {missing}" if missing and isinstance(error, EvometricsError) else missing


def unreachable(args: argparse.Namespace, error: Exception) -> str | None:
    """Return the way out if Kafka or ClickHouse did not serve us; None for any other error.

    Only clients that are loaded are considered: without them their errors can't occur.
    """
    if "aiokafka.errors" in sys.modules:
        from aiokafka.errors import KafkaError

        from evometrics.schemas.kafka.reaching import why_unusable

        if isinstance(error, KafkaError) and error.retriable:
            said = str(error) or type(error).__name__
            if wrong := asyncio.run(why_unusable(kafka_settings(args))):
                return f"{wrong} ({said})"
            return (
                f"Kafka: {said}; start it (`evometrics up`), or name another with --brokers, then try again"
                + held(args)
            )
    if "evometrics.sinks.clickhouse.client" in sys.modules:
        from evometrics.sinks.clickhouse.client import explain, remedy

        settings = clickhouse_settings(args)
        if remedy(error, settings) is not None:
            return explain(settings, error)
    return None


def held(args: argparse.Namespace) -> str:
    """Return why the local stack's Kafka may not run, as the end of a message; empty if it may."""
    if getattr(args, "data", None) is None or running_stack(args) is None:
        return ""
    settings = read_settings(DiskSettings, "disk", file=config_file(args))
    why = Reserve(Path(args.data) / "kafka", settings).lacks()
    return "" if why is None else f". Kafka of the stack on {args.data} is held back: {why}"


def needs(*modules: str) -> None:
    """Raise `ModuleNotFoundError` if a module is missing that a process started here would need."""
    from importlib.util import find_spec

    for name in modules:
        # loaded modules are checked first: Faust replaces itself by an object without a spec
        found = sys.modules[name] is not None if name in sys.modules else find_spec(name) is not None
        if not found:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def needs_stack(args: argparse.Namespace) -> None:
    """Raise `ModuleNotFoundError` if a module is missing that a part of the local stack would need."""
    needs("faust", "clickhouse_connect")
    if args.clickhouse_url is None:
        needs("chdb")
