"""Batches that wait for a run: those that were queued, those whose run died, and folders that were dropped in the inbox.

A folder in `INGESTION_INBOX` is one batch. It is complete when it holds a file called `_COMPLETE`, or when nothing in it
changed for half a minute; it then becomes rows, and moves to `.done/` beside it, so that it is taken once.
"""

import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import dagster as dg

from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import MAX_LAUNCHES, Batch, BatchState, NewFile
from ingestion_assets.ledger.dagster_runs import run_is_finished
from ingestion_assets.study.settings import StudySettings
from ingestion_assets.study.steps import KEYS, PARTITIONS, RUN_TAGS
from resources.definitions import PostgresResource
from sensors.ticks import bounded, summary

SETTLED = 30.0
"""Seconds without a change after which a folder without a marker counts as complete. A copy over a network pauses."""
BATCH_TAG = "ingestion/batch"
"""On the runs for a batch: its id."""
MARKER = "_COMPLETE"
DONE = ".done"
MAX_FILES = 500
"""Of one folder; more are several batches."""
MAX_FOLDERS = 5
"""Taken in one tick, which must be short."""


class Step(StrEnum):
    """What to do about one open batch."""

    LAUNCH = "launch"
    FAIL = "fail"
    WAIT = "wait"


def decide(*, working: bool, ended: int) -> Step:
    """What to do. `working`: a run for it is queued or under way, or Dagster could not say. `ended`: launches that are over.

    Only those count: a run may wait for a slot for hours, and a request that was lost made no run.
    """
    if working:
        return Step.WAIT
    return Step.FAIL if ended >= MAX_LAUNCHES else Step.LAUNCH


@dataclass(frozen=True, slots=True)
class Folder:
    """A sub-folder of the inbox, as it lies there."""

    name: str
    files: tuple[str, ...]
    changed: float
    """The newest change, in seconds since the epoch."""
    marked: bool


def complete(folders: Sequence[Folder], *, now: float) -> list[Folder]:
    """The folders to take, oldest first. An empty one is somebody about to copy."""
    ready = [folder for folder in folders if folder.files and (folder.marked or now - folder.changed >= SETTLED)]
    return sorted(ready, key=lambda folder: (folder.changed, folder.name))


def look(inbox: Path) -> list[Folder]:
    """What lies in the inbox. Links are not followed: they may lead out of it."""
    found = []
    with os.scandir(inbox) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            names, changed, marked = [], entry.stat(follow_symlinks=False).st_mtime, False
            with os.scandir(entry.path) as files:
                for file in files:
                    changed = max(changed, file.stat(follow_symlinks=False).st_mtime)
                    marked = marked or file.name == MARKER
                    if file.is_file(follow_symlinks=False) and not file.name.startswith((".", "_")):
                        names.append(file.name)
            found.append(Folder(entry.name, tuple(sorted(names)[:MAX_FILES]), changed, marked))
    return found


def read_files(inbox: Path, folder: Folder, *, most: int) -> list[NewFile]:
    """The files of a folder. One that is too large comes cut off just past the limit: its document then says so."""
    return [NewFile(name, _read(inbox / folder.name / name, most + 1)) for name in folder.files]


def _read(path: Path, most: int) -> bytes:
    # Between looking and opening, a file may have become a link or a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def put_away(inbox: Path, folder: Folder, *, key: str) -> None:
    """Move a taken folder aside; its name gets the batch, so that the same name can be dropped again."""
    done = inbox / DONE
    done.mkdir(exist_ok=True)
    (inbox / folder.name).rename(done / f"{folder.name}-{key[:8]}")


def take(connection_of: Callable[[], Any], inbox: Path, folder: Folder, *, most: int) -> Batch:
    """Make a folder a batch, then move it. Killed in between, the next tick finds the batch by its key and moves it."""
    files = read_files(inbox, folder, most=most)
    key = f"{folder.name}:{batches.fingerprint(files, {})}"
    with connection_of() as connection:
        batch, _ = batches.create_batch(connection, files, title=folder.name, origin="inbox", origin_key=key)
    put_away(inbox, folder, key=batch.id.hex)
    return batch


def request(batch: Batch, launch: int) -> dg.RunRequest:
    """The run for a batch. The key names the launch: asked for again, it is the same run."""
    return dg.RunRequest(
        run_key=f"batch {batch.id} {launch}",
        asset_selection=list(KEYS),
        partition_key=batch.collection_id,
        tags={**RUN_TAGS, BATCH_TAG: str(batch.id), **({"ingestion/user": batch.user_id} if batch.user_id else {})},
    )


def runs_for(instance: dg.DagsterInstance, waiting: Sequence[Batch]) -> dict[str, list[dg.DagsterRun]]:
    """The runs that Dagster has for these batches, by the batch's id."""
    found: dict[str, list[dg.DagsterRun]] = {str(batch.id): [] for batch in waiting}
    for run in instance.get_runs(dg.RunsFilter(tags={BATCH_TAG: list(found)})) if found else ():
        found[run.tags[BATCH_TAG]].append(run)
    return found


@dg.sensor(
    name="study_batches",
    target=dg.AssetSelection.assets(*KEYS),
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for each batch of documents that waits, again when its run died, and takes folders that were "
    "dropped in INGESTION_INBOX.",
)
def study_batches_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SensorResult:
    """Decided by `decide` and `complete`."""
    done: list[str] = []
    settings = StudySettings()
    if settings.inbox is not None:
        done += _take_folders(context, postgres, settings.inbox, settings.max_document_bytes)
    with bounded(postgres.database) as connection:
        waiting = batches.open_batches(connection)
    runs = runs_for(context.instance, waiting)
    launches: list[tuple[Batch, int]] = []
    for batch in waiting:
        own = runs[str(batch.id)]
        # Somebody may have started the run of a collection by hand, without the tag.
        working = any(not run.is_finished for run in own) or (
            batch.run_id is not None and run_is_finished(context.instance, batch.run_id) is not True
        )
        # Dagster's own retries belong to the launch that they repeat.
        ended = len({run.root_run_id or run.run_id for run in own})
        match decide(working=working, ended=ended):
            case Step.WAIT:
                continue
            case Step.FAIL:
                _fail(postgres, batch, ended)
                done.append(f"batch {batch.id} failed: {ended} runs did not finish it")
            case Step.LAUNCH:
                launches.append((batch, ended + 1))
    # Last, and together: what was held back by a tick that failed would wait for nothing.
    with bounded(postgres.database) as connection:
        requests = [
            request(batch, launch) for batch, launch in launches if batches.mark_launched(connection, batch.id, launch)
        ]
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[
            PARTITIONS.build_add_request(sorted({str(item.partition_key) for item in requests}))
        ]
        if requests
        else None,
        skip_reason=None if requests else summary(done, "No batch waits for a run."),
    )


def _take_folders(context: dg.SensorEvaluationContext, postgres: PostgresResource, inbox: Path, most: int) -> list[str]:
    if not inbox.is_dir():
        return [f"INGESTION_INBOX={inbox} is no folder: create it"]
    taken = []
    for folder in complete(look(inbox), now=time.time())[:MAX_FOLDERS]:
        try:
            batch = take(lambda: postgres.database.transaction(role="sensor"), inbox, folder, most=most)
        except OSError as error:
            # One folder that cannot be read does not hold up the others.
            context.log.warning(f"{folder.name} could not be taken from the inbox: {error.strerror}")
            continue
        taken.append(f"{folder.name} became batch {batch.id}")
    return taken


def _fail(postgres: PostgresResource, batch: Batch, ended: int) -> None:
    with bounded(postgres.database) as connection:
        batches.finish(
            connection,
            batch.id,
            BatchState.FAILED,
            code="run_failed",
            message=f"{ended} runs for this batch did not finish: look at the last one, then retry",
        )
        connection.execute(
            "UPDATE study_collections SET state = 'failed', changed_at = now() WHERE id = %s AND state = 'processing'",
            (batch.collection_id,),
        )
