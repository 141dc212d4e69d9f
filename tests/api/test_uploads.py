"""Files are in the store while they arrive, and nothing of them stays when no batch comes of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest

from ingestion_assets.ledger import uploads
from ingestion_assets.study import store
from resources.postgres.database import Database
from tests.api.conftest import Calls, LiveServer

MB = 1024 * 1024


def files_of(database: Database) -> int:
    [row] = database.fetch_all("SELECT count(*) AS n FROM study_files")
    return int(row["n"])


def post(api: Calls, user: dict[str, str], files: list[tuple[str, bytes]], **options: Any) -> httpx.Response:
    return api.post("/ingestion/batches", headers=user, files=[("files", file) for file in files], **options)


def test_a_large_file_comes_out_of_the_store_as_it_went_in(api: Calls, database: Database, ada: dict[str, str]) -> None:
    large, small = os.urandom(3 * MB + 17), b"small"
    reply = post(api, ada, [("large.bin", large), ("small.txt", small), ("exact.bin", large[: 2 * MB]), ("none", b"")])
    assert reply.status_code == 202, reply.text
    collection = reply.json()["collection_id"]
    documents = reply.json()["documents"]
    assert [document["size"] for document in documents] == [len(large), len(small), 2 * MB, 0]
    assert documents[0]["sha256"] == hashlib.sha256(large).hexdigest()
    with database.transaction() as connection:
        found = [store.read_content(connection, collection, position) for position in range(4)]
    assert found == [large, small, large[: 2 * MB], b""]
    parts = database.fetch_all("SELECT octet_length(bytes) AS n FROM study_file_parts ORDER BY file_id, number")
    assert sorted(row["n"] for row in parts) == [17, *[MB] * 5]


def test_bytes_are_stored_before_the_last_one_has_arrived_and_go_when_the_client_does(
    serve: Callable[..., LiveServer], database: Database, ada: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"POST /ingestion/batches HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ada['Authorization']}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 9000000\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="files"; filename="../../a"\r\n\r\n'
        )
        connection.sendall(head.encode() + b"a" * (3 * MB))
        _until(lambda: _parts(database) >= 2)
    _until(lambda: files_of(database) == 0)
    server.stop()
    # It used to be logged as an unexpected error, with its traceback.
    assert not [record for record in caplog.records if record.levelname == "ERROR" or record.exc_info]


def _parts(database: Database) -> int:
    return int(database.fetch_all("SELECT count(*) AS n FROM study_file_parts")[0]["n"])


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + b"a" * 2 * MB, 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + b"a" * 2 * MB
            + b'\r\n--x\r\nContent-Disposition: form-data; name="cards"\r\n\r\nmany\r\n--x--\r\n',
            422,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + b"a" * 2 * MB
            + b'\r\n--x\r\nContent-Disposition: form-data; name="else"; filename="b"\r\n\r\nb\r\n--x--\r\n',
            422,
        ),
    ],
)  # fmt: skip
def test_what_is_refused_after_it_was_stored_is_removed(
    api: Calls, database: Database, ada: dict[str, str], body: bytes, status: int
) -> None:
    headers = {**ada, "Content-Type": "multipart/form-data; boundary=x"}
    assert api.post("/ingestion/batches", headers=headers, content=body).status_code == status
    assert files_of(database) == 0


def test_a_form_in_which_no_file_was_chosen_has_none(api: Calls, database: Database, ada: dict[str, str]) -> None:
    """A browser sends a part without a name and without a byte. It was a batch with one document, which failed."""
    headers = {**ada, "Content-Type": "multipart/form-data; boundary=x"}
    chosen = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\na\r\n'
    nothing = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n"
    )
    reply = api.post("/ingestion/batches", headers=headers, content=nothing + b"--x--\r\n")
    assert (reply.status_code, reply.json()["detail"]) == (422, "Send at least one file, as a part called `files`.")
    reply = api.post("/ingestion/batches", headers=headers, content=nothing + chosen + b"--x--\r\n")
    assert [document["name"] for document in reply.json()["documents"]] == ["a.txt"]
    assert reply.json()["quota"]["used"] == 1


def test_a_repeat_with_its_key_leaves_one_copy(api: Calls, database: Database, ada: dict[str, str]) -> None:
    user = {**ada, "Idempotency-Key": "k"}
    content = os.urandom(2 * MB)
    first, second = (post(api, user, [("a.bin", content)]) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert files_of(database) == 1


def test_a_file_over_the_bound_is_refused_while_it_arrives(
    api: Calls, database: Database, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_MAX_DOCUMENT_BYTES", str(2 * MB))
    reply = post(api, ada, [("a.bin", b"a" * 4 * MB)])
    assert (reply.status_code, reply.json()["max_bytes"]) == (413, 2 * MB)
    assert files_of(database) == 0


def test_a_quota_that_is_used_up_refuses_before_anything_is_stored(
    api: Calls, database: Database, ada: dict[str, str]
) -> None:
    stored: list[Any] = []

    async def watch(client: httpx.AsyncClient) -> httpx.Response:
        async def body() -> Any:
            yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            for _ in range(3):
                await asyncio.sleep(0)
                stored.append(_parts(database))
                yield b"a" * MB

        headers = {**ada, "Content-Type": "multipart/form-data; boundary=x"}
        return await client.post("/ingestion/batches", headers=headers, content=body())

    reply = api(watch, documents_per_day=0)
    assert (reply.status_code, reply.json()["type"]) == (429, "/problems/quota-exceeded")
    assert set(stored) <= {0}


def test_what_a_dead_process_left_is_forgotten_and_what_a_batch_has_is_not(
    api: Calls, database: Database, ada: dict[str, str]
) -> None:
    post(api, ada, [("a.bin", os.urandom(2 * MB))])
    with database.transaction() as connection:
        uploads.add_parts(connection, uuid.uuid4(), 0, [b"left"], user_id="ada")
        assert uploads.forget_abandoned(connection) == 0
        connection.execute("UPDATE study_files SET created_at = now() - %s", (timedelta(days=2),))
        assert uploads.forget_abandoned(connection) == 1
    assert files_of(database) == 1
    with database.transaction() as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
        uploads.add_parts(connection, uuid.uuid4(), 1, [b"nowhere"], user_id="ada")
