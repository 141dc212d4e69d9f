"""A pipeline at work beside the service: documents are cut up, asked about offline, and written. Runs until it is killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from hashlib import sha256

import psycopg

from ingestion_assets.study.model import Document, DocumentStatus, StudyOptions
from ingestion_assets.study.pipeline import build_collection
from resources.llm import Deadline, LlmSettings, build_client

_SENTENCE = "Osmosis number {0} moves {1} millilitres of water through the membrane of cell {0} in {2} minutes. "


def document(number: int) -> Document:
    text = "\n\n".join(
        "".join(_SENTENCE.format(number * 1000 + n, n * 3 + 7, n % 50 + 2) for n in range(part, part + 20))
        for part in range(0, 400, 20)
    )
    digest = sha256(text.encode()).hexdigest()
    return Document(
        name="book.txt", sha256=digest, status=DocumentStatus.READY, text=text, text_sha256=digest, language="en"
    )


async def build(number: int) -> int:
    async with build_client(LlmSettings(llm_providers="offline")) as client:
        built = await build_collection([document(number)], StudyOptions(), client, deadline=Deadline.after(600))
    return built.collection.items


def main() -> None:
    given = json.loads(sys.argv[1])
    with psycopg.connect(given["url"], autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS busy (number int, items int, bytes bytea)")
        number = 0
        while True:
            items = asyncio.run(build(number))
            connection.execute("INSERT INTO busy VALUES (%s, %s, %b)", (number, items, os.urandom(1024 * 1024)))
            number += 1


if __name__ == "__main__":
    main()
