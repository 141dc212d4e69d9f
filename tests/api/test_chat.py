"""Answers come from one's own documents, word for word, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from psycopg import sql

from resources.llm import budgets
from resources.postgres.database import Database
from tests.api.chat_provider import chat_provider
from tests.api.conftest import Calls, LiveServer
from tests.api.library import add_document, text_of
from tests.fakes.llm_provider import FakeProvider
from tests.study import files

PAGES = [
    "Chapter one.\n\nCells live in water. Osmosis is the flow of water through a membrane\nthat lets no salt pass.",
    "Chapter two.\n\nA barometer measures the pressure of the air. It was built in 1643 by Evangelista Torricelli.",
]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", "offline")


def ask(api: Calls, user: dict[str, str], question: str, **body: Any) -> httpx.Response:
    return api.post("/api/chat", headers=user, json={"question": question, "stream": False, **body})


def events(reply: httpx.Response) -> list[tuple[str, Any]]:
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in reply.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_an_answer_quotes_the_document_and_says_where(api: Calls, database: Database, ada: dict[str, str]) -> None:
    collection = add_document(database, "ada", PAGES, name="biology.pdf")
    answer = ask(api, ada, "What is osmosis?").json()
    assert answer["found"]
    [cited] = answer["citations"]
    assert (cited["document"], cited["page"], cited["collection_id"]) == ("biology.pdf", 1, collection)
    assert text_of(database, collection)[cited["start"] : cited["end"]] == cited["quote"]
    assert " ".join(cited["quote"].split()) == answer["answer"]
    assert answer["answer"] == "Osmosis is the flow of water through a membrane that lets no salt pass."
    [second] = ask(api, ada, "When was the barometer built, and by whom?").json()["citations"][:1]
    assert second["page"] == 2


def test_the_answer_is_streamed_and_its_pieces_make_it(api: Calls, database: Database, ada: dict[str, str]) -> None:
    add_document(database, "ada", PAGES)
    told = events(api.post("/api/chat", headers=ada, json={"question": "What does a barometer measure?"}))
    names = [name for name, _ in told]
    assert names[0] == "chat:found"
    assert names[-1] == "chat:done"
    assert names.count("chat:done") == 1
    whole = ask(api, ada, "What does a barometer measure?").json()
    assert "".join(data["text"] for name, data in told if name == "chat:text") == whole["answer"]
    assert [data for name, data in told if name == "chat:citation"] == whole["citations"]
    assert told[-1][1]["found"] is True


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Who won the football championship of 1998?", "Your documents say nothing about this."),
        ("Quelle est la capitale de la Mongolie extérieure ?", "Vos documents n'en disent rien."),
        ("???", "Your documents say nothing about this."),
        ("What is it?", "Your documents say nothing about this."),
        ("'; DROP TABLE study_documents; -- & | ! <-> :*", "Your documents say nothing about this."),
    ],
)
def test_what_the_documents_do_not_say_is_not_answered(
    api: Calls, database: Database, ada: dict[str, str], question: str, said: str
) -> None:
    add_document(database, "ada", PAGES)
    answer = ask(api, ada, question).json()
    assert (answer["found"], answer["answer"], answer["citations"]) == (False, said, [])


def test_french_is_found_without_its_accents_and_in_another_number(
    api: Calls, database: Database, ada: dict[str, str]
) -> None:
    add_document(database, "ada", [files.FRENCH])
    for question in ("Qu'est-ce qu'un baromètre ?", "que mesurent les barometres"):
        answer = ask(api, ada, question).json()
        assert "pression de l'air" in answer["answer"], (question, answer)


def test_anothers_documents_are_out_of_reach(
    api: Calls, database: Database, ada: dict[str, str], bob: dict[str, str]
) -> None:
    theirs = add_document(database, "bob", ["The secret code of the vault of Bob is marmalade and honey."])
    add_document(database, "ada", PAGES)
    assert ask(api, bob, "What is the secret code of the vault?").json()["found"]
    for question in ("What is the secret code of the vault?", "marmalade", theirs):
        answer = ask(api, ada, question).json()
        assert not answer["found"], answer
    for stream in (True, False):
        reply = ask(api, ada, "marmalade", collections=[theirs], stream=stream)
        assert (reply.status_code, reply.json()["type"]) == (404, "/problems/not-found")


def test_a_question_can_be_kept_to_some_collections(api: Calls, database: Database, ada: dict[str, str]) -> None:
    first = add_document(database, "ada", PAGES)
    second = add_document(database, "ada", ["Glaciers move slowly down a slope and carry stones with them."])
    assert ask(api, ada, "What is osmosis?", collections=[first]).json()["found"]
    assert not ask(api, ada, "What is osmosis?", collections=[second]).json()["found"]


def test_a_document_whose_text_changed_is_searched_anew(api: Calls, database: Database, ada: dict[str, str]) -> None:
    collection = add_document(database, "ada", PAGES)
    assert ask(api, ada, "What is osmosis?").json()["found"]
    with database.transaction() as connection:
        connection.execute(
            "UPDATE study_documents SET text = 'Glaciers carry stones down the slope.', text_sha256 = 'new',"
            " page_starts = '{}' WHERE collection_id = %s",
            (collection,),
        )
    assert not ask(api, ada, "What is osmosis?").json()["found"]
    [cited] = ask(api, ada, "What do glaciers carry?").json()["citations"]
    assert (cited["start"], cited["page"]) == (0, None)


def test_questions_are_counted_against_the_users_quota(api: Calls, database: Database, ada: dict[str, str]) -> None:
    async def two(client: httpx.AsyncClient) -> list[httpx.Response]:
        body = {"question": "What is osmosis?", "stream": False}
        return [await client.post("/api/chat", headers=ada, json=body) for _ in range(2)]

    first, second = api(two, ai_requests_per_day=1)
    assert first.json()["quota"]["remaining"] == 0
    assert (second.status_code, second.json()["quota_scope"]) == (429, "user")


# -- with a provider ---------------------------------------------------------------------------------------------------


@pytest.fixture
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    mode = getattr(request, "param", "honest")
    with chat_provider(mode, latency=60.0 if mode == "slow" else 0.0) as running:
        monkeypatch.setenv("LLM_PROVIDERS", "openai")
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", running.openai_url)
        yield running


def test_a_provider_answers_and_is_paid_for_by_the_one_who_asked(
    api: Calls, database: Database, ada: dict[str, str], provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_DAILY_TOKEN_BUDGET", "100000")
    collection = add_document(database, "ada", PAGES)
    answer = ask(api, ada, "What is osmosis?").json()
    assert answer["answer"].startswith("It is so: Osmosis is the flow")
    assert answer["provider"] == "openai"
    [cited] = answer["citations"]
    assert text_of(database, collection)[cited["start"] : cited["end"]] == cited["quote"]
    [usage] = database.fetch_all("SELECT purpose, user_id, requests, input_tokens FROM llm_usage")
    assert (usage["purpose"], usage["user_id"], usage["requests"]) == ("chat", "ada", 1)
    with database.transaction() as connection:
        standing = budgets.standing(connection, user_id="ada", default_limit=100_000)
    assert (standing.used > 0, standing.reserved) == (True, 0)


@pytest.mark.parametrize("provider", ["misquotes", "invents", "links"], indirect=True)
def test_an_answer_that_its_quotes_do_not_carry_is_replaced_by_the_passages(
    api: Calls, database: Database, ada: dict[str, str], provider: FakeProvider
) -> None:
    add_document(database, "ada", PAGES)
    answer = ask(api, ada, "What is osmosis?").json()
    assert answer["answer"] == "Osmosis is the flow of water through a membrane that lets no salt pass."
    assert (answer["provider"], answer["warnings"]) == ("offline", ["answer-without-evidence"])
    assert provider.books()["accepted"] == 2


def test_only_passages_of_the_asker_reach_the_provider_and_none_when_nothing_fits(
    api: Calls, database: Database, ada: dict[str, str], bob: dict[str, str], provider: FakeProvider
) -> None:
    add_document(database, "bob", ["Osmosis tastes of marmalade, says Bob about osmosis."])
    add_document(database, "ada", PAGES)
    assert "marmalade" not in ask(api, ada, "What is osmosis?").text
    before = provider.books()["accepted"]
    assert not ask(api, ada, "Who won the championship?").json()["found"]
    assert provider.books()["accepted"] == before


def test_a_budget_that_is_used_up_refuses_and_says_until_when(
    api: Calls, database: Database, ada: dict[str, str], provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_DAILY_TOKEN_BUDGET", "100")
    add_document(database, "ada", PAGES)
    reply = ask(api, ada, "What is osmosis?")
    assert (reply.status_code, reply.json()["quota"], reply.json()["quota_scope"]) == (429, "tokens_per_day", "user")
    assert provider.books()["accepted"] == 0


@pytest.mark.parametrize(
    ("always", "status", "scope"),
    [("insufficient_quota", 503, "provider"), ("status:401", 503, None), ("status:500", 503, None)],
)
def test_a_provider_that_cannot_answer_is_told_apart_from_the_user(
    api: Calls,
    database: Database,
    ada: dict[str, str],
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    always: str,
    status: int,
    scope: str | None,
) -> None:
    monkeypatch.setenv("LLM_ATTEMPTS", "1")
    provider.configure(always=always)
    add_document(database, "ada", PAGES)
    reply = ask(api, ada, "What is osmosis?")
    assert (reply.status_code, reply.json().get("quota_scope")) == (status, scope), reply.text
    assert int(reply.headers["retry-after"]) > 0
    assert "OPENAI_API_KEY" not in reply.text
    [(_, found), (name, problem)] = events(api.post("/api/chat", headers=ada, json={"question": "What is osmosis?"}))
    assert found["passages"] >= 1
    assert (name, problem["status"]) == ("chat:error", status)


@pytest.mark.parametrize("locked", ["llm_pacing", "llm_usage"])
def test_a_stream_has_a_last_event_also_when_the_database_fails(
    api: Calls, database: Database, ada: dict[str, str], provider: FakeProvider, locked: str
) -> None:
    add_document(database, "ada", PAGES)

    async def go(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/chat", headers=ada, json={"question": "What is osmosis?"})

    with database.transaction() as connection:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(locked)))
        told = events(api(go, statement_seconds=0.3))
    assert [name for name, _ in told] == ["chat:found", "chat:error"]
    assert told[-1][1]["status"] == 503


@pytest.mark.parametrize("provider", ["slow"], indirect=True)
def test_answers_under_way_are_bounded_need_no_connection_each_and_end_with_their_clients(
    serve: Callable[..., LiveServer], database: Database, ada: dict[str, str], provider: FakeProvider
) -> None:
    add_document(database, "ada", PAGES)
    server = serve(streams_per_user=3)

    async def go() -> None:
        async with httpx.AsyncClient(base_url=server.url, headers=ada, timeout=30) as client:

            async def one(*, stream: bool) -> int:
                body = {"question": "What is osmosis?", "stream": stream}
                return (await client.post("/api/chat", json=body)).status_code

            asked = [asyncio.create_task(one(stream=stream)) for stream in (False, True, False)]
            for _ in range(500):
                if provider.books()["requests"] == 3:
                    break
                await asyncio.sleep(0.02)
            assert [await one(stream=stream) for stream in (False, True)] == [429, 429]
            roles = database.fetch_all("SELECT application_name AS role FROM pg_stat_activity")
            assert "ingestion/llm-pacing" not in [row["role"] for row in roles]
            for each in asked:
                each.cancel()
            hub = server.app.state.service.hub
            for _ in range(500):
                if hub.streams == 0:
                    break
                await asyncio.sleep(0.02)
            assert hub.streams == 0

    asyncio.run(go())
