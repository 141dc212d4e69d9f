"""When a service says to come back, in the several ways that services say it.

Belongs here: reading of reset times that are not Retry-After, which the outbound client reads itself.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ingestion_assets.events.model import Json
from resources.http import Reply


def server_time(reply: Reply) -> float:
    """The time in epoch seconds by the answer's own clock, so that a wrong clock on either side cancels out."""
    moment = _moment(reply.headers.get("Date", ""))
    return time.time() if moment is None else moment


def seconds_until(value: Json, *, now: float) -> float | None:
    """Seconds from `now` (epoch) to the moment that `value` names; 0 if it has passed, None if it cannot be read.

    Read are epoch milliseconds and seconds, a number of seconds to wait, and dates in ISO 8601 and as in HTTP, where
    a date without a zone is UTC.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        moment = float(value)
    except ValueError:
        until = _moment(str(value))
        return None if until is None else max(0.0, until - now)
    except OverflowError:
        return None
    if not math.isfinite(moment) or moment < 0:
        return None
    if moment >= 1e11:
        moment /= 1_000
    # A number too small to be a date of this century is a number of seconds to wait.
    return max(0.0, moment - now) if moment >= 1e9 else moment


def _moment(text: str) -> float | None:
    text = text.strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):
        return None
