"""Administration for programs: what happens, and runs that are asked for. The page is `admin_page.py`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Body, Path, Request
from fastapi.responses import JSONResponse, Response
from psycopg import Connection

from api.auth import Admin
from api.documentation import problems
from api.models import IngestRequest, LaunchList, LaunchOut
from api.overview import job_tags, read_overview
from api.problems import Problem
from api.state import Service, service
from ingestion_assets.events.model import week_of
from ingestion_assets.events.sources import SOURCE_NAMES, missing_settings
from ingestion_assets.launch import check_weeks
from ingestion_assets.ledger import run_launches, stuck_imports, stuck_jobs
from ingestion_assets.ledger.job_settings import JobSettings
from ingestion_assets.ledger.run_launches import Launch
from ingestion_assets.ledger.tokens import Principal

router = APIRouter(tags=["administration"], prefix="/api/admin")
Weeks = Annotated[IngestRequest | None, Body()]


@router.get("/ingestion", responses=problems(401, 403), summary="Sources, imports, jobs, launches, spend")
async def get_ingestion(request: Request, _admin: Admin) -> dict[str, Any]:
    """What the page shows, as JSON."""
    return await service(request).database.run(read_overview)


@router.post("/ingest-all", status_code=202, response_model=LaunchList, responses=problems(401, 403, 415))
async def ingest_all(request: Request, admin: Admin, body: Weeks = None) -> Response:
    """Import every source that is on, each in a run of its own."""
    skipped = {name: f"set {', '.join(missing)}" for name in SOURCE_NAMES if (missing := missing_settings(name))}
    wanted = [name for name in SOURCE_NAMES if name not in skipped]
    launches = await launch(service(request), admin, wanted, weeks_of(body))
    return JSONResponse({"launches": launches, "skipped": skipped}, 202)


@router.post("/ingest/{source}", status_code=202, response_model=LaunchOut, responses=problems(401, 403, 404, 409, 415))
async def ingest(
    request: Request, admin: Admin, source: Annotated[str, Path(max_length=100)], body: Weeks = None
) -> Response:
    """Import one source. Written down before it is launched: a Dagster that is away launches it when it is back."""
    [made] = await launch(service(request), admin, [source], weeks_of(body))
    return JSONResponse(made, 202)


@router.post("/clean-stuck", responses=problems(401, 403, 415), summary="Close what is stuck")
async def clean(request: Request, _admin: Admin) -> dict[str, int]:
    """Close imports and requeue jobs whose worker is gone; what the sensors do every half minute."""
    return await clean_stuck(service(request))


async def clean_stuck(state: Service) -> dict[str, int]:
    """How many imports were closed and how many jobs taken from their workers. Dagster is not asked."""

    def work() -> dict[str, int]:
        database = state.ledger
        with database.transaction(role="api clean") as connection:
            running = stuck_imports.running_imports(connection)
        found = stuck_imports.stuck_imports(running, run_finished=lambda _: None, limits=stuck_imports.Limits())
        closed = stuck_imports.close_stuck(database, "api", found)
        with database.transaction(role="api clean") as connection:
            taken = stuck_jobs.reclaim(connection, "api", JobSettings())
        return {"imports": len(closed), "jobs": len(taken)}

    return await anyio.to_thread.run_sync(work)


def weeks_of(body: IngestRequest | None) -> tuple[date, date] | None:
    """The weeks that were asked for; None: the coming ones. Raises `Problem` 422 when they are no partitions."""
    if body is None or (body.first is None and body.last is None):
        return None
    first = body.first or body.last
    last = body.last or body.first
    assert first is not None  # noqa: S101 - one of them is set
    assert last is not None  # noqa: S101
    if last < first:
        raise Problem(422, "`to` lies before `from`.")
    weeks = (week_of(first), week_of(last))
    check_weeks(*weeks)  # a PermanentError with the ends, which is answered as 422
    return weeks


async def launch(
    state: Service, admin: Principal, sources: list[str], weeks: tuple[date, date] | None
) -> list[dict[str, Any]]:
    """Write down the runs and wake the launcher. Raises `Problem` 404 for no such source, 409 for one that is off."""
    for source in sources:
        if source not in SOURCE_NAMES:
            raise Problem(404, f"There is no source of that name; there are: {', '.join(SOURCE_NAMES)}.")
        if missing := missing_settings(source):
            raise Problem(409, f"The source is off: set {', '.join(missing)} and restart.", missing=missing)

    def write(connection: Connection[Any]) -> list[dict[str, Any]]:
        made = []
        for source in sources:
            job, tags = job_tags(source, weeks)
            wanted, created = run_launches.request_run(
                connection, job_name=job, source=source, tags=tags, requested_by=admin.user_id
            )
            made.append(launch_json(wanted, created=created))
        return made

    made = await state.database.run(write)
    state.launcher.wake()
    return made


def launch_json(launch: Launch, *, created: bool) -> dict[str, Any]:
    """A launch as `LaunchOut` describes it."""
    return {
        "id": str(launch.id),
        "source": launch.source,
        "job": launch.job_name,
        "state": launch.state,
        "run_id": launch.run_id,
        "error": launch.error,
        "created_at": launch.created_at.isoformat(),
        "created": created,
    }
