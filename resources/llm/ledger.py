"""The books of LLM calls: what was spent, by day, model, purpose, user and run.

Written once a task, from the usage that completions and errors carry. Adds to what stands there, so two tasks of one
run count together; a task that is killed loses from the books what it had not written, not what the provider charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from resources.llm.prices import Prices
from resources.llm.protocol import Usage

if TYPE_CHECKING:
    from psycopg import Connection

_ADD = """
INSERT INTO llm_usage AS books (day, provider, model, purpose, user_id, reference, requests, rate_limited, input_tokens,
                                output_tokens, cached_tokens, waited_seconds, cost_usd, unpriced_tokens)
VALUES (%(day)s, %(provider)s, %(model)s, %(purpose)s, %(user_id)s, %(reference)s, %(requests)s, %(rate_limited)s,
        %(input_tokens)s, %(output_tokens)s, %(cached_tokens)s, %(waited_seconds)s, %(cost)s, %(unpriced)s)
ON CONFLICT (day, provider, model, purpose, user_id, reference) DO UPDATE SET
    requests = books.requests + excluded.requests,
    rate_limited = books.rate_limited + excluded.rate_limited,
    input_tokens = books.input_tokens + excluded.input_tokens,
    output_tokens = books.output_tokens + excluded.output_tokens,
    cached_tokens = books.cached_tokens + excluded.cached_tokens,
    waited_seconds = books.waited_seconds + excluded.waited_seconds,
    cost_usd = books.cost_usd + excluded.cost_usd,
    unpriced_tokens = books.unpriced_tokens + excluded.unpriced_tokens,
    updated_at = now()
"""

_DAY = """
SELECT provider, model, purpose, sum(requests)::bigint AS requests, sum(rate_limited)::bigint AS rate_limited,
       sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
       sum(cached_tokens)::bigint AS cached_tokens, sum(waited_seconds) AS waited_seconds, sum(cost_usd) AS cost_usd,
       sum(unpriced_tokens)::bigint AS unpriced_tokens
  FROM llm_usage WHERE day = %(day)s GROUP BY provider, model, purpose ORDER BY provider, model, purpose
"""


def record_usage(
    connection: Connection[Any],
    spent: Mapping[tuple[str, str], Usage],
    *,
    prices: Prices,
    purpose: str,
    user_id: str = "",
    reference: str = "",
    batch: bool = False,
    day: date | None = None,
) -> Decimal:
    """Add usage by (provider, model) to the books, inside the caller's transaction. Returns its cost in US dollars.

    `reference` is the run or job that spent it. Entries without any call, the offline ones, are left out. The day is
    UTC's.
    """
    total = Decimal(0)
    for (provider, model), usage in spent.items():
        if usage.requests == 0 and usage.total_tokens == 0:
            continue
        cost = prices.cost(provider, model, usage, batch=batch)
        total += cost or 0
        connection.execute(
            _ADD,
            {
                "day": day or datetime.now(UTC).date(),
                "provider": provider,
                "model": model,
                "purpose": purpose,
                "user_id": user_id,
                "reference": reference,
                "requests": usage.requests,
                "rate_limited": usage.rate_limited,
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "cached_tokens": usage.cached_tokens,
                "waited_seconds": usage.waited_seconds,
                "cost": cost or 0,
                "unpriced": usage.total_tokens if cost is None else 0,
            },
        )
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLine:
    """One line of a day's books."""

    provider: str
    model: str
    purpose: str
    usage: Usage
    cost_usd: Decimal
    unpriced_tokens: int


def usage_of_day(connection: Connection[Any], day: date | None = None) -> list[DayLine]:
    """What a day (UTC, today by default) cost so far, by model and purpose."""
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_DAY, {"day": day or datetime.now(UTC).date()}).fetchall()
    return [
        DayLine(
            provider=row["provider"],
            model=row["model"],
            purpose=row["purpose"],
            usage=Usage(
                input_tokens=row["input_tokens"],
                output_tokens=row["output_tokens"],
                cached_tokens=row["cached_tokens"],
                requests=row["requests"],
                rate_limited=row["rate_limited"],
                waited_seconds=row["waited_seconds"],
            ),
            cost_usd=row["cost_usd"],
            unpriced_tokens=row["unpriced_tokens"],
        )
        for row in rows
    ]
