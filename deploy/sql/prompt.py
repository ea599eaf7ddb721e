"""A prompt for statements, with history and completion: what `evometrics sql` is without a statement."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.deploy.sql.errors import described
from evometrics.deploy.sql.running import Ran, opened, run
from evometrics.deploy.sql.script import Typed, is_complete, statements
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.frames import library
from evometrics.schemas.service.tasks import end_tasks
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, UNLIMITED_SECONDS, open_client
from evometrics.sinks.query.statement import BLOCK_SETTING, ENDS_WITH_CLIENT
from evometrics.sinks.query.text import first_word, words
from evometrics.sinks.settings import ClickHouseSettings

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History

LEAVING = frozenset({"exit", "quit", r"\q"})
#: Statements after which there are other names to complete.
CHANGING = frozenset({"CREATE", "DROP", "ALTER", "RENAME", "EXCHANGE", "ATTACH", "DETACH", "USE"})
SESSION_SECONDS = 3600


async def prompt(settings: ClickHouseSettings, format_: str = "table") -> int:
    """Ask for statements and run them until Ctrl-D, their rows in a format for terminals; return 0.

    Ctrl-C cancels a statement, or clears what is typed. Statements of one prompt share a session: settings
    and temporary tables stay. Raises `MissingLibrary` without prompt_toolkit, `ClickHouseUnavailable` if
    ClickHouse does not answer.
    """
    library("prompt_toolkit", "a prompt")
    async with clients(settings) as (client, aside):
        await Prompt(settings, client, aside, format_).loop()
    return 0


@contextlib.asynccontextmanager
async def clients(settings: ClickHouseSettings) -> AsyncIterator[tuple[AsyncClient, AsyncClient]]:
    """Yield a client with a session, which runs one statement at a time, and one beside it."""
    async with contextlib.AsyncExitStack() as stack:
        client = await open_client(settings, read_seconds=UNLIMITED_SECONDS)
        stack.push_async_callback(client.close)
        client.set_client_setting("session_id", str(uuid.uuid4()))
        client.set_client_setting("session_timeout", SESSION_SECONDS)
        aside = await open_client(settings)
        stack.push_async_callback(aside.close)
        yield client, aside


class Prompt:
    """Asks for statements, and runs each before it asks for the next."""

    def __init__(
        self, settings: ClickHouseSettings, client: AsyncClient, aside: AsyncClient, format_: str
    ) -> None:
        from evometrics.deploy.sql.names import SqlCompleter

        self.settings = settings
        self.client = client
        self.aside = aside
        self.format = format_
        self.completer = SqlCompleter()
        self.running: asyncio.Task[Ran] | None = None
        self.reading: asyncio.Task[None] | None = None

    async def loop(self) -> None:
        """Ask and run until the user leaves."""
        session = self.session()
        version = self.client.server_version
        print(f"ClickHouse {version} at {self.settings.url}, database {self.settings.database}.")
        print("A statement ends with ; and Enter. Ctrl-C cancels it, Ctrl-D leaves, Tab completes.")
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.cancel)
        self.read_names()
        try:
            while True:
                try:
                    text = await session.prompt_async(f"{self.settings.database}> ", handle_sigint=False)
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    return
                if text.strip().rstrip(";").strip().lower() in LEAVING:
                    return
                await self.run_all(list(statements(text)))
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            if self.reading is not None:
                await end_tasks([self.reading])

    def session(self) -> PromptSession[str]:
        """Return the editor: Enter ends a statement that has its semicolon, and otherwise begins a line."""
        from prompt_toolkit import PromptSession
        from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

        keys = KeyBindings()

        @keys.add("enter")
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            text = buffer.text.strip()
            done = not text or is_complete(text) or text.lower() in LEAVING
            if done and not buffer.document.text_after_cursor.strip():
                buffer.validate_and_handle()
            else:
                buffer.insert_text("\n")

        return PromptSession(
            multiline=True,
            prompt_continuation=lambda width, number, wrapped: "... ".rjust(width),
            history=history(),
            completer=self.completer,
            complete_while_typing=False,
            lexer=lexer(),
            key_bindings=keys,
        )

    def cancel(self) -> None:
        """End the statement that runs; there is nothing to do if none does."""
        if self.running is not None:
            self.running.cancel()

    def read_names(self) -> None:
        """Read the names to complete, while the user types."""
        from evometrics.deploy.sql.names import read_names

        async def read() -> None:
            self.completer.names = await read_names(self.aside)

        self.reading = asyncio.create_task(read())

    async def run_all(self, found: list[Typed]) -> None:
        """Run statements in turn, until one fails or is cancelled."""
        for place, statement in enumerate(found, 1):
            if not await self.run(statement):
                if left := len(found) - place:
                    print(f"not run: the {left} behind it\n")
                return

    async def run(self, statement: Typed) -> bool:
        """Run a statement and print its rows, or why it failed; return whether it was done."""
        text = statement.text
        self.running = asyncio.create_task(self.shown(statement))
        done = False
        try:
            ran = await self.running
            done = True
        except asyncio.CancelledError:
            if not self.running.cancelled():
                raise  # it is the program that ends
            print("cancelled")
        except EvometricsError as error:
            print(f"error: {described(text, error)}")
        else:
            print(f"{counted(ran.rows)} in {ran.seconds:.3f} s")
            await self.follow(text)
        finally:
            self.running = None
        print()
        return done

    async def shown(self, statement: Typed) -> Ran:
        with opened("vertical" if statement.vertical else self.format, None) as out:
            return await run(self.client, self.aside, self.settings, statement.text, {}, out)

    async def follow(self, text: str) -> None:
        """Do what a statement that is done asks of its client."""
        word = first_word(text)
        if word == "USE":
            await self.use()
        if word == "SET":
            for name in (BLOCK_SETTING, ENDS_WITH_CLIENT):
                if name.upper() in words(text):
                    print(
                        f"{name} has no effect: evometrics sets it for each query, but for its own SETTINGS"
                    )
        if word in CHANGING:
            self.read_names()

    async def use(self) -> None:
        """Take over the database that the session uses: a request that names another would win."""
        before, self.client.database = self.client.database, None
        try:
            found = await self.client.query("SELECT currentDatabase()")
            before = str(found.result_rows[0][0])
            self.settings = dataclasses.replace(self.settings, database=before)
        except CLICKHOUSE_ERRORS as error:
            print(f"the database stays {before}: {error}")
        finally:
            self.client.database = self.aside.database = before


def counted(rows: int | None) -> str:
    """Return how many rows came, in words."""
    return "done" if rows is None else f"{rows} {'row' if rows == 1 else 'rows'}"


def history() -> History:
    """Return the history of earlier prompts: a file of the user's, or memory if there can be none."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = history_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as error:
        print(f"statements are not kept: {error}")
        return InMemoryHistory()
    return FileHistory(str(path))


def history_file() -> Path:
    """Return where statements are kept, by the XDG Base Directory Specification."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "evometrics" / "sql_history"


def lexer() -> Any:
    """Return what highlights SQL; None without pygments."""
    try:
        from prompt_toolkit.lexers import PygmentsLexer
        from pygments.lexers.sql import SqlLexer
    except ModuleNotFoundError:
        return None
    return PygmentsLexer(SqlLexer)
