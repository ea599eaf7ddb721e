"""A model in OpenAI's shape on a port of the loopback interface, which gives fixed answers in turn."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(answers: Sequence[str]) -> str:
    """Answer chat completions until the process ends; return the address to call."""
    lock, asked = threading.Lock(), 0

    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal asked
            self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                number, asked = asked, asked + 1
            message = {"role": "assistant", "content": answers[number % len(answers)]}
            raw = json.dumps(
                {
                    "id": f"answer-{number}",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "loopback",
                    "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                    "usage": {
                        "prompt_tokens": 100 + number,
                        "completion_tokens": 10,
                        "total_tokens": 110 + number,
                    },
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"
