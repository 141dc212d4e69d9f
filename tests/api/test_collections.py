from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from resources.postgres.database import Database
from tests.api.conftest import Calls

TEXT = "Osmosis is the flow of water through a membrane."


def make(api: Calls, user: dict[str, str], **options: Any) -> httpx.Response:
    body = {"title": "Biology", "documents": [{"name": "osmosis.txt", "text": TEXT}]}
    return api.post("/api/collections", headers={**user, **options}, json=body)


def fill(database: Database, collection: str) -> None:
    """One card and one question, as the assets store them."""
    with database.transaction() as connection:
        connection.execute(
            "UPDATE study_documents SET status = 'ready', text = %s, text_sha256 = sha256 WHERE collection_id = %s",
            (TEXT, collection),
        )
        shared = (collection, "d1", 0, 0, "easy", 0, len(TEXT), TEXT)
        columns = "collection_id, document_id, chunk, position, difficulty, evidence_start, evidence_end, quote"
        connection.execute(
            f"INSERT INTO study_cards ({columns}, id, kind, front, back) VALUES"  # type: ignore[arg-type]
            " (%s, (SELECT document_id FROM study_documents WHERE collection_id = %s), %s, %s, %s, %s, %s, %s, 'c1',"
            " 'basic', '=What is osmosis?', 'The flow of water')",
            (collection, collection, *shared[2:]),
        )
        connection.execute(
            f"INSERT INTO study_questions ({columns}, id, stem, options, key, explanation) VALUES"  # type: ignore[arg-type]
            " (%s, (SELECT document_id FROM study_documents WHERE collection_id = %s), %s, %s, %s, %s, %s, %s, 'q1',"
            " 'What flows?', '{water,salt,air}', 0, 'As it says')",
            (collection, collection, *shared[2:]),
        )


def test_a_collection_is_made_from_text_read_and_listed(api: Calls, database: Database, ada: dict[str, str]) -> None:
    made = make(api, ada)
    assert made.status_code == 202
    collection = made.json()["id"]
    assert made.headers["location"] == f"/api/collections/{collection}"
    assert made.json()["state"] == "pending"
    assert api.get(made.json()["links"]["batch"], headers=ada).json()["collection_id"] == collection
    assert [c["id"] for c in api.get("/api/collections", headers=ada).json()["collections"]] == [collection]
    assert api.get(f"/api/collections/{collection}/export", headers=ada).status_code == 409
    fill(database, collection)
    [card] = api.get(f"/api/collections/{collection}/cards", headers=ada).json()["cards"]
    [question] = api.get(f"/api/collections/{collection}/quizzes", headers=ada).json()["questions"]
    assert card["evidence"] == {
        "document": "osmosis.txt",
        "page": None,
        "start": 0,
        "end": len(TEXT),
        "quote": TEXT,
        "document_id": card["evidence"]["document_id"],
    }
    assert question["options"][question["key"]] == "water"


def test_the_same_key_makes_one_collection(api: Calls, ada: dict[str, str]) -> None:
    first, repeat = (make(api, ada, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json()["id"] == repeat.json()["id"]
    assert repeat.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("form", ["apkg", "csv", "tsv", "json", "md", "gift", "xml"])
def test_every_export_holds_the_items(api: Calls, database: Database, ada: dict[str, str], form: str) -> None:
    collection = make(api, ada).json()["id"]
    fill(database, collection)
    reply = api.get(f"/api/collections/{collection}/export?format={form}", headers=ada)
    assert reply.status_code == 200
    assert reply.headers["content-disposition"].startswith("attachment;")
    if form == "apkg":
        assert zipfile.ZipFile(io.BytesIO(reply.content)).testzip() is None
    else:
        assert "osmosis" in reply.text
    if form == "json":
        json.loads(reply.content)
    assert api.get(f"/api/collections/{collection}/export?format=exe", headers=ada).status_code == 422
