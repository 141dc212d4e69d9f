"""The platform's way from a PDF to a deck, offline, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path
from typing import Any

from benchmarks._measure import measured
from ingestion_assets.study.extraction.documents import Upload, extract_all
from ingestion_assets.study.model import StudyOptions
from ingestion_assets.study.pipeline import Built, build_collection
from resources.llm import Deadline, LlmSettings, build_client


def deck(path: Path, options: StudyOptions) -> Built:
    """Cards and questions from one file, as the command line makes them."""
    documents = list(extract_all([Upload(path.name, path.read_bytes())]))

    async def build() -> Built:
        async with build_client(LlmSettings(llm_providers=("offline",))) as client:
            return await build_collection(documents, options, client, deadline=Deadline.after(600))

    return asyncio.run(build())


def main(task: dict[str, Any]) -> None:
    with measured() as cost:
        built = deck(Path(task["pdf"]), StudyOptions(cards=task["cards"], questions=task["questions"]))
    collection = built.collection
    items = {
        "cards": [
            {"front": card.front, "back": card.back, "quote": card.evidence.quote, "page": card.evidence.page}
            for card in collection.cards
        ],
        "questions": [
            {
                "stem": question.stem,
                "options": question.options,
                "key": question.key,
                "quote": question.evidence.quote,
                "page": question.evidence.page,
            }
            for question in collection.questions
        ],
    }
    Path(task["deck"]).write_text(json.dumps(items))
    # The extraction runs in a child: its memory counts as well.
    child_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    cost.report(child_mb=child_mb, verified=collection.verified, items=collection.items, balanced=collection.balanced)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
