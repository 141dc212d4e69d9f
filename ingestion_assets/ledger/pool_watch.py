"""Pool slots that dead runs keep from a run in this process, freed while it waits for them.

A killed `ingest run` leaves its source's slot taken, and Dagster frees it only where a daemon is up: the next command used
to wait for ever. The sensors of a daemon do the same repairs; both may do them at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ingestion_assets.ledger.import_repairs import fail_run
from ingestion_assets.ledger.run_heartbeats import read_pulses
from ingestion_assets.ledger.sightings import Sightings
from resources.postgres.database import Database

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds. A dead process is known for dead after ten; looking costs two small queries, and only while a slot is taken."""


@contextmanager
def freeing_dead_pools(instance: dg.DagsterInstance, database: Database) -> Iterator[None]:
    """Look after the pools of `instance` in a thread of its own for as long as the context lasts."""
    if not instance.event_log_storage.supports_global_concurrency_limits:
        yield
        return
    stopped = threading.Event()
    thread = threading.Thread(target=_watch, args=(instance, database, stopped), name="pool watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(timeout=15)


def free_dead_pools(
    instance: dg.DagsterInstance, database: Database, *, sightings: Sightings | None = None
) -> list[str]:
    """Free the slots of runs that are over or whose process is dead, and fail the latter. The runs whose were freed."""
    storage = instance.event_log_storage
    infos = storage.get_concurrency_infos(sorted(storage.get_concurrency_keys()))
    holders = sorted({slot.run_id for info in infos.values() for slot in info.claimed_slots})
    if not holders:
        return []
    with database.transaction(role="pool watch") as connection:
        pulses = read_pulses(connection, holders, sightings=sightings)
    freed = []
    for run_id in holders:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            dead = pulses[run_id].why_dead() if run_id in pulses else None
            if dead is None:
                continue
            fail_run(instance, run_id, f"Nobody serves this run any more: {dead}.")
        storage.free_concurrency_slots_for_run(run_id)
        log.warning("freed the pool slots of run %s, which is over", run_id)
        freed.append(run_id)
    return freed


def _watch(instance: dg.DagsterInstance, database: Database, stopped: threading.Event) -> None:
    sightings = Sightings()
    while not stopped.wait(LOOK_EVERY):
        try:
            free_dead_pools(instance, database, sightings=sightings)
        except Exception as error:  # noqa: BLE001 - an outage of either database is no reason to stop looking
            log.debug("could not look at the pools: %s", type(error).__name__)
