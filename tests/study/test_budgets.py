"""Tokens of a user and a day: set aside before a call, settled after it; whose quota ended the work; how it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import BatchState
from ingestion_assets.study.drafts import ChunkAnswer, nothing
from ingestion_assets.study.generation.engine import QuotaStop
from ingestion_assets.study.spending import Budgeted
from resources.definitions import PostgresResource
from resources.llm.budgets import Budget, set_limit, standing
from resources.llm.errors import Flaw, LlmDeadlineError, LlmQuotaError, LlmRateLimitError, LlmResponseError, QuotaScope
from resources.llm.offline import OfflineProvider
from resources.llm.protocol import Closing, Completion, CompletionRequest, Deadline, T, Usage
from resources.postgres.database import Database
from sensors.recover_study import recover_study_sensor
from tests.fakes.llm_provider import FakeProvider
from tests.study.studio import Studio, chapter

QUESTION = CompletionRequest(
    system="s" * 400, prompt="p" * 400, answer=ChunkAnswer, max_output_tokens=1000, purpose="study", offline=nothing
)
CEILING = QUESTION.prompt_tokens + QUESTION.max_output_tokens
USED = 300


class Scripted(Closing):
    """A provider that uses `USED` tokens a call, and says how many calls it had at once."""

    def __init__(self, fail: Callable[[], BaseException] | None = None) -> None:
        self.fail = fail
        self.calls = 0
        self.most = self._now = 0

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        self.calls += 1
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0.01)
        self._now -= 1
        if self.fail is not None:
            raise self.fail()
        value = request.answer.model_validate({"cards": [], "questions": []})
        return Completion(value=value, provider="p", model="m", usage=Usage(input_tokens=200, output_tokens=100))


def ask(database: Database, client: Any, *, limit: int | None, times: int = 1, seconds: float = 30, **more: Any) -> Any:
    """What became of `times` questions at once."""

    async def run() -> Any:
        async with Budgeted(client, database, user_id="u", default_limit=limit, **more) as budgeted:
            deadline = Deadline.after(seconds)
            return await asyncio.gather(
                *(budgeted.complete(QUESTION, deadline=deadline) for _ in range(times)), return_exceptions=True
            )

    return asyncio.run(run())


def stands(database: Database, limit: int | None = None) -> Budget:
    with database.transaction() as connection:
        return standing(connection, user_id="u", default_limit=limit)


def test_what_was_set_aside_comes_back_and_what_was_used_counts(database: Database) -> None:
    seen: list[Budget] = []

    class Looking(Scripted):
        async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
            seen.append(stands(database, 10_000))
            return await super().complete(request, deadline=deadline)

    ask(database, Looking(), limit=10_000)
    assert [(budget.used, budget.reserved) for budget in seen] == [(0, CEILING)]
    assert stands(database, 10_000) == Budget(limit=10_000, used=USED, reserved=0)


def test_a_failed_call_counts_what_it_cost(database: Database) -> None:
    def cut_off() -> LlmResponseError:
        error = LlmResponseError("cut off", provider="p", flaw=Flaw.TRUNCATED)
        error.usage = Usage(input_tokens=70, output_tokens=7, requests=1)
        return error

    [error] = ask(database, Scripted(cut_off), limit=10_000)
    assert isinstance(error, LlmResponseError)
    assert stands(database, 10_000) == Budget(limit=10_000, used=77, reserved=0)


def test_without_enough_left_nothing_is_sent(database: Database) -> None:
    client = Scripted()
    [error] = ask(database, client, limit=CEILING - 1)
    assert isinstance(error, LlmQuotaError)
    assert error.scope is QuotaScope.USER_BUDGET
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert error.not_before == datetime.combine(tomorrow, datetime.min.time(), UTC)
    assert client.calls == 0


def test_ceilings_that_do_not_fit_at_once_take_turns(database: Database) -> None:
    client = Scripted()
    limit = 2 * CEILING + USED
    answers = ask(database, client, limit=limit, times=4)
    assert all(isinstance(answer, Completion) for answer in answers), answers
    assert client.most == 2, "never more under way than could be paid"
    assert stands(database, limit) == Budget(limit=limit, used=4 * USED, reserved=0)


def test_the_budget_ends_where_it_ends(database: Database) -> None:
    client = Scripted()
    limit = CEILING + 2 * USED
    answers = ask(database, client, limit=limit, times=6)
    assert [isinstance(answer, LlmQuotaError) for answer in answers].count(False) == client.calls == 3
    assert stands(database, limit).used == 3 * USED <= limit


def test_a_provider_that_costs_nothing_answers_what_the_budget_does_not_allow(database: Database) -> None:
    [answer] = ask(database, Scripted(), limit=0, free=OfflineProvider())
    assert answer.provider == "offline"
    assert answer.warnings == ("budget-quota-exceeded",)


def test_a_cancelled_call_stays_reserved_because_nobody_knows_what_it_cost(database: Database) -> None:
    [error] = ask(database, Scripted(asyncio.CancelledError), limit=10_000)
    assert isinstance(error, asyncio.CancelledError)
    assert stands(database, 10_000) == Budget(limit=10_000, used=0, reserved=CEILING)


def test_without_a_limit_use_is_counted_all_the_same(database: Database) -> None:
    ask(database, Scripted(), limit=None, times=2)
    assert stands(database).used == 2 * USED


SOON = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "scope", "whose"),
    [
        (LlmQuotaError("m", provider="b", scope=QuotaScope.USER_BUDGET, not_before=SOON), "user_budget", "user"),
        (LlmQuotaError("m", provider="g", scope=QuotaScope.PROVIDER_DAY, not_before=SOON), "provider_day", "provider"),
        (
            LlmQuotaError("m", provider="o", scope=QuotaScope.PROVIDER_BILLING, not_before=SOON),
            "provider_billing",
            "provider",
        ),
        (LlmRateLimitError("m", provider="o", retry_after=90.0), "provider_minute", "provider"),
    ],
)
def test_whose_quota_it_was_is_said(error: LlmQuotaError | LlmRateLimitError, scope: str, whose: str) -> None:
    stop = QuotaStop.of(error)
    assert stop is not None
    told = stop.report()
    assert (told["code"], told["quota"], told["quota_scope"]) == ("quota_exceeded", scope, whose)
    assert stop.not_before == SOON or stop.not_before > datetime.now(UTC) + timedelta(seconds=80)


def test_time_that_is_over_is_no_quota() -> None:
    assert QuotaStop.of(LlmDeadlineError("m", provider="p")) is None


def limited(studio: Studio, tokens: int | None) -> None:
    with studio.database.transaction() as connection:
        set_limit(connection, user_id="u", tokens_per_day=tokens)


def recover(studio: Studio) -> str:
    with dg.build_sensor_context(instance=studio.instance, resources={"postgres": PostgresResource()}) as context:
        result = recover_study_sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert isinstance(result.skip_reason, dg.SkipReason | str)
    return str(getattr(result.skip_reason, "skip_message", result.skip_reason))


def make_due(studio: Studio) -> None:
    studio.database.fetch_all(
        "UPDATE study_collections SET not_before = now() - interval '1 second' WHERE not_before IS NOT NULL RETURNING id"
    )


def open_batches(studio: Studio) -> list[Any]:
    with studio.database.transaction() as connection:
        return batches.open_batches(connection)


def test_a_users_budget_ends_the_batch_and_the_next_day_finishes_the_collection(
    studio: Studio, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_CONCURRENCY", "1")
    collection, batch = studio.create(chapter(1, 12), user="u", cards=40)
    limited(studio, 9000)
    studio.run(collection)
    found = studio.collection(collection)
    assert found["partial"] is True
    assert (found["report"]["quota"]["quota_scope"], found["report"]["quota"]["quota"]) == ("user", "user_budget")
    assert "budget" in found["errors"][-1]["detail"]
    assert found["not_before"].astimezone(UTC).time().isoformat() == "00:00:00"
    skipped = [row for row in studio.rows("study_chunks", collection) if row["code"] == "budget_exhausted"]
    assert skipped
    assert studio.batch(batch).state is BatchState.READY_PARTIAL
    assert studio.events(batch)[-1].payload["quota_scope"] == "user"
    [spent] = studio.database.fetch_all("SELECT used_tokens FROM llm_budgets WHERE user_id = 'u'")
    [books] = studio.database.fetch_all(
        "SELECT sum(input_tokens + output_tokens)::bigint AS tokens FROM llm_usage WHERE user_id = 'u'"
    )
    assert 0 < spent["used_tokens"] == books["tokens"] <= 9000
    assert recover(studio) == "No collection waits for a quota.", "the day is not over"
    make_due(studio)
    limited(studio, None)
    assert collection in recover(studio)
    [again] = open_batches(studio)
    assert (again.collection_id, again.user_id) == (collection, "u")
    assert recover(studio) == "No collection waits for a quota.", "one batch for one quota"
    answers = len(studio.rows("study_answers", collection))
    result = studio.run(collection)
    assert studio.metadata(result, "document_analyses")["reused"] >= answers
    assert studio.collection(collection)["partial"] is False
    assert studio.collection(collection)["not_before"] is None
    assert studio.batch(again.id).state is BatchState.READY


def test_what_failed_calls_and_judging_cost_is_in_the_books_too(
    studio: Studio, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_JUDGE_SHARE", "1")
    provider.configure(malformed=0.3)
    collection, _ = studio.create(chapter(1, 12), user="u", cards=20, questions=10)
    limited(studio, 10**9)
    result = studio.run(collection)
    made = studio.metadata(result, "document_analyses")
    assert made["judged"] > 0
    [books] = studio.database.fetch_all(
        "SELECT sum(input_tokens + output_tokens)::bigint AS tokens, sum(requests)::int AS requests FROM llm_usage"
    )
    [spent] = studio.database.fetch_all("SELECT used_tokens FROM llm_budgets WHERE user_id = 'u'")
    assert books["tokens"] == made["tokens_in"] + made["tokens_out"] == spent["used_tokens"]
    assert books["requests"] == len(provider.books()["entries"])


@pytest.mark.parametrize(
    ("always", "scope"), [("insufficient_quota", "provider_billing"), ("day", "provider_day")], ids=["bill", "day"]
)
def test_a_providers_quota_is_told_apart_and_retried_when_it_is_back(
    studio: Studio, provider: FakeProvider, always: str, scope: str
) -> None:
    provider.configure(always=always)
    collection, batch = studio.create(chapter(1), cards=5)
    studio.run(collection)
    found = studio.collection(collection)
    assert found["state"] == "quota_exceeded"
    assert (found["report"]["quota"]["quota_scope"], found["report"]["quota"]["quota"]) == ("provider", scope)
    assert found["not_before"] > datetime.now(UTC)
    assert studio.batch(batch).error_code == "quota_exceeded"
    assert studio.batch(batch).state is BatchState.QUOTA_EXCEEDED
    provider.configure(always="")
    studio.database.fetch_all("DELETE FROM llm_pacing RETURNING 1 AS done")
    make_due(studio)
    recover(studio)
    [again] = open_batches(studio)
    studio.run(collection)
    assert studio.batch(again.id).state is BatchState.READY
    assert studio.batch(batch).state is BatchState.QUOTA_EXCEEDED, "a final state does not change"
    assert studio.collection(collection)["state"] == "ready"


def test_a_gemini_quota_has_its_own_warning(
    studio: Studio, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LLM_PROVIDERS": "gemini",
        "GEMINI_API_KEY": "key",
        "GEMINI_BASE_URL": provider.gemini_url,
        "GEMINI_REQUESTS_PER_MINUTE": "6000",
    }.items():
        monkeypatch.setenv(name, value)
    provider.configure(always="day")
    collection, _ = studio.create(chapter(1), cards=5)
    studio.run(collection)
    report = studio.collection(collection)["report"]
    assert "gemini-quota-exceeded" in report["warnings"]
    assert report["quota"]["quota"] == "provider_day"


def test_a_cancelled_or_old_collection_is_left_alone(studio: Studio, provider: FakeProvider) -> None:
    provider.configure(always="insufficient_quota")
    cancelled, batch = studio.create(chapter(1), cards=5)
    studio.run(cancelled)
    with studio.database.transaction() as connection:
        again = batches.retry(connection, batch)
        assert again is not None
        assert batches.cancel(connection, again.id)
    old, _ = studio.create(chapter(2), cards=5)
    studio.database.fetch_all(
        "UPDATE study_collections SET created_at = now() - interval '8 days' WHERE id = %(id)s RETURNING id",
        {"id": old},
    )
    studio.run(old)
    assert studio.collection(old)["not_before"] is None
    make_due(studio)
    assert recover(studio) == "No collection waits for a quota."
    assert open_batches(studio) == []
