"""Tokens that a user may spend a day: set aside before work is accepted, settled from what it really used.

    with database.transaction() as connection:
        reservation = reserve(connection, user_id=user, tokens=40_000, purpose="study", default_limit=settings.…)
    ...
    with database.transaction() as connection:
        settle(connection, reservation, used_tokens=usage.total_tokens)

A reservation that nobody settles, because its process died, stops counting when it expires. Days are UTC's. The
platform's own work (no user) has no budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from resources.llm.errors import LlmQuotaError, QuotaScope

if TYPE_CHECKING:
    from psycopg import Connection

LIFETIME = timedelta(hours=1)
"""Longer than any task that reserves: the LLM deadline, a queue, and a margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Tokens set aside. `id` is None where there is no limit to hold: settling still counts what was used."""

    id: UUID | None
    user_id: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How a user stands today. `limit` is None when there is none."""

    limit: int | None
    used: int
    reserved: int

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used - self.reserved)


_STAND = """
SELECT coalesce((SELECT tokens_per_day FROM llm_budget_limits WHERE user_id = %(user)s), %(default)s) AS limit,
       coalesce((SELECT used_tokens FROM llm_budgets WHERE user_id = %(user)s AND day = %(day)s), 0) AS used,
       coalesce((SELECT sum(tokens) FROM llm_budget_reservations
                  WHERE user_id = %(user)s AND day = %(day)s AND expires_at > %(now)s), 0)::bigint AS reserved
"""


def standing(
    connection: Connection[Any], *, user_id: str, default_limit: int | None, now: datetime | None = None
) -> Budget:
    """What a user may still spend today."""
    now = now or datetime.now(UTC)
    row = connection.execute(
        _STAND, {"user": user_id, "default": default_limit, "day": now.date(), "now": now}
    ).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return Budget(limit=row[0], used=row[1], reserved=row[2])


def reserve(
    connection: Connection[Any],
    *,
    user_id: str,
    tokens: int,
    purpose: str,
    default_limit: int | None,
    lifetime: timedelta = LIFETIME,
    now: datetime | None = None,
) -> Reservation:
    """Set tokens aside, or raise `LlmQuotaError` with the scope `user_budget` and the time of the next day.

    Two requests of one user at the same moment queue on the user's row, so together they cannot pass the limit.
    """
    now = now or datetime.now(UTC)
    _lock(connection, user_id, now)
    budget = standing(connection, user_id=user_id, default_limit=default_limit, now=now)
    if budget.limit is None:
        return Reservation(id=None, user_id=user_id, tokens=tokens)
    if budget.left is not None and tokens > budget.left:
        raise LlmQuotaError(
            f"this needs about {tokens} tokens and {budget.left} of {budget.limit} are left today: try again tomorrow "
            "(UTC), or have the daily budget raised (LLM_DAILY_TOKEN_BUDGET)",
            provider="budget",
            scope=QuotaScope.USER_BUDGET,
            not_before=datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC),
        )
    reservation = Reservation(id=uuid4(), user_id=user_id, tokens=tokens)
    if tokens > 0:
        connection.execute(
            "INSERT INTO llm_budget_reservations (id, user_id, day, tokens, purpose, expires_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            (reservation.id, user_id, now.date(), tokens, purpose, now + lifetime),
        )
    return reservation


def settle(
    connection: Connection[Any], reservation: Reservation, *, used_tokens: int, now: datetime | None = None
) -> None:
    """Give the reservation back and count what was used, on the day it was used. The second time changes nothing."""
    now = now or datetime.now(UTC)
    if reservation.id is not None and reservation.tokens > 0:
        gone = connection.execute("DELETE FROM llm_budget_reservations WHERE id = %s", (reservation.id,))
        if gone.rowcount == 0:
            # Settled before: a transaction that is repeated after a lost acknowledgement must not count twice.
            return
    if used_tokens > 0:
        connection.execute(
            "INSERT INTO llm_budgets AS spent (user_id, day, used_tokens) VALUES (%s, %s, %s) "
            "ON CONFLICT (user_id, day) DO UPDATE SET used_tokens = spent.used_tokens + excluded.used_tokens",
            (reservation.user_id, now.date(), used_tokens),
        )


def set_limit(connection: Connection[Any], *, user_id: str, tokens_per_day: int | None) -> None:
    """Give a user a limit of their own; None takes it away, so that the default holds again."""
    if tokens_per_day is None:
        connection.execute("DELETE FROM llm_budget_limits WHERE user_id = %s", (user_id,))
        return
    connection.execute(
        "INSERT INTO llm_budget_limits (user_id, tokens_per_day) VALUES (%s, %s) "
        "ON CONFLICT (user_id) DO UPDATE SET tokens_per_day = excluded.tokens_per_day, changed_at = now()",
        (user_id, tokens_per_day),
    )


def _lock(connection: Connection[Any], user_id: str, now: datetime) -> None:
    connection.execute(
        "INSERT INTO llm_budgets (user_id, day) VALUES (%s, %s) ON CONFLICT DO NOTHING", (user_id, now.date())
    )
    connection.execute("SELECT 1 FROM llm_budgets WHERE user_id = %s AND day = %s FOR UPDATE", (user_id, now.date()))
