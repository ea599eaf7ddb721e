"""`evometrics dead-letters`: messages that could not be read or stored, and sending them again."""

from __future__ import annotations

import argparse
import uuid

from evometrics.deploy.console.flags import add_servers, iso_time, positive
from evometrics.schemas.events import now_micros
from evometrics.schemas.letters.letter import STAGES


def add(sub: argparse.ArgumentParser) -> None:
    """Add the three actions."""
    actions = sub.add_subparsers(dest="action", required=True, metavar="list|show|retry")
    listing = actions.add_parser("list", help="list dead-lettered messages, newest first")
    listing.add_argument("--limit", type=positive, default=50, help="how many to list (default 50)")
    listing.add_argument("--since", type=since, metavar="TIME", help="an ISO time, or seconds before now")
    showing = actions.add_parser("show", help="show one message, its bytes, and how far they can be read")
    showing.add_argument(
        "event_id", type=event_id, metavar="EVENT_ID", help="event id of one of the message's dead letters"
    )
    retrying = actions.add_parser("retry", help="after a fix, send messages to their topics again")
    retrying.add_argument(
        "event_ids",
        type=event_id,
        nargs="*",
        metavar="EVENT_ID",
        help="send these, even if they were already sent again",
    )
    retrying.add_argument("--all", action="store_true", help="send all that have not been sent again yet")
    retrying.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")
    for action in (listing, showing, retrying):
        action.add_argument("--json", action="store_true", help="print JSON")
        if action is not showing:
            action.add_argument("--topic", help="only messages of this topic")
            action.add_argument(
                "--stage", choices=STAGES, help="only messages that this part could not process"
            )
        add_servers(action)


async def run(args: argparse.Namespace) -> int:
    """List, show or resend messages that could not be read or stored."""
    from evometrics.deploy.commands.dead_letters_work import run

    return await run(args)


def since(text: str) -> int:
    """Parse a time, or seconds before now, as microseconds since 1970; a time without a zone is UTC."""
    try:
        return now_micros() - round(float(text) * 1_000_000)
    except (ValueError, OverflowError):
        pass
    try:
        return iso_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither an ISO time, such as 2026-11-23T06:00, nor seconds before now"
        ) from None


def event_id(text: str) -> str:
    """Parse the id of a letter."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an event id; `dead-letters list` shows them"
        ) from None
