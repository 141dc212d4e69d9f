"""`ingest llm`: the pace that was learnt is shown, and a block ends with everything that waited for it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from resources.postgres.database import Database
from tests.api.seeds import add_event
from tests.cli.command import Command

LATER = datetime.now(UTC) + timedelta(hours=5)
REASON = "no credit [left]: add some, then tell us"


@pytest.fixture
def _blocked(database: Database) -> None:
    """openai is blocked, gemini was called; two of three events and two of three collections wait, one for a user."""
    with database.transaction() as connection:
        for provider, dimension, rate, until in (
            ("openai", "requests", 9.8, LATER),
            ("openai", "tokens", None, LATER),
            ("gemini", "requests", None, None),
            ("gemini", "tokens", 20000.0, None),
        ):
            connection.execute(
                "INSERT INTO llm_pacing (provider, account, model, dimension, version, empty_at, rate, ceiling, granted,"
                " learned, slowed_at, raised_at, refusals, blocked_until, blocked_scope, blocked_reason) VALUES"
                " (%s, '0123456789abcdef', 'a-model', %s, 1, 0, %s, 1, 1, 'start', 0, 0, 3, %s, %s, %s)",
                (provider, dimension, rate, until, until and "provider_billing", until and REASON),
            )
        connection.execute("INSERT INTO users (id) VALUES ('ada')")
        for name, scope in (("provider", "provider"), ("user", "user"), ("none", None)):
            connection.execute(
                "INSERT INTO study_collections (id, user_id, title, state, report, not_before) VALUES"
                " (%s, 'ada', 't', 'quota_exceeded', jsonb_build_object('quota', jsonb_build_object('quota_scope',"
                " %s::text)), %s)",
                (name, scope, LATER if scope else None),
            )
    for name, code in (("a", "quota_exceeded"), ("b", "quota_exceeded"), ("c", "unavailable")):
        add_event(database, event_id=name, day=date(2026, 12, 1), title=name)
        with database.transaction() as connection:
            connection.execute(
                "INSERT INTO tag_enrichments (event_id, week, status, input_hash, prompt_version, taxonomy_version,"
                " error_code, not_before, first_job, last_change_job) VALUES (%s, '2026-11-30', 'pending', 'x', '1', '1',"
                " %s, %s, 1, 1)",
                (name, code, LATER),
            )


def due(database: Database) -> set[str]:
    rows = database.fetch_all(
        "SELECT event_id AS id FROM tag_enrichments WHERE not_before <= now()"
        " UNION ALL SELECT id FROM study_collections WHERE not_before <= now()"
    )
    return {row["id"] for row in rows}


def test_nothing_was_called_yet(ingest: Command) -> None:
    assert ingest("llm", "pace").out.strip() == "No provider was called yet."
    assert ingest("llm", "pace", "--json").report == {"pace": []}


@pytest.mark.usefixtures("_blocked")
def test_pace_and_blocks_fit_a_terminal(ingest: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = ingest("llm", "pace").out.splitlines()
    assert max(map(len, shown)) <= 80
    [openai] = [line.split() for line in shown if line.startswith(" openai")]
    [gemini] = [line.split() for line in shown if line.startswith(" gemini")]
    assert (openai[4], openai[6], openai[8]) == ("588", "unlimited", "6")
    assert (gemini[4], gemini[6], gemini[-1]) == ("unlimited", "1,200,000", "–")
    assert any(line == f"openai a-model (provider_billing): {REASON}" for line in shown)
    [first, second] = ingest("llm", "pace", "--json").report["pace"]
    assert (first["provider"], first["requests_per_minute"], first["blocked_until"]) == ("gemini", None, None)
    assert (second["requests_per_minute"], second["tokens_per_minute"]) == (pytest.approx(588), None)
    assert datetime.fromisoformat(second["blocked_until"]) == LATER


@pytest.mark.usefixtures("_blocked")
def test_ending_a_block_makes_what_waited_for_it_due(ingest: Command, database: Database) -> None:
    assert due(database) == set()
    done = ingest("llm", "unblock", "openai")
    assert done.status == 0
    assert "blocks ended: 1; due at once: events that wait for tags: 2, study collections: 1" in done.out
    assert due(database) == {"a", "b", "provider"}
    assert all(line["blocked_until"] is None for line in ingest("llm", "pace", "--json").report["pace"])
    assert "blocks ended: 0; due at once: events that wait for tags: 0" in ingest("llm", "unblock", "openai").out


@pytest.mark.parametrize("name", ["opneai", "offline"])
def test_a_provider_that_is_none_is_refused_with_those_that_are(ingest: Command, name: str) -> None:
    done = ingest("llm", "unblock", name)
    assert done.status == 2
    assert "openai, gemini" in done.err
