"""What answers in a registry's place, a cut answer or another service, is a registry that is unreachable."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator

import pytest

from evometrics.schemas.service.registry_access import RegistryAccess
from evometrics.schemas.wire import framing as wire_module
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from evometrics.schemas.wire.registry import RegistryClient, RegistryUnavailable, UnknownSchemaId, read_within

MESSAGE = b"\0\0\0\0\7rubbish"


class Answering:
    """Answers every request with the same bytes, and counts them."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests = 0
        self.received = b""
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                self.requests += 1
                self.received += connection.recv(65_536)
                connection.sendall(self.answer)

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join()


def http(status: str, body: bytes, length: int | None = None) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode()
        + body
    )


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[Answering]:
    one = Answering(request.param)
    yield one
    one.close()


ODD = {
    "cut in the body": http("200 OK", b'{"schema": "', 500),
    "cut in the head": b"HTTP/1.1 200",
    "closed at once": b"",
    "another protocol": b"-ERR unknown command 'GET'\r\n",
    "a page": http("200 OK", b"<html>It works!</html>"),
    "a list": http("200 OK", b"[1, 2]"),
    "no text": http("200 OK", b"\xff\xfe"),
    "JSON in JSON, deep": http("200 OK", b"[" * 100_000),
    "another service's JSON": http("200 OK", b'{"status": "ok"}'),
    "null": http("200 OK", b"null"),
    "an id that no message has room for": http("200 OK", b'{"id": 2147483648}'),
    "an id that is none": http("200 OK", b'{"id": true}'),
    "an error cut short": http("500 Oh", b"x", 5000),
    "a redirect to nowhere": http("302 Found", b""),
}


@pytest.mark.parametrize("answering", ODD.values(), ids=ODD.keys(), indirect=True)
def test_whatever_answers_in_its_place_the_registry_counts_as_away(answering: Answering) -> None:
    client = RegistryClient(answering.url, timeout=2)
    schema = newest("kpi_snapshot").source
    for ask in (lambda: client.schema(7), lambda: client.register("s-value", schema)):
        with pytest.raises(RegistryUnavailable, match=r"registry_url|registry's log"):
            ask()
    with pytest.raises(RegistryUnavailable):
        WireFormat(client).decode(MESSAGE)


@pytest.mark.parametrize(
    "answering", [http("404 No", b'{"error_code": 40403, "message": "no such schema"}')], indirect=True
)
def test_an_id_that_it_does_not_know_is_asked_for_once_in_a_while(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(wire_module.time, "monotonic", lambda: now[0])
    client = RegistryClient(answering.url)
    wire = WireFormat(client)
    for _ in range(50):
        with pytest.raises(UnreadableMessage, match="has no /schemas/ids/7"):
            wire.decode(MESSAGE)
    assert answering.requests == 1
    now[0] += wire_module.UNKNOWN_SECONDS
    with pytest.raises(UnreadableMessage):
        wire.decode(MESSAGE)
    assert answering.requests == 2
    with pytest.raises(UnknownSchemaId):
        client.schema(7)


@pytest.mark.parametrize("port", ["1", "hunter2@x", "port"])
def test_no_message_shows_a_password_that_somebody_wrote_into_its_url(port: str) -> None:
    with pytest.raises(RegistryUnavailable, match="correct registry_url") as refused:
        RegistryClient(f"http://me:hunter2@127.0.0.1:{port}").schema(1)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "answering", [http("502 Oh", b"<p>\r\n\tupstream http://me:hunter2@h\x1b[2J\n</p>\n")], indirect=True
)
def test_what_stands_in_its_place_is_shown_in_one_line_without_what_a_terminal_obeys(
    answering: Answering,
) -> None:
    with pytest.raises(RegistryUnavailable) as refused:
        RegistryClient(answering.url).schema(1)
    assert r"502 <p> http://***@h\x1b[2J </p>; correct" in str(refused.value).replace("upstream ", "")


@pytest.mark.parametrize("answering", [http("200 OK", b"{}")], indirect=True)
def test_a_login_does_not_follow_a_redirect_to_another_server(answering: Answering) -> None:
    status = f"307 Elsewhere\r\nLocation: {answering.url}/schemas/ids/1"
    first = Answering(http(status, b""))
    try:
        with pytest.raises(RegistryUnavailable, match="returned no schema"):
            RegistryClient(first.url, access=RegistryAccess("me", "hunter2")).schema(1)
    finally:
        first.close()
    assert b"Authorization: Basic" in first.received
    assert answering.received.startswith(b"GET /schemas/ids/1") and b"Authorization" not in answering.received


def test_an_answer_that_comes_by_drops_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Drops:
        length = 10**9

        def read1(self, most: int) -> bytes:
            return b"{"

    monkeypatch.setattr("evometrics.schemas.wire.registry.time.monotonic", itertools.count().__next__)
    with pytest.raises(TimeoutError, match="still incomplete after 5 s"):
        read_within(Drops(), 10**6, 5)
