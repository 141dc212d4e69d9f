"""Flashcards and questions of a text that comes with the request: the study pipeline without files."""

from __future__ import annotations

from hashlib import sha256

from ingestion_assets.assistant.model import (
    CardOut,
    Cards,
    CardsArguments,
    Grounds,
    QuestionOut,
    Quiz,
    QuizArguments,
)
from ingestion_assets.ledger.async_jobs import JobFailedError
from ingestion_assets.study.extraction.canonical import canonical
from ingestion_assets.study.language import document_language
from ingestion_assets.study.model import Document, DocumentStatus, Evidence, StudyOptions
from ingestion_assets.study.pipeline import Built, build_collection
from ingestion_assets.study.results import Tally
from resources.llm.errors import LlmError
from resources.llm.protocol import Deadline, LlmClient

_CONCURRENCY = 4


async def make_cards(arguments: CardsArguments, client: LlmClient, deadline: Deadline, *, translates: bool) -> Cards:
    """Flashcards, each with its evidence. Raises `JobFailedError` when nothing can be made, or an `LlmError`."""
    options = StudyOptions(
        cards=arguments.cards, questions=0, language=arguments.language, difficulty=arguments.difficulty
    )
    built, document = await _build(arguments.text, options, client, deadline, translates=translates)
    cards = [
        CardOut(
            id=card.id,
            kind=card.kind,
            front=card.front,
            back=card.back,
            difficulty=card.difficulty,
            evidence=_grounds(card.evidence),
        )
        for card in built.collection.cards
    ]
    return Cards(text=document.text, cards=cards, dropped=_dropped(built.collection.card_tally), **_provenance(built))


async def make_quiz(arguments: QuizArguments, client: LlmClient, deadline: Deadline, *, translates: bool) -> Quiz:
    """Questions, each with its evidence. Raises `JobFailedError` when nothing can be made, or an `LlmError`."""
    options = StudyOptions(
        cards=0, questions=arguments.questions, language=arguments.language, difficulty=arguments.difficulty
    )
    built, document = await _build(arguments.text, options, client, deadline, translates=translates)
    questions = [
        QuestionOut(
            id=question.id,
            stem=question.stem,
            options=list(question.options),
            key=question.key,
            explanation=question.explanation,
            difficulty=question.difficulty,
            evidence=_grounds(question.evidence),
        )
        for question in built.collection.questions
    ]
    return Quiz(
        text=document.text, questions=questions, dropped=_dropped(built.collection.question_tally), **_provenance(built)
    )


async def _build(
    given: str, options: StudyOptions, client: LlmClient, deadline: Deadline, *, translates: bool
) -> tuple[Built, Document]:
    text = canonical([given], paged=False).text
    digest = sha256(text.encode()).hexdigest()
    document = Document(
        name="text",
        sha256=digest,
        status=DocumentStatus.READY,
        size=len(text.encode()),
        text=text,
        text_sha256=digest,
        language=document_language(text),
    )
    built = await build_collection(
        [document], options, client, deadline=deadline, translates=translates, concurrency=_CONCURRENCY
    )
    if not built.collection.items:
        raise _nothing(built)
    return built, document


def _nothing(built: Built) -> Exception:
    if isinstance(built.outcome.stop, LlmError):
        return built.outcome.stop
    codes = ", ".join(sorted(built.collection.chunk_codes)) or "every proposal failed its checks"
    return JobFailedError(
        f"Nothing could be made of this text ({codes}). Send a longer text of full sentences in French or English.",
        code="insufficient_content",
    )


def _grounds(evidence: Evidence) -> Grounds:
    return Grounds(quote=evidence.quote, start=evidence.start, end=evidence.end)


def _dropped(tally: Tally) -> dict[str, int]:
    return {str(reason): count for reason, count in sorted(tally.dropped.items())}


def _provenance(built: Built) -> dict[str, object]:
    answers = [answered for result in built.results for answered in result.answers]
    return {
        "provider": ", ".join(sorted({answered.provider for answered in answers})),
        "model": ", ".join(sorted({answered.model for answered in answers})),
        "warnings": sorted(built.outcome.warnings),
    }
