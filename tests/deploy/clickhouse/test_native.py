"""Native for a client's protocol revision, made of what the engine writes."""

from __future__ import annotations

from evometrics.deploy.clickhouse.native import BLOCK_INFO, NativeWriter, ResultColumn, columns_in, varint
from evometrics.deploy.clickhouse.transform import through

COLUMNS = [ResultColumn(b"n", b"UInt8"), ResultColumn(b"t", b"DateTime('UTC')")]
#: Two columns of two rows, one and four bytes wide; then a block of no rows.
BUFFERS = (
    b"\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0"
    b"\x02\0\0\0\0\0\0\0\x07\x08"
    b"\x08\0\0\0\0\0\0\0abcdABCD"
    b"\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
)
TIME = b"\x01t\x0fDateTime('UTC')"


def written(revision: int, size: int) -> bytes:
    pieces = [BUFFERS[start : start + size] for start in range(0, len(BUFFERS), size)]
    return b"".join(through(iter(pieces), NativeWriter(COLUMNS, revision)))


def test_each_revision_has_its_own_fields_however_the_stream_is_cut() -> None:
    for size in (1, 7, 1000):
        assert written(0, size) == (
            b"\x02\x02\x01n\x05UInt8\x07\x08" + TIME + b"abcdABCD" + b"\x02\0\x01n\x05UInt8" + TIME
        )
        assert written(54405, size) == (
            BLOCK_INFO
            + b"\x02\x02\x01n\x05UInt8\x07\x08"
            + TIME
            + b"abcdABCD"
            + BLOCK_INFO
            + b"\x02\0\x01n\x05UInt8"
            + TIME
        )
        assert written(54460, size).startswith(
            BLOCK_INFO + b"\x02\x02\x01n\x05UInt8\0\x07\x08" + TIME + b"\0abcdABCD"
        )


def test_numbers_of_any_size_are_written() -> None:
    assert [varint(number) for number in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\x01", b"\xac\x02"]


def test_columns_are_read_from_what_describe_says() -> None:
    long = b"x" * 300
    names = b"\x03\x04name\x04type\x07comment"
    rows = b"\x01n\x05UInt8\x00\xac\x02" + long + b"\x06String\x02no"
    assert columns_in(names + rows) == [
        ResultColumn(b"n", b"UInt8"),
        ResultColumn(long, b"String"),
    ]
