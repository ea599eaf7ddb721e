"""ClickHouse's HTTP interface as values: a request's parts, an answer's headers, an error's status."""

from __future__ import annotations

import base64
import gzip
import importlib
import json
import re
import secrets
import string
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence

from evometrics.deploy.clickhouse.exchange import SESSION_SECONDS, Answer, EngineError, Request
from evometrics.deploy.clickhouse.statement import LONGEST_STATEMENT, Insert, Query, parse

# Parameters of the HTTP interface itself; every other one is a query setting.
INTERFACE_PARAMETERS = frozenset(
    {
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "quota_key",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "http_wait_end_of_query",
        "client_protocol_version",
        "role",
        "stacktrace",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "add_http_cors_header",
        "cancel_http_readonly_queries_on_client_close",
    }
)

# The part of ClickHouse's exceptionCodeToHTTPStatus that an embedded engine can meet; other codes are 500.
STATUS_CODES = {
    400: (6, 26, 27, 36, 38, 41, 42, 43, 44, 53, 62, 69, 70, 72, 117, 130, 349, 456, 457),
    403: (192, 193, 194, 516),
    404: (16, 46, 47, 50, 56, 57, 60, 63, 73, 81, 85, 115, 372),
    408: (159,),
    413: (229,),
    501: (48,),
}
STATUS_OF = {code: status for status, codes in STATUS_CODES.items() for code in codes}


def http_status(code: int) -> int:
    """Return the HTTP status that goes with ClickHouse's error code."""
    return STATUS_OF.get(code, 500)


def read_request(
    method: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    body: Sequence[bytes],
    query_id: str,
) -> Request | None:
    """Return the engine's request for an HTTP request; None if it has no query (which is answered `Ok.`).

    `body` is already decompressed. Raises `EngineError` for features that this server lacks.
    """
    for name in ("compress", "decompress"):
        if parameters.get(name, "0") not in ("0", "false"):
            raise not_implemented(f"parameter {name}: use Accept-Encoding or Content-Encoding instead")
    if any(name.endswith("_structure") for name in parameters):
        raise not_implemented("external data: insert them into a temporary table of a session instead")
    statement, data = split(parameters.get("query", "").encode(), body)
    if isinstance(statement, Query) and not statement.sql.strip():
        return None
    return Request(
        statement=statement,
        data=data,
        database=parameters.get("database") or headers.get("X-ClickHouse-Database", ""),
        format=parameters.get("default_format")
        or headers.get("X-ClickHouse-Format")
        or ("Values" if isinstance(statement, Insert) else "TabSeparated"),
        settings={
            name: value
            for name, value in parameters.items()
            if name not in INTERFACE_PARAMETERS and not name.startswith("param_")
        },
        params={name[6:]: value for name, value in parameters.items() if name.startswith("param_")},
        read_only=method in ("GET", "HEAD"),
        session=parameters.get("session_id", ""),
        session_seconds=session_seconds(parameters),
        query_id=query_id,
        wait_end=any(
            parameters.get(name, "0") not in ("0", "false")
            for name in ("wait_end_of_query", "http_wait_end_of_query")
        ),
    )


def split(query: bytes, body: Sequence[bytes]) -> tuple[Query | Insert, Sequence[bytes]]:
    """Return a request's statement and the data that follow it; the data's pieces are passed on unchanged."""
    try:
        if query.strip():
            statement = parse(query)
            if isinstance(statement, Insert):
                return statement, body
            return parse(b"\n".join([query, *body])), ()
        found = split_body(body)
        return found if found else (parse(b"".join(body)), ())
    except UnicodeDecodeError as error:
        raise EngineError.named(62, "SYNTAX_ERROR", f"The query is not UTF-8: {error}") from None


def split_body(body: Sequence[bytes]) -> tuple[Insert, Sequence[bytes]] | None:
    """Return an INSERT at the body's start and the data behind it; joins only the statement's pieces."""
    head = b""
    for taken, piece in enumerate(body, start=1):
        head += piece
        try:
            statement = parse(head)
        except UnicodeDecodeError:  # The piece ends within a character.
            statement = None
        # If next to nothing follows, the last word may continue in the next piece.
        complete = isinstance(statement, Insert) and (len(statement.data) > 1 or taken == len(body))
        if isinstance(statement, Insert) and complete:
            return statement, body[taken:]
        if len(head) > LONGEST_STATEMENT:
            break
    return None


def session_seconds(parameters: Mapping[str, str]) -> float:
    """Return how long a session outlives its last request."""
    text = parameters.get("session_timeout", "")
    if not text:
        return SESSION_SECONDS
    if not text.isdigit():
        raise EngineError.named(36, "BAD_ARGUMENTS", f"Invalid session timeout: {text!r}")
    return float(text)


def not_implemented(what: str) -> EngineError:
    """Return the error for a part of the interface that is not implemented here."""
    return EngineError.named(48, "NOT_IMPLEMENTED", f"This server does not support {what}")


def answer_headers(answer: Answer) -> dict[str, str]:
    """Return the headers that describe a statement's execution."""
    cost = answer.summary
    summary = {
        "read_rows": cost.read_rows,
        "read_bytes": cost.read_bytes,
        "written_rows": cost.written_rows,
        "written_bytes": cost.written_bytes,
        "total_rows_to_read": 0,
        "result_rows": cost.result_rows,
        "result_bytes": cost.result_bytes,
        "elapsed_ns": int(cost.elapsed * 1e9),
    }
    headers = {"X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()})}
    if answer.format:
        headers["X-ClickHouse-Format"] = answer.format
    return headers


def exception_tag() -> str:
    """Return what tells an error in the middle of a result from the result's own bytes: 16 random letters."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))


def exception_block(error: EngineError, tag: str) -> bytes:
    """Return what a server of version 25.11 or later appends to a result that breaks off.

    `tag` is the answer's X-ClickHouse-Exception-Tag. The length counts the message and its line break.
    """
    message = f"{error}\n".encode()
    frame = tag.encode()
    return b"\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n" % (frame, message, len(message), frame)


def content_type(format_name: str | None) -> str:
    """Return the media type of a result."""
    name = format_name or ""
    if name.startswith(("JSONEachRow", "JSONLines", "JSONCompactEachRow", "JSONStringsEachRow")):
        return "application/x-ndjson; charset=UTF-8"
    if name.startswith("JSON"):
        return "application/json; charset=UTF-8"
    if name.startswith("CSV"):
        return "text/csv; charset=UTF-8"
    if name.startswith(("TabSeparated", "TSV")) or not name:
        return "text/tab-separated-values; charset=UTF-8"
    if re.match(r"Native|RowBinary|Avro|Parquet|ORC|Arrow|MsgPack|BSON|Protobuf", name):
        return "application/octet-stream"
    return "text/plain; charset=UTF-8"


def credentials(parameters: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    """Return user and password from wherever a client put them; ("default", "") if it gave none."""
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
    authorization = headers.get("Authorization", "")
    if authorization.startswith("Basic "):
        try:
            user, _, password = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
        except ValueError:
            return "", ""
        return user, password
    return parameters.get("user", "default"), parameters.get("password", "")


def decompress(body: Sequence[bytes], encoding: str) -> Sequence[bytes]:
    """Undo a request's Content-Encoding: gzip, deflate, zstd or lz4 (frames)."""
    if encoding in ("", "identity"):
        return body
    try:
        return [b"".join(inflate(body, encoding))]
    except EngineError:
        raise
    except Exception as error:  # Each codec has an error class of its own.
        message = f"The body is not valid {encoding}: {error}"
        raise EngineError.named(36, "BAD_ARGUMENTS", message) from None


def inflate(body: Sequence[bytes], encoding: str) -> Iterable[bytes]:
    """Yield the body's pieces decompressed."""
    whole = b"".join(body)
    if encoding == "gzip":
        yield gzip.decompress(whole)
    elif encoding == "deflate":
        yield zlib.decompress(whole)
    elif encoding == "lz4":
        yield importlib.import_module("lz4.frame").decompress(whole)
    elif encoding == "zstd":
        # In Python's standard library from 3.14 on; clickhouse-connect depends on the backport before that.
        module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        yield importlib.import_module(module).decompress(whole)
    else:
        raise not_implemented(f"Content-Encoding {encoding!r}: send gzip, deflate, zstd, lz4 or none")
