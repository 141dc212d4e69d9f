"""The service on the tests' database: in this process for questions and answers, under uvicorn where streams matter."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.__main__ import listening
from api.app import create_app
from api.settings import ApiSettings
from ingestion_assets.ledger.async_jobs import JobKind, JobKinds
from ingestion_assets.ledger.tokens import Role, issue
from ingestion_assets.ledger.users import ensure_user
from resources.postgres.database import Database

KINDS = JobKinds([JobKind(name="ai.echo", handler=lambda job: dict(job.arguments)), JobKind(name="own", handler=dict)])
"""One that users may ask for, one that they may not."""


def token_of(database: Database, user_id: str, *, role: Role = Role.USER) -> str:
    with database.transaction() as connection:
        ensure_user(connection, user_id)
        return issue(connection, user_id, role=role)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def ada(database: Database) -> dict[str, str]:
    """Headers of a user."""
    return bearer(token_of(database, "ada"))


@pytest.fixture
def bob(database: Database) -> dict[str, str]:
    """Headers of another user."""
    return bearer(token_of(database, "bob"))


@pytest.fixture
def admin(database: Database) -> dict[str, str]:
    """Headers of an administrator."""
    return bearer(token_of(database, "root", role=Role.ADMIN))


def settings(**changes: Any) -> ApiSettings:
    """Settings that get in nobody's way, with changes by field name."""
    defaults = {"requests_per_second": 1000.0, "request_burst": 1000, "dagster_url": "http://127.0.0.1:9"}
    return ApiSettings(**{**defaults, **changes})


@asynccontextmanager
async def _client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


class Calls:
    """Requests to a service in this process, each test's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def app(self, **changes: Any) -> FastAPI:
        return create_app(self._database, settings(**changes), kinds=KINDS)

    def __call__(self, work: Callable[[httpx.AsyncClient], Any], **changes: Any) -> Any:
        """What the coroutine function `work` returns when it is given a client."""
        import asyncio

        async def go() -> Any:
            async with _client(self.app(**changes)) as client:
                return await work(client)

        return asyncio.run(go())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self(lambda client: client.request(method, path, **options))


@pytest.fixture
def api(database: Database) -> Calls:
    return Calls(database)


class LiveServer:
    """A service under uvicorn, in a thread, on a port of its own."""

    def __init__(self, app: FastAPI, chosen: ApiSettings | None = None) -> None:
        self.app = app
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        options = listening(chosen or settings())
        self._server = uvicorn.Server(uvicorn.Config(app, **options, log_level="warning", timeout_graceful_shutdown=3))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def start(self) -> None:
        self._thread.start()
        end = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < end
            time.sleep(0.02)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()
        assert not self._thread.is_alive()


@pytest.fixture
def serve(database: Database) -> Iterator[Callable[..., LiveServer]]:
    """Start services for real; they are stopped after the test."""
    started: list[LiveServer] = []

    def start(*, kinds: JobKinds | None = KINDS, **changes: Any) -> LiveServer:
        chosen = settings(**changes)
        server = LiveServer(create_app(database, chosen, kinds=kinds), chosen)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()
