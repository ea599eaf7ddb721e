"""Logins to the embedded ClickHouse: names and passwords, and a delay that grows with wrong ones.

A wrong password is answered late, by the event loop: no thread waits. From another machine the attempts of an
address for a name also take turns, right or wrong, so that many connections guess no faster than one. On
loopback they do not, for there the stack's own parts have the address that a guesser has: they are answered
at once. What protects there is the length of a random password.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.users import User

#: Seconds that the first wrong password costs; each further one twice as many, up to the longest.
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
#: Seconds without a wrong password after which an address begins anew.
FORGET_SECONDS = 900.0
#: Addresses and names that are remembered; the oldest are forgotten first.
REMEMBERED = 10_000
#: Seconds that an attempt may wait for its turn; one that would wait longer is refused unseen.
LONGEST_TURN = 30.0


@dataclass(slots=True)
class Failures:
    """Wrong passwords in a row, when the last one was, and when the next attempt has its turn (monotonic)."""

    count: int = 0
    last: float = 0.0
    turn: float = 0.0


class Throttle:
    """Tells how long to wait after wrong passwords, by address and name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, address: str, name: str) -> float:
        """Take note of a wrong password; return how many seconds its answer waits."""
        now = self._clock()
        found = self._failures.pop((address, name), Failures())
        if now - found.last > FORGET_SECONDS:
            found = Failures()
        found.count, found.last = found.count + 1, now
        self._failures[address, name] = found
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)
        return self._delay(found)

    def succeeded(self, address: str, name: str) -> None:
        """Forget an address's wrong passwords."""
        self._failures.pop((address, name), None)

    def turn(self, address: str, name: str) -> float:
        """Return how many seconds an attempt waits for its turn; each one moves the next."""
        now = self._clock()
        found = self._failures.get((address, name))
        if found is None or now - found.last > FORGET_SECONDS:
            return 0.0
        turn = max(now, found.turn)
        if turn - now <= LONGEST_TURN:
            found.turn = turn + self._delay(found)
        return turn - now

    def _delay(self, found: Failures) -> float:
        return float(min(FIRST_DELAY * 2 ** min(found.count - 1, 20), LONGEST_DELAY))


class Access:
    """The users, and whether a request's name and password are one of them."""

    def __init__(self, users: Iterable[User], throttle: Throttle | None = None) -> None:
        self._users = {user.name: user for user in users}
        self._throttle = throttle or Throttle()

    async def login(self, address: str, name: str, password: str) -> User:
        """Return the user; raises `EngineError` (516), after a delay, where there is no such user."""
        if not on_loopback(address) and (wait := self._throttle.turn(address, name)):
            if wait > LONGEST_TURN:
                raise refused(name, f"too many wrong passwords from {address}: wait {wait:.0f} s")
            await asyncio.sleep(wait)
        user = self._users.get(name)
        if user is not None and user.matches(password):
            self._throttle.succeeded(address, name)
            return user
        await asyncio.sleep(self._throttle.failed(address, name))
        open_to_all = [
            f"; user {each.name} needs no password" for each in self._users.values() if not each.password
        ]
        raise refused(
            name, f"password is incorrect, or there is no user with such name{''.join(open_to_all)}"
        )


def refused(name: str, why: str) -> EngineError:
    """Return ClickHouse's error for a login."""
    return EngineError.named(516, "AUTHENTICATION_FAILED", f"{name}: Authentication failed: {why}")


def on_loopback(address: str) -> bool:
    """Return whether an address of a client is this machine's own."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)
