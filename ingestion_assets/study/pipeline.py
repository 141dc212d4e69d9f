"""The whole way from documents to a collection, without Dagster and without a database.

    documents = list(extract_all(uploads))
    async with build_client(LlmSettings()) as client:
        built = await build_collection(documents, StudyOptions(cards=40), client, deadline=Deadline.after(600))
    built.collection.cards

The assets call the same functions with answers that were paid for earlier and a place to keep new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from ingestion_assets.study.assembling import assemble
from ingestion_assets.study.chunks import chunk_document
from ingestion_assets.study.drafts import ChunkAnswer, nothing
from ingestion_assets.study.evidence import Source
from ingestion_assets.study.extraction.documents import wanted_language
from ingestion_assets.study.generation.engine import TRANSLATION, Engine, Kept, Order, Outcome
from ingestion_assets.study.generation.judge import Bench, sample
from ingestion_assets.study.language import SUPPORTED
from ingestion_assets.study.model import Chunk, ChunkStatus, Document, StudyOptions
from ingestion_assets.study.offline import DocumentContext, answer_offline
from ingestion_assets.study.planning import Asked, Plan, plan
from ingestion_assets.study.results import Answered, ChunkResult, Collection
from resources.llm.protocol import Deadline, LlmClient

NOT_NEEDED: Final = "not_needed"
"""Skipped: the number asked for was reached on chunks spread over the whole text."""
TOO_SHORT: Final = "too_short"
UNSUPPORTED_LANGUAGE: Final = "unsupported_language"
SECOND_ROUND: Final = (
    "Nothing of an earlier answer about this passage could be used, mostly because quotes were not copied exactly or items "
    "were not self-contained. Take other facts and copy quotes character by character."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A collection and what it took."""

    collection: Collection
    outcome: Outcome
    results: tuple[ChunkResult, ...]
    plan: Plan
    verdicts: Mapping[str, bool] = field(default_factory=dict)
    """What a provider said when it was asked about items again: of a question, by id, whether from its source the key and
    nothing else is right; of a card, whether its quote says the answer."""


class Workshop:
    """Chunks and offline facts of a set of documents, computed once and used by every round."""

    def __init__(self, documents: Sequence[Document], options: StudyOptions, *, translates: bool) -> None:
        """`translates`: a provider is configured that can write in a language other than the document's."""
        self.documents = tuple(documents)
        self.options = options
        self.chunks: dict[str, list[Chunk]] = {}
        self.skipped: list[ChunkResult] = []
        self._contexts: dict[str, DocumentContext] = {}
        self._languages: dict[str, str] = {}
        for document in self.documents:
            if document.ready:
                self._add(document, translates=translates)
        self.plan = plan(self.chunks, options)
        self.skipped += [_skipped(chunk, TOO_SHORT) for chunk in self.plan.too_short]

    def _add(self, document: Document, *, translates: bool) -> None:
        chunks = chunk_document(document)
        language = wanted_language(document, self.options.language)
        if language is None:
            self.skipped += [_skipped(chunk, UNSUPPORTED_LANGUAGE) for chunk in chunks]
        elif language != document.language and not translates:
            self.skipped += [_skipped(chunk, TRANSLATION) for chunk in chunks]
        else:
            self._languages[document.id] = language
            self.chunks[document.id] = chunks

    def order(self, asked: Asked, *, round_: int = 0) -> Order:
        """The question for one chunk."""
        chunk = asked.chunk
        language = self._languages[chunk.document_id]
        return Order(
            chunk=chunk,
            text=chunk.text,
            language=language,
            cards=asked.cards,
            questions=asked.questions,
            difficulty=self.options.difficulty,
            round=round_,
            feedback=SECOND_ROUND if round_ else "",
            offline=partial(self._offline, asked, again=round_ > 0),
        )

    def _offline(self, asked: Asked, *, again: bool) -> ChunkAnswer:
        context = self._context(asked.chunk.document_id)
        if context is None:
            return nothing()
        return answer_offline(
            asked.chunk,
            context,
            cards=asked.cards,
            questions=asked.questions,
            difficulty=self.options.difficulty,
            fill=self.options.cards is not None or self.options.questions is not None,
            again=again,
        )

    def _context(self, document_id: str) -> DocumentContext | None:
        if document_id not in self._contexts:
            document = next(one for one in self.documents if one.ready and one.id == document_id)
            if document.language not in SUPPORTED or document.language != self._languages[document_id]:
                return None
            self._contexts[document_id] = DocumentContext.of(self.chunks[document_id], document.language)
        return self._contexts[document_id]

    def assemble(
        self,
        results: Sequence[ChunkResult],
        verdicts: Mapping[str, bool] | None = None,
        frozen: Mapping[str, frozenset[tuple[str, int]]] | None = None,
    ) -> tuple[Collection, tuple[ChunkResult, ...]]:
        """The collection that `results` give; chunks without a result count as skipped."""
        asked = {result.chunk.key for result in (*results, *self.skipped)}
        rest = [
            _skipped(entry.chunk, NOT_NEEDED)
            for entry in (*self.plan.asked, *self.plan.reserve)
            if entry.chunk.key not in asked
        ]
        everything = (*results, *self.skipped, *rest)
        ordered = tuple(sorted(everything, key=lambda result: (result.chunk.document_id, result.chunk.number)))
        collection = assemble(
            self.documents,
            ordered,
            self.options,
            cards=self.plan.cards,
            questions=self.plan.questions,
            verdicts=verdicts,
            frozen=frozen,
        )
        return collection, ordered


async def build_collection(
    documents: Sequence[Document],
    options: StudyOptions,
    client: LlmClient,
    *,
    deadline: Deadline,
    translates: bool = False,
    known: Mapping[str, Answered] | None = None,
    on_answer: Callable[[Kept], None] | None = None,
    on_wait: Callable[[float], None] | None = None,
    on_round: Callable[[str], None] = lambda _text: None,
    concurrency: int = 16,
    user_id: str = "",
    alive: Callable[[], bool] = lambda: True,
    judge_share: float = 0.0,
    verdicts: Mapping[str, bool] | None = None,
    raise_fatal: bool = True,
) -> Built:
    """Ask, check, ask again where nothing was accepted, and choose.

    Raises the provider's error when nothing could be asked at all because of a wrong key or call (`outcome.fatal`), never
    because some chunks failed: those are in the counts. Without `raise_fatal` the caller reads `outcome.fatal`.
    """
    workshop = Workshop(documents, options, translates=translates)
    engine = Engine(
        client,
        deadline=deadline,
        known=known,
        on_answer=on_answer,
        on_wait=on_wait,
        concurrency=concurrency,
        user_id=user_id,
        alive=alive,
    )
    planned = workshop.plan
    on_round(f"asking about {len(planned.asked)} chunks")
    await engine.ask([workshop.order(asked) for asked in planned.asked])
    collection, results = workshop.assemble(engine.results())
    more = _second_round(workshop, collection)
    if more and engine.outcome.stop is None:
        on_round(f"asking again about {len(more)} chunks")
        await engine.ask(more)
        collection, results = workshop.assemble(engine.results())
    said = dict(verdicts or {})
    if engine.outcome.stop is None and translates:
        questions = [one for one in sample(collection.questions, judge_share) if one.id not in said]
        cards = [one for one in sample(collection.cards, judge_share) if one.id not in said]
        if questions or cards:
            on_round(f"checking {len(questions)} questions and {len(cards)} cards")
        sources = {document.id: Source(document) for document in documents if document.ready}
        bench = Bench(
            client,
            lambda item: sources[item.evidence.document_id].window(item.evidence),
            deadline=deadline,
            user_id=user_id,
            spend=engine.outcome.spend,
        )
        said |= await bench.judge_questions(questions)
        said |= await bench.judge_cards(cards)
    if not all(said.values()):
        collection, results = workshop.assemble(engine.results(), said)
    if raise_fatal and engine.outcome.fatal is not None and not any(result.answers for result in results):
        raise engine.outcome.fatal
    return Built(collection=collection, outcome=engine.outcome, results=results, plan=planned, verdicts=said)


def _second_round(workshop: Workshop, collection: Collection) -> list[Order]:
    """Chunks that gave nothing, and the reserve where the deck is short of what was asked for."""
    by_key = {asked.chunk.key: asked for asked in workshop.plan.asked}
    orders = [workshop.order(by_key[key], round_=1) for key in collection.uncovered if key in by_key]
    short = len(collection.cards) < workshop.plan.cards or len(collection.questions) < workshop.plan.questions
    if short:
        orders += [workshop.order(asked) for asked in workshop.plan.reserve]
    return orders


def _skipped(chunk: Chunk, code: str) -> ChunkResult:
    return ChunkResult(chunk=chunk, status=ChunkStatus.SKIPPED, code=code)


def is_partial(results: Sequence[ChunkResult], documents: Sequence[Document]) -> bool:
    """Something that was asked for could not be had: a failed or cut-off chunk, or an unusable document."""
    expected = {NOT_NEEDED, TOO_SHORT}
    return any(result.status is not ChunkStatus.DONE and result.code not in expected for result in results) or any(
        not document.ready and document.code != "duplicate_document" for document in documents
    )


def shortened(collection: Collection, *, most: int) -> Collection:
    """For previews: the first items only."""
    return replace(collection, cards=collection.cards[:most], questions=collection.questions[:most])
