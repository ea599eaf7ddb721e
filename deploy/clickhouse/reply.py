"""Sends a result or an error, in the encoding that the client asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aiohttp import web

from evometrics.deploy.clickhouse.blocks import BlockWriter
from evometrics.deploy.clickhouse.encodings import COMPRESSORS, chosen_encoding
from evometrics.deploy.clickhouse.exchange import Answer, EngineError
from evometrics.deploy.clickhouse.transform import Transform, chained, step
from evometrics.deploy.clickhouse.wire import (
    answer_headers,
    content_type,
    exception_block,
    exception_tag,
    http_status,
    is_set,
)

#: A server's http_zlib_compression_level, which is the level of all of HTTP's encodings.
LEVEL = 3


class Reply:
    """The answer to one request: `send` a result, or `refuse`.

    `parameters` ask for ClickHouse's own compression (`compress`), the request's headers for HTTP's, which
    then stands around it.
    """

    def __init__(self, http: web.Request, parameters: Mapping[str, str], headers: Mapping[str, str]) -> None:
        self._http = http
        self._headers = dict(headers)
        self._transforms: list[Transform] = []
        if is_set(parameters, "compress"):
            self._transforms.append(BlockWriter.of(parameters))
        accepted = http.headers.get("Accept-Encoding", "")
        if is_set(parameters, "enable_http_compression", "1") and (name := chosen_encoding(accepted)):
            level = parameters.get("http_zlib_compression_level", "")
            self._transforms.append(COMPRESSORS[name](int(level) if level.isdigit() else LEVEL))
            self._headers["Content-Encoding"] = name

    async def send(self, answer: Answer) -> web.StreamResponse:
        """Send a result, each piece when the client has taken the one before."""
        tag = exception_tag()
        self._headers |= answer_headers(answer) | {
            "Content-Type": content_type(answer.format),
            "X-ClickHouse-Exception-Tag": tag,
        }
        if answer.rest is None:
            return self._whole(answer.payload)
        response = web.StreamResponse(headers=self._headers)
        if not self._transforms:
            response.content_length = answer.size
        await response.prepare(self._http)
        if self._http.method == "HEAD":
            return response
        try:
            await self._write(response, answer.payload)
            async for piece in answer.rest:
                await self._write(response, piece)
            await self._end(response)
        except ConnectionResetError:
            pass  # The client has gone; closing the answer ends its statement.
        except EngineError as error:
            # A server leaves the body without its end, so that nobody takes it for a whole one.
            await self._write(response, exception_block(error, tag))
            await self._end(response)
            if self._http.transport is not None:
                self._http.transport.close()
        return response

    def refuse(self, error: EngineError) -> web.Response:
        """Return the answer to a request that failed before anything of its result was sent."""
        self._headers["X-ClickHouse-Exception-Code"] = str(error.code)
        self._headers["Content-Type"] = "text/plain; charset=UTF-8"
        return self._whole(f"{error}\n".encode(errors="replace"), http_status(error.code))

    def _whole(self, payload: bytes, status: int = 200) -> web.Response:
        if payload:
            payload = b"".join(chained(iter([payload]), self._transforms))
        else:
            self._headers.pop("Content-Encoding", None)
        return web.Response(body=payload, status=status, headers=self._headers)

    async def _write(self, response: web.StreamResponse, piece: bytes) -> None:
        await self._pass(response, [piece], self._transforms)

    async def _end(self, response: web.StreamResponse) -> None:
        for place, transform in enumerate(self._transforms):
            await self._pass(response, transform.end(), self._transforms[place + 1 :])

    async def _pass(
        self,
        response: web.StreamResponse,
        pieces: Sequence[bytes] | Iterator[bytes],
        transforms: list[Transform],
    ) -> None:
        """Write pieces after these transforms, their work done in a thread."""
        if not transforms:
            for piece in pieces:
                await response.write(piece)
            return
        made = fed(pieces, transforms)
        while (done := await step(made, at_once=False)) is not None:
            await response.write(done)


def fed(pieces: Sequence[bytes] | Iterator[bytes], transforms: list[Transform]) -> Iterator[bytes]:
    """Yield what pieces become, in a stream that goes on after them."""
    for piece in pieces:
        if transforms:
            yield from fed(transforms[0].feed(piece), transforms[1:])
        else:
            yield piece
