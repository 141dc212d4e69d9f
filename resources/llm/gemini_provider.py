"""Gemini through google-genai, or through google-generativeai where GEMINI_SDK=legacy asks for it.

Both adapters share what this module knows: how a refusal is read and typed, and what a finish reason means. Gemini
sends no rate limits with its answers, so the pace starts from the settings and learns from refusals, which name the
limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from resources.llm import hints
from resources.llm.errors import (
    Flaw,
    LlmAuthenticationError,
    LlmError,
    LlmQuotaError,
    LlmRateLimitError,
    LlmRefusalError,
    LlmRequestError,
    LlmResponseError,
    LlmUnavailableError,
    QuotaScope,
)

PROVIDER = "gemini"
THINKING_ROOM = 2048
"""Tokens added to the ceiling, at least, where the model may think before it answers: thinking counts against it."""

_CUT = frozenset({"MAX_TOKENS"})
_BLOCKED = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "MODEL_ARMOR"}
)


def thinking_budget(model: str, setting: int | None) -> int | None:
    """Thinking tokens to ask for; None leaves it to the model.

    The flash models of the 2.5 generation think unless told not to, and would spend a ceiling that fits the answer.
    """
    if setting is not None:
        return setting
    return 0 if model.startswith(("gemini-2.5-flash", "models/gemini-2.5-flash")) else None


def classify(status: int, message: str | None, details: Any, headers: Mapping[str, str], *, model: str) -> LlmError:
    """The typed error for a refused call. `details` as in `hints.gemini_quota`; headers in lower case."""
    if status == 429:
        return _refused(message, details, headers, model)
    if status in (401, 403) or (status == 400 and _bad_key(details, message)):
        return LlmAuthenticationError(
            f"gemini refused the key ({status}): check GEMINI_API_KEY, and that it may use {model} (GEMINI_MODEL)",
            provider=PROVIDER,
            model=model,
        )
    if status == 400 and "FAILED_PRECONDITION" in str(details):
        return LlmAuthenticationError(
            "gemini is not offered to this account (400): not in this region, or not without billing; enable it, or take "
            "gemini out of LLM_PROVIDERS",
            provider=PROVIDER,
            model=model,
        )
    if status == 404:
        return unknown_model(model)
    if status in (408, 409, 425, 499) or status >= 500:
        return LlmUnavailableError(
            f"gemini is not available ({status})",
            provider=PROVIDER,
            model=model,
            retry_after=hints.retry_after(headers) or hints.gemini_quota(details, None).delay,
        )
    return LlmRequestError(
        f"gemini rejected the request ({status}): does {model} (GEMINI_MODEL) support JSON schemas and a prompt of "
        "this length, and is the service offered in this region?",
        provider=PROVIDER,
        model=model,
    )


def _refused(message: str | None, details: Any, headers: Mapping[str, str], model: str) -> LlmError:
    quota = hints.gemini_quota(details, message)
    if quota.per_day:
        # Whatever delay stands beside it, and it does, the day's quota is not back before the day is over.
        return LlmQuotaError(
            f"the daily gemini quota for {model} is used up: back after midnight Pacific time, or with a paid plan",
            provider=PROVIDER,
            scope=QuotaScope.PROVIDER_DAY,
            not_before=hints.next_pacific_midnight(),
            model=model,
        )
    wait = max((delay for delay in (hints.retry_after(headers), quota.delay) if delay is not None), default=None)
    if wait is not None and wait >= 600:
        return LlmQuotaError(
            f"the gemini quota for {model} is used up; gemini asks to wait {wait / 60:.0f} minutes",
            provider=PROVIDER,
            scope=QuotaScope.PROVIDER_DAY,
            not_before=datetime.now(UTC) + timedelta(seconds=wait),
            model=model,
            retry_after=wait,
        )
    return LlmRateLimitError(
        f"gemini limits the {quota.dimension or 'requests'} per minute of {model}",
        provider=PROVIDER,
        model=model,
        retry_after=wait,
        ramping=not quota.detailed,
        dimension=quota.dimension,
        limit_per_minute=quota.limit_per_minute,
    )


def _bad_key(details: Any, message: str | None) -> bool:
    """Gemini answers 400, not 401, to a key that does not exist."""
    text = str(details)
    return "API_KEY_INVALID" in text or "API key not valid" in (message or "")


def cannot_reach(model: str) -> LlmUnavailableError:
    """The transport failed before a status came."""
    return LlmUnavailableError(
        "gemini cannot be reached; is GEMINI_BASE_URL right and the network up?", provider=PROVIDER, model=model
    )


def too_slow(model: str, within: float) -> LlmUnavailableError:
    """The SDK's timeout ended the call."""
    return LlmUnavailableError(
        f"gemini did not answer within {within:.0f} s (LLM_REQUEST_TIMEOUT_SECONDS)", provider=PROVIDER, model=model
    )


def not_an_answer(model: str) -> LlmUnavailableError:
    """Status 200, and nothing of Gemini's in the body: a proxy's page, or its error. No model has seen the question."""
    return LlmUnavailableError(
        "gemini answered 200 without a completion; is GEMINI_BASE_URL the address of an API?",
        provider=PROVIDER,
        model=model,
    )


def endless(model: str) -> LlmResponseError:
    """Brackets within brackets, of which the SDK gives nothing back, the usage neither."""
    return LlmResponseError(
        "gemini gave an answer that is not JSON", provider=PROVIDER, flaw=Flaw.MALFORMED, model=model
    )


def blocked(block_reason: str | None, finish_reason: str | None, *, model: str) -> LlmError | None:
    """The error that a reason stands for; None when the answer may be read. Names without the enum's class."""
    if block_reason and block_reason not in ("BLOCKED_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED"):
        return LlmRefusalError(f"gemini blocked this text ({block_reason})", provider=PROVIDER, model=model)
    if finish_reason in _CUT:
        return LlmResponseError(
            "gemini cut the answer off at the token ceiling", provider=PROVIDER, flaw=Flaw.TRUNCATED, model=model
        )
    if finish_reason in _BLOCKED:
        return LlmRefusalError(f"gemini stopped the answer ({finish_reason})", provider=PROVIDER, model=model)
    return None


_KEPT = frozenset(
    {"type", "enum", "items", "required", "description", "minItems", "maxItems", "minimum", "maximum", "anyOf"}
)
_FORMATS = frozenset({"date-time", "enum", "int32", "int64", "float", "double"})
"""The service rejects a schema with any other format."""


def plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema in the subset of OpenAPI that both SDKs send: references inlined, nothing but shape."""
    schema = model.model_json_schema()
    inlined = _inline(schema, schema.get("$defs", {}))
    assert isinstance(inlined, dict)  # noqa: S101 - a model's schema is an object
    return inlined


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inline(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    kept = {name: _inline(value, definitions) for name, value in node.items() if name in _KEPT}
    if "properties" in node:
        kept["properties"] = {name: _inline(part, definitions) for name, part in node["properties"].items()}
    if node.get("format") in _FORMATS:
        kept["format"] = node["format"]
    if "const" in node:
        kept["enum"] = [node["const"]]
    return _nullable(kept)


def _nullable(node: dict[str, Any]) -> dict[str, Any]:
    """`X | None` as these APIs say it."""
    choices = node.get("anyOf")
    if choices is None or {"type": "null"} not in choices:
        return node
    left = [choice for choice in choices if choice != {"type": "null"}]
    rest = {name: value for name, value in node.items() if name != "anyOf"}
    return {**rest, **(left[0] if len(left) == 1 else {"anyOf": left}), "nullable": True}


def unknown_model(model: str) -> LlmRequestError:
    """404: every other question to this model would meet it too."""
    error = LlmRequestError(
        f"gemini knows no model {model} at this address: check GEMINI_MODEL and GEMINI_BASE_URL",
        provider=PROVIDER,
        model=model,
    )
    error.final = True
    return error
