"""The study benchmark runs at a tiny size, and its judge tells a good deck from a bad one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.study import run
from benchmarks.study.book import facts, paragraphs
from benchmarks.study.judge import judge


def test_our_deck_passes_its_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    run.main(["--size", "12", "--without-peers", "--json", str(figures)])
    found = json.loads(figures.read_text())
    [one] = found["measurements"]
    assert one["method"] == run.OURS
    assert one["judged"]["cards"] == 12
    assert one["judged"]["grounded"] == 1.0
    assert one["judged"]["leaking"] == 0.0
    assert {bar["held"] for bar in found["bars"] if "page" in bar["bar"]} <= {True, False}
    assert "| ours |" in capsys.readouterr().out


def test_the_judge_sees_each_flaw() -> None:
    known = facts(2)
    pages = ["\n".join(part for fact in known if fact.page == page for part in paragraphs(fact)) for page in (1, 2)]
    first, second = known[0], known[-1]
    good = {"front": f"What is a {first.term}?", "back": first.meaning, "quote": paragraphs(first)[0], "page": 1}
    bad = {
        "front": f"It is {second.meaning}, {second.term}.",
        "back": second.term,
        "quote": f"{second.term} is nowhere like this.",
        "page": 2,
    }
    years = {
        "stem": "When did it close?",
        "options": [str(first.year), str(second.year), second.person],
        "key": 0,
        "quote": paragraphs(first)[0],
        "page": 1,
    }
    found = judge({"cards": [good, bad, bad], "questions": [years]}, known, pages)
    assert (found.cards, found.questions, found.deciles) == (3, 1, 2)
    assert found.grounded == 0.5
    assert found.leaking == 0.5
    assert found.leaning == 0.5
    assert found.repeated == 0.25
    assert found.one_kind == 0.0
    assert found.worth_knowing == 1.0
