"""From answers to a collection: every draft checked, duplicates out, evenly chosen, counted.

A pure function of its arguments: the same answers give the same collection, whenever and however often they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeVar

from ingestion_assets.study.checks import Scope, check_card, check_question
from ingestion_assets.study.checks.collection import Duplicates, Overuse, shuffled
from ingestion_assets.study.checks.findings import Verdict
from ingestion_assets.study.checks.shared import plain
from ingestion_assets.study.chunks import fair_order
from ingestion_assets.study.drafts import CardDraft, QuestionDraft
from ingestion_assets.study.evidence import Source, verify
from ingestion_assets.study.extraction.documents import wanted_language
from ingestion_assets.study.model import (
    Card,
    Chunk,
    ChunkStatus,
    Difficulty,
    Document,
    DropReason,
    Evidence,
    Question,
    StudyOptions,
)
from ingestion_assets.study.results import ChunkResult, Collection, Coverage, Tally
from ingestion_assets.study.text import folded, squeeze

DECILES: Final = 10
T = TypeVar("T", CardDraft, QuestionDraft)


@dataclass(frozen=True, slots=True)
class _Candidate:
    draft: CardDraft | QuestionDraft
    evidence: Evidence
    flags: tuple[str, ...]
    chunk: Chunk


def assemble(
    documents: Sequence[Document],
    results: Sequence[ChunkResult],
    options: StudyOptions,
    *,
    cards: int,
    questions: int,
    verdicts: Mapping[str, bool] | None = None,
    frozen: Mapping[str, frozenset[tuple[str, int]]] | None = None,
) -> Collection:
    """Check and choose.

    `cards` and `questions` are the most to store; `verdicts` are what a judge said of items, by id:
    a question that it answers otherwise goes (Q11), a card whose quote does not say its answer is flagged (G3);
    `frozen` are documents, by id, whose items stay exactly the given ones
    (item id, start of the evidence).
    """
    sources = {document.id: Source(document) for document in documents if document.ready}
    card_tally, question_tally = Tally(), Tally()
    card_queues: dict[tuple[str, int], list[_Candidate]] = {}
    question_queues: dict[tuple[str, int], list[_Candidate]] = {}
    for result in results:
        source = sources.get(result.chunk.document_id)
        language = wanted_language(source.document, options.language) if source is not None else None
        if source is None or language is None:
            continue
        scope = Scope(source=source, chunk=result.chunk, language=language)
        for answered in result.answers:
            answer = answered.answer
            _count_misfits(card_tally, len(answer.cards) - len(answer.good_cards))
            _count_misfits(question_tally, len(answer.questions) - len(answer.good_questions))
            card_queues.setdefault(result.chunk.key, []).extend(_checked(answer.good_cards, scope, card_tally))
            question_queues.setdefault(result.chunk.key, []).extend(
                _checked(answer.good_questions, scope, question_tally)
            )
    order = _fair(results)
    overuse = Overuse()
    said = verdicts or {}
    chooser = _Chooser(options, overuse, said, frozen or {})
    chosen_cards = chooser.choose(order, card_queues, card_tally, cards)
    chosen_questions = chooser.choose(order, question_queues, question_tally, questions)
    stored_cards = _identified_cards(chosen_cards, said)
    stored_questions = _identified_questions(chosen_questions)
    # A duplicate has the id of the document that is used.
    by_id = {document.id: document for document in documents if document.ready}
    items: tuple[Card | Question, ...] = (*stored_cards, *stored_questions)
    verified = sum(verify(item.evidence, by_id[item.evidence.document_id]) for item in items)
    covered = {(item.evidence.document_id, item.chunk) for item in items}
    accepted = {key for queues in (card_queues, question_queues) for key, queue in queues.items() if queue}
    statuses = {status: sum(1 for result in results if result.status is status) for status in ChunkStatus}
    codes: dict[str, int] = {}
    for result in results:
        if result.code is not None:
            codes[result.code] = codes.get(result.code, 0) + 1
    return Collection(
        title=options.title,
        key=options.deck_key,
        documents=tuple(documents),
        cards=stored_cards,
        questions=stored_questions,
        card_tally=card_tally,
        question_tally=question_tally,
        chunks=statuses,
        chunk_codes=codes,
        coverage=_coverage(by_id, results, covered, items),
        verified=verified,
        uncovered=tuple(
            result.chunk.key
            for result in results
            if result.status is ChunkStatus.DONE and result.answers and result.chunk.key not in accepted
        ),
    )


def _count_misfits(tally: Tally, count: int) -> None:
    tally.generated += count
    for _ in range(count):
        tally.drop(DropReason.SCHEMA)


def _checked(drafts: Iterable[T], scope: Scope, tally: Tally) -> Iterable[_Candidate]:
    for draft in drafts:
        tally.generated += 1
        verdict: Verdict = check_card(draft, scope) if isinstance(draft, CardDraft) else check_question(draft, scope)
        if verdict.dropped is not None:
            tally.drop(verdict.dropped)
        elif verdict.evidence is not None:
            yield _Candidate(draft, verdict.evidence, verdict.flags, scope.chunk)


class _Chooser:
    """Takes candidates chunk by chunk in turns, so that a stated number is spread evenly."""

    def __init__(
        self,
        options: StudyOptions,
        overuse: Overuse,
        verdicts: Mapping[str, bool],
        frozen: Mapping[str, frozenset[tuple[str, int]]],
    ) -> None:
        self._frozen = frozen
        self._difficulty = options.difficulty
        self._overuse = overuse
        self._verdicts = verdicts

    def choose(
        self,
        order: Sequence[Chunk],
        queues: Mapping[tuple[str, int], list[_Candidate]],
        tally: Tally,
        most: int,
    ) -> list[_Candidate]:
        """At most `most` candidates; each of the others is counted with its reason."""
        duplicates = Duplicates()
        waiting = {key: sorted(queue, key=self._rank) for key, queue in queues.items()}
        chosen: list[_Candidate] = []
        for held in waiting.values():
            # What has to stay comes first, so that nothing new can push it out.
            for candidate in [candidate for candidate in held if self._stays(candidate)]:
                held.remove(candidate)
                if (reason := self._refuse(candidate, duplicates, full=False)) is None:
                    chosen.append(candidate)
                    tally.stored += 1
                else:
                    tally.drop(reason)
        while any(waiting.values()):
            for chunk in order:
                if queue := waiting.get(chunk.key):
                    candidate = queue.pop(0)
                    reason = self._refuse(candidate, duplicates, full=len(chosen) >= most)
                    if reason is None:
                        chosen.append(candidate)
                        tally.stored += 1
                    else:
                        tally.drop(reason)
        chosen.sort(
            key=lambda candidate: (
                candidate.evidence.document_id,
                candidate.evidence.start,
                item_id(candidate.draft),
            )
        )
        return chosen

    def _stays(self, candidate: _Candidate) -> bool:
        # With its place: the same sentence may stand on several pages.
        name = item_id(candidate.draft), candidate.evidence.start
        return name in self._frozen.get(candidate.evidence.document_id, ())

    def _rank(self, candidate: _Candidate) -> tuple[bool, int]:
        return candidate.draft.difficulty is not (self._difficulty or candidate.draft.difficulty), len(candidate.flags)

    def _refuse(self, candidate: _Candidate, duplicates: Duplicates, *, full: bool) -> DropReason | None:
        draft = candidate.draft
        front = draft.front if isinstance(draft, CardDraft) else draft.stem
        answer = draft.back if isinstance(draft, CardDraft) else draft.answer
        if isinstance(draft, QuestionDraft) and self._verdicts.get(item_id(draft)) is False:
            return DropReason.JUDGED_WRONG
        if full or (candidate.evidence.document_id in self._frozen and not self._stays(candidate)):
            return DropReason.OVER_COUNT
        return duplicates.refuse(front, answer, candidate.evidence) or self._overuse.refuse(candidate.evidence)


def item_id(draft: CardDraft | QuestionDraft) -> str:
    """Stable over reruns and over edits of other pages: from what is asked and the quote, not from offsets or counters."""
    parts: tuple[str, ...]
    if isinstance(draft, CardDraft):
        parts = ("card", draft.kind, folded(plain(draft.front)), folded(draft.back), folded(draft.quote))
    else:
        parts = ("question", "", folded(draft.stem), folded(draft.answer), folded(draft.quote))
    return sha256("\n".join(parts).encode()).hexdigest()[:20]


def _identified_cards(chosen: Iterable[_Candidate], verdicts: Mapping[str, bool]) -> tuple[Card, ...]:
    cards = []
    for candidate in chosen:
        draft = candidate.draft
        if isinstance(draft, CardDraft):
            name = item_id(draft)
            unsupported = ("G3",) if verdicts.get(name) is False else ()
            cards.append(
                Card(
                    id=name,
                    kind=draft.kind,
                    front=squeeze(draft.front),
                    back=squeeze(draft.back),
                    difficulty=draft.difficulty,
                    evidence=candidate.evidence,
                    chunk=candidate.chunk.number,
                    flags=(*candidate.flags, *unsupported),
                )
            )
    return tuple(cards)


def _identified_questions(chosen: Iterable[_Candidate]) -> tuple[Question, ...]:
    questions = []
    for candidate in chosen:
        draft = candidate.draft
        if isinstance(draft, QuestionDraft):
            name = item_id(draft)
            options, key = shuffled([squeeze(option) for option in draft.options], draft.key, name)
            questions.append(
                Question(
                    id=name,
                    stem=squeeze(draft.stem),
                    options=options,
                    key=key,
                    explanation=squeeze(draft.explanation)[:600],
                    difficulty=draft.difficulty,
                    evidence=candidate.evidence,
                    chunk=candidate.chunk.number,
                    flags=candidate.flags,
                )
            )
    return tuple(questions)


def _fair(results: Sequence[ChunkResult]) -> list[Chunk]:
    by_document: dict[str, list[Chunk]] = {}
    for result in results:
        by_document.setdefault(result.chunk.document_id, []).append(result.chunk)
    return fair_order([sorted(chunks, key=lambda chunk: chunk.number) for chunks in by_document.values()])


def decile(document: Document, evidence: Evidence) -> int:
    """Which tenth of a document, from 0, a quote is in: of its pages, or of its characters."""
    if document.pages is not None and document.pages >= DECILES and evidence.page is not None:
        return (evidence.page - 1) * DECILES // document.pages
    return min(DECILES - 1, evidence.start * DECILES // max(1, len(document.text)))


def _coverage(
    documents: Mapping[str, Document],
    results: Sequence[ChunkResult],
    covered: set[tuple[str, int]],
    items: Sequence[Card | Question],
) -> Coverage:
    words = sum(result.chunk.words for result in results)
    with_items = sum(result.chunk.words for result in results if result.chunk.key in covered)
    deciles = {document.id: [0] * DECILES for document in documents.values()}
    for item in items:
        deciles[item.evidence.document_id][decile(documents[item.evidence.document_id], item.evidence)] += 1
    shares = [sum(1 for count in counts if count) / DECILES for counts in deciles.values()]
    return Coverage(
        words=round(with_items / words, 4) if words else 0.0,
        pages=round(sum(shares) / len(shares), 4) if shares else 0.0,
        deciles=deciles,
    )


def mix(items: Sequence[Card | Question]) -> dict[str, float]:
    """X2: share of each difficulty."""
    return {
        str(level): round(sum(item.difficulty is level for item in items) / len(items), 4) if items else 0.0
        for level in Difficulty
    }
