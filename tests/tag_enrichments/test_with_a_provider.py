"""The asset `tag_enrichments` against a provider over HTTP: what is booked, what waits, who asks again."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.launch import RunOutcome, materialize
from resources.llm.batch_ledger import open_batches
from resources.postgres.database import Database
from tests.fakes.llm_provider import FakeProvider, fake_provider

WEEKS = {"first": date(2026, 11, 16), "last": date(2027, 2, 22)}
SAMPLES = Path(__file__).parents[2] / "samples"
TAGS = dg.AssetKey("tag_enrichments")

Run = Callable[..., RunOutcome]
Tick = Callable[[], dg.SensorResult]


@pytest.fixture(scope="module")
def provider_process() -> Iterator[FakeProvider]:
    with fake_provider(latency=0.0) as provider:
        yield provider


@pytest.fixture
def provider(provider_process: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    provider_process.reset(latency=0.0)
    monkeypatch.setenv("LLM_PROVIDERS", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-of-ours")
    monkeypatch.setenv("OPENAI_BASE_URL", provider_process.openai_url)
    return provider_process


@pytest.fixture
def run(platform_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Materialize assets of the sample weeks; the events are imported and deduplicated already."""
    from ingestion_assets.definitions import defs

    monkeypatch.setenv("OPEN_DATA_MONTREAL_CSV", str(SAMPLES / "evenements.csv"))
    with dg.DagsterInstance.ephemeral() as instance:

        def materialized(*keys: dg.AssetKey, **config: Any) -> RunOutcome:
            return materialize(defs, keys or (TAGS,), instance=instance, run_config=config or None, **WEEKS)

        imported = materialized(dg.AssetKey(["raw_events", "open_data_montreal"]), dg.AssetKey("deduplicated_events"))
        assert imported.success, imported.problems
        materialized.instance = instance  # type: ignore[attr-defined]
        yield materialized


@pytest.fixture
def tick(run: Run, database: Database) -> Tick:
    """Evaluate the sensor `recover_tags` once."""
    from resources.llm.resource import LlmResource
    from sensors.recover_tags import recover_tags_sensor

    def evaluate() -> dg.SensorResult:
        context = dg.build_sensor_context(instance=run.instance)  # type: ignore[attr-defined]
        result = recover_tags_sensor(context, postgres=StandIn(database), llm=LlmResource())
        assert isinstance(result, dg.SensorResult)
        return result

    return evaluate


def rows_by_status(database: Database) -> dict[str, int]:
    rows = database.fetch_all("SELECT status, count(*) AS n FROM tag_enrichments GROUP BY status")
    return {row["status"]: row["n"] for row in rows}


def events(database: Database) -> int:
    [row] = database.fetch_all("SELECT count(*) AS n FROM deduplicated_events WHERE replaced_by IS NULL")
    return int(row["n"])


def test_answers_are_stored_and_booked_and_a_second_run_asks_nothing(
    run: Run, provider: FakeProvider, database: Database
) -> None:
    assert run().success
    n = events(database)
    assert n > 30
    assert rows_by_status(database) == {"done": n}
    [books] = database.fetch_all("SELECT provider, purpose, requests, input_tokens, cost_usd, reference FROM llm_usage")
    asked = provider.books()
    assert (books["provider"], books["purpose"]) == ("openai", "tag_enrichments")
    assert books["requests"] == asked["requests"] > 0
    assert books["input_tokens"] > 0
    assert books["cost_usd"] > 0

    assert run().success
    assert provider.books()["requests"] == asked["requests"]


def test_a_spent_quota_defers_rows_and_the_sensor_finishes_them_when_it_is_back(
    run: Run, tick: Tick, provider: FakeProvider, database: Database
) -> None:
    provider.configure(always="insufficient_quota")
    assert run().success, "a deferred run has succeeded"
    n = events(database)
    assert rows_by_status(database) == {"pending": n}
    reasons = database.fetch_all("SELECT DISTINCT error_code, not_before > now() AS later FROM tag_enrichments")
    assert reasons == [{"error_code": "quota_exceeded", "later": True}]
    before = provider.books()["requests"]

    assert not tick().run_requests, "the time has not come"
    with database.transaction() as connection:
        connection.execute("UPDATE tag_enrichments SET not_before = now() - interval '1 second'")
        connection.execute("UPDATE llm_pacing SET blocked_until = NULL, version = version + 1")
    provider.configure(always="")
    requests = tick().run_requests or []
    assert requests
    assert all(request.asset_selection == [TAGS] for request in requests)
    assert run().success
    assert rows_by_status(database) == {"done": n}
    assert provider.books()["requests"] > before
    assert not tick().run_requests


def keys(result: dg.SensorResult) -> list[str | None]:
    return [request.run_key for request in result.run_requests or []]


def test_a_run_that_waits_for_a_slot_is_not_asked_for_again(
    run: Run, tick: Tick, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    provider.configure(batch_polls=0)
    assert run().success
    [asked] = tick().run_requests or []
    assert int(asked.tags["dagster/max_runtime"]) > 0
    # As the daemon makes it.
    queued = dg.DagsterRun(
        job_name="x", run_id=str(uuid.uuid4()), tags={**asked.tags, "dagster/sensor_name": "recover_tags"}
    )
    run.instance.add_run(queued)  # type: ignore[attr-defined]
    assert not tick().run_requests
    run.instance.report_run_failed(queued)  # type: ignore[attr-defined]
    assert keys(tick()) == [asked.run_key], "the key of this hour, which Dagster takes once"


def test_a_provider_that_hangs_does_not_hold_up_the_tick(
    run: Run, tick: Tick, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sensors import recover_tags

    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    assert run().success
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
        monkeypatch.setattr(recover_tags, "_POLL_SECONDS", 0.1)
        started = time.monotonic()
        assert not tick().run_requests
    assert time.monotonic() - started < 5, "asked once, and not for a minute"
    later = "gpt-later"
    with database.transaction() as connection:
        [first] = open_batches(connection, purpose="tag_enrichments")
        connection.execute(
            "INSERT INTO llm_batches (batch_id, provider, model, purpose, state, requests, items, submitted_at)"
            " SELECT %s, provider, model, purpose, state, requests, items, polled_at - interval '1 ms' FROM llm_batches",
            (later,),
        )
        found = [batch.batch_id for batch in open_batches(connection, purpose="tag_enrichments")]
    assert found == [later, first.batch_id], "what did not answer comes after the others, or they would never be asked"


def test_nothing_is_asked_for_while_tagging_is_switched_off(
    run: Run, tick: Tick, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    provider.configure(batch_polls=0)
    assert run().success
    monkeypatch.setenv("DISABLE_TAG_ENRICHMENT", "true")
    assert not tick().run_requests
    monkeypatch.delenv("DISABLE_TAG_ENRICHMENT")
    assert tick().run_requests


def test_a_recovery_that_left_its_rows_as_they_were_is_asked_for_again_after_an_hour() -> None:
    from sensors.recover_tags import Waiting, recoveries

    week = date(2026, 11, 16)
    waiting = [Waiting(week, 3, datetime(2026, 11, 20, 12, 5, tzinfo=UTC))]

    def asked(now: datetime, *, busy: bool = False) -> list[str]:
        found = recoveries(waiting, partitions=[week.isoformat()], busy=busy, now=now)
        return [recovery.run_key for recovery in found]

    noon = datetime(2026, 11, 20, 12, 10, tzinfo=UTC)
    assert asked(noon) == asked(noon + timedelta(minutes=40)) != asked(noon + timedelta(hours=1))
    assert asked(noon, busy=True) == []


def test_a_wrong_key_is_one_request_and_names_the_variable(
    run: Run, tick: Tick, provider: FakeProvider, database: Database
) -> None:
    provider.configure(keys=["another"])
    outcome = run()
    assert not outcome.success
    assert "OPENAI_API_KEY" in " ".join(outcome.problems)
    assert "sk-test-of-ours" not in " ".join(outcome.problems)
    assert rows_by_status(database) == {"pending": events(database)}
    assert provider.books()["requests"] == 1
    assert not tick().run_requests, "asked again, it would be refused again"

    provider.configure(keys=[])
    assert run().success, "the next materialization takes the rows up"
    assert rows_by_status(database) == {"done": events(database)}


def test_an_unknown_model_is_not_asked_again_by_the_sensor(
    run: Run, tick: Tick, provider: FakeProvider, database: Database
) -> None:
    provider.configure(models=["another"])
    assert not run().success
    assert database.fetch_all("SELECT DISTINCT error_code FROM tag_enrichments") == [{"error_code": "invalid_request"}]
    assert not tick().run_requests


def test_a_batch_is_submitted_by_one_run_and_collected_by_a_later_one(
    run: Run, tick: Tick, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    assert run().success
    n = events(database)
    assert rows_by_status(database) == {"pending": n}
    assert database.fetch_all("SELECT DISTINCT error_code FROM tag_enrichments") == [{"error_code": "batch_submitted"}]
    assert provider.books()["requests"] == 0, "nothing was asked online"
    assert run().success
    assert len(database.fetch_all("SELECT batch_id FROM llm_batches")) == 1, "what is in a batch is not submitted again"

    for _ in range(5):
        if tick().run_requests:
            break
    else:
        pytest.fail("the batch never ended")
    assert run().success
    assert rows_by_status(database) == {"done": n}
    [books] = database.fetch_all("SELECT sum(cost_usd) AS cost FROM llm_usage")
    assert books["cost"] > 0
    [job] = database.fetch_all(
        "SELECT nb_fetched, nb_created FROM import_jobs WHERE source = 'tag_enrichments' ORDER BY id DESC LIMIT 1"
    )
    assert job == {"nb_fetched": n, "nb_created": n}


def test_an_expired_batch_is_finished_online_in_the_run_that_collects_it(
    run: Run, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.configure(batch_outcome="expired", batch_polls=0)
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    assert run().success
    assert run().success
    n = events(database)
    assert rows_by_status(database) == {"done": n}
    assert provider.books()["requests"] > 0
    [job] = database.fetch_all(
        "SELECT nb_fetched, nb_created FROM import_jobs WHERE source = 'tag_enrichments' ORDER BY id DESC LIMIT 1"
    )
    assert job == {"nb_fetched": n, "nb_created": n}


def age_announcements(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(
            "UPDATE llm_batches SET submitted_at = now() - interval '11 minutes' WHERE batch_id LIKE 'submission:%'"
        )


def batch_ids(database: Database, *, opened: bool = False) -> list[str]:
    rows = database.fetch_all("SELECT batch_id, ingested_at FROM llm_batches ORDER BY batch_id")
    return [row["batch_id"] for row in rows if not (opened and row["ingested_at"])]


def test_a_batch_whose_submitter_never_learnt_its_id_is_found_and_not_paid_twice(
    run: Run, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.configure(batch_answer_lost=True, batch_polls=0)
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    run()
    n = events(database)
    [announced] = batch_ids(database)
    assert announced.startswith("submission:")
    provider.configure(batch_answer_lost=False, batch_polls=0)
    assert run().success
    assert rows_by_status(database) == {"pending": n}, "it may be on its way still"

    age_announcements(database)
    assert run().success
    assert batch_ids(database) == ["batch_0"]
    assert rows_by_status(database) == {"done": n}
    [batch] = database.fetch_all("SELECT requests FROM llm_batches")
    assert provider.books()["requests"] == batch["requests"], "each question was answered, and paid, once"


def test_a_batch_that_never_reached_the_provider_is_submitted_again(
    run: Run, tick: Tick, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.configure(upload_fails=True)
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    run()
    provider.configure(upload_fails=False, batch_polls=0)
    age_announcements(database)
    assert tick().run_requests, "somebody has to look for it"
    assert run().success
    assert batch_ids(database) == ["batch_0"]
    assert run().success
    assert rows_by_status(database) == {"done": events(database)}


def test_a_batch_that_a_quota_refuses_is_put_off_and_submitted_when_it_is_back(
    run: Run, tick: Tick, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.configure(upload_unpaid=True)
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    assert run().success, "deferred, as online"
    n = events(database)
    rows = database.fetch_all(
        "SELECT error_code, not_before > now() AS later, count(*) AS n FROM tag_enrichments GROUP BY 1, 2"
    )
    assert rows == [{"error_code": "quota_exceeded", "later": True, "n": n}]
    assert batch_ids(database) == [], "there is nothing to look for"

    provider.configure(upload_unpaid=False, batch_polls=0)
    with database.transaction() as connection:
        connection.execute("UPDATE tag_enrichments SET not_before = now()")
    assert tick().run_requests
    assert run().success
    assert batch_ids(database) == ["batch_0"]
    assert run().success
    assert rows_by_status(database) == {"done": n}


def test_a_batch_beyond_the_limit_of_enqueued_tokens_is_submitted_again_and_not_asked_online(
    run: Run, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch was accepted and failed a moment later, and its events were asked online at twice the price."""
    provider.configure(batch_outcome="failed", batch_error="token_limit_exceeded", batch_polls=0)
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    assert run().success
    assert run().success
    n = events(database)
    rows = database.fetch_all(
        "SELECT error_code, not_before > now() AS later, error_text LIKE '%%OPENAI_BATCH_TOKENS%%' AS named, count(*) AS n"
        " FROM tag_enrichments GROUP BY 1, 2, 3"
    )
    assert rows == [{"error_code": "quota_exceeded", "later": True, "named": True, "n": n}]
    assert provider.books()["requests"] == 0

    provider.configure(batch_outcome="completed")
    with database.transaction() as connection:
        connection.execute("UPDATE tag_enrichments SET not_before = now()")
    assert run().success
    assert run().success
    assert rows_by_status(database) == {"done": n}
    [books] = database.fetch_all("SELECT sum(requests)::int AS requests FROM llm_usage")
    [batches] = database.fetch_all("SELECT requests FROM llm_batches WHERE state = 'completed'")
    assert provider.books()["requests"] == books["requests"] == batches["requests"], "all of them by batch, and booked"


def test_a_batch_holds_no_more_tokens_than_it_may(
    run: Run, database: Database, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    monkeypatch.setenv("OPENAI_BATCH_TOKENS", "1")
    assert run().success
    batches = database.fetch_all("SELECT requests FROM llm_batches")
    assert len(batches) > 1
    assert {batch["requests"] for batch in batches} == {1}


def test_a_batch_that_the_provider_does_not_know_holds_up_no_other_event(
    run: Run, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAG_ENRICHMENT_MODE", "batch")
    monkeypatch.setenv("TAG_ENRICHMENT_MAX_EVENTS_PER_RUN", "10")
    assert run().success
    n = events(database)
    # As after a change of key: the batch belongs to another project.
    provider.reset(latency=0.0)
    monkeypatch.delenv("TAG_ENRICHMENT_MODE")
    monkeypatch.delenv("TAG_ENRICHMENT_MAX_EVENTS_PER_RUN")
    assert run().success
    assert rows_by_status(database) == {"done": n - 10, "pending": 10}
    assert batch_ids(database, opened=True) == ["batch_0"], "the key may be put right before the day is over"

    with database.transaction() as connection:
        connection.execute("UPDATE llm_batches SET submitted_at = now() - interval '26 hours'")
        connection.execute("UPDATE tag_enrichments SET not_before = now() WHERE status = 'pending'")
    assert run().success
    assert rows_by_status(database) == {"done": n}
    assert batch_ids(database, opened=True) == []


def test_a_bound_leaves_the_rest_pending_and_the_next_run_goes_on(
    run: Run, provider: FakeProvider, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAG_ENRICHMENT_MAX_EVENTS_PER_RUN", "10")
    assert run().success
    n = events(database)
    assert rows_by_status(database) == {"done": 10, "pending": n - 10}
    assert run().success
    assert rows_by_status(database) == {"done": 20, "pending": n - 20}


class StandIn:
    """The database resource, open already."""

    def __init__(self, database: Database) -> None:
        self.database = database
