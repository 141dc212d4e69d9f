from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ingestion_assets.ledger import batches, tokens, users
from ingestion_assets.ledger.batches import BatchState
from resources.postgres.database import Database
from tests.api.conftest import Calls, LiveServer, bearer, token_of

FILES = [
    ("files", ("a.txt", b"Osmosis is a flow.", "text/plain")),
    ("files", ("../../etc/b.txt", b"Two", "text/plain")),
]


def hand_in(api: Calls, user: dict[str, str], **options: Any) -> httpx.Response:
    headers = {**user, **options.pop("headers", {})}
    return api.post("/ingestion/batches", headers=headers, files=options.pop("files", FILES), **options)


def test_files_are_accepted_at_once_and_their_names_are_only_data(
    api: Calls, database: Database, ada: dict[str, str]
) -> None:
    reply = hand_in(api, ada, data={"title": "Biology", "language": "fr", "cards": "10"})
    assert reply.status_code == 202
    body = reply.json()
    assert reply.headers["location"] == f"/batches/{body['id']}"
    assert reply.headers["retry-after"] == "2"
    assert [document["name"] for document in body["documents"]] == ["a.txt", "../../etc/b.txt"]
    assert body["quota"]["used"] == 2
    with database.transaction() as connection:
        [event] = batches.events_after(connection, uuid.UUID(body["id"]))
    assert (event.sequence, event.type) == (1, "ingestion:received")
    again = api.get(f"/batches/{body['id']}", headers=ada)
    assert again.json()["status"] == "pending"


def test_the_same_key_is_the_same_batch_and_another_payload_is_refused(
    api: Calls, database: Database, ada: dict[str, str]
) -> None:
    key = {"Idempotency-Key": "upload-1"}
    first = hand_in(api, ada, headers=key)
    repeat = hand_in(api, ada, headers=key)
    others = [
        hand_in(api, ada, headers=key, files=FILES[:1]),
        hand_in(api, ada, headers=key, data={"cards": "5"}),
        hand_in(api, ada, headers=key, data={"title": "Another"}),
    ]
    assert first.json()["id"] == repeat.json()["id"]
    assert repeat.headers["idempotent-replayed"] == "true"
    assert [(one.status_code, one.json()["type"]) for one in others] == [(422, "/problems/key-reused")] * 3
    [row] = database.fetch_all("SELECT used FROM quota_usage")
    assert row["used"] == 2


def test_requests_that_arrive_together_cannot_both_have_the_last_of_a_quota(
    api: Calls, database: Database, ada: dict[str, str]
) -> None:
    async def both(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/ingestion/batches", headers=ada, files=FILES) for _ in range(6)))

    replies = api(both, documents_per_day=5)
    assert sorted(reply.status_code for reply in replies) == [202, 202, 429, 429, 429, 429]
    refused = next(reply for reply in replies if reply.status_code == 429)
    problem = refused.json()
    assert refused.headers["content-type"] == "application/problem+json"
    assert {name: problem[name] for name in ("type", "quota", "quota_scope", "limit", "used", "requested")} == {
        "type": "/problems/quota-exceeded",
        "quota": "documents_per_day",
        "quota_scope": "user",
        "limit": 5,
        "used": 4,
        "requested": 2,
    }
    assert int(refused.headers["retry-after"]) > 0
    [row] = database.fetch_all("SELECT count(*) AS n FROM study_batches")
    assert row["n"] == 2


def test_a_repeat_gets_the_first_answer_whatever_is_used_up_or_full_by_then(
    api: Calls, database: Database, ada: dict[str, str]
) -> None:
    headers = {**ada, "Idempotency-Key": "upload-1"}

    async def together(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(
            *(client.post("/ingestion/batches", headers=headers, files=FILES) for _ in range(6))
        )

    replies = api(together, documents_per_day=2, pending_jobs=1)
    assert [reply.status_code for reply in replies] == [202] * 6
    assert len({reply.json()["id"] for reply in replies}) == 1
    [row] = database.fetch_all("SELECT used FROM quota_usage")
    assert row["used"] == 2


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"files": {}, "data": {"title": "x"}, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422),
        ({"files": [("other", ("a.txt", b"x"))]}, 422),
        ({"data": {"cards": "many"}}, 422),
        ({"data": {"unknown": "1"}}, 422),
        ({"headers": {"Idempotency-Key": "ü".encode()}}, 400),
        ({"files": [("files", (f"{n}.txt", b"x")) for n in range(101)]}, 400),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    api: Calls, database: Database, ada: dict[str, str], options: dict[str, Any], status: int
) -> None:
    if options.get("files") == {}:
        reply = api.post("/ingestion/batches", headers={**ada, **options["headers"]}, content=b"--x--\r\n")
    else:
        reply = hand_in(api, ada, **options)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    [row] = database.fetch_all("SELECT (SELECT count(*) FROM study_batches) + (SELECT count(*) FROM quota_usage) AS n")
    assert row["n"] == 0


def test_a_batch_is_cancelled_and_tried_again(api: Calls, ada: dict[str, str]) -> None:
    batch = hand_in(api, ada).json()["id"]
    assert api.post(f"/batches/{batch}/retry", headers=ada).status_code == 409
    assert api.post(f"/batches/{batch}/cancel", headers=ada).json()["status"] == "cancelled"
    again = api.post(f"/batches/{batch}/retry", headers=ada)
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    assert again.json()["collection_id"] == api.get(f"/batches/{batch}", headers=ada).json()["collection_id"]


@pytest.mark.parametrize(
    ("partial", "document", "status"),
    [(False, "ready", 409), (False, "skipped", 409), (True, "ready", 202), (True, "failed", 202)],
)
def test_a_batch_with_nothing_left_to_try_costs_no_run(
    api: Calls, database: Database, ada: dict[str, str], partial: bool, document: str, status: int
) -> None:
    batch = hand_in(api, ada).json()["id"]
    with database.transaction() as connection:
        connection.execute("UPDATE study_collections SET state = 'ready', partial = %s", (partial,))
        code = {"ready": None, "skipped": "duplicate_document", "failed": "document_corrupt"}[document]
        connection.execute("UPDATE study_documents SET status = %s, code = %s", (document, code))
        batches.finish(connection, uuid.UUID(batch), BatchState.READY_PARTIAL if partial else BatchState.READY)
    reply = api.post(f"/batches/{batch}/retry", headers=ada)
    assert reply.status_code == status
    if status == 409:
        assert reply.json()["detail"] == "Every document is done: there is nothing to try again."
        assert len(api.get("/batches", headers=ada).json()["batches"]) == 1


def test_of_two_who_try_a_batch_again_at_once_one_makes_a_new_one(api: Calls, ada: dict[str, str]) -> None:
    batch = hand_in(api, ada).json()["id"]
    api.post(f"/batches/{batch}/cancel", headers=ada)

    async def together(client: httpx.AsyncClient) -> list[int]:
        replies = await asyncio.gather(*(client.post(f"/batches/{batch}/retry", headers=ada) for _ in range(6)))
        return [reply.status_code for reply in replies]

    assert sorted(api(together)) == [202, 409, 409, 409, 409, 409]


def test_a_batch_that_a_run_was_asked_for_is_held_back_from_others_and_not_from_its_run(
    api: Calls, database: Database, ada: dict[str, str]
) -> None:
    made = hand_in(api, ada).json()
    batch = uuid.UUID(made["id"])
    with database.transaction() as connection:
        assert batches.mark_launched(connection, batch) == 1
        assert batches.open_batches(connection) == []
        [found] = batches.open_batches(connection, collection_id=made["collection_id"])
        assert batches.begin(connection, found.id, "r1", seconds=60)
        batches.finish(connection, found.id, BatchState.READY)
        assert batches.open_batches(connection, collection_id=made["collection_id"]) == []
    assert api.get(f"/batches/{batch}", headers=ada).json()["status"] == "ready"


class Follower:
    """A client of a stream, as a browser would be: it goes on from the last event it has."""

    def __init__(self, server: LiveServer, headers: dict[str, str], batch: str) -> None:
        self.url = f"{server.url}/batches/{batch}/events"
        self.headers = headers
        self.events: list[tuple[int, str]] = []

    def read(self, *, most: int = 10**6) -> int:
        """Read up to `most` events, or to the end of the stream; the status of the answer."""
        last = {"Last-Event-ID": str(self.events[-1][0])} if self.events else {}
        with httpx.stream("GET", self.url, headers={**self.headers, **last}, timeout=20) as reply:
            if reply.status_code != 200:
                return reply.status_code
            assert reply.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            got = 0
            for line in reply.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    self.events.append((int(fields["id"]), fields["event"]))
                    fields = {}
                    got += 1
                    if got == most:
                        return 200
            return 200


def test_a_client_that_drops_and_comes_back_misses_nothing_and_stops_at_the_end(
    serve: Callable[..., LiveServer], database: Database, ada: dict[str, str]
) -> None:
    server = serve()
    made = httpx.post(f"{server.url}/ingestion/batches", headers=ada, files=FILES).json()["id"]
    batch = uuid.UUID(made)

    def work() -> None:
        for number in range(30):
            with database.transaction() as connection:
                batches.report(connection, batch, "analysis:progress", stage="analysis", progress={"done": number})
        with database.transaction() as connection:
            batches.finish(connection, batch, BatchState.READY)
            batches.finish(connection, batch, BatchState.FAILED)

    worker = threading.Thread(target=work)
    follower = Follower(server, ada, made)
    follower.read(most=1)
    worker.start()
    while follower.read(most=4) == 200:
        pass
    worker.join()
    assert follower.read() == 204
    assert [number for number, _ in follower.events] == list(range(1, 33))
    assert follower.events[0] == (1, "ingestion:received")
    assert [kind for _, kind in follower.events].count("pipeline:completed") == 1
    assert follower.events[-1] == (32, "pipeline:completed")


def test_a_silent_stream_is_kept_alive_and_survives_a_lost_listener(
    serve: Callable[..., LiveServer], database: Database, ada: dict[str, str]
) -> None:
    server = serve(keep_alive_seconds=0.2)
    made = httpx.post(f"{server.url}/ingestion/batches", headers=ada, files=FILES).json()["id"]
    with httpx.stream("GET", f"{server.url}/batches/{made}/events?after=1", headers=ada, timeout=20) as reply:
        lines = reply.iter_lines()
        assert any(line == ": keep-alive" for line in lines)
        with database.transaction() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'ingestion/api%'"
            )
        with database.transaction() as connection:
            batches.finish(connection, uuid.UUID(made), BatchState.CANCELLED)
        rest = [line for line in lines if line.startswith("event:")]
    assert rest == ["event: pipeline:cancelled"]


def test_a_user_has_so_many_streams_and_gets_the_place_back(
    serve: Callable[..., LiveServer], ada: dict[str, str], bob: dict[str, str]
) -> None:
    server = serve(streams_per_user=1)
    made = httpx.post(f"{server.url}/ingestion/batches", headers=ada, files=FILES).json()["id"]
    url = f"{server.url}/batches/{made}/events"
    with httpx.stream("GET", url, headers=ada, timeout=20) as reply:
        assert reply.status_code == 200
        assert httpx.get(url, headers=ada).status_code == 429
        assert httpx.get(url, headers=bob).status_code == 404
    follower = Follower(server, ada, made)
    while (status := follower.read(most=1)) == 429:
        pass
    assert status == 200


@pytest.mark.parametrize("bad", ["x", "-1", "1e3", "9" * 30, "１"])
def test_an_event_id_that_was_not_given_out_is_refused(api: Calls, ada: dict[str, str], bad: str) -> None:
    batch = hand_in(api, ada).json()["id"]
    reply = api.get(f"/batches/{batch}/events", headers={**ada, "Last-Event-ID": bad.encode()})
    assert reply.status_code == 400


def test_a_client_that_claims_more_than_was_given_out_still_gets_the_end(
    serve: Callable[..., LiveServer], database: Database, ada: dict[str, str]
) -> None:
    server = serve()
    made = httpx.post(f"{server.url}/ingestion/batches", headers=ada, files=FILES).json()["id"]
    with httpx.stream("GET", f"{server.url}/batches/{made}/events?after=50", headers=ada, timeout=5) as reply:
        lines = reply.iter_lines()
        next(lines)
        with database.transaction() as connection:
            batches.finish(connection, uuid.UUID(made), BatchState.CANCELLED)
        assert [line for line in lines if line.startswith(("id:", "event:"))] == ["id: 2", "event: pipeline:cancelled"]
    assert httpx.get(f"{server.url}/batches/{made}/events?after={10**9}", headers=ada).status_code == 204


@pytest.mark.parametrize("end", ["revoke", "delete"])
def test_a_stream_ends_with_the_token_that_opened_it(
    serve: Callable[..., LiveServer], database: Database, end: str
) -> None:
    server = serve(keep_alive_seconds=0.3)
    token = token_of(database, "ada")
    made = httpx.post(f"{server.url}/ingestion/batches", headers=bearer(token), files=FILES).json()["id"]
    url = f"{server.url}/batches/{made}/events"
    with httpx.stream("GET", f"{url}?after=1", headers=bearer(token), timeout=5) as reply:
        lines = reply.iter_lines()
        next(lines)
        with database.transaction() as connection:
            assert tokens.revoke(connection, token) if end == "revoke" else users.delete_user(connection, "ada")
            if end == "revoke":
                batches.report(connection, uuid.UUID(made), "analysis:progress", stage="analysis", progress={})
        assert [line for line in lines if line.startswith("event:")] == []
    assert httpx.get(url, headers=bearer(token)).status_code == 401
