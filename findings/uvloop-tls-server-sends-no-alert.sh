#!/usr/bin/env bash
# uvloop 0.23.0 and Python 3.11's asyncio: a TLS 1.3 server that requires client certificates ends the connection of a
# client without one and never sends it the alert that says so. The client's handshake has succeeded by then, and its
# first read returns an orderly end of the stream: to it the server has simply closed. The same context on a blocking
# socket of the ssl module sends the alert. A client's errors for a missing certificate can't be tested against an
# asyncio server, and a service on one can't tell its clients what they lack.
# Seen: "asyncio: end of stream", "uvloop: end of stream", "ssl: TLSV13_ALERT_CERTIFICATE_REQUIRED".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q uvloop==0.23.0 trustme==1.2.1
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import contextlib
import socket
import ssl
import sys
import threading

import trustme
import uvloop

authority = trustme.CA()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(context)
authority.configure_trust(context)
context.verify_mode = ssl.CERT_REQUIRED


def ask(port: int) -> str:
    """Connect without a certificate, and return what the first read brings."""
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.settimeout(10)
        try:
            with ours.wrap_socket(raw, server_hostname="localhost") as secured:
                return "data" if secured.recv(1) else "end of stream"
        except ssl.SSLError as error:
            return str(error.reason)


async def event_loop() -> str:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
    async with server:
        return await asyncio.to_thread(ask, server.sockets[0].getsockname()[1])


def blocking() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with contextlib.suppress(ssl.SSLError):
                context.wrap_socket(connection, server_side=True).close()

        threading.Thread(target=answer, daemon=True).start()
        return ask(listener.getsockname()[1])


found = {"asyncio": asyncio.run(event_loop()), "uvloop": uvloop.run(event_loop()), "ssl": blocking()}
for name, said in found.items():
    print(f"{name}: {said}")
expected = {"asyncio": "end of stream", "uvloop": "end of stream", "ssl": "TLSV13_ALERT_CERTIFICATE_REQUIRED"}
sys.exit(0 if found == expected else "it is otherwise now")
PYTHON
