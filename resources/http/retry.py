"""When to repeat a call, and how long to wait before.

Belongs here: reading of Retry-After, and the retry loop (tenacity) around one attempt. What an answer means is decided
in `client.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import uniform
from typing import TypeVar

import tenacity
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from resources.errors import TransientError
from resources.http.errors import OutboundFailure
from resources.http.reply import Headers

T = TypeVar("T")

BACKOFF_BASE = 0.5
"""Seconds; the wait before retry n is drawn evenly from 0 to `BACKOFF_BASE`·2ⁿ⁻¹ ("full jitter")."""
BACKOFF_CAP = 30.0
LONGEST_WAIT = 1e9
"""Seconds, 31 years: longer than any call waits, and a number that every delay can be reckoned with."""
# Spreads the clients that were all told the same second.
_SPREAD = 0.25


def named_wait(headers: Headers, *, now: float) -> float | None:
    """Seconds that Retry-After asks for (RFC 9110 §10.2.3), or None. `now` is the wall clock as a Unix time.

    A date is measured against the answer's own Date where there is one, so a wrong clock on either side cancels out.
    However far away the named time is, it is a time not to come before: what is longer than `LONGEST_WAIT` counts as that.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return min(float(value), LONGEST_WAIT)
    until = _unix_time(value)
    if until is None:
        return None
    server_now = _unix_time(headers.get("date", ""))
    return max(0.0, until - (now if server_now is None else server_now))


def _unix_time(text: str) -> float | None:
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class _NamedWaitOrJitter(wait_base):
    """Full jitter, or the wait the service named where that is longer, a little more to spread the crowd.

    Proxies say "Retry-After: 0" of a server that is restarting: eight tries within a second would be the end of it.
    """

    def __init__(self) -> None:
        self._jitter = tenacity.wait_random_exponential(multiplier=BACKOFF_BASE, max=BACKOFF_CAP)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        named, jitter = _named(retry_state), self._jitter(retry_state)
        return jitter if named is None else max(named + uniform(0, _SPREAD), jitter)  # noqa: S311


class _OutOfTime(stop_base):
    """The next wait would not end before the deadline. A wait is never shortened to fit."""

    def __init__(self, time_left: Callable[[], float]) -> None:
        self._time_left = time_left

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        return retry_state.upcoming_sleep >= self._time_left()


def _named(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, TransientError) else None


def _repeatable(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, OutboundFailure)


def call_with_retries(
    attempt: Callable[[], T], *, attempts: int, time_left: Callable[[], float], sleep: Callable[[float], None]
) -> T | TransientError:
    """The result of `attempt`, or its last TransientError once attempts are used up or the next wait does not fit.

    A wait that the service named is never shortened. Other errors, OutboundFailure among them, are raised at once.
    """

    def last_error(state: tenacity.RetryCallState) -> TransientError:
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, TransientError):
            raise TypeError("the retry loop ended without an error")
        return error

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts) | _OutOfTime(time_left),
        wait=_NamedWaitOrJitter(),
        retry=tenacity.retry_if_exception(_repeatable),
        sleep=sleep,
        retry_error_callback=last_error,
    )
    return retrying(attempt)
