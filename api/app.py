"""The application: its parts put together, nothing decided.

app = create_app(database, settings)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psycopg
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api import documentation, idempotency, problems, rates
from api.database import ApiDatabase
from api.launching import Launcher
from api.middleware import Guard
from api.problems import Problem
from api.reports import Reports
from api.routes import admin, admin_page, batches, chat, collections, events, health, jobs, problem_pages
from api.settings import ApiSettings
from api.state import Service
from api.streams import Hub
from api.tasks import end
from ingestion_assets.job_kinds import job_kinds
from ingestion_assets.ledger import uploads
from ingestion_assets.ledger.async_jobs import JobKinds
from resources.postgres.database import Database

log = logging.getLogger(__name__)

_TIDY_SECONDS = 3600.0
_FEEDS_AT_ONCE = 2


def create_app(database: Database, settings: ApiSettings | None = None, *, kinds: JobKinds | None = None) -> FastAPI:
    """The service on a migrated database. `kinds` are the jobs that may be asked for; those installed by default."""
    settings = settings or ApiSettings()
    pool = ApiDatabase(database.url, settings)
    # A report that waits minutes for a server says nothing.
    ledger = Database(database.url, patience=5)
    service = Service(
        settings=settings,
        database=pool,
        ledger=ledger,
        reports=Reports(pool, ledger),
        hub=Hub(database.url, settings, channels=("study_batches", "async_jobs")),
        launcher=Launcher(pool, settings),
        kinds=job_kinds() if kinds is None else kinds,
        feeds=anyio.CapacityLimiter(_FEEDS_AT_ONCE),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool.opened(), service.hub.running(), service.launcher.running(), _tidying(pool):
            yield

    app = FastAPI(
        title="Ingestion platform",
        version="1",
        lifespan=lifespan,
        # Their pages load scripts from elsewhere; the document itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    for module in (events, batches, collections, jobs, chat, admin, admin_page, health, problem_pages):
        app.include_router(module.router)
    problems.install(app)
    app.openapi = lambda: documentation.document(app)  # type: ignore[method-assign]
    app.add_middleware(Guard, settings=settings)
    if settings.cors_origins:
        # Around the guard: a page may read why it was refused.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "If-None-Match"],
            expose_headers=["Location", "Retry-After", "ETag", "Link", "X-Request-ID"],
        )
    return app


@asynccontextmanager
async def _tidying(pool: ApiDatabase) -> AsyncIterator[None]:
    async def tidy() -> None:
        while True:
            try:
                await pool.run(idempotency.forget_old)
                await pool.run(rates.forget_idle)
                await pool.run(uploads.forget_abandoned)
            except (Problem, psycopg.Error) as error:
                log.warning("old rows stay for another hour: %s", type(error).__name__)
            await asyncio.sleep(_TIDY_SECONDS)

    task = asyncio.create_task(tidy(), name="tidy")
    try:
        yield
    finally:
        await end(task)
