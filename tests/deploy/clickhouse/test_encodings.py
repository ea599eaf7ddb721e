"""HTTP's compression, piece by piece."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import lz4.frame
import pytest

from evometrics.deploy.clickhouse.encodings import COMPRESSORS, Decompressor, chosen_encoding, zstd_module
from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.transform import PIECE_BYTES, through

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda data: bytes(zstd_module().compress(data)),
    "lz4": lz4.frame.compress,
    "br": brotli.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
}
TEXT = random.Random(1).randbytes(300_000) + bytes(3_000_000)


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("size", [7001, 10_000_000])
def test_a_body_comes_out_whole_however_it_is_cut(encoding: str, size: int) -> None:
    pieces = list(through(iter(in_pieces(ENCODERS[encoding](TEXT), size)), Decompressor(encoding)))
    assert b"".join(pieces) == TEXT
    assert max(map(len, pieces)) <= PIECE_BYTES


@pytest.mark.parametrize("encoding", [name for name in ENCODERS if name != "br"])
def test_parts_after_one_another_are_one_body(encoding: str) -> None:
    encode = ENCODERS[encoding]
    whole = encode(b"one") + encode(b"two")
    for size in (1, 1000):
        assert b"".join(through(iter(in_pieces(whole, size)), Decompressor(encoding))) == b"onetwo"


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_damaged_body_and_one_cut_off_are_refused(encoding: str) -> None:
    whole = ENCODERS[encoding](TEXT)
    for body in (b"this is none", whole[:-20]):
        with pytest.raises(EngineError, match=f"not valid {encoding}"):
            list(through(iter([body]), Decompressor(encoding)))


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_small_body_that_expands_a_thousandfold_takes_little_memory_and_ends_at_the_limit(
    encoding: str,
) -> None:
    small = ENCODERS[encoding](bytes(30_000_000))
    decompressor = Decompressor(encoding, most=20_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(EngineError, match=r"Code: 396\b.*max bytes: 20000000"):
            for _ in through(iter([small]), decompressor):
                pass
        assert tracemalloc.get_traced_memory()[1] < 12 * PIECE_BYTES
    finally:
        tracemalloc.stop()


def test_an_encoding_nobody_knows_is_refused_with_those_that_are() -> None:
    with pytest.raises(EngineError, match="'rot13': send one of gzip, deflate, zstd"):
        Decompressor("rot13")


@pytest.mark.parametrize("encoding", COMPRESSORS)
@pytest.mark.parametrize("body", [b"", b"short", TEXT], ids=["empty", "short", "long"])
def test_an_answer_can_be_read_again(encoding: str, body: bytes) -> None:
    for level in (1, 3, 9):
        packed = b"".join(through(iter(in_pieces(body, 65_536)), COMPRESSORS[encoding](level)))
        assert b"".join(through(iter([packed]), Decompressor(encoding))) == body


def test_the_encoding_is_the_servers_first_choice_of_those_a_client_takes() -> None:
    for accepted, chosen in {
        "gzip, deflate, br": "br",
        "lz4": "lz4",
        "zstd;q=0, gzip;q=0.5": "gzip",
        "deflate, GZIP": "gzip",
        "identity": None,
        "": None,
        "vibrant": None,
    }.items():
        assert chosen_encoding(accepted) == chosen
