"""Prices, the ledger of usage, and budgets by user and day."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from resources.llm.budgets import reserve, set_limit, settle, standing
from resources.llm.errors import LlmQuotaError, QuotaScope
from resources.llm.ledger import record_usage, usage_of_day
from resources.llm.prices import PriceFileError, load_prices
from resources.llm.protocol import Usage
from resources.postgres.database import Database

NOW = datetime(2026, 5, 4, 23, 30, tzinfo=UTC)
USAGE = Usage(
    input_tokens=1_000_000,
    output_tokens=100_000,
    cached_tokens=400_000,
    requests=50,
    rate_limited=2,
    waited_seconds=3.5,
)


def test_cached_tokens_are_cheaper_and_batches_cost_half() -> None:
    prices = load_prices()

    assert prices.cost("openai", "gpt-4o-mini", USAGE) == Decimal("0.18")
    assert prices.cost("openai", "gpt-4o-mini", USAGE, batch=True) == Decimal("0.09")


@pytest.mark.parametrize(
    ("model", "listed"),
    [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4omni", None),
        ("my-own-model", None),
    ],
)
def test_a_dated_model_is_priced_by_its_longest_listed_name(model: str, listed: str | None) -> None:
    prices = load_prices()

    assert prices.find("openai", model) == (None if listed is None else prices.table["openai"][listed])


def test_a_file_replaces_entries_and_adds_models(tmp_path: Path) -> None:
    mine = tmp_path / "prices.toml"
    mine.write_text(
        '[openai."gpt-4o-mini"]\ninput = 1\noutput = 2\n[openai."house-model"]\ninput = 0.5\noutput = 0.5\n'
    )
    prices = load_prices(mine)

    # No cached price given: cached tokens cost what others cost.
    assert prices.cost("openai", "gpt-4o-mini", USAGE) == Decimal("1.2")
    assert prices.find("openai", "house-model") is not None
    assert prices.find("openai", "gpt-4o") is not None


@pytest.mark.parametrize(
    "text", ["not toml", '[openai."m"]\ninput = -1\noutput = 1', '[openai."m"]\ninput = 1', "openai = 3"]
)
def test_a_broken_price_file_says_what_an_entry_looks_like(tmp_path: Path, text: str) -> None:
    mine = tmp_path / "prices.toml"
    mine.write_text(text)
    with pytest.raises(PriceFileError, match="LLM_PRICES"):
        load_prices(mine)


def test_a_missing_price_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match="cannot be read"):
        load_prices(tmp_path / "none.toml")


def test_usage_adds_up_by_day_model_purpose_user_and_run(database: Database) -> None:
    prices = load_prices()
    spent = {("openai", "gpt-4o-mini"): USAGE, ("openai", "own"): USAGE, ("offline", "rules"): Usage()}
    for _ in range(2):
        with database.transaction() as connection:
            cost = record_usage(
                connection, spent, prices=prices, purpose="tags", user_id="u", reference="run", day=NOW.date()
            )
    with database.transaction() as connection:
        lines = {line.model: line for line in usage_of_day(connection, NOW.date())}
        rows = connection.execute("SELECT count(*) FROM llm_usage").fetchone()

    assert cost == Decimal("0.18")
    assert rows == (2,), "what asked nobody is not in the books"
    assert lines["gpt-4o-mini"].usage == USAGE + USAGE
    assert lines["gpt-4o-mini"].cost_usd == Decimal("0.360000")
    assert lines["gpt-4o-mini"].unpriced_tokens == 0
    assert (lines["own"].cost_usd, lines["own"].unpriced_tokens) == (0, 2_200_000)


def test_days_do_not_mix(database: Database) -> None:
    with database.transaction() as connection:
        record_usage(connection, {("openai", "own"): USAGE}, prices=load_prices(), purpose="tags", day=date(2026, 5, 3))
        assert usage_of_day(connection, date(2026, 5, 4)) == []


def test_what_is_set_aside_is_not_there_for_others(database: Database) -> None:
    with database.transaction() as connection:
        first = reserve(connection, user_id="u", tokens=60, purpose="study", default_limit=100, now=NOW)
        with pytest.raises(LlmQuotaError) as caught:
            reserve(connection, user_id="u", tokens=50, purpose="study", default_limit=100, now=NOW)
        settle(connection, first, used_tokens=30, now=NOW)
        reserve(connection, user_id="u", tokens=50, purpose="study", default_limit=100, now=NOW)
        stand = standing(connection, user_id="u", default_limit=100, now=NOW)

    assert caught.value.scope is QuotaScope.USER_BUDGET
    assert caught.value.not_before == datetime(2026, 5, 5, tzinfo=UTC)
    assert "40 of 100" in str(caught.value)
    assert (stand.used, stand.reserved, stand.left) == (30, 50, 20)


def test_a_new_day_is_a_new_budget_and_other_users_have_their_own(database: Database) -> None:
    with database.transaction() as connection:
        reserve(connection, user_id="u", tokens=100, purpose="study", default_limit=100, now=NOW)
        reserve(connection, user_id="other", tokens=100, purpose="study", default_limit=100, now=NOW)
        reserve(connection, user_id="u", tokens=100, purpose="study", default_limit=100, now=NOW + timedelta(hours=1))


def test_settling_twice_counts_once(database: Database) -> None:
    with database.transaction() as connection:
        held = reserve(connection, user_id="u", tokens=60, purpose="study", default_limit=100, now=NOW)
        settle(connection, held, used_tokens=30, now=NOW)
        settle(connection, held, used_tokens=30, now=NOW)

        assert standing(connection, user_id="u", default_limit=100, now=NOW).used == 30


def test_a_reservation_of_a_process_that_died_stops_counting(database: Database) -> None:
    morning = NOW - timedelta(hours=12)
    with database.transaction() as connection:
        reserve(connection, user_id="u", tokens=100, purpose="study", default_limit=100, now=morning)
        late = morning + timedelta(hours=2)

        assert standing(connection, user_id="u", default_limit=100, now=late).left == 100


def test_a_user_may_have_a_limit_of_their_own(database: Database) -> None:
    with database.transaction() as connection:
        set_limit(connection, user_id="u", tokens_per_day=10)
        with pytest.raises(LlmQuotaError):
            reserve(connection, user_id="u", tokens=11, purpose="study", default_limit=None, now=NOW)
        set_limit(connection, user_id="u", tokens_per_day=None)
        free = reserve(connection, user_id="u", tokens=10**9, purpose="study", default_limit=None, now=NOW)
        settle(connection, free, used_tokens=5, now=NOW)
        stand = standing(connection, user_id="u", default_limit=None, now=NOW)

    assert stand.left is None
    assert stand.used == 5, "without a limit it is counted all the same"


def test_two_requests_at_once_cannot_pass_the_limit_together(database: Database) -> None:
    accepted: list[int] = []

    def one(number: int) -> None:
        try:
            with database.transaction() as connection:
                reserve(connection, user_id="u", tokens=30, purpose="study", default_limit=100, now=NOW)
        except LlmQuotaError:
            return
        accepted.append(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(accepted) == 3
