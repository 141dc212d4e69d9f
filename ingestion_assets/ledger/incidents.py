"""What was found stuck, late or lost, and what was done about it: one row each, for people and for counters."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from resources.redaction import redact

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger(__name__)


class Subject(StrEnum):
    """What an incident is about."""

    IMPORT_JOB = "import_job"
    ASYNC_JOB = "async_job"
    RUN = "run"
    POOL = "pool"
    BACKFILL = "backfill"
    FOLDER = "folder"


class Action(StrEnum):
    """What was done. `REPORTED` changes nothing and is said once for each subject and reason."""

    CLOSED = "closed"
    REQUEUED = "requeued"
    FAILED = "failed"
    CANCELLED = "cancelled"
    FREED = "freed"
    REFUSED = "refused"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One thing that was seen and dealt with."""

    subject_type: Subject
    subject: str
    reason: str
    """From a closed list of the watcher, in snake case."""
    action: Action
    detail: str
    """A sentence for people."""

    def __str__(self) -> str:
        return f"{self.subject_type.value.replace('_', ' ')} {self.subject}: {self.detail} ({self.action.value})"


def record(connection: Connection[Any], watcher: str, incidents: Iterable[Incident]) -> list[Incident]:
    """Store and log incidents, in the transaction of the repair. Returns those that were not known already."""
    fresh = []
    for incident in incidents:
        inserted = connection.execute(
            "INSERT INTO incidents (watcher, subject_type, subject, reason, action, detail)"
            " VALUES (%s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (subject_type, subject, reason) WHERE action = 'reported' DO NOTHING",
            (
                watcher,
                incident.subject_type.value,
                incident.subject,
                incident.reason,
                incident.action.value,
                redact(incident.detail)[:2000],
            ),
        ).rowcount
        if inserted:
            log.warning("%s: %s", watcher, redact(str(incident)))
            fresh.append(incident)
    return fresh
