"""What a provider is asked to answer for one chunk, and how the answer is read.

One element that does not fit the schema is refused alone, with its reason; the others of the same answer are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.json_schema import SkipJsonSchema

from ingestion_assets.study.model import CardKind, Difficulty
from resources.schema_faults import field_of

MOST_ITEMS = 40
"""Of one kind in one answer: more is a model that lists everything."""


class CardDraft(BaseModel):
    """A flashcard as proposed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: CardKind
    front: str = Field(description="The question, or for a cloze the sentence with one {{c1::hidden part}}")
    back: str = Field(description="The answer alone; for a cloze the hidden part")
    quote: str = Field(description="A passage of the text, copied character by character, that holds the answer")
    difficulty: Difficulty


class QuestionDraft(BaseModel):
    """A multiple-choice question as proposed. The position of the key does not matter: options are shuffled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem: str
    options: tuple[str, ...]
    key: int = Field(description="Index, from 0, of the right option")
    explanation: str
    quote: str = Field(description="A passage of the text, copied character by character, that holds the answer")
    difficulty: Difficulty

    @property
    def answer(self) -> str:
        """The right option; empty when `key` names none."""
        return self.options[self.key] if 0 <= self.key < len(self.options) else ""


@dataclass(frozen=True, slots=True)
class Misfit:
    """An element outside the schema."""

    reason: str


def _keep_misfit(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError as error:
        [first, *_] = error.errors(include_input=False, include_url=False, include_context=False)
        return Misfit(f"{field_of(first, root='item')}: {first['msg']}"[:200])


_Card = Annotated[
    Annotated[CardDraft, WrapValidator(_keep_misfit)] | SkipJsonSchema[Misfit], Field(union_mode="left_to_right")
]
_Question = Annotated[
    Annotated[QuestionDraft, WrapValidator(_keep_misfit)] | SkipJsonSchema[Misfit], Field(union_mode="left_to_right")
]


class ChunkAnswer(BaseModel):
    """All that is proposed for one chunk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cards: tuple[_Card, ...]
    questions: tuple[_Question, ...]

    @property
    def good_cards(self) -> list[CardDraft]:
        return [card for card in self.cards if isinstance(card, CardDraft)][:MOST_ITEMS]

    @property
    def good_questions(self) -> list[QuestionDraft]:
        return [question for question in self.questions if isinstance(question, QuestionDraft)][:MOST_ITEMS]


def nothing() -> ChunkAnswer:
    """An answer without items."""
    return ChunkAnswer(cards=(), questions=())
