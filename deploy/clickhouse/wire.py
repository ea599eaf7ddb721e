"""ClickHouse's HTTP interface as values: a request's parts, an answer's headers, an error's status."""

from __future__ import annotations

import base64
import json
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from evometrics.deploy.clickhouse.exchange import (
    SESSION_SECONDS,
    Answer,
    EngineError,
    ExternalTable,
    Request,
)
from evometrics.deploy.clickhouse.external import DESCRIPTIONS
from evometrics.deploy.clickhouse.statement import LONGEST_STATEMENT, Insert, Query, parse, raw

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

#: As a server's max_session_timeout is, unless it is set.
LONGEST_SESSION_SECONDS = 3600

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
    external: Sequence[ExternalTable] = (),
) -> Request:
    """Return the engine's request for an HTTP request, whose body is already decompressed.

    Raises `EngineError` for a request that a server refuses, too, and for features that this one lacks.
    """
    refuse_roles(parameters)
    statement, data = split(raw(parameters.get("query", "")), body)
    if isinstance(statement, Query) and not statement.sql.strip():
        raise EngineError.named(
            62, "SYNTAX_ERROR", "Syntax error: failed at position 1 (end of query): Empty query"
        )
    described = INTERFACE_PARAMETERS | {table.name + end for table in external for end in DESCRIPTIONS}
    return Request(
        statement=statement,
        data=data,
        database=headers.get("X-ClickHouse-Database") or parameters.get("database", ""),
        format=headers.get("X-ClickHouse-Format")
        or parameters.get("default_format")
        or ("Values" if isinstance(statement, Insert) else "TabSeparated"),
        settings={
            name: value
            for name, value in parameters.items()
            if name not in described and not name.startswith("param_")
        },
        params={name[6:]: value for name, value in parameters.items() if name.startswith("param_")},
        read_only=method in ("GET", "HEAD"),
        session=parameters.get("session_id", ""),
        session_seconds=session_seconds(parameters),
        session_check=is_set(parameters, "session_check"),
        revision=revision(parameters),
        external=external,
        query_id=query_id,
        wait_end=is_set(parameters, "wait_end_of_query") or is_set(parameters, "http_wait_end_of_query"),
    )


def url_parameters(query_string: str) -> dict[str, str]:
    """Return a URL's parameters, the last of each name; bytes that are not UTF-8 as `raw` takes them.

    Raises `EngineError` if one besides the statement has such bytes.
    """
    try:
        parameters = dict(parse_qsl(query_string, keep_blank_values=True, errors="surrogateescape"))
    except ValueError as error:
        raise EngineError.named(36, "BAD_ARGUMENTS", f"The URL cannot be read: {error}") from None
    for name, value in parameters.items():
        if name != "query" and not (name + value).isascii():
            try:
                (name + value).encode()
            except UnicodeEncodeError:
                raise EngineError.named(36, "BAD_ARGUMENTS", f"Parameter {name!a} is not UTF-8") from None
    parameters.pop("", None)
    return parameters


def is_set(parameters: Mapping[str, str], name: str, default: str = "0") -> bool:
    """Return a flag's value."""
    return parameters.get(name, default) not in ("0", "false", "")


def revision(parameters: Mapping[str, str]) -> int:
    """Return the protocol revision that a client reads."""
    text = parameters.get("client_protocol_version", "0")
    if not text.isdigit():
        raise EngineError.named(72, "CANNOT_PARSE_NUMBER", f"client_protocol_version {text!r} is no number")
    return int(text)


def refuse_roles(parameters: Mapping[str, str]) -> None:
    """Raise `EngineError` if a request asks for a role: the engine has none."""
    if role := parameters.get("role"):
        raise EngineError.named(511, "UNKNOWN_ROLE", f"There is no role `{role}`: this server has no roles")


def split(query: bytes, body: Sequence[bytes]) -> tuple[Query | Insert, Sequence[bytes]]:
    """Return a request's statement and the data that follow it; the data's pieces are passed on unchanged."""
    if query.strip():
        statement = parse(query)
        if isinstance(statement, Insert):
            return statement, body
        return parse(query + b"\n" + b"".join(body)), ()
    found = split_body(body)
    return found if found else (parse(b"".join(body)), ())


def split_body(body: Sequence[bytes]) -> tuple[Insert, Sequence[bytes]] | None:
    """Return an INSERT at the body's start and the data behind it; joins only the statement's pieces."""
    head = b""
    for taken, piece in enumerate(body, start=1):
        head += piece
        statement = parse(head)
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
        raise EngineError.named(374, "INVALID_SESSION_TIMEOUT", f"Invalid session timeout: {text!r}")
    if int(text) > LONGEST_SESSION_SECONDS:
        longest = f"is larger than max_session_timeout: {LONGEST_SESSION_SECONDS}"
        raise EngineError.named(374, "INVALID_SESSION_TIMEOUT", f"Session timeout {text!r} {longest}")
    return float(text)


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
        return f"text/csv; charset=UTF-8; header={'present' if 'WithNames' in name else 'absent'}"
    if name == "XML":
        return "application/xml; charset=UTF-8"
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
