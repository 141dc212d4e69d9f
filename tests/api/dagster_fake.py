"""Dagster's webserver as far as launching goes: the GraphQL of `launchRun` and `runsOrError`, and its bad days."""

from __future__ import annotations

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeDagster:
    """Keeps runs with their tags. `mode` says how it answers a launch: run, lost, broken, no such job, gateway."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.mode = "run"
        self.requests = 0
        self.read: list[str] = []
        """What was asked for by GET, as it came over the wire."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake.read.append(self.path)
                self._send(200, {})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                fake.requests += 1
                if fake.mode == "gateway":
                    self._send(502, {"error": "bad gateway"})
                    return
                answer = fake.answer(body)
                if answer is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                self._send(200, answer)

            def _send(self, status: int, content: dict[str, Any]) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def answer(self, body: dict[str, Any]) -> dict[str, Any] | None:
        variables = body["variables"]
        if "runsOrError" in body["query"]:
            found = [run for run in self.runs if run["tags"].get(variables["tag"]) == variables["value"]]
            results = [{"runId": run["id"]} for run in found[:1]]
            return {"data": {"runsOrError": {"__typename": "Runs", "results": results}}}
        if self.mode == "no such job":
            return {"data": {"launchRun": {"__typename": "PipelineNotFoundError", "message": "no such job"}}}
        if self.mode == "broken":
            return {"errors": [{"message": "broken"}], "data": None}
        params = variables["params"]
        run = {
            "id": str(uuid.uuid4()),
            "job": params["selector"]["pipelineName"],
            "tags": {tag["key"]: tag["value"] for tag in params["executionMetadata"]["tags"]},
        }
        self.runs.append(run)
        if self.mode == "lost":
            return None
        return {"data": {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": run["id"]}}}}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
