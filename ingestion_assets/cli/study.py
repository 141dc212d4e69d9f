"""`ingest study`: documents in, a deck out, on this machine; no database and no Dagster run."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.console import complain, stderr
from ingestion_assets.cli.files import replaced

if TYPE_CHECKING:
    from ingestion_assets.study.model import Document, StudyOptions
    from ingestion_assets.study.pipeline import Built
    from resources.llm import LlmSettings


def study(
    files: Annotated[list[Path], typer.Argument(help="PDF, DOCX, PPTX, ODT, EPUB, HTML, Markdown or text files.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Deck to write; its suffix says how: apkg csv tsv json md gift xml.")
    ],
    provider: Annotated[
        str | None, typer.Option(help="offline, openai or gemini, or several in order. Default: LLM_PROVIDERS.")
    ] = None,
    cards: Annotated[int | None, typer.Option(min=0, max=5000, help="Flashcards to make. Default: by length.")] = None,
    questions: Annotated[
        int | None, typer.Option(min=0, max=5000, help="Quiz questions to make. Default: by length.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="fr or en. Default: that of each document.")] = None,
    difficulty: Annotated[str | None, typer.Option(help="easy, medium or hard. Default: mixed.")] = None,
    title: Annotated[str | None, typer.Option(help="Title of the deck. Default: the name of the output file.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")] = False,
) -> None:
    """Make flashcards and quiz questions from documents, each with a quote that stands in its source."""
    from ingestion_assets.study.exports import FORMATS, export
    from ingestion_assets.study.extraction.documents import Upload, extract_all
    from ingestion_assets.study.model import Difficulty, StudyOptions
    from ingestion_assets.study.report import report
    from ingestion_assets.study.settings import StudySettings
    from resources.llm import LlmSettings

    form = output.suffix.lower().lstrip(".")
    if form not in FORMATS:
        raise typer.BadParameter(f"--output must end with one of: {', '.join('.' + name for name in FORMATS)}")
    if language not in (None, "fr", "en"):
        raise typer.BadParameter("--language is fr or en")
    if difficulty not in (None, *Difficulty):
        raise typer.BadParameter("--difficulty is easy, medium or hard")
    if cards == questions == 0:
        raise typer.BadParameter("--cards and --questions are both 0: ask for some")
    llm = LlmSettings(llm_providers=provider) if provider else LlmSettings()
    options = StudyOptions(
        title=(title or output.stem).encode(errors="replace").decode(),  # a file's name need not be UTF-8
        language=language,
        cards=cards,
        questions=questions,
        difficulty=Difficulty(difficulty) if difficulty else None,
    )
    started = time.monotonic()
    with replaced(output, inputs=files) as partial:
        for path in files:
            _check_readable(path)
        settings = StudySettings()
        # One at a time: a folder of books is more than memory may hold.
        uploads = (Upload(path.name, _read(path, most=settings.max_document_bytes)) for path in files)
        documents: list[Document] = []
        for document in extract_all(uploads, settings):
            documents.append(document)
            stderr.print(f"{document.name}: {document.code or document.status}", markup=False, highlight=False)
        built = asyncio.run(_build(documents, options, llm))
        made = built.collection.items > 0
        if made:
            partial.write_bytes(export(built.collection, form))
        summary = report(built)
        summary["status"] = "ready" if made else _outcome(built)
        summary["output"] = str(output) if made else None
        summary["seconds"] = round(time.monotonic() - started, 2)
        if built.outcome.fatal is not None:
            complain(str(built.outcome.fatal))
        if not made:
            _tell(summary, as_json=as_json)
            raise typer.Exit(1)
    _tell(summary, as_json=as_json)


async def _build(documents: Sequence[Document], options: StudyOptions, settings: LlmSettings) -> Built:
    from ingestion_assets.study.pipeline import build_collection
    from ingestion_assets.study.settings import StudySettings
    from resources.llm import Deadline, build_client

    async with build_client(settings) as client:
        return await build_collection(
            documents,
            options,
            client,
            deadline=Deadline.after(settings.llm_deadline_seconds),
            translates=settings.order != ("offline",),
            concurrency=settings.llm_concurrency,
            judge_share=StudySettings().judge_share,
            raise_fatal=False,  # what was read of the documents is told all the same
            on_round=lambda text: stderr.print(text, markup=False, highlight=False),
        )


def _outcome(built: Built) -> str:
    return "quota_exceeded" if built.outcome.quota_exceeded else "failed"


def _check_readable(path: Path) -> None:
    """Raises `typer.BadParameter` before any work. A pipe is left alone: who opens and closes it has read it."""
    try:
        if not path.is_fifo():
            path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: Path, *, most: int) -> bytes:
    """A file; one that is too large cut off just past `most`, so that its document says so and memory holds it."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> typer.BadParameter:
    return typer.BadParameter(f"{path} cannot be read: {error.strerror}")


_WHY = {
    "offline_cannot_translate": "rules cannot translate; name a provider, or leave --language out",
    "unsupported_language": "cards are made in French and English; name one with --language, and a provider",
    "provider_quota": "the provider's quota is used up; try again later",
    "provider_error": "the provider could not be reached, or refused the call",
    "provider_refused": "the provider declined them",
    "invalid_model_output": "the provider's answers could not be used",
    "chunk_truncated": "the provider's answers were cut off",
    "analysis_timeout": "the time was over (LLM_DEADLINE_SECONDS)",
}
"""What people are told about passages without cards. Those that were not needed, or too short, are no news."""


def _tell(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    for document in summary["documents"]:
        problem = f": {document['code']}, {document.get('detail', '')}" if document["code"] else ""
        typer.echo(f"{document['name']}{problem}")
    typer.echo(
        f"{summary['cards']['stored']} cards and {summary['questions']['stored']} questions, "
        f"{summary['evidence']['verified']} of {summary['evidence']['total']} with verified evidence; "
        f"coverage {summary['coverage']['words']:.0%} of the words"
    )
    for code, count in summary["chunks"]["reasons"].items():
        if code in _WHY:
            typer.echo(f"{count} passages left out: {_WHY[code]}")
    refused = Counter(summary["cards"]["dropped"]) + Counter(summary["questions"]["dropped"])
    refused.pop("over_count", None)  # good ones, more than were wanted
    if refused:
        typer.echo(f"dropped by the checks: {', '.join(f'{count} {code}' for code, count in sorted(refused.items()))}")
    typer.echo(f"written to {summary['output']}" if summary["output"] else "nothing could be made: see above")
