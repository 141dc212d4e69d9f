"""`/health` and `/metrics`: whether the platform works, for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.auth import Admin
from api.documentation import problems
from api.state import service
from ingestion_assets.ledger.health import Status
from ingestion_assets.ledger.metrics import CONTENT_TYPE, metrics

router = APIRouter(tags=["operation"])


@router.get("/live", summary="Whether this process answers")
async def live() -> dict[str, str]:
    """Looks at nothing else: for supervisors that restart what hangs."""
    return {"status": "ok"}


@router.get(
    "/health",
    summary="Whether the platform works",
    responses=problems(503),
)
async def health(request: Request) -> Response:
    """`ok` or `degraded` with 200, 503 when the database does not answer. Without a token only that word.

    The answer may be two seconds old.
    """
    report = await service(request).reports.health()
    if report.status is Status.DOWN:
        return JSONResponse({"status": report.status}, 503, headers={"Retry-After": "5"})
    return JSONResponse({"status": report.status})


@router.get("/api/admin/health", summary="Health in detail", responses=problems(401, 403))
async def health_detail(request: Request, _admin: Admin) -> dict[str, Any]:
    """Everything that `ingest status` shows of the platform's own database. It may be two seconds old."""
    return asdict(await service(request).reports.health())


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(401, 403)},
)
async def prometheus(request: Request, _admin: Admin) -> Response:
    """Prometheus's text format. Scrape it with a token of the role admin."""
    await service(request).database.run(lambda connection: connection.execute("SELECT 1"))
    text = await anyio.to_thread.run_sync(lambda: metrics(service(request).ledger))
    return Response(text, headers={"Content-Type": CONTENT_TYPE})
