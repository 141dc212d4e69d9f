"""Lists of one's own: page by page, each thing once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ingestion_assets.ledger.async_jobs import enqueue
from ingestion_assets.ledger.batches import NewFile, create_batch
from resources.postgres.database import Database
from tests.api.conftest import KINDS, Calls


def seven(database: Database, user_id: str) -> None:
    """Jobs, batches and collections of one moment: their time alone gives no order."""
    with database.transaction() as connection:
        for number in range(7):
            enqueue(connection, KINDS["ai.echo"], {"n": number}, user_id=user_id)
            create_batch(connection, [NewFile(f"{number}.txt", b"x")], title="t", user_id=user_id)


@pytest.mark.parametrize(
    ("path", "name"), [("/api/jobs", "jobs"), ("/batches", "batches"), ("/api/collections", "collections")]
)
def test_a_list_is_read_to_its_end(
    api: Calls, database: Database, ada: dict[str, str], bob: dict[str, str], path: str, name: str
) -> None:
    seven(database, "ada")
    seven(database, "bob")

    async def walk(client: httpx.AsyncClient) -> list[list[str]]:
        async def page(user: dict[str, str], **params: Any) -> list[str]:
            reply = await client.get(path, headers=user, params=params)
            assert reply.status_code == 200, reply.text
            return [one["id"] for one in reply.json()[name]]

        pages = [await page(ada, limit=3)]
        while pages[-1]:
            pages.append(await page(ada, limit=3, before=pages[-1][-1]))
        pages.append(await page(bob, before=pages[0][0]))
        return pages

    *pages, another = api(walk)
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    ids = [one for page in pages for one in page]
    assert len(set(ids)) == 7
    assert ids == [one["id"] for one in api.get(path, headers=ada).json()[name]]
    assert another == []  # another's id is none
