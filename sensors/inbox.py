"""Folders that were dropped in the inbox: each becomes a batch, which `study_batches` launches like any other.

A folder in `INGESTION_INBOX` is complete when it holds a file called `_COMPLETE`, or when nothing in it changed for half a
minute. Its files are stored one after the other, so many bytes a tick; how far that is stands in the cursor. When all are
stored the folder becomes rows, and moves to `.done/` beside it, so that it is taken once. One that cannot be taken stays
where it is, and each tick says why; what is no file of a folder that was taken is counted in the tick and in the log.
"""

import logging
import os
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import dagster as dg
from pydantic import TypeAdapter

from ingestion_assets.ledger import batches, uploads
from ingestion_assets.ledger.batches import Batch, ReceivedFile
from ingestion_assets.ledger.incidents import Action, Incident, Subject, record
from ingestion_assets.study.settings import MIB, StudySettings
from resources.definitions import PostgresResource
from resources.postgres.database import Database
from sensors.ticks import bounded, summary

log = logging.getLogger(__name__)

NAME = "study_inbox"
SETTLED = 30.0
"""Seconds without a change after which a folder without a marker counts as complete. A copy over a network pauses."""
MARKER = "_COMPLETE"
DONE = ".done"
MAX_FILES = 500
"""Of one folder: what the run of a batch has the time for. A larger one is reported and stays until somebody divides it."""
MAX_REPORTED = 100
"""Folders that become incidents in one tick."""
MAX_FOLDERS = 5
"""Taken in one tick, which must be short."""
BYTES_A_TICK = 64 * MIB
"""Stored in one tick, and the file that goes beyond: seconds of work, where Dagster gives up on a tick after sixty."""
PART_BYTES = MIB
"""In memory at a time: the code server has others to serve."""
KEPT = uploads.ABANDONED.total_seconds() / 2
"""A folder that takes longer begins anew: files that no batch names are removed after twice that."""


def readable(name: str) -> str:
    """A name for people, rows and the cursor: bytes of it that are no UTF-8 are written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Folder:
    """A sub-folder of the inbox, as it lies there."""

    name: str
    files: tuple[str, ...]
    changed: float
    """The newest change, in seconds since the epoch."""
    marked: bool
    left_out: int = 0
    """Entries that are not taken: links, sub-folders, pipes, names with an underscore in front."""

    @property
    def shown(self) -> str:
        """Its name as it can be stored."""
        return readable(self.name)

    @property
    def refusal(self) -> str | None:
        """Why it cannot be taken as it is."""
        if len(self.files) > MAX_FILES:
            return f"it holds {len(self.files)} files, a batch at most {MAX_FILES}: divide it into several folders"
        if self.left_out and not self.files:
            return "it holds no files: put them into the folder itself, not below it, and no links to them"
        return None


@dataclass(frozen=True, slots=True)
class Begun:
    """A folder whose first files are stored, in the order in which it has them."""

    changed: float
    since: float
    files: tuple[ReceivedFile, ...] = ()

    def goes_on(self, folder: Folder, *, now: float) -> bool:
        """Whether the folder is the one that was begun."""
        return self.changed == folder.changed and now - self.since < KEPT


_CURSOR = TypeAdapter(dict[str, Begun])


def complete(folders: Sequence[Folder], *, now: float) -> list[Folder]:
    """The folders that nobody copies to any more, oldest first. An empty one is somebody about to copy."""
    ready = [
        folder
        for folder in folders
        if (folder.files or folder.left_out) and (folder.marked or now - folder.changed >= SETTLED)
    ]
    return sorted(ready, key=lambda folder: (folder.changed, folder.name))


def look(inbox: Path) -> list[Folder]:
    """What lies in the inbox. Links are not followed: they may lead out of it."""
    found = []
    with os.scandir(inbox) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            names, changed, marked, left_out = [], entry.stat(follow_symlinks=False).st_mtime, False, 0
            with os.scandir(entry.path) as files:
                for file in files:
                    changed = max(changed, file.stat(follow_symlinks=False).st_mtime)
                    marked = marked or file.name == MARKER
                    if file.is_file(follow_symlinks=False) and not file.name.startswith((".", "_")):
                        names.append(file.name)
                    elif file.name != MARKER and not file.name.startswith("."):
                        left_out += 1
            found.append(Folder(entry.name, tuple(sorted(names)), changed, marked, left_out))
    return found


def parts_of(path: Path, *, most: int) -> Iterator[bytes]:
    """A file in parts, at least one. One that is too large comes cut off just past `most`: its document then says so."""
    # Between looking and opening, a file may have become a link or a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        left = most + 1 if stat.S_ISREG(os.fstat(descriptor).st_mode) else 0
        part = file.read(min(PART_BYTES, left))
        yield part
        while part:
            left -= len(part)
            if part := file.read(min(PART_BYTES, left)):
                yield part


def store(database: Database, path: Path, *, most: int) -> ReceivedFile:
    """Put a file into the store, whole or not at all."""
    file_id, digest, size = uuid.uuid4(), sha256(), 0

    def parts() -> Iterator[bytes]:
        nonlocal size
        for part in parts_of(path, most=most):
            digest.update(part)
            size += len(part)
            yield part

    with bounded(database) as connection:
        uploads.add_parts(connection, file_id, 0, parts(), user_id=None)
    return ReceivedFile(readable(path.name), file_id, digest.hexdigest(), size)


def take(database: Database, inbox: Path, folder: Folder, files: Sequence[ReceivedFile]) -> tuple[Batch, bool]:
    """Make a folder a batch, then move it. Killed in between, a later tick finds the batch by its key and moves it.

    The batch, and whether it is new: the same files dropped again under the same name are the batch that they were.
    """
    key = f"{folder.shown}:{batches.fingerprint(files, {})}"
    with bounded(database) as connection:
        batch, is_new = batches.create_batch(connection, files, title=folder.shown, origin="inbox", origin_key=key)
        if not is_new:
            uploads.discard(connection, [file.file_id for file in files])
    done = inbox / DONE
    done.mkdir(exist_ok=True)
    # The name gets the batch, so that the same name can be dropped again; with the same files it is the same batch.
    put_away = done / f"{folder.name}-{batch.id.hex[:8]}"
    if put_away.exists():
        put_away = done / f"{put_away.name}-{uuid.uuid4().hex[:8]}"
    (inbox / folder.name).rename(put_away)
    return batch, is_new


@dg.sensor(
    name=NAME,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes a batch of each folder of documents that was dropped in INGESTION_INBOX.",
)
def study_inbox_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SensorResult:
    """Decided by `complete`. Asks for no run itself."""
    settings = StudySettings()
    inbox = settings.inbox
    if inbox is None:
        return dg.SensorResult(skip_reason="INGESTION_INBOX is not set.")
    if not inbox.is_dir():
        return dg.SensorResult(skip_reason=f"INGESTION_INBOX={inbox} is no folder: create it")
    now, room = time.time(), BYTES_A_TICK
    folders, refused = _refuse(complete(look(inbox), now=now), postgres.database)
    begun = _go_on(context.cursor, folders, postgres.database, now=now)
    taken: list[str] = []
    for folder in folders:
        if room <= 0 or len(taken) == MAX_FOLDERS:
            break
        state = begun.pop(folder.shown, Begun(folder.changed, now))
        try:
            for name in folder.files[len(state.files) :]:
                if room <= 0:
                    break
                file = store(postgres.database, inbox / folder.name / name, most=settings.max_document_bytes)
                room -= file.size
                state = replace(state, files=(*state.files, file))
            if len(state.files) == len(folder.files):
                batch, is_new = take(postgres.database, inbox, folder, state.files)
                became = "became" if is_new else "with the same files is already"
                taken.append(f"{folder.shown} {became} batch {batch.id}{_without(folder)}")
                continue
        except OSError as error:
            # One folder that cannot be read does not hold up the others.
            refused.append(f"{folder.shown} could not be taken from the inbox: {error.strerror}")
            context.log.warning(refused[-1])
        if state.files:
            begun[folder.shown] = state
    under_way = [f"{len(state.files)} files of {name} are stored" for name, state in begun.items()]
    return dg.SensorResult(
        cursor=_CURSOR.dump_json(begun).decode(),
        skip_reason=summary([*refused, *taken, *under_way], "No folder waits in the inbox."),
    )


def _without(folder: Folder) -> str:
    if not folder.left_out:
        return ""
    text = f" without {folder.left_out} of its entries (sub-folders, links, names that begin with _)"
    log.warning("%s was taken from the inbox%s", folder.shown, text)
    return text


def _refuse(folders: Sequence[Folder], database: Database) -> tuple[list[Folder], list[str]]:
    """The folders to take, and a sentence on each that cannot be taken, which becomes an incident once."""
    refused = [folder for folder in folders if folder.refusal is not None]
    if not refused:
        return list(folders), []
    incidents = [
        Incident(
            subject_type=Subject.FOLDER,
            subject=folder.shown,
            reason="too_many_files" if folder.files else "no_files",
            action=Action.REPORTED,
            detail=f"it was not taken from the inbox: {folder.refusal}",
        )
        for folder in refused[:MAX_REPORTED]
    ]
    with bounded(database) as connection:
        record(connection, NAME, incidents)
    told = [f"{folder.shown} was not taken: {folder.refusal}" for folder in refused]
    return [folder for folder in folders if folder.refusal is None], told


def _go_on(cursor: str | None, folders: Sequence[Folder], database: Database, *, now: float) -> dict[str, Begun]:
    """What earlier ticks have begun, without what changed or went away since: its files are removed."""
    begun = _CURSOR.validate_json(cursor) if cursor else {}
    lying = {folder.shown: folder for folder in folders}
    over = [name for name, state in begun.items() if name not in lying or not state.goes_on(lying[name], now=now)]
    forgotten = [file.file_id for name in over for file in begun.pop(name).files]
    if forgotten:
        with bounded(database) as connection:
            uploads.discard(connection, forgotten)
    return begun
