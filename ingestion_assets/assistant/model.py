"""What can be asked for and what comes of it, as the API documents it.

Plain models: no I/O, no database, no Dagster.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ingestion_assets.study.model import CardKind, Difficulty

MOST_TEXT = 100_000
"""Characters of a text that is handed in with a request: some 25,000 tokens. Longer texts are documents of a batch."""
CollectionId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SummariseArguments(_Strict):
    """A text to be made short."""

    text: str = Field(min_length=1, max_length=MOST_TEXT)
    sentences: int = Field(default=5, ge=1, le=20, description="At most so many.")


class CardsArguments(_Strict):
    """A text to be made flashcards of."""

    text: str = Field(min_length=1, max_length=MOST_TEXT)
    cards: int = Field(default=10, ge=1, le=100, description="At most so many; fewer when the text holds less.")
    language: Literal["fr", "en"] | None = Field(default=None, description="Left out: that of the text.")
    difficulty: Difficulty | None = None


class QuizArguments(_Strict):
    """A text to be made questions of."""

    text: str = Field(min_length=1, max_length=MOST_TEXT)
    questions: int = Field(default=10, ge=1, le=100, description="At most so many; fewer when the text holds less.")
    language: Literal["fr", "en"] | None = Field(default=None, description="Left out: that of the text.")
    difficulty: Difficulty | None = None


class TagArguments(_Strict):
    """An event to be tagged."""

    title: str = Field(min_length=1, max_length=500)
    description: str = Field(default="", max_length=20_000)
    venue_name: str = Field(default="", max_length=300)
    categories: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=50)


class AskArguments(_Strict):
    """A question about one's own documents."""

    question: str = Field(min_length=1, max_length=1000)
    collections: list[CollectionId] = Field(
        default_factory=list, max_length=20, description="Only in these collections; left out: in all of the user's."
    )


class Provenance(BaseModel):
    """Who answered."""

    provider: str = Field(description="openai, gemini or offline.")
    model: str
    warnings: list[str] = Field(default_factory=list, description="Stable codes, such as `gemini-quota-exceeded`.")


class Summary(Provenance):
    """A text made short."""

    summary: str


class Grounds(BaseModel):
    """Where in the text the answer stands: exactly `text[start:end]`."""

    quote: str
    start: int
    end: int


class CardOut(BaseModel):
    """A flashcard that passed every check."""

    id: str
    kind: CardKind
    front: str
    back: str
    difficulty: Difficulty
    evidence: Grounds


class QuestionOut(BaseModel):
    """A multiple-choice question that passed every check."""

    id: str
    stem: str
    options: list[str]
    key: int = Field(description="Index of the right option.")
    explanation: str
    difficulty: Difficulty
    evidence: Grounds


class Cards(Provenance):
    """Flashcards of a text. `text` is the canonical form of what was handed in: offsets refer to it."""

    text: str
    cards: list[CardOut]
    dropped: dict[str, int] = Field(description="Proposed and refused, by reason.")


class Quiz(Provenance):
    """Questions of a text. `text` is the canonical form of what was handed in: offsets refer to it."""

    text: str
    questions: list[QuestionOut]
    dropped: dict[str, int] = Field(description="Proposed and refused, by reason.")


class EventTagsOut(Provenance):
    """Tags of the closed taxonomy."""

    type: str
    genres: list[str]
    ambiance: list[str]
    audience: list[str]


class Citation(BaseModel):
    """What an answer rests on: exactly characters `start` to `end` of the document's canonical text."""

    collection_id: str
    document_id: str
    document: str = Field(description="Its file name.")
    page: int | None
    start: int
    end: int
    quote: str


class Answer(Provenance):
    """An answer from documents. `found` is false when they do not say; then there are no citations."""

    found: bool
    answer: str
    citations: list[Citation]
