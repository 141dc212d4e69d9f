"""The requests that a page elsewhere can make a browser send to Dagster's webserver, and what becomes of them."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from api.dagster_proxy import COOKIE, SIGN_IN, create_proxy
from ingestion_assets.ledger.tokens import Role
from resources.postgres.database import Database
from tests.api.conftest import LiveServer, _client, bearer, settings, token_of
from tests.api.dagster_fake import FakeDagster

MUTATION = "mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"
LAUNCH = {
    "query": "mutation { launchRun }",
    "variables": {"params": {"selector": {"pipelineName": "x"}, "executionMetadata": {"tags": []}}},
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
EVIL = {"Origin": "https://evil.example"}


@pytest.fixture
def dagster() -> Iterator[FakeDagster]:
    fake = FakeDagster()
    yield fake
    fake.stop()


def through(database: Database, dagster: FakeDagster, work: Any) -> Any:
    async def go() -> Any:
        app = create_proxy(database, settings(dagster_url=dagster.url))
        async with _client(app) as client:
            return await work(client)

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("GET", f"/graphql?query={MUTATION}", EVIL, b""),
        ("GET", f"/graphql?query={MUTATION}", {}, b""),
        ("POST", f"/graphql?query={MUTATION}", {**EVIL, **FORM}, b"a=b"),
        ("POST", "/graphql", {**EVIL, "Content-Type": "text/plain; application/json"}, b"{}"),
        ("POST", "/graphql", {"Origin": "http://127.0.0.1", "Content-Type": "text/plain; application/json"}, b"{}"),
        ("POST", "/report_asset_materialization/x", {}, b""),
        ("POST", "/report_asset_materialization/x", {**EVIL, **JSON}, b"{}"),
        ("POST", "/graphql", {"Host": "evil.example", "Origin": "http://evil.example", **JSON}, b"{}"),
        ("POST", "/graphql", JSON, b"{}"),
        ("POST", "/graphql", {"Origin": "null", **JSON}, b"{}"),
        ("POST", "/graphql", {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-site", **JSON}, b"{}"),
        ("DELETE", "/graphql", {"Origin": "http://127.0.0.1"}, b""),
        ("POST", "/anything", {"Origin": "http://127.0.0.1", **JSON}, b"{}"),
    ],
)
def test_a_signed_in_browser_cannot_be_used_by_another_site(
    database: Database, dagster: FakeDagster, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    token = token_of(database, "root", role=Role.ADMIN)

    async def attack(client: httpx.AsyncClient) -> httpx.Response:
        here = {"Origin": "http://127.0.0.1"}
        signed = await client.post(SIGN_IN, data={"token": token}, headers=here)
        assert signed.status_code == 303
        cookie = {"Cookie": f"{COOKIE}={signed.cookies[COOKIE]}"}
        return await client.request(method, path, headers={**cookie, **headers}, content=body)

    reply = through(database, dagster, attack)
    assert reply.status_code in {403, 405, 415, 421}, reply.text
    assert (dagster.requests, dagster.runs) == (0, [])


@pytest.fixture
def guard(database: Database, dagster: FakeDagster) -> Iterator[LiveServer]:
    """Under uvicorn, for addresses that a client library would tidy up before it sends them."""
    server = LiveServer(create_proxy(database, settings(dagster_url=dagster.url)))
    server.start()
    yield server
    server.stop()


def read(guard: LiveServer, target: str, headers: dict[str, str]) -> int:
    """The status of a GET of exactly this target."""
    here = urlsplit(guard.url).netloc
    connection = http.client.HTTPConnection(here, timeout=10)
    try:
        connection.request("GET", target, headers={"Host": here, **headers})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        *("/graphql?", "/graphql/?", "/%67raphql?", "//x/graphql?", "/%2Fx/graphql?", "http://x/graphql?"),
        *("/./graphql?", "/x/../graphql?", "/x/%2e%2e/graphql?", "/x/%2E./graphql?"),
        *("/x/..%2Fgraphql?", "/x/..\\graphql?", "/x/..%5Cgraphql?"),
        *("/graphql%3F", "/graphql%23?", "/graphql%0A?", "/graphql%5C?", "/graphql/.?", "/graphql/..?"),
    ],
)
def test_no_spelling_of_an_address_makes_a_page_elsewhere_run_a_mutation(
    database: Database, dagster: FakeDagster, guard: LiveServer, path: str
) -> None:
    admin = bearer(token_of(database, "root", role=Role.ADMIN))
    for target in (f"{path}query=mutation%7Bx%7D", f"{path.replace('g', 'report_asset_observation/g')}query=x"):
        status = read(guard, target, {**admin, "Sec-Fetch-Site": "same-site"})
        assert (status in {400, 404, 405}, dagster.read) == (True, []), target


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/server_info", "/graphql", "/assets/raw_events/ics%20caf%C3%A9?view=lineage&x=a%2Fb", "/.well-known"),
        "/locations/ingestion_assets.definitions@ingestion/jobs/a:b;c?p=%22..%22",
    ],
)
def test_an_address_arrives_as_it_was_sent(
    database: Database, dagster: FakeDagster, guard: LiveServer, target: str
) -> None:
    assert read(guard, target, bearer(token_of(database, "root", role=Role.ADMIN))) == 200
    assert dagster.read == [target]


@pytest.mark.parametrize(
    ("target", "arrives"),
    [("/graphql", True), ("//x/graphql", False), ("/x/%2e%2e/graphql", False), ("/graphql%3Fa", False)],
)
def test_a_socket_reaches_the_subscriptions_alone(
    database: Database, dagster: FakeDagster, guard: LiveServer, target: str, arrives: bool
) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    # The fake speaks no websocket, so each ends with a refusal: what counts is who asked it.
    assert read(guard, target, {**bearer(token_of(database, "root", role=Role.ADMIN)), **upgrade, **key}) == 403
    assert dagster.read == (["/graphql"] if arrives else [])


def test_the_webserver_may_live_below_a_path(database: Database, dagster: FakeDagster) -> None:
    token = token_of(database, "root", role=Role.ADMIN)

    async def go() -> None:
        async with _client(create_proxy(database, settings(dagster_url=f"{dagster.url}/dagster/"))) as client:
            assert (await client.get("/runs?a=b", headers=bearer(token))).status_code == 200

    asyncio.run(go())
    assert dagster.read == ["/dagster/runs?a=b"]


def test_nobody_passes_without_the_role(database: Database, dagster: FakeDagster) -> None:
    user = bearer(token_of(database, "ada"))

    async def knock(client: httpx.AsyncClient) -> list[int]:
        replies = [
            await client.post("/graphql", json=LAUNCH, headers=headers)
            for headers in ({}, user, bearer("x"), {"Origin": "http://127.0.0.1"})
        ]
        replies.append(await client.get("/", headers={"Accept": "text/html"}))
        return [reply.status_code for reply in replies]

    assert through(database, dagster, knock) == [401, 401, 401, 401, 303]
    assert dagster.requests == 0


def test_a_browser_with_a_wrong_token_may_try_again(database: Database, dagster: FakeDagster) -> None:
    """It was shown the JSON of a problem, without a way back."""
    user = token_of(database, "ada")

    async def try_it(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(SIGN_IN, data={"token": user}, headers={"Origin": "http://127.0.0.1"})

    reply = through(database, dagster, try_it)
    assert (reply.status_code, reply.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "no valid token with the role admin" in reply.text
    assert 'name="token"' in reply.text
    assert "set-cookie" not in reply.headers
    assert user not in reply.text


def test_an_administrator_passes_with_a_token_or_from_the_page(database: Database, dagster: FakeDagster) -> None:
    token = token_of(database, "root", role=Role.ADMIN)

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        by_token = await client.post("/graphql", json=LAUNCH, headers=bearer(token))
        await client.post(SIGN_IN, data={"token": token}, headers={"Origin": "http://127.0.0.1"})
        by_page = await client.post("/graphql", json=LAUNCH, headers={"Origin": "http://127.0.0.1"})
        return [by_token, by_page]

    replies = through(database, dagster, use)
    assert [reply.json()["data"]["launchRun"]["__typename"] for reply in replies] == ["LaunchRunSuccess"] * 2
    assert len(dagster.runs) == 2
    assert all(reply.headers["x-frame-options"] == "DENY" for reply in replies)


def test_a_webserver_that_is_away_is_said_so(database: Database, dagster: FakeDagster) -> None:
    token = token_of(database, "root", role=Role.ADMIN)

    async def go() -> httpx.Response:
        async with _client(create_proxy(database, settings())) as client:
            return await client.get("/server_info", headers=bearer(token))

    assert asyncio.run(go()).status_code == 503
