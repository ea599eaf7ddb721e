"""`evometrics up`: the embedded stack, until it is ended."""

from __future__ import annotations

import argparse
import contextlib
import signal
from typing import TYPE_CHECKING

from evometrics.deploy.console.flags import add_common, add_layout, add_local, add_logs, positive
from evometrics.deploy.console.options import clickhouse_settings, log_settings
from evometrics.deploy.console.tables import to_json
from evometrics.deploy.terminal import tell
from evometrics.schemas.service.logs import set_up_logging

if TYPE_CHECKING:
    from evometrics.deploy.stack.stackfile import StackAddresses


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_common(sub)
    sub.add_argument("--streams", type=positive, default=1, help="number of stream workers (default 1)")
    sub.add_argument("--sinks", type=positive, default=1, help="number of sink workers (default 1)")
    sub.add_argument("--json", action="store_true", help="print the addresses as one JSON line")
    add_local(sub)
    add_layout(sub)
    add_logs(sub)
    sub.set_defaults(prepare=heed_interrupts)


def heed_interrupts() -> None:
    """Let SIGINT end the stack while it starts, too, where the caller ignores it, as a script's `&` does.

    Called before the event loop is made, which handles SIGINT only where Python does.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


async def run(args: argparse.Namespace) -> int:
    """Run the embedded stack until terminated; closing the terminal does not end it."""
    from evometrics.deploy.commands.local import local_stack
    from evometrics.deploy.console.running import needs_stack
    from evometrics.deploy.process.signals import terminated

    needs_stack(args)
    set_up_logging(log_settings(args), "up", quiet=("evometrics",))  # its steps are told at the terminal
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    parts = {"stream_workers": args.streams, "sink_workers": args.sinks}
    async with local_stack(args, **parts, pages=pages_installed()) as stack:
        addresses = stack.addresses
        if args.json:
            found = {
                "brokers": addresses.brokers,
                "clickhouse_url": addresses.clickhouse_url,
                "metrics_urls": dict(addresses.metrics_urls),
                "data": str(addresses.data),
                "clickhouse_user": addresses.clickhouse_user,
                "clickhouse_reader": addresses.clickhouse_reader,
                "password_file": addresses.password_file and str(addresses.password_file),
                "pages_url": addresses.pages_url,
            }
            lines = [to_json(found)]
        else:
            lines = [
                "",
                *([f"pages       {addresses.pages_url}"] if addresses.pages_url else []),
                f"Kafka       {addresses.brokers}",
                f"ClickHouse  {addresses.clickhouse_url}  (database {clickhouse_settings(args).database})",
                *logins(addresses),
                *(f"metrics     {url}  ({name})" for name, url in addresses.metrics_urls.items()),
                f"data        {addresses.data}\n\nCtrl-C ends all of it.",
            ]
        with contextlib.suppress(OSError, ValueError):  # nobody reads it
            print("\n".join(lines), flush=True)
        await terminated()
    return 0


def pages_installed() -> bool:
    """Return whether this installation can serve the web pages; say what to install if it can't."""
    from evometrics.deploy.console.running import needs

    try:
        needs("altair", "jinja2", "vl_convert")
    except ModuleNotFoundError as error:
        tell(f"no pages: they need {error.name}, which is not installed: pip install 'evometrics[ui]'")
        return False
    return True


def logins(addresses: StackAddresses) -> list[str]:
    """Return who may use the stack's own ClickHouse; nothing for another one."""
    lines = []
    if addresses.clickhouse_reader:
        lines.append(f"  to read   {addresses.reader_login}: tables and views, and no changes")
    if addresses.clickhouse_user:
        kept = addresses.password_file
        password = f"its password is in {kept}" if kept else "with the password in your settings"
        lines.append(f"  to write  user {addresses.clickhouse_user}, {password}")
    return lines
