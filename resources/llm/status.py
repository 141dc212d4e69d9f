"""How the providers stand, for people: what pace was learnt, who is blocked until when, and how to lift a block."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from resources.llm.errors import QuotaScope

if TYPE_CHECKING:
    from psycopg import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceLine:
    """One account and model. Limits are per minute; None where none is known."""

    provider: str
    model: str
    account: str
    requests_per_minute: float | None
    tokens_per_minute: float | None
    learned: str
    refusals: int
    blocked_until: datetime | None
    blocked_scope: QuotaScope | None
    blocked_reason: str | None
    updated_at: datetime


_LINES = """
SELECT requests.provider, requests.model, requests.account, requests.rate * 60, tokens.rate * 60, requests.learned,
       requests.refusals + tokens.refusals, requests.blocked_until, requests.blocked_scope, requests.blocked_reason,
       requests.updated_at
  FROM llm_pacing AS requests
  JOIN llm_pacing AS tokens USING (provider, account, model)
 WHERE requests.dimension = 'requests' AND tokens.dimension = 'tokens'
 ORDER BY requests.provider, requests.model, requests.account
"""


def pace_lines(connection: Connection[Any]) -> list[PaceLine]:
    """Every account and model that was called. A block that is over is not shown."""
    lines = []
    now = connection.execute("SELECT now()").fetchone()
    for row in connection.execute(_LINES).fetchall():
        blocked = row[7] is not None and now is not None and row[7] > now[0]
        lines.append(
            PaceLine(
                provider=row[0],
                model=row[1],
                account=row[2],
                requests_per_minute=row[3],
                tokens_per_minute=row[4],
                learned=row[5],
                refusals=row[6],
                blocked_until=row[7] if blocked else None,
                blocked_scope=QuotaScope(row[8]) if blocked else None,
                blocked_reason=row[9] if blocked else None,
                updated_at=row[10],
            )
        )
    return lines


def unblock(connection: Connection[Any], *, provider: str) -> int:
    """Let calls to a provider through again before its block ends: somebody has paid, or changed the plan.

    Returns how many accounts were blocked. If the quota is not back, the next call is refused and blocks again.
    """
    done = connection.execute(
        "UPDATE llm_pacing SET blocked_until = NULL, blocked_scope = NULL, blocked_reason = NULL, version = version + 1 "
        "WHERE provider = %(provider)s AND (provider, account, model) IN "
        "(SELECT provider, account, model FROM llm_pacing WHERE blocked_until > now())",
        {"provider": provider},
    )
    # Both dimensions of an account change together, because their versions must stay equal.
    return done.rowcount // 2
