"""What is refused before anything is done, and how refusals look."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ingestion_assets.ledger.tokens import issue, revoke
from ingestion_assets.ledger.users import ensure_user
from resources.postgres.database import Database
from tests.api.conftest import Calls, LiveServer, bearer, token_of

PROBLEM = "application/problem+json"


def is_problem(reply: httpx.Response, status: int, name: str) -> None:
    assert (reply.status_code, reply.headers["content-type"]) == (status, PROBLEM), reply.text
    body = reply.json()
    assert (body["type"], body["status"]) == (f"/problems/{name}", status)
    assert body["instance"] == f"urn:request:{reply.headers['x-request-id']}"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "name"),
    [
        ("GET", "/nothing", {}, 404, "not-found"),
        ("DELETE", "/events", {}, 405, "method-not-allowed"),
        ("GET", "/events?limit=many", {}, 422, "invalid-request"),
        ("GET", "/events?from=2026-13-01", {}, 422, "invalid-request"),
        ("GET", "/events?q=%00", {}, 400, "invalid-request"),
        ("GET", "/events?q=" + "x" * 9000, {}, 414, "invalid-request"),
        ("GET", "/events", {"headers": {"Host": "evil.example"}}, 421, "wrong-host"),
        ("GET", "/api/jobs", {}, 401, "not-signed-in"),
        (
            "POST",
            "/api/ai",
            {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
            415,
            "unsupported-media-type",
        ),
        (
            "POST",
            "/api/ai",
            {"content": b"x" * 2_000_000, "headers": {"Content-Type": "application/json"}},
            413,
            "too-large",
        ),
    ],
)
def test_every_refusal_is_a_problem(
    api: Calls, method: str, path: str, options: dict[str, Any], status: int, name: str
) -> None:
    is_problem(api.request(method, path, **options), status, name)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[" * 100_000, b'{"kind": "\\ud800"}', b'{"kind": "ai.echo", "arguments": {"a": "\\u0000"}}', b"1" * 5000],
)
def test_a_body_that_cannot_be_read_or_stored_is_the_callers_mistake(
    api: Calls, ada: dict[str, str], body: bytes
) -> None:
    reply = api.post("/api/ai", content=body, headers={**ada, "Content-Type": "application/json"})
    assert reply.status_code in {400, 422}, reply.text
    assert reply.headers["content-type"] == PROBLEM


def test_a_body_that_grows_past_its_bound_is_cut_off_while_it_arrives(
    serve: Callable[..., LiveServer], ada: dict[str, str]
) -> None:
    server = serve(body_bytes=2048)

    def endless() -> Any:
        for _ in range(100):
            yield b" " * 1024

    reply = httpx.post(f"{server.url}/api/ai", content=endless(), headers={**ada, "Content-Type": "application/json"})
    is_problem(reply, 413, "too-large")


@pytest.mark.parametrize("path", ["/api/ai", "/ingestion/batches"])
def test_who_sends_all_before_reading_still_reads_that_it_was_too_much(
    serve: Callable[..., LiveServer], ada: dict[str, str], path: str
) -> None:
    server = serve(body_bytes=2048, upload_bytes=2048)
    kind = "application/json" if path == "/api/ai" else "multipart/form-data; boundary=b"
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request("POST", path, b"x" * 30_000_000, {**ada, "Content-Type": kind})
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("endless", [b"X: ", b"X: y\r\n", b"/"])
def test_headers_have_a_bound(serve: Callable[..., LiveServer], endless: bytes) -> None:
    server = serve()
    address, _, port = server.url.removeprefix("http://").partition(":")
    begin = b"GET /" if endless == b"/" else b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with socket.create_connection((address, int(port)), timeout=5) as client:
        client.sendall(begin)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 8_000_000:
                client.sendall(endless * (65536 // len(endless)))
                sent += 65536
    assert sent < 8_000_000


@pytest.mark.parametrize("token", ["", "x", "ing_", "ing_aaaaaaaaaaaa_" + "A" * 43, "ing_' OR 1=1 --"])
def test_what_is_no_token_opens_nothing(api: Calls, ada: dict[str, str], token: str) -> None:
    is_problem(api.get("/api/jobs", headers=bearer(token)), 401, "not-signed-in")


def test_tokens_end_when_they_expire_are_revoked_or_their_user_is_disabled(api: Calls, database: Database) -> None:
    from datetime import timedelta

    good, other = token_of(database, "ada"), token_of(database, "ada")
    swapped = good[:17] + other[17:]
    with database.transaction() as connection:
        ensure_user(connection, "eve")
        expired = issue(connection, "eve", lifetime=timedelta(seconds=-1))
    statuses = [api.get("/api/jobs", headers=bearer(token)).status_code for token in (good, other, swapped, expired)]
    assert statuses == [200, 200, 401, 401]
    with database.transaction() as connection:
        revoke(connection, other)
    assert [api.get("/api/jobs", headers=bearer(token)).status_code for token in (good, other)] == [200, 401]
    with database.transaction() as connection:
        connection.execute("UPDATE users SET disabled_at = now()")
    assert api.get("/api/jobs", headers=bearer(good)).status_code == 401


def test_no_token_is_kept_that_could_be_used(database: Database) -> None:
    token = token_of(database, "ada")
    [row] = database.fetch_all("SELECT t::text AS all FROM api_tokens t")
    assert token[17:] not in row["all"]


def test_each_user_has_a_rate_of_their_own(api: Calls, ada: dict[str, str], bob: dict[str, str]) -> None:
    async def hurry(client: httpx.AsyncClient) -> tuple[list[httpx.Response], httpx.Response]:
        return [await client.get("/api/jobs", headers=ada) for _ in range(6)], await client.get(
            "/api/jobs", headers=bob
        )

    mine, theirs = api(hurry, requests_per_second=0.01, request_burst=3)
    assert [reply.status_code for reply in mine] == [200, 200, 200, 429, 429, 429]
    is_problem(mine[-1], 429, "rate-limited")
    assert int(mine[-1].headers["retry-after"]) > 10
    assert theirs.status_code == 200


def test_guessing_tokens_is_slowed_down_by_address(api: Calls) -> None:
    async def guess(client: httpx.AsyncClient) -> list[int]:
        return [(await client.get("/api/jobs", headers=bearer(f"guess{n}"))).status_code for n in range(5)]

    assert api(guess, requests_per_second=0.01, request_burst=3) == [401, 401, 401, 429, 429]


def test_other_origins_get_no_permission_unless_they_are_named(api: Calls) -> None:
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get("/events", headers={"Origin": "https://front.example"})

    assert "access-control-allow-origin" not in api(ask).headers
    named = api(ask, cors_origins=("https://front.example",))
    assert named.headers["access-control-allow-origin"] == "https://front.example"


@pytest.mark.parametrize(("content_type", "size", "status"), [("text/plain", 1, 415), ("application/json", 9999, 413)])
def test_a_page_of_a_named_origin_may_read_why_it_was_refused(
    api: Calls, content_type: str, size: int, status: int
) -> None:
    headers = {"Origin": "https://front.example", "Content-Type": content_type}

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/ai", content=b"x" * size, headers=headers)

    reply = api(ask, cors_origins=("https://front.example",), body_bytes=2048)
    assert (reply.status_code, reply.headers.get("access-control-allow-origin")) == (status, "https://front.example")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/collections", "GET, HEAD, POST"),
        ("/admin/sign-in", "GET, HEAD, POST"),
        ("/events/x", "GET, HEAD"),
        ("/api/ai", "POST"),
    ],
)
def test_what_an_address_takes_is_said_by_all_its_routes(api: Calls, path: str, methods: str) -> None:
    reply = api.request("DELETE", path)
    is_problem(reply, 405, "method-not-allowed")
    assert reply.headers["allow"] == methods


def test_head_is_get_without_the_body(serve: Callable[..., LiveServer], ada: dict[str, str]) -> None:
    server = serve(streams_per_user=1)
    made = httpx.post(f"{server.url}/ingestion/batches", headers=ada, files=[("files", ("a.txt", b"x"))]).json()["id"]
    with httpx.Client(base_url=server.url, timeout=5) as client:
        for path in ("/live", "/events", "/events.ics", "/events/none", "/admin/static/admin.js", f"/batches/{made}"):
            full = client.get(path, headers=ada)
            head = client.head(path, headers=ada)
            assert (head.status_code, head.content) == (full.status_code, b""), path
            for name in ("content-type", "content-length", "etag", "cache-control"):
                assert head.headers.get(name) == full.headers.get(name), (path, name)
        # A stream ends with its headers, and gives its place back.
        end = time.monotonic() + 20
        for _ in range(3):
            while (status := client.head(f"/batches/{made}/events", headers=ada).status_code) == 429:
                assert time.monotonic() < end
                time.sleep(0.05)
            assert status == 200
        refused = client.head("/api/ai", headers=ada)
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_a_database_that_is_away_is_503_and_the_first_request_after_it_is_back_works(
    databases: Any, migrated_template: str
) -> None:
    import psycopg

    from api.app import create_app
    from tests.api.conftest import _client, settings

    url = databases.create(template=migrated_template)
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]

    def allow(yes: str) -> None:
        with databases.server.connect(autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {yes}')
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,)
            )

    async def go() -> tuple[list[httpx.Response], httpx.Response]:
        async with _client(create_app(Database(url, patience=5), settings())) as client:
            assert (await client.get("/events")).status_code == 200
            allow("false")
            down = [await client.get("/events"), await client.get("/health")]
            allow("true")
            import asyncio

            async with asyncio.timeout(20):
                while (back := await client.get("/events")).status_code != 200:
                    is_problem(back, 503, "unavailable")
            return down, back

    import asyncio

    down, _ = asyncio.run(go())
    for reply in down:
        is_problem(reply, 503, "unavailable")
        assert int(reply.headers["retry-after"]) > 0


def test_a_slow_sender_holds_up_nobody(serve: Callable[..., LiveServer]) -> None:
    server = serve()
    host, port = server.url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(50)]
    try:
        for each in slow:
            each.sendall(b"POST /api/ai HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n")
        assert httpx.get(f"{server.url}/live", timeout=5).status_code == 200
    finally:
        for each in slow:
            each.close()


def test_a_body_that_stops_coming_is_given_up(
    serve: Callable[..., LiveServer], database: Database, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that lost its network says nothing: its request, and what had come of its file, stayed for ever."""
    monkeypatch.setattr("api.middleware._SILENCE_SECONDS", 1.0)
    server = serve(keep_alive_seconds=0.5)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(10)
        head = (
            f"POST /ingestion/batches HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ada['Authorization']}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 9000000\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        )
        connection.sendall(head.encode())
        for _ in range(4):  # slow is not silent
            time.sleep(0.5)
            connection.sendall(b"a" * 600_000)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Nothing of the body came for 1 seconds." in answer
    assert database.fetch_all("SELECT FROM study_files") == []
    batch = httpx.post(f"{server.url}/ingestion/batches", headers=ada, files={"files": ("a.txt", b"a")}).json()
    with httpx.stream("GET", server.url + batch["links"]["events"], headers=ada, timeout=5) as stream:
        end = time.monotonic() + 2.5
        assert any(time.monotonic() > end for _ in stream.iter_raw())  # a stream is silent on its client's side


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_a_job_is_accepted_once_for_a_key(
    api: Calls, database: Database, ada: dict[str, str], bob: dict[str, str]
) -> None:
    key = {"Idempotency-Key": "k1"}
    first = api.post("/api/ai", headers={**ada, **key}, json={"kind": "ai.echo", "arguments": {"a": 1}})
    repeat = api.post("/api/ai", headers={**ada, **key}, json={"arguments": {"a": 1}, "kind": "ai.echo"})
    other = api.post("/api/ai", headers={**ada, **key}, json={"kind": "ai.echo", "arguments": {"a": 2}})
    theirs = api.post("/api/ai", headers={**bob, **key}, json={"kind": "ai.echo", "arguments": {"a": 1}})
    assert (first.status_code, first.json()) == (repeat.status_code, repeat.json())
    assert (repeat.headers["location"], repeat.headers["idempotent-replayed"]) == (first.headers["location"], "true")
    is_problem(other, 422, "key-reused")
    assert theirs.json()["id"] != first.json()["id"]
    with database.transaction() as connection:
        connection.execute("UPDATE api_answers SET status = NULL, body = NULL, headers = NULL")
    busy = api.post("/api/ai", headers={**ada, **key}, json={"kind": "ai.echo", "arguments": {"a": 1}})
    is_problem(busy, 409, "key-in-use")
    [row] = database.fetch_all("SELECT count(*) AS n FROM async_jobs")
    assert row["n"] == 2


def test_a_request_that_failed_frees_its_key(api: Calls, database: Database, ada: dict[str, str]) -> None:
    async def twice(client: httpx.AsyncClient) -> list[int]:
        headers = {**ada, "Idempotency-Key": "k"}
        return [(await client.post("/api/ai", headers=headers, json={"kind": "ai.echo"})).status_code for _ in range(2)]

    assert api(twice, ai_requests_per_day=0) == [429, 429]
    assert api(twice) == [202, 202]


def test_only_what_is_offered_to_users_can_be_asked_for(api: Calls, ada: dict[str, str]) -> None:
    reply = api.post("/api/ai", headers=ada, json={"kind": "own"})
    assert (reply.status_code, reply.json()["kinds"]) == (422, ["ai.echo"])


def test_a_full_queue_refuses_and_says_when_to_come_back(api: Calls, ada: dict[str, str]) -> None:
    async def fill(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.post("/api/ai", headers=ada, json={"kind": "ai.echo"}) for _ in range(3)]

    replies = api(fill, pending_jobs=2)
    assert [reply.status_code for reply in replies] == [202, 202, 503]
    assert replies[-1].headers["retry-after"] == "30"
