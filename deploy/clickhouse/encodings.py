"""HTTP's compression, piece by piece: Accept-Encoding of answers, Content-Encoding of bodies.

A body is decompressed in pieces of at most `PIECE_BYTES`, however much it expands to, and refused beyond a
limit. Brotli is a package of its own; the other codecs come with Python, aiokafka and clickhouse-connect.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.transform import PIECE_BYTES

#: Bytes that a body may expand to. They go to the disk, never into memory as a whole.
EXPANDED_BYTES = 64 * 1024**3
#: Memory for reading xz, whose dictionary is as large as the sender chose.
XZ_BYTES = 128 * 1024**2
#: The largest window of zstd, as a power of two: the library's own limit, and so a server's.
ZSTD_WINDOW_LOG = 27


def zstd_module() -> Any:
    """Return the module for zstd: Python's own from 3.14 on, before that its backport."""
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


class Compressor:
    """Compresses an answer; a `Transform`."""

    def __init__(self, compress: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> None:
        self._compress = compress
        self._finish = finish

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if made := self._compress(piece):
            yield made

    def end(self) -> Iterator[bytes]:
        if made := self._finish():
            yield made


def deflating(bits: int) -> Callable[[int], Compressor]:
    def make(level: int) -> Compressor:
        deflate = zlib.compressobj(min(level, 9), wbits=bits)
        return Compressor(deflate.compress, deflate.flush)

    return make


def brotli_compressor(level: int) -> Compressor:
    made = importlib.import_module("brotli").Compressor(quality=min(level, 11))
    return Compressor(made.process, made.finish)


def zstd_compressor(level: int) -> Compressor:
    made = zstd_module().ZstdCompressor(level)
    return Compressor(made.compress, made.flush)


def lz4_compressor(_: int) -> Compressor:
    made = importlib.import_module("lz4.frame").LZ4FrameCompressor()
    begun: list[bytes] = [made.begin()]

    def compress(piece: bytes) -> bytes:
        return (begun.pop() if begun else b"") + bytes(made.compress(piece))

    def finish() -> bytes:
        return (begun.pop() if begun else b"") + bytes(made.flush())

    return Compressor(compress, finish)


#: Encodings of answers, in a server's order of preference.
COMPRESSORS: Mapping[str, Callable[[int], Compressor]] = {
    "zstd": zstd_compressor,
    "br": brotli_compressor,
    "lz4": lz4_compressor,
    "gzip": deflating(31),
    "deflate": deflating(15),
}


def chosen_encoding(accepted: str) -> str | None:
    """Return the encoding for an answer to a client that sent this Accept-Encoding; None for none."""
    names = set()
    for entry in accepted.lower().split(","):
        name, _, weight = entry.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            names.add(name.strip())
    return next((name for name in COMPRESSORS if name in names), None)


class Inflate:
    """zlib with the interface of the other decoders of Python's library."""

    def __init__(self, bits: int) -> None:
        self._zlib = zlib.decompressobj(bits)

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, most)

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


class Unbrotli:
    """Brotli with the same interface; a stream of it has one part."""

    unused_data = b""

    def __init__(self) -> None:
        self._brotli = importlib.import_module("brotli").Decompressor()
        self._full = False

    def decompress(self, data: bytes, most: int) -> bytes:
        """Return some three times `most` at worst: the limit ends the growth of its buffer."""
        made = bytes(self._brotli.process(data, output_buffer_limit=most))
        self._full = len(made) >= most
        return made

    @property
    def needs_input(self) -> bool:
        # Brotli says that it can take more as soon as it has taken everything, whatever it has yet to give.
        return not self._full and bool(self._brotli.can_accept_more_data())

    @property
    def eof(self) -> bool:
        return bool(self._brotli.is_finished())


def zstd_decoder() -> Any:
    zstd = zstd_module()
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG})


#: Encodings of bodies.
DECODERS: Mapping[str, Callable[[], Any]] = {
    "gzip": lambda: Inflate(31),
    "deflate": lambda: Inflate(15),
    "zstd": zstd_decoder,
    "lz4": lambda: importlib.import_module("lz4.frame").LZ4FrameDecompressor(),
    "br": Unbrotli,
    "xz": lambda: lzma.LZMADecompressor(memlimit=XZ_BYTES),
    "bz2": bz2.BZ2Decompressor,
}


class Decompressor:
    """Decompresses a body; a `Transform`. Raises `EngineError` for one damaged or too large."""

    def __init__(self, encoding: str, most: int = EXPANDED_BYTES) -> None:
        if encoding not in DECODERS:
            known = ", ".join(DECODERS)
            raise EngineError.named(
                48, "NOT_IMPLEMENTED", f"Unknown Content-Encoding {encoding!r}: send one of {known}, or none"
            )
        self._encoding = encoding
        self._make = DECODERS[encoding]
        self._decoder: Any = self._make()
        self._begun = False
        self._left = most
        self._most = most

    def feed(self, piece: bytes) -> Iterator[bytes]:
        data = piece
        while data or not self._decoder.needs_input:
            if self._decoder.eof:  # several parts one after the other are one stream
                self._decoder = self._make()
            self._begun = True
            try:
                made = self._decoder.decompress(data, PIECE_BYTES)
            except Exception as error:  # Each codec has an error class of its own.
                raise self._damaged(str(error)) from None
            data = (self._decoder.unused_data or b"") if self._decoder.eof else b""
            self._left -= len(made)
            if self._left < 0:
                raise EngineError.named(
                    396,
                    "TOO_MANY_ROWS_OR_BYTES",
                    f"Limit for the decompressed body exceeded, max bytes: {self._most}",
                )
            for start in range(0, len(made), PIECE_BYTES):
                yield bytes(made[start : start + PIECE_BYTES])
            if self._decoder.eof and not data:
                return

    def end(self) -> Iterator[bytes]:
        if self._begun and not self._decoder.eof:
            raise self._damaged("it is cut off")
        yield from ()

    def _damaged(self, reason: str) -> EngineError:
        return EngineError.named(36, "BAD_ARGUMENTS", f"The body is not valid {self._encoding}: {reason}")
