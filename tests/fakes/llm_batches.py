"""OpenAI's files and batches, in memory: what is uploaded is answered after a few polls, by custom_id, in any order."""

from __future__ import annotations

import json
import random
import re
import time
from typing import TYPE_CHECKING, Any

from tests.fakes.llm_content import answer_for, ids_in
from tests.fakes.llm_http import Http, Reply
from tests.fakes.llm_wire import openai_answer, openai_error, openai_question

if TYPE_CHECKING:
    from tests.fakes.llm_server import Provider

_NAME = re.compile(rb'name="([^"]+)"')


class Batches:
    """Files and batches of one provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._polls: dict[str, int] = {}

    async def answer(self, request: Http, path: str) -> Reply:
        parts = path.strip("/").split("/")
        tail = parts[parts.index("files" if "files" in parts else "batches") :]
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._provider.config.keys and key not in self._provider.config.keys:
            return Reply.of(401, openai_error("Incorrect API key", "invalid_request_error", "invalid_api_key"))
        config = self._provider.config
        if config.batch_page:
            return Reply(200, config.batch_page.encode(), content_type=config.batch_page_type)
        if tail[0] == "files":
            return self._file(request, tail[1:])
        return self._batch(request, tail[1:])

    def _file(self, request: Http, tail: list[str]) -> Reply:
        match (request.method, *tail):
            case ("POST",):
                if self._provider.config.upload_unpaid:
                    return Reply.of(429, openai_error("No credit", "insufficient_quota", "insufficient_quota"))
                if self._provider.config.upload_fails:
                    return Reply.of(503, openai_error("Overloaded", "server_error", None))
                content = _uploaded(request)
                number = f"file-{len(self._files)}"
                self._files[number] = content
                return Reply.of(200, _file(number, len(content), "batch"))
            case ("GET", number, "content"):
                return Reply(200, self._files[number], content_type="application/octet-stream")
            case ("DELETE", number):
                self._files.pop(number, None)
                return Reply.of(200, {"id": number, "object": "file", "deleted": True})
        return _unknown()

    def _batch(self, request: Http, tail: list[str]) -> Reply:
        match (request.method, *tail):
            case ("POST",):
                batch = self._create(request.json())
                if self._provider.config.batch_answer_lost:
                    return Reply.of(500, openai_error("The server had an error", "server_error", None))
                return Reply.of(200, batch)
            case ("GET",):
                # The newest first, as the real list; one page is enough here.
                listed = list(reversed(self._batches.values()))
                return Reply.of(200, {"object": "list", "data": listed, "has_more": False})
            case ("GET", number) if number in self._batches:
                return Reply.of(200, self._poll(number))
            case ("POST", number, "cancel"):
                self._batches[number]["status"] = "cancelled"
                return Reply.of(200, self._batches[number])
        return _unknown()

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        number = f"batch_{len(self._batches)}"
        lines = self._files[body["input_file_id"]].splitlines()
        self._batches[number] = {
            "id": number,
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "status": "validating",
            "created_at": int(time.time()),
            "metadata": body.get("metadata"),
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        self._polls[number] = 0
        return self._batches[number]

    def _poll(self, number: str) -> dict[str, Any]:
        batch = self._batches[number]
        if batch["status"] not in ("validating", "in_progress"):
            return batch
        self._polls[number] += 1
        if self._polls[number] < self._provider.config.batch_polls:
            batch["status"] = "in_progress"
            return batch
        self._finish(batch)
        return batch

    def _finish(self, batch: dict[str, Any]) -> None:
        outcome = self._provider.config.batch_outcome
        batch["status"] = outcome
        if outcome == "failed":
            batch["errors"] = {
                "object": "list",
                "data": [{"code": self._provider.config.batch_error, "message": "as configured", "line": None}],
            }
            return
        lines = [json.loads(line) for line in self._files[batch["input_file_id"]].splitlines()]
        # A batch that expires returns, and charges, what was finished.
        done = lines if outcome == "completed" else lines[: len(lines) // 2]
        good, bad = [], []
        for place, line in enumerate(done):
            record = self._line(line, place)
            (good if record["error"] is None and record["response"]["status_code"] == 200 else bad).append(record)
        bad += [_expired(line) for line in lines[len(done) :]]
        random.Random(3).shuffle(good)
        for field, records in (("output_file_id", good), ("error_file_id", bad)):
            if records:
                name = f"file-{len(self._files)}"
                content = "\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode()
                self._files[name] = content[:-9] if self._provider.config.batch_torn else content
                batch[field] = name
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}

    def _line(self, line: dict[str, Any], place: int) -> dict[str, Any]:
        from tests.fakes.llm_server import Entry

        body = line["body"]
        prompt, text, schema = openai_question(body)
        rows = ids_in(prompt)
        refuse = self._provider.config.refuse_when
        if refuse and refuse in prompt:
            response = {
                "status_code": 400,
                "request_id": "r",
                "body": openai_error("blocked", "invalid_request_error", "content_filter"),
            }
            return {"id": f"batch_req_{place}", "custom_id": line["custom_id"], "response": response, "error": None}
        content = json.dumps(answer_for(schema, rows, prompt), ensure_ascii=False)
        now = time.monotonic()
        self._provider.entries.append(Entry(now, "batch", rows, "answered", len(text) // 4, now))
        cut = body["max_completion_tokens"] < self._provider.config.thinking
        answer = openai_answer(
            number=place,
            model=body["model"],
            content="" if cut else content,
            refusal=None,
            finish="length" if cut else "stop",
            usage=(len(text) // 4, len(content) // 4, 0),
        )
        answer["service_tier"] = self._provider.config.batch_service_tier
        response = {"status_code": 200, "request_id": "r", "body": answer}
        return {"id": f"batch_req_{place}", "custom_id": line["custom_id"], "response": response, "error": None}


def _unknown() -> Reply:
    return Reply.of(404, {"error": {"message": "no such thing", "type": "invalid_request_error", "code": None}})


def _expired(line: dict[str, Any]) -> dict[str, Any]:
    error = {"code": "batch_expired", "message": "This request could not be executed before the completion window."}
    return {"id": "batch_req_x", "custom_id": line["custom_id"], "response": None, "error": error}


def _uploaded(request: Http) -> bytes:
    """The file of a multipart/form-data upload."""
    boundary = b"--" + request.headers["content-type"].split("boundary=")[1].strip('"').encode()
    for part in request.body.split(boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is not None and name[1] == b"file":
            return content.removesuffix(b"\r\n")
    raise ValueError("no file in the upload")


def _file(number: str, size: int, purpose: str) -> dict[str, Any]:
    return {
        "id": number,
        "object": "file",
        "bytes": size,
        "created_at": int(time.time()),
        "filename": "requests.jsonl",
        "purpose": purpose,
        "status": "processed",
    }
