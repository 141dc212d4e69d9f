"""From a question to an answer out of the user's own documents: find, ask, verify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from ingestion_assets.assistant import retrieval
from ingestion_assets.assistant.answering import answer, nothing
from ingestion_assets.assistant.model import Answer
from ingestion_assets.assistant.passages import Passage, meant

if TYPE_CHECKING:
    from ingestion_assets.assistant.spending import Transact
    from resources.llm.protocol import Deadline, LlmClient

INCOMPLETE: Final = "not-all-documents-searched"
"""Warning: there are more new documents than one question prepares; the next question goes on."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the user's documents have to do with a question."""

    passages: tuple[Passage, ...]
    complete: bool
    """False: some new documents have not been prepared for searching yet."""

    @property
    def documents(self) -> int:
        """From how many the passages are."""
        return len({(passage.collection_id, passage.position) for passage in self.passages})


async def find(transact: Transact, user_id: str, question: str, collections: Sequence[str] = ()) -> Found:
    """The passages to answer from. Documents that are new are prepared first."""
    new = await transact(lambda connection: retrieval.unindexed(connection, user_id, collections))
    for collection_id, position in new[: retrieval.MOST_AT_ONCE]:
        await transact(partial(retrieval.index, collection_id=collection_id, position=position))
    words = meant(question)
    passages = (
        await transact(lambda connection: retrieval.search(connection, user_id, words, collections)) if words else []
    )
    return Found(tuple(passages[: retrieval.MOST_PASSAGES]), complete=len(new) <= retrieval.MOST_AT_ONCE)


async def answer_from(
    transact: Transact, user_id: str, question: str, found: Found, client: LlmClient, deadline: Deadline
) -> Answer:
    """The answer, with citations that have been looked up in the stored text. Raises `LlmError`."""
    made = await answer(question, found.passages, client, deadline)
    kept = await transact(lambda connection: retrieval.verified(connection, user_id, made.citations))
    warnings = [*made.warnings, *([] if found.complete else [INCOMPLETE])]
    if made.found and not kept:  # the documents were replaced or deleted meanwhile
        return nothing(question, provider=made.provider, model=made.model, warnings=warnings)
    return made.model_copy(update={"citations": kept, "warnings": warnings})
