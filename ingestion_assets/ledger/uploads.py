"""Files whose bytes are stored while they arrive, part by part, under ids of our own.

Each part is a transaction: after the last byte of a batch nothing is left to be stored, and a connection is never held
while a client is slow. A file belongs to nothing until a batch names it; what no batch names is removed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from psycopg import Connection

ABANDONED: Final = timedelta(hours=24)
"""Longer than the slowest upload may take. A process that died while it received leaves its parts for so long."""


def add_parts(
    connection: Connection[Any], file_id: uuid.UUID, first: int, parts: Iterable[bytes], *, user_id: str | None
) -> None:
    """Store parts of a file, numbered from `first`; with part 0 the file begins."""
    if first == 0:
        connection.execute("INSERT INTO study_files (id, user_id) VALUES (%s, %s)", (file_id, user_id))
    for number, part in enumerate(parts, first):
        connection.execute(
            # Binary: as text a byte is two characters on the wire.
            "INSERT INTO study_file_parts (file_id, number, bytes) VALUES (%s, %s, %b)",
            (file_id, number, part),
        )


def discard(connection: Connection[Any], file_ids: Iterable[uuid.UUID]) -> int:
    """Remove files that no document names. How many there were."""
    return connection.execute(
        "DELETE FROM study_files f WHERE id = ANY(%s)"
        " AND NOT EXISTS (SELECT FROM study_documents d WHERE d.file_id = f.id)",
        (list(file_ids),),
    ).rowcount


def forget_abandoned(connection: Connection[Any]) -> int:
    """Remove files whose upload ended without a batch, and those whose collection is gone."""
    return connection.execute(
        "DELETE FROM study_files f WHERE created_at < now() - %s"
        " AND NOT EXISTS (SELECT FROM study_documents d WHERE d.file_id = f.id)",
        (ABANDONED,),
    ).rowcount
