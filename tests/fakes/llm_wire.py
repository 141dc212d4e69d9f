"""The words of both providers: bodies, headers and errors as their documentation and their users' reports show them."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from tests.fakes.llm_bucket import Admission, Bucket, Verdict


def go_duration(seconds: float) -> str:
    """`12ms`, `1s`, `6m0s`, `1h0m0s`, as Go prints durations."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{int(hours)}h{int(minutes)}m{text}"
    return f"{int(minutes)}m{text}" if minutes else text


def openai_limit_headers(admission: Admission, style: str, now: float) -> dict[str, str]:
    """x-ratelimit-* of one response. `reset` is the time until the bucket is full, not until the next slot."""
    if style == "none":
        return {}
    headers: dict[str, str] = {}
    for name, bucket in (("requests", admission.requests), ("tokens", admission.tokens)):
        if bucket is None:
            continue
        if style == "azure":
            limit, remaining, reset = "-1", "0", None
        elif style == "daily" and name == "requests" and admission.per_day is not None:
            left = admission.per_day - admission.used_today
            limit, remaining = str(admission.per_day), str(max(0, left))
            reset = go_duration(admission.used_today * 86_400 / admission.per_day)
        elif style == "minute" and name == "requests":
            # A generous minute in the headers, while the door admits by the second.
            used = len([moment for moment in admission.minute_window if moment > now - 60])
            limit, remaining = f"{bucket.per_minute:.0f}", f"{max(0.0, bucket.per_minute - used):.0f}"
            reset = go_duration(used * 60 / bucket.per_minute)
        else:
            limit, remaining = f"{bucket.per_minute:.0f}", f"{max(0, math.floor(bucket.level))}"
            reset = go_duration(bucket.until_full)
        headers[f"x-ratelimit-limit-{name}"] = limit
        headers[f"x-ratelimit-remaining-{name}"] = remaining
        if reset is not None:
            headers[f"x-ratelimit-reset-{name}"] = reset
    return headers


def openai_refusal(verdict: Verdict, model: str, hint: str, now: datetime) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers of a 429 for the pace or for the day."""
    headers: dict[str, str] = {}
    wait = verdict.wait
    if verdict.kind == "day":
        headers["retry-after"] = str(math.ceil(wait))
    elif hint == "seconds":
        headers["retry-after"] = str(max(1, math.ceil(wait)))
    elif hint == "ms":
        headers["retry-after-ms"] = str(max(1, math.ceil(wait * 1000)))
    elif hint == "date":
        headers["retry-after"] = format_datetime(now + timedelta(seconds=max(1, math.ceil(wait))), usegmt=True)
    kind = "tokens" if verdict.kind == "tokens" else "requests"
    unit = {"tokens": "tokens per min (TPM)", "day": "requests per day (RPD)"}.get(
        verdict.kind, "requests per min (RPM)"
    )
    message = f"Rate limit reached for {model} in organization org-fake on {unit}. "
    message += f"Please try again in {go_duration(max(0.001, wait))}."
    return openai_error(message, kind, "rate_limit_exceeded"), headers


def openai_error(message: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def openai_answer(
    *, number: int, model: str, content: str | None, refusal: str | None, finish: str, usage: tuple[int, int, int]
) -> dict[str, Any]:
    prompt, completion, cached = usage
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(datetime.now(UTC).timestamp()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": refusal, "annotations": []},
                "logprobs": None,
                "finish_reason": finish,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


_METRIC = "generativelanguage.googleapis.com/generate_content_free_tier"


def gemini_violation(kind: str, model: str, bucket: Bucket | None, per_day: int | None) -> dict[str, Any]:
    quota_id, metric, value = {
        "requests": (
            "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            f"{_METRIC}_requests",
            f"{bucket.per_minute:.0f}" if bucket is not None else "10",
        ),
        "tokens": (
            "GenerateContentInputTokensPerModelPerMinute-FreeTier",
            f"{_METRIC}_input_token_count",
            f"{bucket.per_minute:.0f}" if bucket is not None else "250000",
        ),
        "day": ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", f"{_METRIC}_requests", str(per_day or 250)),
    }[kind]
    return {
        "quotaMetric": metric,
        "quotaId": quota_id,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": value,
    }


def gemini_refusal(violations: list[dict[str, Any]], wait: float, *, wrapped: bool, bare: bool) -> Any:
    """The body of a 429. `retryDelay` drops the fraction of a second that the message keeps."""
    if bare:
        body: Any = {
            "error": {
                "code": 429,
                "message": "Resource has been exhausted (e.g. check quota).",
                "status": "RESOURCE_EXHAUSTED",
            }
        }
    else:
        message = (
            "You exceeded your current quota, please check your plan and billing details.\n"
            f"* Quota exceeded for metric: {violations[0]['quotaMetric']}, limit: {violations[0]['quotaValue']}\n"
            f"Please retry in {wait:.9f}s."
        )
        kind = "type.googleapis.com/google.rpc"
        body = {
            "error": {
                "code": 429,
                "message": message,
                "status": "RESOURCE_EXHAUSTED",
                "details": [
                    {"@type": f"{kind}.QuotaFailure", "violations": violations},
                    {
                        "@type": f"{kind}.Help",
                        "links": [
                            {"description": "Learn more about Gemini API quotas", "url": "https://ai.google.dev"}
                        ],
                    },
                    {"@type": f"{kind}.RetryInfo", "retryDelay": f"{math.floor(wait)}s"},
                ],
            }
        }
    return [body] if wrapped else body


def gemini_error(code: int, status: str, message: str, reason: str | None = None) -> dict[str, Any]:
    details = []
    if reason:
        details.append(
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
        )
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


def gemini_answer(
    *,
    model: str,
    text: str | None,
    finish: str,
    usage: tuple[int, int, int],
    block: str | None = None,
    thoughts: int = 0,
) -> dict[str, Any]:
    prompt, completion, cached = usage
    counted = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": completion,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + completion + thoughts,
        "cachedContentTokenCount": cached,
    }
    if block is not None:
        return {"promptFeedback": {"blockReason": block}, "usageMetadata": counted, "modelVersion": model}
    content: dict[str, Any] = {"role": "model"}
    if text is not None:
        content["parts"] = [{"text": text}]
    return {
        "candidates": [{"content": content, "finishReason": finish, "index": 0}],
        "usageMetadata": counted,
        "modelVersion": model,
    }


def openai_question(body: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """The user's text, all text, and the schema, of either endpoint."""
    messages = body.get("messages")
    if messages is None:
        given = body.get("input", "")
        messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
    user = "\n".join(_text(message["content"]) for message in messages if message["role"] == "user")
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    schema = schema or body.get("text", {}).get("format", {}).get("schema", {})
    text = "\n".join(_text(message["content"]) for message in messages) + json.dumps(schema)
    return user, text, schema


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def openai_response(
    number: int, model: str, content: str | None, refusal: str | None, finish: str, usage: tuple[int, int, int]
) -> dict[str, Any]:
    """The answer of /v1/responses."""
    part = (
        {"type": "refusal", "refusal": refusal}
        if refusal
        else {"type": "output_text", "text": content or "", "annotations": []}
    )
    cut = finish == "length"
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": model,
        "output": [
            {"type": "message", "id": f"msg_{number}", "status": "completed", "role": "assistant", "content": [part]}
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": usage[0],
            "output_tokens": usage[1],
            "total_tokens": usage[0] + usage[1],
            "input_tokens_details": {"cached_tokens": usage[2]},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def gemini_question(body: dict[str, Any]) -> tuple[str, str, dict[str, Any], int]:
    """The user's text, all text, the schema and the output ceiling. Keys in camel or snake case, as SDKs send them."""

    def of(node: Any, camel: str, snake: str, default: Any) -> Any:
        return node.get(camel, node.get(snake, default)) if isinstance(node, dict) else default

    generation = of(body, "generationConfig", "generation_config", {})
    schema = of(generation, "responseSchema", "response_schema", {})
    system = of(body, "systemInstruction", "system_instruction", {})
    user = "\n".join(part.get("text", "") for content in body["contents"] for part in content["parts"])
    text = user + "\n".join(part.get("text", "") for part in system.get("parts", [])) + json.dumps(schema)
    return user, text, schema, int(of(generation, "maxOutputTokens", "max_output_tokens", 0))
