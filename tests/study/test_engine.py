"""Asking, with a client that answers as it is told: halves, one more try, a second round, and too many good items."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from ingestion_assets.study.drafts import ChunkAnswer
from ingestion_assets.study.model import ChunkStatus, Document, DropReason, StudyOptions
from ingestion_assets.study.pipeline import Built, build_collection
from resources.llm.errors import Flaw, LlmResponseError
from resources.llm.protocol import Closing, Completion, CompletionRequest, Deadline, T, Usage
from tests.study import files
from tests.study.building import check_accounts, document

CUT_OFF = LlmResponseError("cut off", provider="p", model="m", flaw=Flaw.TRUNCATED)
OUTSIDE = LlmResponseError("no such fields", provider="p", model="m", flaw=Flaw.OUTSIDE_SCHEMA)
FACTS = {
    "What measures the pressure of the air?": (
        "A barometer",
        "A barometer is an instrument that measures the pressure of the air.",
    ),
    "What is the lowest layer of the atmosphere?": (
        "The troposphere",
        "The troposphere is the lowest layer of the atmosphere.",
    ),
    "What is a large body of ice?": ("A glacier", "A glacier is a large body of ice that moves slowly down a slope."),
}


class Scripted(Closing):
    """Answers from a function of the prompt and the number of the call."""

    def __init__(self, answer: Callable[[str, int], ChunkAnswer | LlmResponseError]) -> None:
        self._answer = answer
        self.prompts: list[str] = []

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        self.prompts.append(request.prompt)
        answer = self._answer(request.prompt, len(self.prompts))
        if isinstance(answer, LlmResponseError):
            raise answer
        value = request.answer.model_validate(answer.model_dump())
        return Completion(value=value, provider="p", model="m", usage=Usage(requests=1, input_tokens=10))


def cards(prompt: str, *, quote: str | None = None) -> ChunkAnswer:
    """The cards whose sentence stands in the passage of a prompt."""
    passage = prompt.split("=== PASSAGE")[1]
    return ChunkAnswer.model_validate(
        {
            "cards": [
                {"kind": "basic", "front": front, "back": back, "quote": quote or sentence, "difficulty": "easy"}
                for front, (back, sentence) in FACTS.items()
                if sentence in passage
            ],
            "questions": [],
        }
    )


def run(client: Scripted, *documents: Document, most: int = 3) -> Built:
    built = asyncio.run(
        build_collection(
            documents or (document("a.txt", files.ENGLISH, paged=False),),
            StudyOptions(title="t", cards=most, questions=0),
            client,
            deadline=Deadline.after(60),
            translates=True,
            concurrency=1,
        )
    )
    check_accounts(built)
    return built


def test_an_answer_that_was_cut_off_is_asked_for_in_halves() -> None:
    client = Scripted(lambda prompt, call: CUT_OFF if call == 1 else cards(prompt))
    built = run(client)
    whole, *halves = (prompt.split(" ===\n")[1].split("\n===")[0] for prompt in client.prompts[:3])
    assert " ".join(halves).split() == whole.split(), "no word of the passage is lost between them"
    assert built.collection.chunks[ChunkStatus.DONE] == 1
    assert {card.front for card in built.collection.cards} == set(FACTS)


def test_a_half_that_is_cut_off_again_fails_its_chunk_and_keeps_the_other_half() -> None:
    client = Scripted(lambda prompt, call: CUT_OFF if call != 2 else cards(prompt))
    built = run(client)
    assert built.collection.chunk_codes == {"chunk_truncated": 1}
    assert 0 < len(built.collection.cards) < len(FACTS)


def test_an_answer_outside_the_schema_gets_one_more_try() -> None:
    client = Scripted(lambda prompt, call: OUTSIDE if call == 1 else cards(prompt))
    assert len(run(client).collection.cards) == 3
    assert client.prompts[0] == client.prompts[1]
    hopeless = Scripted(lambda _prompt, _call: OUTSIDE)
    built = run(hopeless)
    assert len(hopeless.prompts) == 2
    assert built.collection.chunk_codes == {"invalid_model_output": 1}


def test_a_chunk_without_an_accepted_item_is_asked_again_with_the_reason() -> None:
    client = Scripted(
        lambda prompt, call: cards(prompt, quote="A sentence that stands nowhere." if call == 1 else None)
    )
    built = run(client)
    assert len(client.prompts) == 2
    order = json.loads(client.prompts[1].split("\n")[0].removeprefix("ORDER "))
    assert "copy quotes character by character" in order["note"]
    assert built.collection.card_tally.dropped == {DropReason.QUOTE_NOT_FOUND: 3}
    assert len(built.collection.cards) == 3
    assert built.collection.uncovered == ()


def test_good_items_beyond_the_number_asked_for_are_counted() -> None:
    built = run(Scripted(lambda prompt, _call: cards(prompt)), most=1)
    assert len(built.collection.cards) == 1
    assert built.collection.card_tally.dropped == {DropReason.OVER_COUNT: 2}


def test_the_same_fact_from_two_documents_is_stored_once() -> None:
    other = document("b.txt", f"{files.ENGLISH} Another sentence makes this another text.", paged=False)
    built = run(
        Scripted(lambda prompt, _call: cards(prompt)), document("a.txt", files.ENGLISH, paged=False), other, most=6
    )
    assert len(built.collection.cards) == 3
    assert built.collection.card_tally.dropped == {DropReason.DUPLICATE: 3}
