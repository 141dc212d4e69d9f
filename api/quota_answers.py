"""Quotas on the wire: what is left, and the refusal that says when there will be more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from api.problems import Problem
from ingestion_assets.ledger import quotas
from ingestion_assets.ledger.quotas import Quota, QuotaExceededError
from ingestion_assets.ledger.tokens import Principal


def taken(connection: Connection[Any], user: Principal, quota: Quota, amount: int, limit: int) -> dict[str, Any]:
    """Take from the user's quota and say how they stand. Raises `Problem` 429 with the same figures."""
    try:
        standing = quotas.take(connection, user_id=user.user_id, quota=quota, amount=amount, default_limit=limit)
    except QuotaExceededError as error:
        standing = error.standing
        wait = max(1, round((standing.resets_at - datetime.now(UTC)).total_seconds()))
        raise Problem(
            429,
            f"{error.requested} asked for, {standing.remaining} left of {standing.limit}.",
            name="quota-exceeded",
            headers={"Retry-After": str(wait)},
            quota=quota.value,
            quota_scope="user",
            limit=standing.limit,
            used=standing.used,
            requested=error.requested,
            resets_at=standing.resets_at.isoformat(),
        ) from None
    return {
        "quota": quota.value,
        "limit": standing.limit,
        "used": standing.used,
        "remaining": standing.remaining,
        "resets_at": standing.resets_at.isoformat(),
    }
