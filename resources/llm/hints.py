"""How long a provider asks to wait, wherever it says so, and what its headers tell about its limits.

Pure functions on headers, messages and JSON. Sources: RFC 9110 §10.2.3 (Retry-After), OpenAI's rate limit guide
(x-ratelimit-*, Go durations), google.rpc.RetryInfo and QuotaFailure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from resources.llm.pacing.bucket import Limit, Limits

_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_GO_UNIT = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_IN_TEXT = re.compile(
    r"(?:please\s+)?(?:try\s+again|retry)\s+(?:in|after)\s+((?:\d+(?:\.\d+)?\s*(?:ms|h|m|s))+|\d+(?:\.\d+)?\s*seconds?)",
    re.IGNORECASE,
)
_SIZES = re.compile(r"\blimit:?\s+([\d,]+).{0,200}?\brequested:?\s+([\d,]+)", re.IGNORECASE | re.DOTALL)
TRUNCATED = 1.0
"""Seconds added to Gemini's `retryDelay`, which drops the fraction: 58 s where the message says 58.934 s."""
LONGEST = 31 * 86_400.0
"""Seconds. Quotas are for a minute, a day or a month; what lies beyond is a broken header, and no date can be made of it."""
_PACIFIC = ZoneInfo("America/Los_Angeles")


def go_duration(text: str | None) -> float | None:
    """Seconds of `12ms`, `1s`, `6m0s`, `1h2m3.5s`; None for anything else."""
    if not text:
        return None
    parts = list(_GO_PART.finditer(text.strip()))
    if not parts or "".join(part[0] for part in parts) != text.strip():
        return None
    return sum(float(part[1]) * _GO_UNIT[part[2]] for part in parts)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that `retry-after-ms` or `Retry-After` (seconds or a date) ask for. Keys in lower case."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return _bounded(seconds)
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return _bounded(go_duration(value))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _bounded((moment - (now or datetime.now(UTC))).total_seconds())


def _bounded(seconds: float | None) -> float | None:
    return None if seconds is None else min(max(0.0, seconds), LONGEST)


def delay_in_text(message: str | None) -> float | None:
    """Seconds of "Please try again in 772ms", "Please retry in 53.016342224s", "try again in 6m0s"."""
    found = _IN_TEXT.search(message or "")
    if found is None:
        return None
    text = found[1].lower()
    if "second" in text:
        return _bounded(float(text.split("second", maxsplit=1)[0]))
    return _bounded(go_duration(re.sub(r"\s+", "", text)))


def never_fits(message: str | None) -> bool:
    """Whether a refusal for tokens says that one request is beyond the whole limit: "Limit 30000, Requested 40381".

    Nothing but the message tells it from a refusal for the pace: status, code and type are the same.
    """
    sizes = _SIZES.search(message or "")
    beyond = sizes is not None and int(sizes[1].replace(",", "") or 0) < int(sizes[2].replace(",", "") or 0)
    return beyond or "request too large" in (message or "").lower()


def limits(headers: Mapping[str, str]) -> Limits:
    """Both dimensions of `x-ratelimit-*`. Keys in lower case. A limit of 0 or -1, as Azure sends, is unknown."""
    return Limits(requests=_limit(headers, "requests"), tokens=_limit(headers, "tokens"))


def _limit(headers: Mapping[str, str], dimension: str) -> Limit | None:
    limit = _number(headers.get(f"x-ratelimit-limit-{dimension}"))
    if limit is None or limit <= 0:
        return None
    remaining = _number(headers.get(f"x-ratelimit-remaining-{dimension}"))
    if remaining is not None and remaining < 0:
        remaining = None
    return Limit(limit, remaining, go_duration(headers.get(f"x-ratelimit-reset-{dimension}")))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and value == value and abs(value) != float("inf") else None  # noqa: PLR0124


@dataclass(frozen=True, slots=True)
class GeminiQuota:
    """What a RESOURCE_EXHAUSTED says, in either SDK's shape."""

    delay: float | None
    """Seconds, with the lost fraction made good."""
    per_day: bool
    dimension: str | None
    limit_per_minute: float | None
    detailed: bool
    """False: the bare "Resource has been exhausted", which tells nothing but that it was too fast."""


def gemini_quota(details: Any, message: str | None) -> GeminiQuota:
    """Read the error details of a 429.

    `details` is the JSON body of the REST API (also inside a list of one), the list of its `error.details`, or the
    protobuf messages that the gRPC transport gives. A day's quota wins over any `retryDelay` beside it.
    """
    delay: float | None = None
    violations: list[tuple[str, str | None]] = []
    entries = _entries(details)
    for entry in entries:
        delay = _bounded(_delay(entry)) or delay
        violations += _violations(entry)
    spoken = delay_in_text(message)
    if spoken is not None:
        # The message keeps the fraction that `retryDelay` drops.
        delay = max(spoken, delay or 0.0)
    elif delay is not None:
        delay += TRUNCATED
    ids = [quota_id for quota_id, _ in violations]
    per_day = any("PerDay" in quota_id for quota_id in ids)
    minute = [(quota_id, value) for quota_id, value in violations if "PerMinute" in quota_id]
    dimension = None
    limit = None
    if minute:
        dimension = "tokens" if "Token" in minute[0][0] else "requests"
        limit = _number(minute[0][1])
    return GeminiQuota(delay, per_day, dimension, limit, bool(violations) or delay is not None)


def _entries(details: Any) -> list[Any]:
    if isinstance(details, list) and len(details) == 1 and isinstance(details[0], dict) and "error" in details[0]:
        details = details[0]
    if isinstance(details, dict):
        details = details.get("error", details).get("details", [])
    return list(details) if isinstance(details, list | tuple) else []


def _delay(entry: Any) -> float | None:
    if isinstance(entry, dict):
        value = entry.get("retryDelay") or entry.get("retry_delay")
        if isinstance(value, dict):
            return _number(str(value.get("seconds", "")))
        return go_duration(value) if isinstance(value, str) else None
    delay = getattr(entry, "retry_delay", None)
    seconds = getattr(delay, "seconds", None)
    if seconds is None:
        return None
    return float(seconds) + float(getattr(delay, "nanos", 0)) / 1e9


def _violations(entry: Any) -> list[tuple[str, str | None]]:
    found = entry.get("violations", []) if isinstance(entry, dict) else getattr(entry, "violations", [])
    read = []
    for violation in found or []:
        if isinstance(violation, dict):
            read.append((str(violation.get("quotaId", "")), _text(violation.get("quotaValue"))))
        else:
            # The published QuotaFailure message has no quota id: subject and description carry the same names.
            names = [getattr(violation, name, "") for name in ("quota_id", "subject", "description")]
            read.append((" ".join(str(name) for name in names if name), _text(getattr(violation, "quota_value", None))))
    return read


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def next_pacific_midnight(now: datetime | None = None) -> datetime:
    """When Gemini's daily quotas are said to begin anew, in UTC, with five minutes for clocks that differ."""
    local = (now or datetime.now(UTC)).astimezone(_PACIFIC)
    midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), _PACIFIC)
    return (midnight + timedelta(minutes=5)).astimezone(UTC)
