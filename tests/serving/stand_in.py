"""Stands in for vLLM where only its process matters: the answers of its operator's paths, and an engine as a child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.reply({"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/completions":
            self.reply({"model": body["model"], "choices": [], "port": self.server.server_port})
        else:
            self.reply({"tokens": []})

    def reply(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, form: str, *values: object) -> None:
        pass


def main() -> None:
    options = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
    engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    cache = os.environ.get("POISE_SERVING_CACHE")
    print("PIDS", os.getpid(), engine.pid, cache, flush=True)
    if cache:
        os.makedirs(cache)  # noqa: PTH103
    if options["--served-model-name"].startswith("broken"):
        sys.exit("this model cannot be served")
    HTTPServer((options["--host"], int(options["--port"])), Answers).serve_forever()


if __name__ == "__main__":
    main()
