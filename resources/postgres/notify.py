"""LISTEN and NOTIFY: being woken by the database instead of asking it again and again.

A notification is a hint, never the message: it is lost while nobody listens, and when the connection breaks. Whoever waits
here must also look by itself from time to time.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection


def listen(connection: Connection[Any], *channels: str) -> None:
    """Subscribe a connection, which has to be in autocommit, for as long as it lives."""
    from psycopg import sql

    for channel in channels:
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))


def notify(connection: Connection[Any], channel: str, payload: str = "") -> None:
    """Wake the listeners of `channel` when the current transaction commits. Equal payloads arrive once.

    Send a key, and let the listener read the row: PostgreSQL refuses more than 7,999 bytes.
    """
    connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))


def wait(connection: Connection[Any], *, timeout: float, wake: Sequence[int] = ()) -> list[tuple[str, str]]:
    """The notifications (channel, payload) that have arrived, waiting up to `timeout` seconds for the first one.

    Returns early, possibly with nothing, when one of the file descriptors in `wake` becomes readable. No statement is
    sent. Raises psycopg's `OperationalError` when the connection is gone.
    """
    arrived = _drain(connection)
    if arrived:
        return arrived
    readable, _, _ = select.select([connection.fileno(), *wake], [], [], max(0.0, timeout))
    # A readable socket is not always a notification: it may be the server saying goodbye, which drain raises.
    return _drain(connection) if connection.fileno() in readable else []


def _drain(connection: Connection[Any]) -> list[tuple[str, str]]:
    return [(note.channel, note.payload) for note in connection.notifies(timeout=0)]
