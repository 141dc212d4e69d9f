"""`ingest tag`: tag the events of a file, without a database."""

from __future__ import annotations

import asyncio
import codecs
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ingestion_assets.cli.console import complain
from ingestion_assets.cli.files import replaced
from resources.errors import PermanentError

if TYPE_CHECKING:
    from ingestion_assets.events.tagging import TaggingOutcome, TagInput, TagResult
    from ingestion_assets.settings import TaggingSettings
    from resources.llm import LlmSettings

MAX_LINE_BYTES = 1024 * 1024


def tag(
    input_: Annotated[
        Path,
        typer.Option("--input", help="JSON lines: event_id, title, description, venue_name, categories, audience."),
    ],
    output: Annotated[Path, typer.Option(help="JSON lines, one an event; replaced when all of them are there.")],
    provider: Annotated[
        str | None, typer.Option(help="openai, gemini or offline, or several in order; default: LLM_PROVIDERS.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")] = False,
) -> None:
    """Tag the events of a file. Every line of the input gives one line of the output, with tags or with an error."""
    from ingestion_assets.events.tagging import RowStatus
    from ingestion_assets.settings import TaggingSettings
    from resources.llm import LlmSettings

    started = time.monotonic()
    llm = LlmSettings(llm_providers=provider) if provider else LlmSettings()
    settings = TaggingSettings()
    # Answers of a provider were paid for: what is there of them outlives Ctrl-C.
    with replaced(output, inputs=[input_], keep=llm.order != ("offline",)) as partial:
        lines = _read(input_)
        # Half a character in an id becomes its JSON escape, so that the line says what the input said.
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as stream:
            for rejected in lines.rejected:
                _write(stream, rejected)
            outcome = asyncio.run(_tag(lines.items, stream, llm, settings))
    report = {
        "status": _status(outcome),
        "events": outcome.total + len(lines.rejected),
        "done": outcome.done,
        "pending": outcome.pending,
        "errors": outcome.error + len(lines.rejected),
        "prompts": outcome.prompts,
        "tokens_in": outcome.usage.input_tokens,
        "tokens_out": outcome.usage.output_tokens,
        "reasons": {**outcome.reasons, **({RowStatus.ERROR.value: len(lines.rejected)} if lines.rejected else {})},
        "warnings": dict(outcome.warnings),
        "not_before": outcome.not_before.isoformat() if outcome.not_before else None,
        "seconds": round(time.monotonic() - started, 2),
    }
    if lines.rejected:
        complain(f"{len(lines.rejected)} lines cannot be used; the first: {lines.rejected[0]['error']}")
    if outcome.fatal is not None:
        complain(str(outcome.fatal))
    if as_json:
        typer.echo(json.dumps(report))
    else:
        typer.echo(
            f"{report['done']} of {report['events']} events tagged, {report['errors']} errors, {report['pending']} pending"
            f" ({report['seconds']} s). Written to {output}."
        )
    if report["status"] != "SUCCESS":
        raise typer.Exit(1)


def _status(outcome: TaggingOutcome) -> str:
    if outcome.pending or outcome.fatal is not None:
        return "INCOMPLETE"
    return "SUCCESS" if outcome.done else "ERROR"


@dataclass(slots=True)
class _Lines:
    items: list[TagInput] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)


def _read(path: Path) -> _Lines:
    from ingestion_assets.events.tagging import tag_input

    if not path.is_file():
        raise PermanentError(f"there is no file {path}")
    lines = _Lines()
    seen: set[str] = set()
    for number, line in _numbered(path):
        record, problem = _record(line)
        if problem is None and record["event_id"] in seen:
            problem = "the event_id came before"
        if problem is not None:
            event_id = record.get("event_id") if isinstance(record.get("event_id"), str) else None
            lines.rejected.append({"event_id": event_id, "status": "error", "error": f"line {number}: {problem}"})
            continue
        seen.add(record["event_id"])
        lines.items.append(
            tag_input(
                event_id=record["event_id"],
                title=record["title"],
                description=_text(record.get("description")),
                venue_name=_text(record.get("venue_name")),
                categories=_texts(record.get("categories")),
                audience=_texts(record.get("audience")),
            )
        )
    if not lines.items and not lines.rejected:
        raise PermanentError(f"{path} holds no event: one JSON object a line is expected")
    return lines


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if text.strip():
                yield number, text


def _record(line: bytes) -> tuple[dict[str, Any], str | None]:
    if len(line) > MAX_LINE_BYTES:
        return {}, f"longer than {MAX_LINE_BYTES} bytes"
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError:
        return {}, "not UTF-8: save the file as UTF-8"
    except (ValueError, RecursionError) as error:
        return {}, f"not JSON: {error}"
    if not isinstance(record, dict):
        return {}, "not a JSON object"
    if isinstance(record.get("event_id"), int) and not isinstance(record["event_id"], bool):
        record["event_id"] = str(record["event_id"])
    for name in ("event_id", "title"):
        if not isinstance(record.get(name), str) or not record[name].strip():
            return record, f"{name} is missing or no text"
    if re.search("[\ud800-\udfff]", record["event_id"]):
        return record, "event_id holds half a character"
    return record, None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return tuple(part for part in value if isinstance(part, str)) if isinstance(value, list) else ()


async def _tag(
    items: Sequence[TagInput], stream: TextIO, llm: LlmSettings, settings: TaggingSettings
) -> TaggingOutcome:
    from ingestion_assets.events.tagging import tag_events
    from resources.llm import Deadline, build_client

    def store(results: Sequence[TagResult]) -> None:
        for result in results:
            _write(stream, _line(result))
        stream.flush()

    async with build_client(llm) as client:
        return await tag_events(
            items,
            client,
            deadline=Deadline.after(llm.llm_deadline_seconds),
            on_results=store,
            events_per_prompt=settings.events_per_prompt,
            concurrency=llm.llm_concurrency,
        )


def _line(result: TagResult) -> dict[str, Any]:
    tags = result.tags.model_dump(mode="json") if result.tags is not None else {}
    return {
        "event_id": result.event_id,
        "status": result.status.value,
        "type": tags.get("type"),
        "genres": tags.get("genres", []),
        "ambiance": tags.get("ambiance", []),
        "audience": tags.get("audience", []),
        "provider": result.provider or None,
        "model": result.model or None,
        "error": result.error_code if result.error_text is None else f"{result.error_code}: {result.error_text}",
    }


def _write(stream: TextIO, line: Mapping[str, Any]) -> None:
    empty: dict[str, Any] = {
        "type": None,
        "genres": [],
        "ambiance": [],
        "audience": [],
        "provider": None,
        "model": None,
        "error": None,
    }
    stream.write(json.dumps({"event_id": None, "status": None, **empty, **line}, ensure_ascii=False) + "\n")
