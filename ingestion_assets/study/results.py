"""What became of each chunk, and the counts that must add up."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingestion_assets.study.drafts import ChunkAnswer
from ingestion_assets.study.model import Card, Chunk, ChunkStatus, Document, DropReason, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer for one chunk, as it came."""

    answer: ChunkAnswer
    provider: str
    model: str
    round: int = 0
    """0: the first question; 1: asked again because nothing was accepted."""
    input_hash: str = ""
    """What it is kept under; see `generation.prompt.input_hash`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkResult:
    """The end of one chunk: done with its answers, failed or skipped with a code."""

    chunk: Chunk
    status: ChunkStatus
    code: str | None = None
    detail: str = ""
    answers: tuple[Answered, ...] = ()


@dataclass(slots=True)
class Tally:
    """generated = stored + dropped, always."""

    generated: int = 0
    stored: int = 0
    dropped: dict[DropReason, int] = field(default_factory=dict)

    def drop(self, reason: DropReason) -> None:
        """Count one item out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    @property
    def balanced(self) -> bool:
        return self.generated == self.stored + sum(self.dropped.values())

    def report(self) -> dict[str, object]:
        """As JSON."""
        return {
            "generated": self.generated,
            "stored": self.stored,
            "dropped": {str(reason): count for reason, count in sorted(self.dropped.items())},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the documents the stored items rest on."""

    words: float
    """Share of the words, by chunks with at least one item."""
    pages: float
    """Share of page deciles with at least one item, the mean over documents; characters where there are no pages."""
    deciles: dict[str, list[int]]
    """Items by decile of each document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A finished study collection."""

    title: str
    key: str
    documents: tuple[Document, ...]
    cards: tuple[Card, ...]
    questions: tuple[Question, ...]
    card_tally: Tally
    question_tally: Tally
    chunks: dict[ChunkStatus, int]
    chunk_codes: dict[str, int]
    """Failed and skipped chunks by code."""
    coverage: Coverage
    verified: int
    """Items whose evidence was checked again on the finished collection."""
    uncovered: tuple[tuple[str, int], ...] = ()
    """Chunks that were answered and have no stored item: what a second round asks about."""

    @property
    def items(self) -> int:
        return len(self.cards) + len(self.questions)

    @property
    def balanced(self) -> bool:
        """The accounting adds up and every item has its evidence."""
        return self.card_tally.balanced and self.question_tally.balanced and self.verified == self.items
