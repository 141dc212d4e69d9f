"""`ingest study` as a user calls it: every format in, every format out, JSON that adds up, errors that say what to do."""

from __future__ import annotations

import csv
import io
import json
import resource
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import typer
from typer.testing import CliRunner

from ingestion_assets.cli.study import study
from ingestion_assets.study.extraction.documents import Upload, extract
from tests.fakes.llm_provider import FakeProvider
from tests.study import files

RUNNER = CliRunner()
COMMAND = typer.Typer()
COMMAND.command()(study)


def paragraphs(text: str, number: int) -> list[str]:
    """The same facts in another order, so that no file repeats another one's text."""
    sentences = [f"{sentence.strip().rstrip('.')}." for sentence in text.split(". ")]
    turned = sentences[number % len(sentences) :] + sentences[: number % len(sentences)]
    return [" ".join(turned[:3]), " ".join(turned[3:]), f"Copie {number}."]


ALL = ("pdf", "docx", "pptx", "odt", "epub", "html", "md", "txt")


def every_format(text: str, folder: Path, language: str, suffixes: tuple[str, ...] = ALL) -> list[Path]:
    made: dict[str, bytes] = {
        "pdf": files.pdf(paragraphs(text, 0)),
        "docx": files.docx(paragraphs(text, 1)),
        "pptx": files.pptx(paragraphs(text, 2)),
        "odt": files.odt(paragraphs(text, 3)),
        "epub": files.epub(paragraphs(text, 4)),
        "html": ("<html><body>" + "".join(f"<p>{p}</p>" for p in paragraphs(text, 5)) + "</body></html>").encode(),
        "md": ("# Notes\n\n" + "\n\n".join(reversed(paragraphs(text, 6)))).encode(),
        "txt": ("Notes\n\n" + "\n\n".join(paragraphs(text, 7))).encode("utf-16"),
    }
    paths = []
    for suffix in suffixes:
        paths.append(folder / f"{language}.{suffix}")
        paths[-1].write_bytes(made[suffix])
    return paths


def call(*arguments: str | Path) -> tuple[int, str]:
    result = RUNNER.invoke(COMMAND, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout


def summary(*arguments: str | Path, status: int = 0) -> dict[str, Any]:
    code, out = call(*arguments, "--provider", "offline", "--json")
    assert code == status, out
    found = json.loads(out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("text", "language", "suffixes"), [(files.ENGLISH, "en", ALL), (files.FRENCH, "fr", ("pdf", "pptx", "epub", "txt"))]
)
def test_every_format_goes_in_and_its_evidence_stands_where_it_says(
    text: str, language: str, suffixes: tuple[str, ...], tmp_path: Path
) -> None:
    paths = every_format(text, tmp_path, language, suffixes)
    told = summary(*paths, "-o", tmp_path / "deck.json", "--cards", "30", "--questions", "8")
    assert [(line["name"], line["status"], line["code"], line["language"]) for line in told["documents"]] == [
        (path.name, "ready", None, language) for path in paths
    ]
    pages = {line["name"].split(".")[-1]: line["pages"] for line in told["documents"]}
    assert (pages["pdf"], pages["pptx"], pages["txt"]) == (3, 3, None)
    assert {"total", "done", "failed", "skipped"} <= set(told["chunks"])
    assert told["chunks"]["total"] == sum(told["chunks"][name] for name in ("done", "failed", "skipped"))
    for kind in ("cards", "questions"):
        assert told[kind]["generated"] == told[kind]["stored"] + sum(told[kind]["dropped"].values())
    assert {"words", "pages"} <= set(told["coverage"])
    assert (
        told["evidence"]["verified"]
        == told["evidence"]["total"]
        == told["cards"]["stored"] + told["questions"]["stored"]
    )
    assert told["usage"]["input_tokens"] == 0
    assert told["partial"] is False
    deck = json.loads((tmp_path / "deck.json").read_text("utf-8"))
    texts = {path.name: extract(Upload(path.name, path.read_bytes())) for path in paths}
    items = [*deck["cards"], *deck["questions"]]
    assert len(items) == told["evidence"]["total"] >= 10
    for item in items:
        evidence = item["evidence"]
        source = texts[evidence["document"]]
        assert source.text[evidence["start"] : evidence["end"]] == evidence["quote"]
        assert evidence["page"] == source.page_at(evidence["start"])
    assert len({item["evidence"]["document"] for item in items}) >= 3


def test_every_format_comes_out(tmp_path: Path) -> None:
    source = tmp_path / "notes.txt"
    source.write_text(files.FRENCH, "utf-8")
    for suffix in ("apkg", "csv", "tsv", "md", "gift", "xml"):
        told = summary(source, "-o", tmp_path / f"deck.{suffix}", "--cards", "3", "--questions", "1")
        assert told["output"] == str(tmp_path / f"deck.{suffix}")
        assert (told["cards"]["stored"], told["questions"]["stored"]) == (3, 1)
    assert "collection.anki2" in zipfile.ZipFile(tmp_path / "deck.apkg").namelist()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "deck.csv").read_text("utf-8-sig"))))
    assert [row["type"].split("_")[0] for row in rows] == ["card"] * 3 + ["question"]
    assert (tmp_path / "deck.tsv").read_text("utf-8").startswith("#separator:tab\n")
    assert "## Questions" in (tmp_path / "deck.md").read_text("utf-8")
    assert "\n}" in (tmp_path / "deck.gift").read_text("utf-8")
    assert len(ET.fromstring((tmp_path / "deck.xml").read_bytes()).findall("question")) == 5
    assert sorted(path.name for path in tmp_path.glob(".*")) == [], "nothing half written is left"


def test_a_bad_file_holds_up_no_other_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "one.txt").write_text("One sentence and nothing more.")
    (tmp_path / "scan.pdf").write_bytes(files.scan())
    (tmp_path / "good.txt").write_text(files.ENGLISH)
    names = ("empty.txt", "one.txt", "scan.pdf", "good.txt")
    told = summary(*(tmp_path / name for name in names), "-o", tmp_path / "deck.json")
    assert [line["code"] for line in told["documents"]] == [
        *("document_empty", "insufficient_content", "no_text_layer"),
        None,
    ]
    assert (told["status"], told["partial"]) == ("ready", True)


def test_a_file_over_the_limit_is_named_and_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording of some GB among the slides used to end the whole command for want of memory."""
    monkeypatch.setenv("STUDY_MAX_DOCUMENT_BYTES", "100000")
    with (tmp_path / "recording.pdf").open("wb") as file:
        file.truncate(2 * 2**30)
    (tmp_path / "notes.txt").write_text(files.ENGLISH)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = summary(tmp_path / "recording.pdf", tmp_path / "notes.txt", "-o", tmp_path / "deck.json")
    assert [document["code"] for document in told["documents"]] == ["document_too_large", None]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024 * 1024  # KiB
    assert told["cards"]["stored"] > 0


def test_nothing_to_make_is_a_failure_without_a_file(tmp_path: Path) -> None:
    source = tmp_path / "one.txt"
    source.write_text("One sentence and nothing more.")
    told = summary(source, "-o", tmp_path / "deck.apkg", status=1)
    assert (told["status"], told["output"]) == ("failed", None)
    assert not (tmp_path / "deck.apkg").exists()


def test_what_rules_cannot_translate_is_said(tmp_path: Path) -> None:
    source = tmp_path / "notes.txt"
    source.write_text(files.ENGLISH)
    code, out = call(source, "-o", tmp_path / "deck.json", "--language", "fr", "--provider", "offline")
    assert code == 1
    assert "rules cannot translate" in out


def test_a_wrong_key_is_reported_like_any_failure(tmp_path: Path, provider: FakeProvider) -> None:
    """A script that reads the last line got none, and what had become of the documents was said nowhere."""
    provider.configure(keys=["another"])
    (tmp_path / "notes.txt").write_text(files.ENGLISH)
    (tmp_path / "empty.txt").write_bytes(b"")
    code, out = call(tmp_path / "notes.txt", tmp_path / "empty.txt", "-o", tmp_path / "deck.json", "--json")
    told = json.loads(out.splitlines()[-1])
    assert (code, told["status"], told["output"]) == (1, "failed", None)
    assert [document["code"] for document in told["documents"]] == [None, "document_empty"]
    assert told["chunks"]["total"] == told["chunks"]["skipped"] == told["chunks"]["reasons"]["provider_error"]
    assert told["errors"] == {"authentication": told["chunks"]["total"]}


def test_items_that_no_check_let_through_are_said_to_people_too(tmp_path: Path, provider: FakeProvider) -> None:
    """`nothing could be made: see above` stood below nothing."""
    provider.configure(gullible="x" * 500)
    (tmp_path / "notes.txt").write_text(files.ENGLISH)
    _, out = call(tmp_path / "notes.txt", "-o", tmp_path / "deck.json")
    assert "dropped by the checks: " in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("missing.txt", "-o", "deck.json"),
        ("notes.txt", "-o", "deck.docx"),
        ("notes.txt", "-o", "nowhere/deck.json"),
        ("notes.txt", "-o", "deck.json", "--language", "de"),
        ("notes.txt", "-o", "deck.json", "--difficulty", "brutal"),
    ],
)
def test_a_wrong_call_is_refused_before_any_work(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text(files.ENGLISH)
    assert call(*arguments)[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
