"""What all sensors share: bounded connections, and how a tick says what it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from ingestion_assets.events.sources import SOURCE_NAMES
from resources.postgres.database import Database

if TYPE_CHECKING:
    from psycopg import Connection

STATEMENT_TIMEOUT = "3s"
"""A tick has to end within 5 s: Dagster evaluates sensors side by side on a few threads, and kills them after 60 s."""
UNFINISHED = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
"""What a run may be before it is over. Dagster's own list of runs in progress leaves out the first two."""
_SHOWN = 10


@contextmanager
def bounded(database: Database) -> Iterator[Connection[Any]]:
    """A transaction whose statements give up rather than hold up the sensor."""
    with database.transaction(role="sensor") as connection:
        connection.execute(
            "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
            (STATEMENT_TIMEOUT, STATEMENT_TIMEOUT),
        )
        yield connection


def asset_of(name: str) -> dg.AssetKey:
    """The asset that an import's name stands for: a source of raw events, or `asset` and `asset:partition`."""
    return dg.AssetKey(["raw_events", name]) if name in SOURCE_NAMES else dg.AssetKey(name.partition(":")[0])


def observation(name: str, description: str, **metadata: Any) -> dg.AssetObservation:
    """A repair as the asset's own history shows it."""
    return dg.AssetObservation(asset_key=asset_of(name), description=description, metadata=metadata)


def summary(done: Sequence[object], nothing: str) -> str:
    """The text of a tick: what was done, shortened, or that all is well."""
    if not done:
        return nothing
    shown = "; ".join(str(item) for item in done[:_SHOWN])
    return f"{len(done)}: {shown}" + ("; …" if len(done) > _SHOWN else "")
