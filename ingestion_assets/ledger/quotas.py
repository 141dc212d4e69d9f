"""What a user may ask for a day, set aside in the transaction that accepts the request.

Checked and taken in one statement: two requests that arrive together cannot both have the last of it. Tokens of LLM
providers have books of their own (`resources/llm/budgets.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from resources.errors import PermanentError

if TYPE_CHECKING:
    from psycopg import Connection


class Quota(StrEnum):
    """What is counted, by UTC day."""

    DOCUMENTS = "documents_per_day"
    AI_REQUESTS = "ai_requests_per_day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a user stands with one quota."""

    quota: Quota
    limit: int
    used: int
    resets_at: datetime

    @property
    def remaining(self) -> int:
        """What may still be asked for; never negative, though a limit may have been lowered below what was used."""
        return max(0, self.limit - self.used)


class QuotaExceededError(PermanentError):
    """The user has not that much left. Nothing was taken."""

    def __init__(self, standing: Standing, requested: int) -> None:
        self.standing = standing
        self.requested = requested
        super().__init__(
            f"{requested} asked for, {standing.remaining} of {standing.limit} left ({standing.quota}) until"
            f" {standing.resets_at:%Y-%m-%d %H:%M} UTC"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.standing, self.requested)


_TAKE = """
WITH ceiling AS (
    SELECT coalesce((SELECT allowed FROM quota_limits WHERE user_id = %(user)s AND quota = %(quota)s),
                    %(default)s)::bigint AS allowed
)
INSERT INTO quota_usage AS u (user_id, quota, period_start, used)
SELECT %(user)s, %(quota)s, %(start)s, %(amount)s FROM ceiling WHERE %(amount)s <= allowed
ON CONFLICT (user_id, quota, period_start) DO UPDATE SET used = u.used + excluded.used
    WHERE u.used + excluded.used <= (SELECT allowed FROM ceiling)
RETURNING u.used, (SELECT allowed FROM ceiling)
"""


def take(
    connection: Connection[Any],
    *,
    user_id: str,
    quota: Quota,
    amount: int,
    default_limit: int,
    now: datetime | None = None,
) -> Standing:
    """Take `amount` of a user's quota for the running UTC day, in the caller's transaction: a rollback gives it back.

    Raises `QuotaExceededError` when that much is not left.
    """
    if amount < 0:
        raise ValueError("a quota is taken; the rollback of its transaction gives it back")
    start, end = _day(now)
    row = connection.execute(
        _TAKE,
        {"user": user_id, "quota": quota.value, "default": default_limit, "start": start, "amount": amount},
    ).fetchone()
    if row is None:
        standing_now = standing(connection, user_id=user_id, quota=quota, default_limit=default_limit, now=now)
        raise QuotaExceededError(standing_now, amount)
    return Standing(quota=quota, limit=row[1], used=row[0], resets_at=end)


def standing(
    connection: Connection[Any], *, user_id: str, quota: Quota, default_limit: int, now: datetime | None = None
) -> Standing:
    """How a user stands, without taking anything."""
    start, end = _day(now)
    row = connection.execute(
        "SELECT coalesce((SELECT allowed FROM quota_limits WHERE user_id = %(user)s AND quota = %(quota)s),"
        " %(default)s)::bigint, coalesce((SELECT used FROM quota_usage WHERE user_id = %(user)s AND quota = %(quota)s"
        " AND period_start = %(start)s), 0)",
        {"user": user_id, "quota": quota.value, "default": default_limit, "start": start},
    ).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return Standing(quota=quota, limit=row[0], used=row[1], resets_at=end)


def set_limit(connection: Connection[Any], *, user_id: str, quota: Quota, allowed: int | None) -> None:
    """Give a user a limit of their own, or with None the one of the settings again."""
    if allowed is None:
        connection.execute("DELETE FROM quota_limits WHERE user_id = %s AND quota = %s", (user_id, quota.value))
        return
    connection.execute(
        "INSERT INTO quota_limits (user_id, quota, allowed) VALUES (%s, %s, %s)"
        " ON CONFLICT (user_id, quota) DO UPDATE SET allowed = excluded.allowed",
        (user_id, quota.value, allowed),
    )


def _day(now: datetime | None) -> tuple[datetime, datetime]:
    start = (now or datetime.now(UTC)).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + timedelta(days=1)
