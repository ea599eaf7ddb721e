"""Transformations of byte streams: compression, decompression and framing are all of this one shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

#: Bytes in one piece of a transformed stream; no transformation makes a larger one out of a small one.
PIECE_BYTES = 1_048_576
#: A smaller piece is transformed at once: handing it to a thread takes longer than its compression.
AT_ONCE_BYTES = 16_384


class Transform(Protocol):
    """One direction of one stream: `feed` each piece in order, then `end` once."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what the piece completes; must be exhausted before the next call."""
        ...

    def end(self) -> Iterator[bytes]:
        """Yield the rest; raises `EngineError` if the stream stops short."""
        ...


def chained(pieces: Iterator[bytes], transforms: Sequence[Transform]) -> Iterator[bytes]:
    """Yield a stream's pieces after all transforms, in order."""
    for transform in transforms:
        pieces = through(pieces, transform)
    return pieces


def through(pieces: Iterator[bytes], transform: Transform) -> Iterator[bytes]:
    """Yield a stream's pieces after one transform."""
    for piece in pieces:
        yield from transform.feed(piece)
    yield from transform.end()


async def chained_async(
    pieces: AsyncIterator[bytes], transforms: Sequence[Transform]
) -> AsyncIterator[bytes]:
    """As `chained`, with the work of a large piece done in a thread, one step at a time."""
    for transform in transforms:
        pieces = through_async(pieces, transform)
    async for piece in pieces:
        yield piece


async def through_async(pieces: AsyncIterator[bytes], transform: Transform) -> AsyncIterator[bytes]:
    async for piece in pieces:
        made = transform.feed(piece)
        while (done := await step(made, at_once=len(piece) <= AT_ONCE_BYTES)) is not None:
            yield done
    made = transform.end()
    while (done := await step(made, at_once=False)) is not None:
        yield done


async def step(made: Iterator[bytes], *, at_once: bool) -> bytes | None:
    """Return the next piece, None after the last."""
    return next(made, None) if at_once else await asyncio.to_thread(next, made, None)
