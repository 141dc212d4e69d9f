"""The daily budget of tokens, looked at before work is accepted. Each call reserves its own part of it later."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection
from pydantic import ValidationError

from api.problems import Problem, unavailable
from ingestion_assets.ledger.tokens import Principal
from resources.llm.budgets import standing
from resources.llm.settings import LlmSettings

log = logging.getLogger(__name__)


def llm_settings() -> LlmSettings:
    """Which providers answer. Raises `Problem` 503 when the settings cannot be used: that is nothing for the caller."""
    try:
        return LlmSettings()
    except ValidationError as error:
        log.error("the settings of the language models cannot be used: %s", [one["msg"] for one in error.errors()])  # noqa: TRY400
        raise unavailable("The language model is not set up correctly.", seconds=60) from None


def refuse_without_budget(connection: Connection[Any], user: Principal, settings: LlmSettings, *, tokens: int) -> None:
    """Raise `Problem` 429 when the user has not about so many tokens left today. What answers offline costs none."""
    if "offline" in settings.order:
        return
    budget = standing(connection, user_id=user.user_id, default_limit=settings.llm_daily_token_budget)
    if budget.limit is None or budget.left is None or budget.left >= tokens:
        return
    now = datetime.now(UTC)
    resets_at = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    raise Problem(
        429,
        f"This needs about {tokens} tokens, and {budget.left} of {budget.limit} are left.",
        name="quota-exceeded",
        headers={"Retry-After": str(max(1, round((resets_at - now).total_seconds())))},
        quota="tokens_per_day",
        quota_scope="user",
        limit=budget.limit,
        used=budget.used + budget.reserved,
        requested=tokens,
        resets_at=resets_at.isoformat(),
    )
