"""What users may ask of language models in the background: checked when asked for, done by a worker, answered in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.app import create_app
from ingestion_assets.assistant.kinds import for_user
from ingestion_assets.assistant.summaries import extract
from ingestion_assets.job_kinds import job_kinds
from ingestion_assets.ledger.async_jobs import JobDeferredError, JobFailedError
from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.job_worker import Worker
from resources.llm.errors import (
    LlmAuthenticationError,
    LlmQuotaError,
    LlmRefusalError,
    LlmUnavailableError,
    QuotaScope,
)
from resources.postgres.database import Database
from tests.api.chat_provider import chat_provider
from tests.api.conftest import Calls, settings
from tests.api.library import add_document
from tests.fakes.llm_provider import FakeProvider
from tests.study import files

FAST = JobSettings(
    INGESTION_JOB_POLL_SECONDS=0.05, INGESTION_JOB_LONGEST_POLL_SECONDS=1.0, INGESTION_JOB_BEAT_SECONDS=0.2
)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", "offline")


class RealCalls(Calls):
    """Requests to a service with the kinds that it has in production."""

    def app(self, **changes: Any) -> Any:
        return create_app(self._database, settings(**changes))


@pytest.fixture
def api(database: Database) -> RealCalls:
    return RealCalls(database)


def ask(api: Calls, user: dict[str, str], kind: str, **arguments: Any) -> httpx.Response:
    return api.post("/api/ai", headers=user, json={"kind": kind, "arguments": arguments})


def done(api: Calls, database: Database, user: dict[str, str], kind: str, **arguments: Any) -> dict[str, Any]:
    """Ask for a job, let a worker do it, read what came of it."""
    made = ask(api, user, kind, **arguments)
    assert made.status_code == 202, made.text
    Worker(database, job_kinds(), FAST).run(until_idle=True)
    job: dict[str, Any] = api.get(made.headers["location"], headers=user).json()
    return job


EXAMPLES: dict[str, dict[str, Any]] = {
    "ai.summarise": {"text": files.ENGLISH, "sentences": 2},
    "ai.flashcards": {"text": files.ENGLISH * 3, "cards": 3},
    "ai.quiz": {"text": files.ENGLISH, "questions": 2},
    "ai.tag": {"title": "Atelier de poterie", "description": "Pour les enfants de 6 à 12 ans."},
    "ai.ask": {"question": "What is a barometer?"},
}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_kind_is_done_offline_and_its_result_fits_its_description(
    api: RealCalls, database: Database, ada: dict[str, str], kind: str
) -> None:
    add_document(database, "ada", [files.ENGLISH])
    job = done(api, database, ada, kind, **EXAMPLES[kind])
    assert job["state"] == "completed", job
    model = job_kinds()[kind].result
    assert model is not None
    result = model.model_validate(job["result"]).model_dump(mode="json")
    assert result == job["result"]
    assert result["provider"] == "offline"
    match kind:
        case "ai.summarise":
            assert result["summary"].startswith("A barometer is an instrument")
            assert result["summary"].count(".") == 2
        case "ai.flashcards" | "ai.quiz":
            items = result["cards" if kind == "ai.flashcards" else "questions"]
            assert items
            for item in items:
                evidence = item["evidence"]
                assert result["text"][evidence["start"] : evidence["end"]] == evidence["quote"]
        case "ai.tag":
            assert result["type"] == "workshop"
            assert "children" in result["audience"] or result["audience"]
        case "ai.ask":
            assert result["citations"][0]["quote"].startswith("A barometer is an instrument")


def test_every_kind_on_offer_has_an_example_here() -> None:
    assert set(EXAMPLES) == {name for name in job_kinds() if name.startswith("ai.")}


@pytest.mark.parametrize(
    ("kind", "arguments", "field"),
    [
        ("ai.summarise", {}, "arguments.text"),
        ("ai.summarise", {"text": "a", "sentences": 0}, "arguments.sentences"),
        ("ai.summarise", {"text": "a", "more": 1}, "arguments.more"),
        ("ai.flashcards", {"text": "a" * 100_001}, "arguments.text"),
        ("ai.quiz", {"text": "a", "language": "de"}, "arguments.language"),
        ("ai.tag", {"title": ["x"]}, "arguments.title"),
        ("ai.ask", {"question": "q", "collections": ["../x"]}, "arguments.collections.0"),
    ],
)
def test_arguments_are_checked_when_they_are_handed_in(
    api: RealCalls, database: Database, ada: dict[str, str], kind: str, arguments: dict[str, Any], field: str
) -> None:
    reply = ask(api, ada, kind, **arguments)
    assert reply.status_code == 422
    assert field in [error["field"] for error in reply.json()["errors"]]
    assert database.fetch_all("SELECT 1 FROM async_jobs") == []


def test_a_question_about_anothers_collection_is_not_accepted(
    api: RealCalls, database: Database, ada: dict[str, str], bob: dict[str, str]
) -> None:
    theirs = add_document(database, "bob", [files.ENGLISH])
    assert ask(api, ada, "ai.ask", question="What is a barometer?", collections=[theirs]).status_code == 404
    job = done(api, database, ada, "ai.ask", question="What is a barometer?")
    assert job["result"]["found"] is False


def test_what_nothing_can_be_made_of_fails_with_a_code_and_a_sentence(
    api: RealCalls, database: Database, ada: dict[str, str]
) -> None:
    job = done(api, database, ada, "ai.flashcards", text="42")
    assert (job["state"], job["attempt"], job["error"]["code"]) == ("failed", 1, "insufficient_content")
    assert "Send a longer text" in job["error"]["message"]


def test_the_document_describes_each_kind(api: RealCalls) -> None:
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    forms = schemas["AiRequest"]["oneOf"]
    assert [form["properties"]["kind"]["const"] for form in forms] == sorted(EXAMPLES)
    for form in forms:
        name = form["properties"]["arguments"]["$ref"].rpartition("/")[2]
        assert schemas[name]["additionalProperties"] is False
    results = {option["$ref"].rpartition("/")[2] for option in schemas["JobOut"]["properties"]["result"]["anyOf"][:-1]}
    assert results == {"Answer", "Cards", "Quiz", "EventTagsOut", "Summary"}


# -- with a provider ---------------------------------------------------------------------------------------------------


@pytest.fixture
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    with chat_provider(getattr(request, "param", "honest")) as running:
        monkeypatch.setenv("LLM_PROVIDERS", "openai")
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", running.openai_url)
        yield running


def test_what_a_job_costs_is_in_the_books_under_its_kind_and_user(
    api: RealCalls, database: Database, ada: dict[str, str], provider: FakeProvider
) -> None:
    job = done(api, database, ada, "ai.summarise", text=files.ENGLISH)
    assert (job["state"], job["result"]["provider"]) == ("completed", "openai")
    [usage] = database.fetch_all("SELECT purpose, user_id, reference, requests, output_tokens FROM llm_usage")
    assert (usage["purpose"], usage["user_id"], usage["reference"]) == ("ai.summarise", "ada", f"job {job['id']}")
    assert usage["output_tokens"] > 0


@pytest.mark.parametrize("provider", ["invents", "links"], indirect=True)
def test_a_summary_with_what_the_text_does_not_hold_is_asked_for_again_and_then_quoted(
    api: RealCalls, database: Database, ada: dict[str, str], provider: FakeProvider
) -> None:
    result = done(api, database, ada, "ai.summarise", text=files.ENGLISH, sentences=2)["result"]
    assert result["summary"] == extract(files.ENGLISH, 2)
    assert (result["provider"], result["warnings"]) == ("offline", ["answer-without-evidence"])
    assert provider.books()["accepted"] == 2


def test_a_job_beyond_the_budget_is_refused_at_the_door_or_ends_with_a_reason(
    api: RealCalls, database: Database, ada: dict[str, str], provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_DAILY_TOKEN_BUDGET", "2000")
    reply = ask(api, ada, "ai.summarise", text="word " * 10_000)
    assert (reply.status_code, reply.json()["quota"], reply.json()["limit"]) == (429, "tokens_per_day", 2000)
    made = ask(api, ada, "ai.summarise", text=files.ENGLISH)
    assert made.status_code == 202
    monkeypatch.setenv("LLM_DAILY_TOKEN_BUDGET", "10")
    Worker(database, job_kinds(), FAST).run(until_idle=True)
    job = api.get(made.headers["location"], headers=ada).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "quota_exceeded")
    assert job["error"]["message"].startswith("Your budget of tokens for today is used up. Ask again after")
    assert provider.books()["accepted"] == 0


def test_settings_that_cannot_be_used_are_nothing_for_the_user(
    api: RealCalls, database: Database, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ask(api, ada, "ai.summarise", text=files.ENGLISH)
    monkeypatch.setenv("LLM_PROVIDERS", "openai")
    refused = ask(api, ada, "ai.summarise", text=files.ENGLISH)
    assert refused.status_code == 503
    Worker(database, job_kinds(), FAST).run(until_idle=True)
    job = api.get(made.headers["location"], headers=ada).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "configuration")
    assert "OPENAI" not in json.dumps(job) + refused.text


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (
            LlmQuotaError("x", provider="budget", scope=QuotaScope.USER_BUDGET, not_before=NOW + timedelta(minutes=1)),
            JobFailedError,
            "quota_exceeded",
        ),
        (
            LlmQuotaError("x", provider="p", scope=QuotaScope.PROVIDER_MINUTE, not_before=NOW + timedelta(minutes=1)),
            JobDeferredError,
            None,
        ),
        (
            LlmQuotaError("x", provider="p", scope=QuotaScope.PROVIDER_DAY, not_before=NOW + timedelta(hours=9)),
            JobFailedError,
            "provider_quota_exceeded",
        ),
        (LlmRefusalError("x", provider="p"), JobFailedError, "refused"),
        (LlmAuthenticationError("set OPENAI_API_KEY", provider="p"), JobFailedError, "authentication"),
        (LlmUnavailableError("x", provider="p"), LlmUnavailableError, "unavailable"),
    ],
)
def test_an_error_of_a_provider_becomes_what_its_user_can_do_about_it(
    error: Any, kind: type[Exception], code: str | None
) -> None:
    end = for_user(error, now=NOW)
    assert type(end) is kind
    assert getattr(end, "code", None) == code
    assert "OPENAI_API_KEY" not in str(end)


def test_a_job_that_is_cancelled_while_it_waits_for_the_provider_stops(
    api: RealCalls, database: Database, ada: dict[str, str], provider: FakeProvider
) -> None:
    import threading

    provider.configure(latency=30.0, sigma=0.0)
    made = ask(api, ada, "ai.summarise", text=files.ENGLISH)
    worker = Worker(database, job_kinds(), FAST)
    thread = threading.Thread(target=lambda: worker.run(until_idle=True))
    thread.start()
    try:
        _until(lambda: api.get(made.headers["location"], headers=ada).json()["state"] == "running")
        api.post(f"{made.headers['location']}/cancel", headers=ada)
        _until(lambda: api.get(made.headers["location"], headers=ada).json()["state"] == "cancelled")
    finally:
        worker.stop()
        thread.join(20)
    assert not thread.is_alive()


def _until(condition: Any) -> None:
    import time

    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
