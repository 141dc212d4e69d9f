"""Quotas on the wire: what is left, and the refusal that says when there will be more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from api.problems import Problem
from ingestion_assets.ledger import quotas
from ingestion_assets.ledger.quotas import Quota, QuotaExceededError, Standing
from ingestion_assets.ledger.tokens import Principal


def taken(connection: Connection[Any], user: Principal, quota: Quota, amount: int, limit: int) -> dict[str, Any]:
    """Take from the user's quota and say how they stand. Raises `Problem` 429 with the same figures."""
    try:
        standing = quotas.take(connection, user_id=user.user_id, quota=quota, amount=amount, default_limit=limit)
    except QuotaExceededError as error:
        raise _refusal(error.standing, error.requested) from None
    return {
        "quota": quota.value,
        "limit": standing.limit,
        "used": standing.used,
        "remaining": standing.remaining,
        "resets_at": standing.resets_at.isoformat(),
    }


def refuse_when_used_up(connection: Connection[Any], user: Principal, quota: Quota, limit: int) -> None:
    """Raise the `Problem` 429 that taking anything at all would raise. Nothing is taken."""
    standing = quotas.standing(connection, user_id=user.user_id, quota=quota, default_limit=limit)
    if standing.remaining < 1:
        raise _refusal(standing, 1)


def _refusal(standing: Standing, requested: int) -> Problem:
    wait = max(1, round((standing.resets_at - datetime.now(UTC)).total_seconds()))
    return Problem(
        429,
        f"{requested} asked for, {standing.remaining} left of {standing.limit}.",
        name="quota-exceeded",
        headers={"Retry-After": str(wait)},
        quota=standing.quota.value,
        quota_scope="user",
        limit=standing.limit,
        used=standing.used,
        requested=requested,
        resets_at=standing.resets_at.isoformat(),
    )
