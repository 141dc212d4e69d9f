"""Faults between a transaction and the one who waits for it, at points that a random kill would hardly ever hit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg


def lose_acknowledgement(work: Callable[[Any], Any], *, times: int = 1) -> Callable[[Any], Any]:
    """`work` whose transaction the server commits while the client, `times` times, only sees a broken connection."""
    left = times

    def wrapped(connection: psycopg.Connection[Any]) -> Any:
        nonlocal left
        result = work(connection)
        if left:
            left -= 1
            connection.execute("COMMIT")
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return result

    return wrapped


def kill_session(work: Callable[[Any], Any], *, times: int = 1) -> Callable[[Any], Any]:
    """`work` whose session the server ends, `times` times, after its statements and before its commit."""
    left = times

    def wrapped(connection: psycopg.Connection[Any]) -> Any:
        nonlocal left
        result = work(connection)
        if left:
            left -= 1
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return result

    return wrapped


class LostCommits:
    """Patches `Session.transact` so that every commit's acknowledgement is lost once, whatever the work was.

    The whole transaction function is wrapped, so the ledger's own guard statements are part of what was committed.
    """

    def __init__(self, monkeypatch: Any) -> None:
        from resources.postgres.database import Session

        original = Session.transact
        self.lost = 0

        def transact(session: Session, work: Callable[[Any], Any]) -> Any:
            self.lost += 1
            return original(session, lose_acknowledgement(work))

        monkeypatch.setattr(Session, "transact", transact)
