"""A dead letter with its bytes, and sending dead letters again, which asks first.

The work is that of `evometrics dead-letters`; what a form asks for is done only with this server's token.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from evometrics.deploy.ui.guard import FormToken
from evometrics.deploy.ui.page import BadChoice, Choice
from evometrics.deploy.ui.pages import PAGES
from evometrics.deploy.ui.rendering import environment
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.events import now_micros
from evometrics.schemas.letters.letter import STAGES
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import TOPICS
from evometrics.schemas.wire.framing import WireFormat, wire_of
from evometrics.sinks.letters.dead_message import Bytes, DeadMessage
from evometrics.sinks.letters.letters import Letters, NoSuchLetter, Selection
from evometrics.sinks.letters.retry import RetryPlan, plan_retry, recorded, refusal, send_again, unreadable
from evometrics.sinks.letters.show import LetterReading, dump, reading
from evometrics.sinks.settings import ClickHouseSettings

#: Bytes of a value that its page shows; all of them can be downloaded.
DUMP_BYTES = 4096
#: Messages that are checked before it is asked whether to send all of a selection.
CHECKED = 1000
#: Messages that are named when it is asked, and in a result; the others are counted.
NAMED = 20
MOST_RESULTS = 50

TOPIC = Choice("topic", "Topic", "", {"": "every topic"} | {topic.name: topic.name for topic in TOPICS})
STAGE = Choice("stage", "Could not be processed by", "", {"": "any part"} | {each: each for each in STAGES})


@dataclass
class RetryOutcome:
    """What a retry does, or did.

    Attributes:
        sent, left: how many messages it sends again, and how many not.
        named: the first that it sends, each with why it would be a dead letter again, empty if it would not.
        reasons: the first that it leaves, each with why.
        ends: the first and the last that it sends.
        problem: what ended it; empty if it is complete.
        recorded: whether the retries are in the table already.
    """

    sent: int = 0
    left: int = 0
    named: list[tuple[DeadMessage, str]] = field(default_factory=list)
    reasons: list[tuple[DeadMessage, str]] = field(default_factory=list)
    ends: list[DeadMessage] = field(default_factory=list)
    problem: str = ""
    recorded: bool = True

    def add(self, plan: RetryPlan, wire: WireFormat) -> None:
        """Add what is done with some messages; blocking, as it may ask the registry."""
        for message, content in plan.send[: NAMED - len(self.named)]:
            self.named.append((message, unreadable(message, content, wire) or ""))
        self.reasons += plan.left[: NAMED - len(self.reasons)]
        self.sent += len(plan.send)
        self.left += len(plan.left)
        sent = [*self.ends, *(message for message, _ in plan.send)]
        self.ends = [*sent[:1], *sent[1:][-1:]]


class DeadLetterPages:
    """Handlers of the pages about dead letters.

    Args:
        clickhouse: where the letters are.
        kafka: where their messages are sent to again; None = they can't be.
    """

    def __init__(self, clickhouse: ClickHouseSettings, kafka: KafkaSettings | None) -> None:
        self.clickhouse = clickhouse
        self.kafka = kafka
        self.wire = WireFormat() if kafka is None else wire_of(kafka)
        self.token = FormToken()
        self.sending = asyncio.Lock()
        self.results: OrderedDict[str, RetryOutcome] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        """Return which address is answered by what."""
        showing = [web.get("/letter", self.letter), web.get("/letter/value", self.value)]
        if self.kafka is None:
            return showing
        sending = [
            web.get("/retry", self.ask),
            web.post("/retry", self.send),
            web.get("/retried", self.result),
        ]
        return [*showing, *sending]

    async def letter(self, request: web.Request) -> web.Response:
        """Answer with a message and all that is known of it."""
        message, content = await self.one(event_id(request.query.get("id", "")))
        read, still = await asyncio.to_thread(self.read, message, content)
        value = content.value or b""
        return page(
            "letter.html",
            message=message,
            at=moment(message.at),
            retries=[(moment(each.at), each) for each in message.retries],
            content=content,
            read=read,
            fields={name: readable(each) for name, each in read.fields.items()},
            still=still,
            dump=list(dump(value[:DUMP_BYTES], DUMP_BYTES)),
            further=max(0, len(value) - DUMP_BYTES),
            writes=self.kafka is not None,
            refusal=refusal(message, content, self.wire, by_id=True),
        )

    async def value(self, request: web.Request) -> web.Response:
        """Answer with the bytes of a message's value."""
        name = event_id(request.query.get("id", ""))
        _, content = await self.one(name)
        disposition = {"Content-Disposition": f'attachment; filename="{name}.bin"'}
        return web.Response(body=content.value or b"", headers=disposition)

    async def one(self, name: str) -> tuple[DeadMessage, Bytes]:
        """Return the message of a letter. Raises `HTTPNotFound`."""
        async with Letters(self.clickhouse) as letters:
            found = await known(letters, Selection(event_ids=(name,)))
            pairs = [pair async for part in letters.messages(found) for pair in part]
        if not pairs:  # it expired just now
            raise web.HTTPNotFound(text=f"no dead letter {name}")
        return pairs[0]

    def read(self, message: DeadMessage, content: Bytes) -> tuple[LetterReading, str]:
        """Return how far a value can be read, and why it would be a dead letter again; blocking."""
        try:
            return reading(self.wire, content.value), unreadable(message, content, self.wire) or ""
        except EvometricsError as error:  # the registry does not answer
            return LetterReading(None, {}, 0, str(error)), str(error)

    async def ask(self, request: web.Request) -> web.Response:
        """Answer with what a retry would do, and the form that has it done."""
        meant, outcome = selection(request.query), RetryOutcome()
        async with Letters(self.clickhouse) as letters:
            await known(letters, meant)
            total = (await letters.count(meant)).messages
            async with aclosing(plan_retry(letters, self.wire, meant)) as plans:
                async for plan in plans:
                    await asyncio.to_thread(outcome.add, plan, self.wire)
                    if outcome.sent + outcome.left >= CHECKED:
                        break
        state = {choice.name: choice.value(request.query) for choice in (TOPIC, STAGE)}
        return page(
            "retry.html",
            outcome=outcome,
            total=total,
            meant=meant,
            choices=(TOPIC, STAGE),
            state=state,
            token=self.token.text,
            brokers=self.kafka.brokers if self.kafka else "",
        )

    async def send(self, request: web.Request) -> web.Response:
        """Send a selection's messages again, and lead to the result."""
        form = await self.token.form(request)
        meant, outcome = selection(form), RetryOutcome()
        if self.sending.locked():
            raise web.HTTPConflict(text="messages are being sent again already: wait until that is done")
        assert self.kafka is not None
        async with self.sending, Letters(self.clickhouse) as letters:
            began = now_micros()
            await known(letters, meant)
            try:
                async with aclosing(send_again(letters, self.kafka, self.wire, meant, "ui")) as plans:
                    async for plan in plans:
                        await asyncio.to_thread(outcome.add, plan, self.wire)
            except EvometricsError as error:
                outcome.problem = str(error)
            if outcome.ends:
                outcome.recorded = await recorded(letters, outcome.ends, began)
        name = secrets.token_urlsafe(8)
        self.results[name] = outcome
        while len(self.results) > MOST_RESULTS:
            self.results.popitem(last=False)
        raise web.HTTPSeeOther(f"/retried?result={name}")  # loading it again sends nothing

    async def result(self, request: web.Request) -> web.Response:
        """Answer with what a retry did."""
        outcome = self.results.get(request.query.get("result", ""))
        if outcome is None:
            raise web.HTTPNotFound(text="this result is not kept any more; Pipeline has what was sent")
        return page("retried.html", outcome=outcome)


async def known(letters: Letters, meant: Selection) -> list[DeadMessage]:
    """Return the messages that are named by id. Raises `HTTPNotFound` for one that does not exist."""
    if not meant.event_ids:
        return []
    try:
        return await letters.find(meant)
    except NoSuchLetter:
        raise web.HTTPNotFound(text=f"no dead letter {', '.join(meant.event_ids)}") from None


def selection(given: MultiMapping[str]) -> Selection:
    """Return which messages an address or a form means: those of some ids, else the open ones of a topic."""
    ids = tuple(dict.fromkeys(event_id(text) for text in given.getall("id", [])))
    if ids:
        return Selection(event_ids=ids)
    topic, stage = TOPIC.value(given) or None, STAGE.value(given) or None
    return Selection(topic=topic, stage=stage, open_only=True)


def event_id(text: str) -> str:
    """Return the id of a letter. Raises `BadChoice`."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise BadChoice(f"id={text!r}: no id of a dead letter; Pipeline has them") from None


def moment(at: int) -> datetime:
    """Return microseconds since 1970 as time."""
    return datetime.fromtimestamp(at / 1_000_000, UTC)


def readable(value: Any) -> Any:
    """Return a field's value as a page shows it: bytes as hex."""
    return value.hex() if isinstance(value, bytes) else value


def page(template: str, **values: Any) -> web.Response:
    """Return a page made of a template."""
    html = environment().get_template(template).render(pages=PAGES, **values)
    return web.Response(text=html, content_type="text/html")
