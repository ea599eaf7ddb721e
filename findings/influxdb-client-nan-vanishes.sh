#!/usr/bin/env bash
# influxdb-client 1.50.0: a field that is NaN (a diverged loss) is left out of its point without a word, and a
# point that has no other field becomes an empty line: the batching write API posts a body without a point and
# calls the success callback. The record that something diverged is gone, and counted as written.
# Seen: "nan among others -> 'm,agent=a accuracy=0.5'", "nan alone -> ''", bodies [b''], callbacks ['success'].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q influxdb-client==1.50.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from influxdb_client import InfluxDBClient, Point, WriteOptions

requests: list[bytes] = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        requests.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


nan = float("nan")
both = Point("m").tag("agent", "a").field("accuracy", 0.5).field("loss", nan)
alone = Point("m").tag("agent", "a").field("loss", nan)
print(f"nan among others -> {both.to_line_protocol()!r}")
print(f"nan alone -> {alone.to_line_protocol()!r}")

server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
told: list[str] = []
with InfluxDBClient(f"http://127.0.0.1:{server.server_port}", token="t", org="o") as client:
    with client.write_api(
        WriteOptions(batch_size=1, flush_interval=100, max_retries=0),
        success_callback=lambda conf, data: told.append("success"),
        error_callback=lambda conf, data, error: told.append("error"),
    ) as write:
        write.write("bucket", record=alone)
server.shutdown()
print(f"for the point of one NaN: bodies {requests}, callbacks {told}")
as_seen = both.to_line_protocol() == "m,agent=a accuracy=0.5" and alone.to_line_protocol() == ""
sys.exit(0 if as_seen and requests == [b""] and told == ["success"] else 1)
PYTHON
