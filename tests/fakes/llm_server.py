"""The fake provider itself: an asyncio HTTP server that speaks OpenAI's and Gemini's wire formats.

Run as its own process (`python -m tests.fakes.llm_server '{"rpm": 1200}'`), so that nothing but its own latency slows it
down. Latency is drawn after admission and does not hold the bucket. `GET /_books` tells what it saw, `POST /_config`
changes what it does from now on.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from tests.fakes import llm_wire as wire
from tests.fakes.llm_batches import Batches
from tests.fakes.llm_bucket import Admission, Verdict
from tests.fakes.llm_content import answer_for, ids_in, spoil_ids
from tests.fakes.llm_http import Abort, Http, Reply, serve_one


@dataclass(slots=True)
class Config:
    """What the provider enforces and what goes wrong. All shares are of admitted requests."""

    rpm: float | None = None
    tpm: float | None = None
    too_large_above: int | None = None
    """OpenAI: a request of more tokens than this is refused with 429, and would be at any time."""
    capacity_seconds: float = 1.0
    per_day: int | None = None
    drain_on_reject: bool = False
    latency: float = 0.3
    sigma: float = 0.4
    seed: int = 7
    keys: list[str] = field(default_factory=list)
    """Accepted keys; empty accepts any."""
    models: list[str] = field(default_factory=list)
    headers: str = "bucket"
    """bucket, minute, daily, azure or none."""
    hint: str = "seconds"
    """seconds, ms, date, none (then only the message says it)."""
    always: str = ""
    """A refusal for every request: insufficient_quota, slow_down, day, bare, region, or status:<code>."""
    after: int | None = None
    """`always` begins after so many admitted requests."""
    retry_in: float | None = None
    """Seconds that a refusal of the mode `minute` names."""
    wrapped: bool = False
    bare: bool = False
    block: str = ""
    """A block reason for every prompt that contains `block_when`, or for every prompt."""
    block_when: str = ""
    refuse_when: str = ""
    flag_when: str = ""
    """OpenAI: a prompt that holds this is refused with status 400."""
    server_error: float = 0.0
    html_error: float = 0.0
    reset: float = 0.0
    stall: float = 0.0
    malformed: float = 0.0
    endless: float = 0.0
    truncated: float = 0.0
    refusal: float = 0.0
    filtered: float = 0.0
    empty: float = 0.0
    html_ok: float = 0.0
    error_ok: float = 0.0
    nothing_ok: float = 0.0
    drop: float = 0.0
    repeat: float = 0.0
    alter: float = 0.0
    off_taxonomy: float = 0.0
    thinking: int = 0
    """Tokens that the model thinks before it answers, and that count against the ceiling."""
    truncate_above: int | None = None
    """Answers for more rows than this are cut off."""
    gullible: str = ""
    """A canary: a model that obeys every instruction that it finds puts this wherever it can write."""
    batch_polls: int = 2
    batch_outcome: str = "completed"
    batch_error: str = "invalid_json_line"
    """Why a batch failed."""
    batch_service_tier: str = "default"
    batch_torn: bool = False
    """The file of answers ends in the middle of a line."""
    batch_answer_lost: bool = False
    """The batch is made, and its submitter is told of an error."""
    batch_page: str = ""
    """What every call about files and batches gets instead of an answer, with status 200."""
    batch_page_type: str = "text/html"
    upload_fails: bool = False
    upload_unpaid: bool = False
    """The account has no credit left for a batch."""


@dataclass(slots=True)
class Entry:
    """One line of the books."""

    at: float
    key: str
    rows: list[str]
    verdict: str
    tokens: int = 0
    done: float | None = None


_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>cloud edge</body></html>"
_FAULTS = (
    "server_error",
    "html_error",
    "reset",
    "stall",
    "malformed",
    "endless",
    "truncated",
    "refusal",
    "filtered",
    "empty",
    "html_ok",
    "error_ok",
    "nothing_ok",
    "drop",
    "repeat",
    "alter",
    "off_taxonomy",
)


class Provider:
    """State and rules; no transport."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.entries: list[Entry] = []
        self.batches = Batches(self)
        self._admissions: dict[tuple[str, str], Admission] = {}
        self._latency = random.Random(config.seed)
        self._faults = random.Random(config.seed + 1)
        self._admitted = 0

    def configure(self, changes: dict[str, Any]) -> None:
        known = {entry.name for entry in fields(Config)}
        if unknown := set(changes) - known:
            raise ValueError(f"unknown settings: {sorted(unknown)}")
        for name, value in changes.items():
            setattr(self.config, name, value)
        self._admissions.clear()
        self._admitted = 0

    async def answer(self, request: Http) -> Reply:
        path = request.path.split("?", 1)[0].rstrip("/")
        if path == "/_books":
            return Reply.of(200, self.books())
        if path == "/_config":
            self.configure(request.json())
            return Reply.of(200, asdict(self.config))
        if path == "/_reset":
            self.__init__(Config(**request.json()))  # type: ignore[misc]
            return Reply.of(200, {})
        if path.endswith("/chat/completions"):
            return await self._openai(request, chat=True)
        if path.endswith("/responses"):
            return await self._openai(request, chat=False)
        if ":generateContent" in path:
            return await self._gemini(request, path)
        if "/files" in path or "/batches" in path:
            return await self.batches.answer(request, path)
        return Reply.of(404, wire.openai_error(f"Invalid URL ({request.method} {path})", "invalid_request_error", None))

    # ------------------------------------------------------------------ OpenAI

    async def _openai(self, request: Http, *, chat: bool) -> Reply:
        config = self.config
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        body = request.json()
        model = body["model"]
        prompt, text, schema = wire.openai_question(body)
        ceiling = body.get("max_completion_tokens") or body.get("max_output_tokens") or body.get("max_tokens") or 0
        entry = self._enter(key, ids_in(prompt), max(len(text) // 4, ceiling))
        if config.keys and key not in config.keys:
            entry.verdict = "unauthorized"
            message = f"Incorrect API key provided: {key[:4]}***."
            return Reply.of(401, wire.openai_error(message, "invalid_request_error", "invalid_api_key"))
        if config.models and model not in config.models:
            entry.verdict = "unknown_model"
            message = f"The model `{model}` does not exist or you do not have access to it."
            return Reply.of(404, wire.openai_error(message, "invalid_request_error", "model_not_found"))
        admission = self._admission(key, model)
        refused = self._openai_mode(entry, model)
        if refused is not None:
            return refused
        if config.too_large_above is not None and entry.tokens > config.too_large_above:
            entry.verdict = "rejected:too_large"
            message = f"Request too large for {model} in organization org-fake on tokens per min (TPM): "
            message += f"Limit {config.too_large_above}, Requested {entry.tokens}. The input or output tokens must be "
            message += "reduced in order to run successfully."
            return Reply.of(429, wire.openai_error(message, "tokens", "rate_limit_exceeded"))
        verdict = admission.admit(entry.tokens, time.monotonic())
        headers = wire.openai_limit_headers(admission, config.headers, time.monotonic())
        if not verdict.admitted:
            entry.verdict = f"rejected:{verdict.kind}"
            value, more = wire.openai_refusal(verdict, model, config.hint, datetime.now(UTC))
            return Reply.of(429, value, headers | more)
        if config.flag_when and config.flag_when in prompt:
            entry.verdict = "fault:flagged"
            return Reply.of(
                400, wire.openai_error("Invalid prompt: flagged", "invalid_request_error", "invalid_prompt")
            )
        fault = await self._admit(entry, prompt)
        reply = self._broken(entry, fault, headers)
        if reply is not None:
            return reply
        content, finish, refusal = self._content(entry, fault, schema, prompt, ceiling)
        usage = (len(text) // 4, len(content or "") // 4, self._cached(text))
        value = (
            wire.openai_answer(
                number=len(self.entries), model=model, content=content, refusal=refusal, finish=finish, usage=usage
            )
            if chat
            else wire.openai_response(len(self.entries), model, content, refusal, finish, usage)
        )
        return Reply.of(200, value, headers)

    def _openai_mode(self, entry: Entry, model: str) -> Reply | None:
        mode = self._mode()
        if mode == "":
            return None
        entry.verdict = f"rejected:{mode}"
        if mode == "insufficient_quota":
            message = "You exceeded your current quota, please check your plan and billing details."
            return Reply.of(429, wire.openai_error(message, "insufficient_quota", "insufficient_quota"))
        if mode == "slow_down":
            message = "Please slow down: your request rate is rising too fast."
            return Reply.of(429, wire.openai_error(message, "requests", "slow_down"))
        if mode.startswith("status:"):
            return Reply.of(int(mode[7:]), wire.openai_error("as configured", "invalid_request_error", None))
        verdict = Verdict(
            admitted=False,
            kind="day" if mode == "day" else "requests",
            wait=6 * 3600.0 if mode == "day" else self.config.retry_in or 1.0,
        )
        value, headers = wire.openai_refusal(verdict, model, self.config.hint, datetime.now(UTC))
        return Reply.of(429, value, headers)

    # ------------------------------------------------------------------ Gemini

    async def _gemini(self, request: Http, path: str) -> Reply:
        config = self.config
        key = request.headers.get("x-goog-api-key", "")
        model = path.rsplit("/", 1)[1].split(":", maxsplit=1)[0]
        body = request.json()
        prompt, text, schema, ceiling = wire.gemini_question(body)
        entry = self._enter(key, ids_in(prompt), max(len(text) // 4, ceiling))
        if config.keys and key not in config.keys:
            entry.verdict = "unauthorized"
            message = "API key not valid. Please pass a valid API key."
            return Reply.of(400, wire.gemini_error(400, "INVALID_ARGUMENT", message, "API_KEY_INVALID"))
        if config.models and model not in config.models:
            entry.verdict = "unknown_model"
            message = f"models/{model} is not found for API version v1beta"
            return Reply.of(404, wire.gemini_error(404, "NOT_FOUND", message))
        admission = self._admission(key, model)
        refused = self._gemini_mode(entry, model)
        if refused is not None:
            return refused
        verdict = admission.admit(len(text) // 4, time.monotonic())
        if not verdict.admitted:
            entry.verdict = f"rejected:{verdict.kind}"
            bucket = admission.tokens if verdict.kind == "tokens" else admission.requests
            violation = wire.gemini_violation(verdict.kind, model, bucket, config.per_day)
            wait = 33.5 if verdict.kind == "day" else verdict.wait
            value = wire.gemini_refusal([violation], wait, wrapped=config.wrapped, bare=config.bare)
            return Reply.of(429, value)
        fault = await self._admit(entry, prompt)
        if fault == "server_error":
            return Reply.of(503, wire.gemini_error(503, "UNAVAILABLE", "The model is overloaded."))
        reply = self._broken(entry, fault, {})
        if reply is not None:
            return reply
        usage = (len(text) // 4, 0, self._cached(text))
        if config.block and config.block_when in prompt:
            entry.verdict = "fault:blocked"
            return Reply.of(200, wire.gemini_answer(model=model, text=None, finish="", usage=usage, block=config.block))
        content, finish, refusal = self._content(entry, fault, schema, prompt, ceiling)
        if refusal is not None:
            return Reply.of(200, wire.gemini_answer(model=model, text=None, finish="SAFETY", usage=usage))
        usage = (usage[0], len(content or "") // 4, usage[2])
        finish = "MAX_TOKENS" if finish == "length" else "STOP"
        value = wire.gemini_answer(model=model, text=content, finish=finish, usage=usage, thoughts=config.thinking)
        return Reply.of(200, value)

    def _gemini_mode(self, entry: Entry, model: str) -> Reply | None:
        mode = self._mode()
        if mode == "":
            return None
        entry.verdict = f"rejected:{mode}"
        if mode.startswith("status:"):
            code = int(mode[7:])
            return Reply.of(code, wire.gemini_error(code, "AS_CONFIGURED", "as configured"))
        if mode == "region":
            message = "User location is not supported for the API use."
            return Reply.of(400, wire.gemini_error(400, "FAILED_PRECONDITION", message))
        kinds = {"day": ["day"], "minute_and_day": ["requests", "day"]}.get(mode, ["requests"])
        violations = [wire.gemini_violation(kind, model, None, self.config.per_day) for kind in kinds]
        wait = self.config.retry_in or 33.912345678
        return Reply.of(429, wire.gemini_refusal(violations, wait, wrapped=self.config.wrapped, bare=mode == "bare"))

    # ------------------------------------------------------------------ both

    def _mode(self) -> str:
        config = self.config
        if not config.always or (config.after is not None and self._admitted < config.after):
            return ""
        return config.always

    def _enter(self, key: str, rows: list[str], tokens: int) -> Entry:
        entry = Entry(time.monotonic(), key, rows, "pending", tokens)
        self.entries.append(entry)
        return entry

    def _admission(self, key: str, model: str) -> Admission:
        config = self.config
        if (key, model) not in self._admissions:
            self._admissions[key, model] = Admission.of(
                rpm=config.rpm,
                tpm=config.tpm,
                capacity_seconds=config.capacity_seconds,
                per_day=config.per_day,
                drain_on_reject=config.drain_on_reject,
            )
        return self._admissions[key, model]

    async def _admit(self, entry: Entry, prompt: str) -> str:
        self._admitted += 1
        entry.verdict = "admitted"
        fault = self._draw(prompt)
        if self.config.latency > 0:
            await asyncio.sleep(self._latency.lognormvariate(math.log(self.config.latency), self.config.sigma))
        return fault

    def _draw(self, prompt: str) -> str:
        if self.config.refuse_when and self.config.refuse_when in prompt:
            return "refusal"
        draw = self._faults.random()
        for name in _FAULTS:
            share = getattr(self.config, name)
            if draw < share:
                return name
            draw -= share
        return ""

    def _broken(self, entry: Entry, fault: str, headers: dict[str, str]) -> Reply | None:
        if fault in ("server_error", "html_error", "reset", "stall", "html_ok", "error_ok", "nothing_ok"):
            entry.verdict = f"fault:{fault}"
        if fault == "server_error":
            return Reply.of(500, wire.openai_error("The server had an error.", "server_error", None), headers)
        if fault == "html_error":
            return Reply(502, _HTML, headers, "text/html")
        if fault == "html_ok":
            return Reply(200, _HTML, headers, "text/html")
        if fault == "error_ok":
            # As gateways say it that have begun their answer before the model behind them failed.
            return Reply.of(200, {"error": {"code": 502, "message": "Upstream error"}}, headers)
        if fault == "nothing_ok":
            return Reply.of(200, {}, headers)
        if fault == "reset":
            raise Abort
        if fault == "stall":
            raise TimeoutError
        return None

    def _content(
        self, entry: Entry, fault: str, schema: dict[str, Any], prompt: str, ceiling: int
    ) -> tuple[str | None, str, str | None]:
        """Content, finish reason, refusal."""
        config = self.config
        answer = answer_for(schema, entry.rows, prompt)
        if config.gullible:
            answer = _obey(answer, config.gullible)
        if fault in ("drop", "repeat", "alter", "off_taxonomy"):
            answer = spoil_ids(answer, fault, self._faults)
        text = json.dumps(answer, ensure_ascii=False)
        too_many = config.truncate_above is not None and len(entry.rows) > config.truncate_above
        if too_many or ceiling < config.thinking:
            fault = "truncated"
        if fault in ("malformed", "endless", "truncated", "refusal", "filtered", "empty"):
            entry.verdict = f"fault:{fault}"
        else:
            entry.verdict = "answered"
            entry.done = time.monotonic()
        match fault:
            case "malformed":
                return text[: len(text) // 2] + "}}", "stop", None
            case "endless":
                return "[" * 5000, "stop", None
            case "truncated" | "filtered":
                return text[: len(text) // 2], "length" if fault == "truncated" else "content_filter", None
            case "refusal":
                return None, "stop", "I can't help with that."
            case "empty":
                return "", "stop", None
            case _:
                return text, "stop", None

    def _cached(self, text: str) -> int:
        tokens = len(text) // 4
        return (tokens // 128) * 128 if tokens >= 1024 and len(self.entries) > 1 else 0

    def books(self) -> dict[str, Any]:
        """What happened, as the provider saw it."""
        verdicts = Counter(entry.verdict for entry in self.entries)
        answered: Counter[str] = Counter()
        for entry in self.entries:
            if entry.verdict == "answered":
                answered.update(entry.rows or ["-"])
        arrivals = sorted(entry.at for entry in self.entries)
        done = [entry.done for entry in self.entries if entry.done is not None]
        rejected = {kind: count for kind, count in verdicts.items() if kind.startswith("rejected:")}
        return {
            "requests": len(self.entries),
            "verdicts": dict(verdicts),
            "answered": verdicts["answered"],
            "accepted": sum(
                count for kind, count in verdicts.items() if kind == "answered" or kind.startswith("fault")
            ),
            "rejected": sum(rejected.values()),
            "rows": len(answered),
            "duplicates": sum(count - 1 for count in answered.values()),
            "tokens": sum(entry.tokens for entry in self.entries if entry.verdict == "answered"),
            "span": (max(done) - arrivals[0]) if done else 0.0,
            "largest_burst": _largest_burst(arrivals, 0.1),
            "entries": [[round(entry.at - arrivals[0], 3), entry.verdict, len(entry.rows)] for entry in self.entries],
        }


def _largest_burst(moments: list[float], window: float) -> int:
    """Most arrivals inside any `window` seconds."""
    best = start = 0
    for end, moment in enumerate(moments):
        while moment - moments[start] > window:
            start += 1
        best = max(best, end - start + 1)
    return best


def _obey(value: Any, canary: str) -> Any:
    """What a model does that follows every instruction: the canary in every place that takes text."""
    if isinstance(value, dict):
        return {name: part if name == "event_id" else _obey(part, canary) for name, part in value.items()}
    if isinstance(value, list):
        return [_obey(part, canary) for part in value]
    return canary if isinstance(value, str) else value


async def main(config: Config) -> None:
    provider = Provider(config)
    server = await asyncio.start_server(
        lambda reader, writer: serve_one(reader, writer, provider.answer), "127.0.0.1", 0, limit=32 * 1024 * 1024
    )
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port}), flush=True)
    # The parent holds the other end: when it is gone, so is this process.
    loop = asyncio.get_running_loop()
    gone = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(gone), sys.stdin)
    await gone.read()
    server.close()


if __name__ == "__main__":
    asyncio.run(main(Config(**json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}"))))
