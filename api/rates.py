"""A token bucket for each caller, in one row and one statement, on the database's clock."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

_TAKE = """
INSERT INTO api_rates AS r (subject, tokens, at) VALUES (%(subject)s, %(burst)s - 1, clock_timestamp())
ON CONFLICT (subject) DO UPDATE SET
    tokens = least(%(burst)s, r.tokens + greatest(0, extract(epoch FROM clock_timestamp() - r.at)) * %(rate)s) - 1,
    at = clock_timestamp()
    WHERE least(%(burst)s, r.tokens + greatest(0, extract(epoch FROM clock_timestamp() - r.at)) * %(rate)s) >= 1
RETURNING tokens
"""


def take_request(connection: Connection[Any], subject: str, *, per_second: float, burst: int) -> float | None:
    """Count one request of `subject`. None when it may go on, otherwise the seconds after which it may try again."""
    parameters = {"subject": subject, "burst": float(burst), "rate": per_second}
    if connection.execute(_TAKE, parameters).fetchone() is not None:
        return None
    row = connection.execute(
        "SELECT (1 - tokens) / %(rate)s - extract(epoch FROM clock_timestamp() - at)::float8 FROM api_rates"
        " WHERE subject = %(subject)s",
        parameters,
    ).fetchone()
    return max(0.0, float(row[0])) if row else 0.0


def forget_idle(connection: Connection[Any]) -> int:
    """Remove callers that have not called for a day: their buckets are full again."""
    return connection.execute("DELETE FROM api_rates WHERE at < now() - interval '1 day'").rowcount
