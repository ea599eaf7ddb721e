"""What `/metrics` answers: text or OpenMetrics, gzipped where asked for, one scrape at a time.

A body is made in a thread of the HTTP server. Python runs one thread at a time, so a thread that computes
for seconds delays the event loop at each of its system calls; here the thread works for a millisecond, then
sleeps. A scrape whose client has hung up does no more work: otherwise those that timed out would add up.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from evometrics.schemas.service.beginnings import Beginnings, scraper_of
from evometrics.schemas.service.http import ClientGone, HttpRequest, Response

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

#: How long a thread that makes a body works before it rests, and rests: below Python's switch interval
#: (`sys.getswitchinterval`, 5 ms), after which the event loop would have to ask for its turn.
WORK_SECONDS = 0.001
REST_SECONDS = 0.001
#: How often a scrape that waits for its turn checks that its client still wants it.
WAIT_SECONDS = 0.5
#: Fast: bodies shrink to a tenth anyway.
GZIP_LEVEL = 1
GZIP_FORMAT = 16 + zlib.MAX_WBITS
END = b"# EOF\n"


class Few:
    """Metrics as the encoders take them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterable[Metric]:
        return self.families


class Exposition:
    """Makes the bodies.

    Args:
        registry: the metrics, encoded one after the other; of a `LargeMetric` its lines.
        beginnings: lets Prometheus see counters begin at 0; None = not needed.
    """

    def __init__(self, registry: CollectorRegistry, beginnings: Beginnings | None = None) -> None:
        self.registry = registry
        self.beginnings = beginnings
        self.turn = threading.Lock()

    def answer(self, request: HttpRequest) -> Response:
        """Return the response to a scrape. Raises `ClientGone`."""
        from prometheus_client.exposition import choose_encoder, gzip_accepted

        encode, kind = choose_encoder(request.headers.get("Accept") or "")
        zipped = gzip_accepted(request.headers.get("Accept-Encoding") or "")
        while not self.turn.acquire(timeout=WAIT_SECONDS):
            leave_if_gone(request)
        try:
            body = b"".join(packed(self.paced(request, encode), zipped))
        finally:
            self.turn.release()
        return Response(200, kind, body, "gzip" if zipped else None)

    def paced(self, request: HttpRequest, encode: Callable[[Few], bytes]) -> Iterator[bytes]:
        """Yield the body's pieces, resting after `WORK_SECONDS` of work. Raises `ClientGone`."""
        looked, worked = time.perf_counter(), time.thread_time()
        for piece in self.pieces(encode, scraper_of(request)):
            yield piece
            if time.perf_counter() - looked < WORK_SECONDS:
                continue
            leave_if_gone(request)
            # processor time: the clock runs while a busy machine lets the thread wait, and a rest waits again
            if time.thread_time() - worked >= WORK_SECONDS:
                time.sleep(REST_SECONDS)
                worked = time.thread_time()
            looked = time.perf_counter()

    def pieces(self, encode: Callable[[Few], bytes], scraper: str | None = None) -> Iterator[bytes]:
        """Yield the body in pieces, each the work of about `WORK_SECONDS` or less."""
        from evometrics.schemas.service.large import LargeMetric

        scraper = None if self.beginnings is None else scraper
        for family in self.registry.collect():
            if isinstance(family, LargeMetric):
                yield encode(Few([family.header()])).removesuffix(END)
                yield from sliced(family.lines(scraper))
            else:
                yield encode(Few([self.small(family, scraper)])).removesuffix(END)
        yield encode(Few([]))  # how the format ends

    def small(self, family: Metric, scraper: str | None) -> Metric:
        """Return a metric as a scraper sees it, without the `_created` series that double it."""
        if family.type in ("counter", "histogram", "summary"):
            created = f"{family.name}_created"
            family.samples = [sample for sample in family.samples if sample.name != created]
        return family if self.beginnings is None else self.beginnings.show(family, scraper)

    def text(self) -> str:
        """Return the body in Prometheus' text format, for use in the same process."""
        from prometheus_client import generate_latest

        return b"".join(self.pieces(generate_latest)).decode()


def leave_if_gone(request: HttpRequest) -> None:
    if request.gone():
        raise ClientGone(request.path)


def sliced(lines: Iterator[str]) -> Iterator[bytes]:
    """Join lines into pieces that take about `WORK_SECONDS` each."""
    piece: list[str] = []
    until = time.perf_counter() + WORK_SECONDS
    for some in lines:
        piece.append(some)
        if time.perf_counter() >= until:
            yield "".join(piece).encode()
            piece.clear()
            until = time.perf_counter() + WORK_SECONDS
    yield "".join(piece).encode()


def packed(pieces: Iterable[bytes], zipped: bool) -> Iterator[bytes]:
    """Yield pieces as they are, or gzipped; compressing lets other threads run."""
    if not zipped:
        yield from pieces
        return
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_FORMAT)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()
