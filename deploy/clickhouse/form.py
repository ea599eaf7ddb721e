"""Requests that are forms (multipart/form-data): parameters of any number and size, and external tables."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass, field
from typing import IO

from aiohttp import BodyPartReader, web

from evometrics.deploy.clickhouse.exchange import EngineError

#: Bytes of all parameters of a form, which are in memory; files go to the disk.
PARAMETER_BYTES = 256 * 1024**2
PIECE_BYTES = 1_048_576


@dataclass
class Form:
    """What a form held.

    Attributes:
        parameters: the value of each part that has no file name.
        files: the content of each part that has one, in an unnamed file.
    """

    parameters: dict[str, str] = field(default_factory=dict)
    files: dict[str, IO[bytes]] = field(default_factory=dict)

    def close(self) -> None:
        for file in self.files.values():
            file.close()


async def read_form(http: web.Request) -> Form:
    """Read a request's form; the caller closes it. Raises `EngineError` if it is none, or is too large."""
    form, left = Form(), PARAMETER_BYTES
    with contextlib.ExitStack() as on_error:
        on_error.callback(form.close)
        try:
            parts = await http.multipart()
            while (part := await parts.next()) is not None:
                if not isinstance(part, BodyPartReader) or not part.name:
                    raise ValueError("a part has no name")
                if part.filename is not None:
                    form.files[part.name] = file = tempfile.TemporaryFile(prefix="evometrics-form-")  # noqa: SIM115
                    while piece := await part.read_chunk(PIECE_BYTES):
                        await asyncio.to_thread(file.write, piece)
                    await asyncio.to_thread(file.flush)
                    continue
                value = bytearray()
                while piece := await part.read_chunk(PIECE_BYTES):
                    left -= len(piece)
                    if left < 0:
                        text = f"The form's parameters are longer than {PARAMETER_BYTES} bytes"
                        raise EngineError.named(229, "QUERY_IS_TOO_LARGE", text)
                    value += piece
                form.parameters[part.name] = value.decode(errors="surrogateescape")
        except (ValueError, AssertionError) as error:
            raise EngineError.named(36, "BAD_ARGUMENTS", f"The form cannot be read: {error}") from None
        on_error.pop_all()
    return form
