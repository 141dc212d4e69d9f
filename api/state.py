"""What all requests of one process share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import anyio
from fastapi import Request

from api.database import ApiDatabase
from api.launching import Launcher
from api.reports import Reports
from api.settings import ApiSettings
from api.streams import Hub
from ingestion_assets.ledger.async_jobs import JobKinds
from resources.postgres.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The parts that the application was made of."""

    settings: ApiSettings
    database: ApiDatabase
    ledger: Database
    """For reports that open a connection of their own (metrics)."""
    reports: Reports
    hub: Hub
    launcher: Launcher
    kinds: JobKinds
    feeds: anyio.CapacityLimiter
    """How many are made at once: anybody may ask, and each is thousands of events in memory."""


def service(request: Request) -> Service:
    """The service that `request` came to."""
    return cast("Service", request.app.state.service)
