"""Runs one statement and writes its rows where they are wanted."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.deploy.sql.errors import described
from evometrics.deploy.sql.pager import Pager, PagerClosed
from evometrics.deploy.sql.progress import QueryProgress
from evometrics.deploy.sql.writers import BINARIES, TEXTS, Table, Vertical, Writer
from evometrics.schemas.service.settings import SettingsError
from evometrics.sinks.clickhouse.client import UNLIMITED_SECONDS, open_client
from evometrics.sinks.query import QueryFailed
from evometrics.sinks.query.binding import given
from evometrics.sinks.query.statement import blocks
from evometrics.sinks.settings import ClickHouseSettings


@dataclass(frozen=True, slots=True)
class Ran:
    """A statement that has ended: how many rows came (None without an answer), and its time, seconds."""

    rows: int | None
    seconds: float


async def run_once(
    settings: ClickHouseSettings, text: str, values: Mapping[str, str], format_: str, output: Path | None
) -> None:
    """Run a statement; write its rows to a file or to standard output. Raises as `blocks` does.

    A file is there once it is whole. Raises `SettingsError` if the output can't take the format.
    """
    if output is None and format_ in BINARIES and sys.stdout.isatty():
        raise SettingsError(f"--format {format_} is not for a terminal: add --output FILE, or > FILE")
    with opened(format_, output) as out:
        client = await open_client(settings, read_seconds=UNLIMITED_SECONDS)
        try:
            await run(client, client, settings, text, given(text, values), out)
        except QueryFailed as error:
            raise QueryFailed(described(text, error), error.code) from None
        finally:
            await client.close()


async def run(
    client: AsyncClient,
    aside: AsyncClient,
    settings: ClickHouseSettings,
    text: str,
    values: Mapping[str, str | None],
    out: Writer,
) -> Ran:
    """Run a statement and write its rows; `aside` asks how far it is, and ends it."""
    query_id = str(uuid.uuid4())
    rows: int | None = None
    on_screen = isinstance(out, Table | Vertical) and sys.stdout.isatty()
    async with (
        QueryProgress(aside, query_id) as progress,
        contextlib.aclosing(blocks(client, settings, text, values, query_id, aside)) as found,
    ):
        try:
            async for block in found:
                if on_screen:
                    progress.hide()
                out.write(block)
                if block.header.names:
                    progress.rows = rows = (rows or 0) + len(block)
            out.end()
        except PagerClosed:
            pass
        return Ran(rows, progress.seconds)


@contextlib.contextmanager
def opened(format_: str, output: Path | None) -> Iterator[Writer]:
    """Yield the writer of a format to a file, or to standard output: a terminal's rows are paged."""
    if output is not None:
        with replacing(output, binary=format_ in BINARIES) as file:
            yield BINARIES[format_](file) if format_ in BINARIES else TEXTS[format_](cast(IO[str], file))
    elif format_ in BINARIES:
        yield BINARIES[format_](sys.stdout.buffer)
    elif format_ in ("table", "vertical") and sys.stdout.isatty():
        with Pager() as pager:
            out = cast(IO[str], pager)
            yield Table(out, pager) if format_ == "table" else Vertical(out)
    else:
        yield TEXTS[format_](sys.stdout)


@contextlib.contextmanager
def replacing(path: Path, *, binary: bool) -> Iterator[IO[Any]]:
    """Yield a file that takes a path's place once all is written, and otherwise leaves nothing."""
    if path.is_dir():
        raise SettingsError(f"--output {path} is a folder; name a file in it")
    if path.exists() and not path.is_file():  # a device or a pipe
        with path.open("wb" if binary else "w") as file:
            yield file
        return
    if not path.parent.is_dir():
        raise SettingsError(f"--output {path}: there is no folder {path.parent}")
    with tempfile.NamedTemporaryFile(
        "wb" if binary else "w", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        try:
            yield file
            file.flush()
            umask = os.umask(0)
            os.umask(umask)
            Path(file.name).chmod(0o666 & ~umask)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
