"""Three users, every route, everybody's ids: what is another's is not there. A route that is not in the table fails."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from ingestion_assets.ledger.tokens import Role
from resources.postgres.database import Database
from tests.api.conftest import KINDS, Calls, bearer, token_of
from tests.api.library import add_document

PUBLIC, OWNED, LISTED, ADMIN, SESSION, MADE = "public", "owned", "listed", "admin", "session", "made"
"""Open to all; of one user, by id; a list of one's own; for administrators; for a browser's session; makes one's own."""
ROUTES = {
    "GET /openapi.json": PUBLIC,
    "GET /live": PUBLIC,
    "GET /health": PUBLIC,
    "GET /problems": PUBLIC,
    "GET /problems/{name}": PUBLIC,
    "GET /events": PUBLIC,
    "GET /events.ics": PUBLIC,
    "GET /events.json": PUBLIC,
    "GET /events.rss": PUBLIC,
    "GET /events/{event_id}": PUBLIC,
    "GET /batches": LISTED,
    "GET /api/collections": LISTED,
    "GET /api/jobs": LISTED,
    "GET /batches/{batch_id}": OWNED,
    "GET /batches/{batch_id}/events": OWNED,
    "POST /batches/{batch_id}/cancel": OWNED,
    "POST /batches/{batch_id}/retry": OWNED,
    "GET /api/collections/{collection_id}": OWNED,
    "GET /api/collections/{collection_id}/cards": OWNED,
    "GET /api/collections/{collection_id}/quizzes": OWNED,
    "GET /api/collections/{collection_id}/export": OWNED,
    "GET /api/jobs/{job_id}": OWNED,
    "POST /api/jobs/{job_id}/cancel": OWNED,
    "POST /ingestion/batches": MADE,
    "POST /api/collections": MADE,
    "POST /api/ai": MADE,
    "POST /api/chat": MADE,
    "GET /api/admin/ingestion": ADMIN,
    "GET /api/admin/health": ADMIN,
    "POST /api/admin/ingest-all": ADMIN,
    "POST /api/admin/ingest/{source}": ADMIN,
    "POST /api/admin/clean-stuck": ADMIN,
    "GET /metrics": ADMIN,
    "GET /admin/sign-in": PUBLIC,
    "POST /admin/sign-in": SESSION,
    "POST /admin/sign-out": SESSION,
    "GET /admin/ingestion": SESSION,
    "GET /admin/live": SESSION,
    "POST /admin/ingest-all": SESSION,
    "POST /admin/ingest/{source}": SESSION,
    "POST /admin/clean-stuck": SESSION,
    "GET /admin/static/{name}": PUBLIC,
}
SECRET = "The marmalade of {user} stands in the cellar of {user}."


@dataclass(frozen=True)
class Person:
    """A user and what is theirs."""

    name: str
    headers: dict[str, str]
    ids: dict[str, str]
    """By path parameter."""


def routes(api: Calls) -> set[str]:
    return {
        f"{method} {route.path}"
        for route in iter_route_contexts(api.app().routes)
        for method in set(route.methods or ()) - {"HEAD"}
    }


def test_every_route_is_in_the_table(api: Calls) -> None:
    assert routes(api) == set(ROUTES)


def settle(database: Database, name: str) -> Person:
    headers = bearer(token_of(database, name))
    collection = add_document(database, name, [SECRET.format(user=name)], name=f"{name}.txt")
    with database.transaction() as connection:
        [batch] = connection.execute(
            "SELECT id::text FROM study_batches WHERE collection_id = %s", (collection,)
        ).fetchone() or ("",)
        from ingestion_assets.ledger.async_jobs import enqueue

        job = enqueue(connection, KINDS["ai.echo"], {"text": SECRET.format(user=name)}, user_id=name)
    ids = {"batch_id": str(batch), "collection_id": collection, "job_id": str(job.job_id)}
    return Person(name, headers, ids)


def filled(path: str, ids: dict[str, str]) -> str:
    for name, value in {"source": "ics", "event_id": "x", "name": "not-found", **ids}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


class World:
    """The three, an administrator, and a client of the service."""

    def __init__(self, people: list[Person], root: dict[str, str], client: httpx.AsyncClient) -> None:
        self.people = people
        self.root = root
        self.client = client
        self.tried = 0

    async def owned(self, method: str, path: str) -> None:
        """The same 404 for another's id and for one that never was, streams and administrators included."""
        never = {name: str(uuid.uuid4()) for name in self.people[0].ids}
        for owner in self.people:
            answers = []
            for headers in [person.headers for person in self.people if person is not owner] + [self.root]:
                for ids in (owner.ids, never):
                    reply = await self.client.request(method, filled(path, ids), headers=headers)
                    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")
                    answers.append({name: value for name, value in reply.json().items() if name != "instance"})
                    self.tried += 1
            assert all(answer == answers[0] for answer in answers), path
            assert (await self.client.request(method, filled(path, owner.ids))).status_code == 401

    async def listed(self, method: str, path: str) -> None:
        for person in self.people:
            text = (await self.client.request(method, path, headers=person.headers)).text
            for other in self.people:
                assert any(one in text for one in other.ids.values()) is (other is person)
        assert (await self.client.request(method, path)).status_code == 401

    async def closed(self, method: str, path: str, *, with_token: set[int], without: set[int]) -> None:
        for person in self.people:
            reply = await self.client.request(method, filled(path, {}), headers=person.headers)
            assert reply.status_code in with_token, (path, reply.status_code)
            assert "marmalade" not in reply.text
        assert (await self.client.request(method, filled(path, {}))).status_code in without, path

    async def made(self, path: str) -> None:
        """Nothing of another's can be named in a body."""
        assert (await self.client.post(path, json={})).status_code in {401, 415}
        for person, other in permutations(self.people, 2):
            named = {"question": SECRET.format(user=other.name), "collections": [other.ids["collection_id"]]}
            bodies: dict[str, list[dict[str, Any]]] = {
                "/api/chat": [{**named, "stream": True}, {**named, "stream": False}],
                "/api/ai": [{"kind": "ai.echo", "arguments": named}],
            }
            for body in bodies.get(path, []):
                reply = await self.client.post(path, json=body, headers=person.headers)
                assert reply.status_code == 404, (path, reply.text)

    async def public(self, method: str, path: str) -> None:
        reply = await self.client.request(method, filled(path, {}))
        assert reply.status_code in {200, 404}, path
        assert "marmalade" not in reply.text

    async def look(self, method: str, path: str, kind: str) -> None:
        match kind:
            case "owned":
                await self.owned(method, path)
            case "listed":
                await self.listed(method, path)
            case "admin":
                await self.closed(method, path, with_token={403}, without={401})
            case "session":
                refused = {303, 401, 403, 415}
                await self.closed(method, path, with_token=refused, without=refused)
            case "made":
                await self.made(path)
            case _:
                await self.public(method, path)


def test_what_is_anothers_is_not_there_whatever_is_asked(
    api: Calls, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", "offline")
    people = [settle(database, name) for name in ("ada", "bob", "eve")]
    root = bearer(token_of(database, "root", role=Role.ADMIN))

    async def go(client: httpx.AsyncClient) -> int:
        world = World(people, root, client)
        for route, kind in ROUTES.items():
            await world.look(*route.split(), kind)
        for person in people:
            body = {"question": "Where does the marmalade stand?", "stream": False}
            answer = (await client.post("/api/chat", json=body, headers=person.headers)).json()
            assert {cited["document"] for cited in answer["citations"]} == {f"{person.name}.txt"}, answer
            state = (await client.get(f"/batches/{person.ids['batch_id']}", headers=person.headers)).json()["status"]
            assert state == "pending", "nobody else cancelled it"
        return world.tried

    owned = sum(kind == OWNED for kind in ROUTES.values())
    assert api(go, streams_per_user=100) == owned * 3 * 3 * 2
