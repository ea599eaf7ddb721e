"""What came with a request besides its URL: a body, decoded piece by piece, or a form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from aiohttp import web

from evometrics.deploy.clickhouse.blocks import BlockReader
from evometrics.deploy.clickhouse.encodings import Decompressor
from evometrics.deploy.clickhouse.exchange import ExternalTable
from evometrics.deploy.clickhouse.external import external_table
from evometrics.deploy.clickhouse.form import read_form
from evometrics.deploy.clickhouse.transform import Transform, chained_async
from evometrics.deploy.clickhouse.wire import is_set


@dataclass(frozen=True, slots=True)
class Received:
    """A request's parameters, those of a form included, and the tables that the form held."""

    parameters: Mapping[str, str]
    external: tuple[ExternalTable, ...] = ()


def is_form(http: web.Request) -> bool:
    """Return whether a request's body is a form of parts; `curl -d` labels statements as one without."""
    return http.content_type == "multipart/form-data"


async def received_form(http: web.Request, parameters: Mapping[str, str]) -> Received:
    """Read a form; what the URL says, too, counts. Raises `EngineError`."""
    form = await read_form(http)
    try:
        joined = {**form.parameters, **parameters}
        if "query" in form.parameters and "query" in parameters:
            joined["query"] = f"{parameters['query']}\n{form.parameters['query']}"
        tables = tuple(external_table(name, file, joined) for name, file in form.files.items())
    except BaseException:
        form.close()
        raise
    return Received(joined, tables)


def body_pieces(http: web.Request, parameters: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Yield the body as it arrives, without HTTP's and ClickHouse's own compression; raises `EngineError`."""
    transforms: list[Transform] = []
    encoding = http.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        transforms.append(Decompressor(encoding.removeprefix("x-")))
    if is_set(parameters, "decompress"):
        unchecked = is_set(parameters, "http_native_compression_disable_checksumming_on_decompress")
        transforms.append(BlockReader(verify=not unchecked))
    return chained_async(http.content.iter_any(), transforms)
