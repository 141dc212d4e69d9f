"""Idempotency-Key: a request that is repeated does nothing new and gets the first answer.

The answer is stored in the transaction that does the work, so there is no moment at which one exists without the other. A
request that died before that frees its key after a minute.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Header
from fastapi.responses import JSONResponse, Response
from psycopg import Connection
from psycopg.types.json import Jsonb

from api.database import ApiDatabase
from api.problems import Problem
from ingestion_assets.ledger.tokens import Principal

KEPT = timedelta(hours=24)
LOCK = timedelta(seconds=60)
_KEY = re.compile(r"[\x21-\x7e]{1,200}")

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 200 printable characters. Kept for 24 hours: the same key with the same payload answers as the"
        " first time, with another payload 422, while the first is under way 409.",
        examples=["7b0c9a1e-upload-1"],
    ),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer, as it is stored and sent."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, **headers: str) -> Response:
        """On the wire."""
        return JSONResponse(self.body, self.status, headers={**self.headers, **headers})


def fingerprint(*parts: str | bytes) -> bytes:
    """SHA-256 over parts that cannot run into each other."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


def valid_key(key: str | None) -> None:
    """Raises `Problem` 400 for a key that is none."""
    if key is not None and not _KEY.fullmatch(key):
        raise Problem(400, "Idempotency-Key is 1 to 200 printable ASCII characters.")


async def once(
    database: ApiDatabase,
    principal: Principal,
    key: str | None,
    print_: bytes,
    work: Callable[[Connection[Any]], Answer],
) -> Response:
    """Do `work` in one transaction and answer; with a key, at most once.

    Raises `Problem` 400 for a key that is none, 409 while the first request is under way, 422 when the key was used for
    something else. What `work` raises frees the key.
    """
    if key is None:
        return (await database.run(work)).response()
    valid_key(key)
    earlier = await database.run(lambda c: _begin(c, principal.user_id, key, print_))
    if earlier is not None:
        return earlier.response(**{"Idempotent-Replayed": "true"})

    def work_and_store(connection: Connection[Any]) -> Answer:
        answer = work(connection)
        stored = connection.execute(
            "UPDATE api_answers SET status = %s, headers = %s, body = %s"
            " WHERE user_id = %s AND key = %s AND fingerprint = %s AND status IS NULL",
            (answer.status, Jsonb(dict(answer.headers)), Jsonb(dict(answer.body)), principal.user_id, key, print_),
        )
        if stored.rowcount == 0:  # it took longer than the lock, and a repeat has done the work meanwhile
            raise Problem(409, "A repeat of this request was faster; send it again for its answer.", name="key-in-use")
        return answer

    try:
        return (await database.run(work_and_store)).response()
    except Exception:
        await database.run(lambda c: _free(c, principal.user_id, key))
        raise


def _begin(connection: Connection[Any], user_id: str, key: str, print_: bytes) -> Answer | None:
    taken = connection.execute(
        "INSERT INTO api_answers AS a (user_id, key, fingerprint, locked_until)"
        " VALUES (%(user)s, %(key)s, %(print)s, clock_timestamp() + %(lock)s)"
        " ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = NULL, headers = NULL,"
        " body = NULL, created_at = clock_timestamp(), locked_until = excluded.locked_until"
        " WHERE a.created_at < clock_timestamp() - %(kept)s"
        " OR (a.status IS NULL AND a.locked_until < clock_timestamp() AND a.fingerprint = excluded.fingerprint)"
        " RETURNING true",
        {"user": user_id, "key": key, "print": print_, "lock": LOCK, "kept": KEPT},
    ).fetchone()
    if taken:
        return None
    row = connection.execute(
        "SELECT fingerprint, status, headers, body FROM api_answers WHERE user_id = %s AND key = %s", (user_id, key)
    ).fetchone()
    if row is not None and bytes(row[0]) != print_:
        raise Problem(422, "Use a new key for a new request.", name="key-reused")
    if row is None or row[1] is None:
        raise Problem(409, name="key-in-use", headers={"Retry-After": "2"})
    return Answer(row[1], row[3], row[2])


def _free(connection: Connection[Any], user_id: str, key: str) -> None:
    connection.execute("DELETE FROM api_answers WHERE user_id = %s AND key = %s AND status IS NULL", (user_id, key))


def forget_old(connection: Connection[Any]) -> int:
    """Remove answers past their time."""
    return connection.execute("DELETE FROM api_answers WHERE created_at < now() - %s", (KEPT,)).rowcount
