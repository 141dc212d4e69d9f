"""Uploads that nobody should send: the service lives, nothing leaves the store, and each is told why it gave nothing."""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from ingestion_assets.study import store
from ingestion_assets.study.extraction.documents import Upload, extract
from ingestion_assets.study.model import DocumentStatus
from resources.postgres.database import Database
from tests.api.conftest import Calls
from tests.study import files

NAMES = (
    *("a.pdf", "../../../../etc/passwd", "/etc/cron.d/x", "..\\..\\windows\\x.dll", "a/../../b.txt", "C:\\x.txt", "."),
    *("..", "", " ", "\x00.pdf", "a\x00/../../b", "\u202etxt.exe", "é" * 300 + ".txt", "a" * 5000, "con", "~/.ssh/id"),
    *(
        "$(touch pwned)",
        "`id`",
        "'; DROP TABLE study_documents; --",
        "a\r\nX-Evil: 1",
        "file:///etc/passwd",
        "\ud800.pdf",
    ),
)


def seeds() -> list[tuple[str, bytes]]:
    return [
        ("a.pdf", files.pdf([files.ENGLISH])),
        ("a.docx", files.docx([files.ENGLISH])),
        ("a.pptx", files.pptx([files.FRENCH])),
        ("a.odt", files.odt([files.FRENCH])),
        ("a.epub", files.epub([files.ENGLISH])),
        ("a.html", f"<html><body><p>{files.ENGLISH}</p></body></html>".encode()),
        ("a.txt", files.FRENCH.encode("utf-16")),
        ("a.md", files.ENGLISH.encode()),
        ("a.bin", bytes(range(256)) * 20),
    ]


def mangled(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((0, 1, 5, 50))):
        match rng.randrange(5):
            case 0 if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
            case 1:
                del data[rng.randrange(len(data) + 1) :]
            case 2:
                at = rng.randrange(len(data) + 1)
                data[at:at] = rng.randbytes(rng.randrange(64))
            case 3 if len(data) > 8:
                a, b = sorted(rng.sample(range(len(data)), 2))
                data[a:b] = data[a:b][::-1]
            case _:
                data += content[: rng.randrange(len(content) + 1)]
    return bytes(data)


def body_of(parts: Sequence[tuple[str, bytes]], boundary: str, rng: random.Random) -> bytes:
    """A multipart body, often with something wrong between its parts."""
    out = bytearray()
    for name, content in parts:
        quoted = name.replace('"', "%22").encode("utf-8", "surrogatepass")
        field = rng.choice((b"files",) * 40 + (b"file", b"", b"files[]"))
        out += b"--" + boundary.encode() + b'\r\nContent-Disposition: form-data; name="' + field
        out += b'"; filename="' + quoted + b'"\r\n'
        if rng.random() < 0.1:
            out += b"X-" + b"h" * rng.choice((10, 5000)) + b": 1\r\n" * rng.choice((1, 20))
        out += b"\r\n" + content + b"\r\n"
    out += b"--" + boundary.encode() + b"--\r\n"
    match rng.randrange(12):
        case 0:
            del out[rng.randrange(len(out)) :]
        case 1:
            out = bytearray(mangled(bytes(out), rng))
        case 2:
            out = out.replace(b"\r\n", b"\n")
        case 3:
            field = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="{rng.choice(("cards", "x", "title"))}"\r\n\r\n'
            )
            out[0:0] = (field + "9" * rng.choice((1, 70_000)) + "\r\n").encode() * rng.choice((1, 25))
    return bytes(out)


def requests(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """(Content-Type, body) of each."""
    rng = random.Random(seed)
    good = seeds()
    for _ in range(count):
        parts = []
        for _ in range(rng.choice((0, 1, 1, 1, 2, 6))):
            name, content = rng.choice(good)
            parts.append((rng.choice((name, *NAMES)), mangled(content, rng)))
        boundary = "".join(rng.choices(string.ascii_letters, k=rng.choice((1, 16, 70))))
        kind = f"multipart/form-data; boundary={boundary}"
        kind = rng.choice(
            (kind,) * 20 + ("multipart/form-data", "multipart/form-data; boundary=", kind + "x", "text/plain")
        )
        yield kind, body_of(parts, boundary, rng)


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def fuzz(
    api: Calls, database: Database, user: dict[str, str], folder: Path, *, count: int, read: int
) -> tuple[Counter[str], Counter[str]]:
    """Send `count` uploads, extract `read` of the documents that came of them. Statuses, and ends of the documents."""
    before = tree(folder)
    statuses: Counter[str] = Counter()

    async def send(client: httpx.AsyncClient) -> None:
        for kind, body in requests(count, seed=17):
            reply = await client.post("/ingestion/batches", headers={**user, "Content-Type": kind}, content=body)
            statuses[str(reply.status_code)] += 1
            if reply.status_code != 202:
                assert reply.status_code in {400, 413, 415, 422}, reply.text
                assert reply.headers["content-type"] == "application/problem+json"
                assert reply.json().get("detail"), reply.text
        assert (await client.get("/health")).status_code == 200

    api(send, documents_per_day=10**9, pending_jobs=10**6)
    ends: Counter[str] = Counter()
    listed = database.fetch_all("SELECT collection_id, position, name FROM study_documents ORDER BY sha256, position")
    assert listed
    for row in listed[:: max(1, len(listed) // read)][:read]:
        with database.transaction() as connection:
            content = store.read_content(connection, row["collection_id"], row["position"])
        document = extract(Upload(row["name"], content))
        assert document.status is DocumentStatus.READY or (document.code and document.detail)
        ends[str(document.code or document.status)] += 1
    assert tree(folder) == before
    return statuses, ends


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where relative paths and temporary files of this process would lead, three levels below what is watched."""
    deep = tmp_path / "one" / "two" / "three"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    monkeypatch.setenv("INGESTION_HOME", str(deep))
    return tmp_path


def test_hostile_uploads_are_refused_or_kept_with_a_reason(
    api: Calls, database: Database, ada: dict[str, str], folder: Path
) -> None:
    statuses, ends = fuzz(api, database, ada, folder, count=60, read=6)
    assert statuses["202"] > 15
    assert statuses["400"] > 3
    assert sum(ends.values()) == 6


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_thousand_hostile_uploads(
    api: Calls, database: Database, ada: dict[str, str], folder: Path, record_property: Callable[[str, object], None]
) -> None:
    statuses, ends = fuzz(api, database, ada, folder, count=1000, read=1000)
    for status, count in sorted(statuses.items()):
        record_property(f"uploads answered {status}", count)
    for end, count in sorted(ends.items()):
        record_property(f"documents {end}", count)
    assert sum(statuses.values()) == 1000
    assert len(ends) > 4
