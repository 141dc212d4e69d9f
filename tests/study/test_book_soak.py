"""A book of 500 pages whose facts are known, through the command itself; and an analysis killed with SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.study.book import write_pdf
from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import NewFile
from ingestion_assets.study.checks.shared import leaks
from ingestion_assets.study.text import folded
from resources.postgres.database import Database
from tests.study.studio import Studio, chapter
from tests.study.study_provider import study_provider

pytestmark = pytest.mark.soak
ROOT = Path(__file__).parents[2]
COMMAND = "import typer; from ingestion_assets.cli.study import study; a = typer.Typer(); a.command()(study); a()"


def test_a_book_of_500_pages_offline_is_whole_grounded_and_counted(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    known = {fact.term: fact.meaning for fact in write_pdf(tmp_path / "book.pdf", 500)}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "book.pdf", "--output", "deck.json", "--provider", "offline", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - started
    record_property("seconds for 500 pages", seconds)
    assert seconds <= 120
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["documents"][0]["pages"] == 500
    [deciles] = report["coverage"]["deciles"].values()
    assert all(deciles)
    assert report["coverage"]["words"] >= 0.8
    assert report["evidence"]["verified"] == report["evidence"]["total"] > 500
    chunks = report["chunks"]
    assert chunks["total"] == chunks["done"] + chunks["failed"] + chunks["skipped"]
    for kind in ("cards", "questions"):
        assert report[kind]["generated"] == report[kind]["stored"] + sum(report[kind]["dropped"].values())
    deck = json.loads((tmp_path / "deck.json").read_text())
    sides = [(folded(card["front"]), folded(card["back"])) for card in deck["cards"]]
    assert len(set(sides)) == len(sides)
    right = wrong = 0
    for card in deck["cards"]:
        if card["kind"] == "basic":
            assert not leaks(card["back"], card["front"], "en")
            meaning = known[card["front"].removeprefix("What is a ").rstrip("?")]
            right += folded(card["back"]) == folded(meaning)
            wrong += folded(card["back"]) != folded(meaning)
    assert right >= 0.99 * (right + wrong) > 0
    by_meaning = {folded(meaning): folded(term) for term, meaning in known.items()}
    for question in deck["questions"]:
        quote, answer = folded(question["evidence"]["quote"]), folded(question["options"][question["key"]])
        assert answer in quote
        meaning = quote.split(" is ", 1)[-1].rstrip(".")
        if meaning in by_meaning and "which term" in folded(question["stem"]):
            assert answer in {term for found, term in by_meaning.items() if found == meaning} | {quote.split()[1]}


WORKER = """
import sys, dagster as dg
from ingestion_assets.study.documents import documents
from ingestion_assets.study.document_analyses import document_analyses
from ingestion_assets.study.study_collections import study_collections
from ingestion_assets.study.steps import PARTITIONS
from resources.definitions import PostgresResource
from resources.llm.resource import LlmResource
instance = dg.DagsterInstance.ephemeral()
instance.add_dynamic_partitions(PARTITIONS.name, [sys.argv[1]])
done = dg.materialize([documents, document_analyses, study_collections], instance=instance, partition_key=sys.argv[1],
    resources={"postgres": PostgresResource(), "llm": LlmResource()})
sys.exit(0 if done.success else 1)
"""


@pytest.mark.parametrize("answers", [1, 7, 15])
def test_a_killed_process_loses_no_answer_and_pays_at_most_for_what_was_in_flight(
    answers: int,
    database: Database,
    platform_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    with study_provider(latency=0.2) as provider:
        for name, value in {
            "LLM_PROVIDERS": "openai",
            "LLM_CONCURRENCY": "2",
            "STUDY_JUDGE_SHARE": "0",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": provider.openai_url,
            "OPENAI_REQUESTS_PER_MINUTE": "60000",
            "OPENAI_TOKENS_PER_MINUTE": "1000000000",
        }.items():
            monkeypatch.setenv(name, value)
        studio = Studio(database)
        collection, _ = studio.create(NewFile("book.txt", chapter(3, 30).content), cards=120)
        process = subprocess.Popen([sys.executable, "-c", WORKER, collection], cwd=ROOT, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 90
        while len(studio.rows("study_answers", collection)) < answers and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        stored = len(studio.rows("study_answers", collection))
        paid = len(provider.books()["entries"])
        record_property("answers stored before the kill", stored)
        record_property("paid and lost", paid - stored)
        assert answers <= stored <= paid <= stored + 2
        done = subprocess.run(
            [sys.executable, "-c", WORKER, collection], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        total = len(studio.rows("study_answers", collection))
        assert len(provider.books()["entries"]) <= total + 2
        cards = studio.rows("study_cards", collection)
        assert len({(card["front"], card["back"]) for card in cards}) == len(cards) > 10
        with database.transaction() as connection:
            assert batches.open_batches(connection, collection_id=collection) == []
        studio.instance.dispose()
