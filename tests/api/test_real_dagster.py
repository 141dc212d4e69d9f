"""The service, the guard and the outbox with Dagster itself: webserver, code location and daemon as processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from api.dagster_proxy import COOKIE, SIGN_IN, create_proxy
from ingestion_assets.cli.supervisor import free_port
from ingestion_assets.ledger.tokens import Role
from resources.postgres.database import Database
from tests.api.conftest import LiveServer, settings, token_of
from tests.processes import ROOT, DagsterProcesses, wait_for

pytestmark = [pytest.mark.soak, pytest.mark.dagster, pytest.mark.timeout(600)]


class Installation(DagsterProcesses):
    """Dagster's processes on storage of the test's own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, environment)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "feed.ics").write_text("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nEND:VCALENDAR\n")
        self.environment["ICS_FEEDS"] = f"culture={folder / 'feed.ics'}"

    def start(self, name: str) -> None:
        command = {
            "webserver": [*("-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(self.port))],
            "daemon": ["-m", "dagster._daemon", "run"],
        }[name]
        self.spawn(name, [sys.executable, *command, "-w", str(ROOT / "workspace.yaml")])
        if name == "webserver":
            wait_for(self._answers, 120, "the webserver did not start")

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/server_info", timeout=2).status_code == 200
        return False


@pytest.fixture
def dagster(tmp_path: Path, platform_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = Installation(tmp_path, platform_environment)
    monkeypatch.setenv("ICS_FEEDS", made.environment["ICS_FEEDS"])
    made.start("webserver")
    yield made
    made.stop()


@pytest.fixture
def guard(database: Database, dagster: Installation) -> Iterator[LiveServer]:
    server = LiveServer(create_proxy(database, settings(dagster_url=dagster.url)))
    server.start()
    yield server
    server.stop()


def runs(dagster_url: str) -> list[dict[str, Any]]:
    """Those that came of the outbox; automation makes others."""
    return Database(dagster_url).fetch_all(
        "SELECT r.run_id, r.pipeline_name, r.status, t.value AS launch FROM runs r"
        " JOIN run_tags t ON t.run_id = r.run_id AND t.key = 'ingestion/launch' ORDER BY r.id"
    )


def launches(database: Database) -> list[dict[str, Any]]:
    return database.fetch_all("SELECT id::text AS id, state, run_id, error FROM run_launches ORDER BY created_at")


def test_a_run_is_launched_at_once_and_when_the_webserver_is_away_by_the_daemon_and_never_twice(
    dagster: Installation, database: Database, dagster_url: str, serve: Callable[..., LiveServer]
) -> None:
    admin = {"Authorization": f"Bearer {token_of(database, 'root', role=Role.ADMIN)}"}
    service = serve(dagster_url=dagster.url)

    def ask(week: str) -> dict[str, Any]:
        asked = time.monotonic()
        reply = httpx.post(f"{service.url}/api/admin/ingest/ics", headers=admin, json={"from": week, "to": week})
        assert reply.status_code == 202, reply.text
        assert time.monotonic() - asked < 5
        return reply.json()

    first = ask("2026-11-23")
    wait_for(lambda: launches(database)[0]["state"] == "launched", 60, "it was not launched at once")
    [run] = runs(dagster_url)
    assert (run["pipeline_name"], run["launch"], run["run_id"]) == (
        "import_ics",
        first["id"],
        launches(database)[0]["run_id"],
    )
    dagster.stop("webserver")
    second = ask("2026-11-30")
    wait_for(lambda: launches(database)[1]["error"], 30, "the launcher did not notice")
    assert launches(database)[1]["state"] == "pending"
    dagster.start("daemon")
    wait_for(lambda: len(runs(dagster_url)) == 2, 120, "the sensor launched nothing")
    dagster.start("webserver")
    wait_for(lambda: launches(database)[1]["state"] == "launched", 90, "the sensor's run was not found")
    time.sleep(15)  # another sweep of the service, another tick of the sensor
    found = runs(dagster_url)
    assert [run["launch"] for run in found] == [first["id"], second["id"]]
    assert [row["run_id"] for row in launches(database)] == [run["run_id"] for run in found]
    wait_for(lambda: {run["status"] for run in runs(dagster_url)} == {"SUCCESS"}, 120, "the runs did not end")


MUTATION = "mutation{setAutoMaterializePaused(paused:true)}"
ATTACKS: list[tuple[str, str, dict[str, str], bytes]] = [
    ("GET", f"/graphql?query={MUTATION}", {"Origin": "https://evil.example"}, b""),
    (
        "POST",
        f"/graphql?query={MUTATION}",
        {"Origin": "https://evil.example", "Content-Type": "application/x-www-form-urlencoded"},
        b"a=b",
    ),
    (
        "POST",
        "/graphql",
        {"Origin": "https://evil.example", "Content-Type": "text/plain; application/json"},
        json.dumps({"query": MUTATION}).encode(),
    ),
    ("POST", "/report_asset_materialization/raw_events/ics", {"Origin": "https://evil.example"}, b""),
    (
        "POST",
        "/graphql",
        {"Host": "evil.example", "Origin": "http://evil.example", "Content-Type": "application/json"},
        json.dumps({"query": MUTATION}).encode(),
    ),
]
"""The requests of another site that Dagster's webserver executes: GET, form, a content type that needs no preflight, a bare
report, and a name that leads here by DNS rebinding."""


def test_the_five_requests_that_dagster_executes_are_refused_by_the_guard(
    dagster: Installation, database: Database, guard: LiveServer
) -> None:
    for method, path, headers, body in ATTACKS:
        done = httpx.request(method, dagster.url + path, headers=headers, content=body, timeout=30)
        assert done.status_code == 200, (path, done.text)  # or the guard would guard against nothing
    token = token_of(database, "root", role=Role.ADMIN)
    with httpx.Client(base_url=guard.url, timeout=30) as browser:
        assert browser.post(SIGN_IN, data={"token": token}, headers={"Origin": guard.url}).status_code == 303
        assert browser.get("/server_info").json()["dagster_version"]
        for method, path, headers, body in ATTACKS:
            reply = browser.request(method, path, headers=headers, content=body)
            assert reply.status_code in {403, 405, 415, 421}, (method, path, reply.status_code)
        ours = browser.post("/graphql", json={"query": "{ version }"}, headers={"Origin": guard.url})
        assert ours.json()["data"]["version"]


def test_subscriptions_pass_the_guard_for_its_own_pages_alone(
    dagster: Installation, database: Database, guard: LiveServer
) -> None:
    token = token_of(database, "root", role=Role.ADMIN)
    address = guard.url.replace("http", "ws") + "/graphql"
    protocol = [Subprotocol("graphql-ws")]
    with httpx.Client(base_url=guard.url) as browser:
        browser.post(SIGN_IN, data={"token": token}, headers={"Origin": guard.url})
        cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}

    async def talk(headers: dict[str, str], origin: str | None) -> list[str]:
        async with connect(
            address,
            subprotocols=protocol,
            additional_headers=headers,
            origin=origin,
            proxy=None,  # type: ignore[arg-type]
        ) as socket:
            assert socket.subprotocol == "graphql-ws"
            await socket.send(json.dumps({"type": "connection_init", "payload": {}}))
            query = "subscription { locationStateChangeEvents { event { eventType } } }"
            await socket.send(json.dumps({"id": "1", "type": "start", "payload": {"query": query}}))
            await socket.send(
                json.dumps({"id": "2", "type": "start", "payload": {"query": "subscription { nothing }"}})
            )
            said = []
            async with asyncio.timeout(20):
                while "error" not in said and "data" not in said:
                    said.append(json.loads(await socket.recv())["type"])
            return said

    for headers, origin in ((cookie, guard.url), ({"Authorization": f"Bearer {token}"}, None)):
        assert "connection_ack" in asyncio.run(talk(headers, origin))
    user = {"Authorization": f"Bearer {token_of(database, 'ada')}"}
    for headers, origin in (
        (cookie, "https://evil.example"),
        (cookie, None),
        (cookie, "null"),
        ({**cookie, "Host": "evil.example"}, "http://evil.example"),
        ({}, guard.url),
        (user, guard.url),
    ):
        with pytest.raises(InvalidStatus) as refused:
            asyncio.run(talk(headers, origin))
        # 400: with the Host of another there are two, which no request may have.
        assert refused.value.response.status_code in {400, 403}
