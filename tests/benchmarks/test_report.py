"""The report of the benchmarks: kept part by part, summed up from the figures, drawn as plots that are real SVG."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import __main__ as command
from benchmarks._figures import Comparison, Series, number
from benchmarks._plots import WIDTH, bars, lines
from benchmarks._processes import ROOT
from benchmarks._report import Result, Store, in_short, page, peers_ahead

SVG = "{http://www.w3.org/2000/svg}"
BEGAN = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
CPU: Comparison = {
    "title": "CPU a job",
    "unit": "µs",
    "lower_is_better": True,
    "groups": [
        {"label": "100 jobs", "values": {"ours": 10.0, "slow": 75.0, "fast": 5.0}},
        {"label": "900 jobs", "values": {"ours": 10.0, "slow": 60.0, "fast": 20.0}},
        {
            "label": "by half",
            "values": {"ours": 10.0, "lazy <&>": 1.0},
            "not_comparable": {"lazy <&>": "does half of it"},
        },
    ],
}
F1: Comparison = {
    "title": "F1",
    "unit": "",
    "lower_is_better": False,
    "score": True,
    "groups": [{"label": "held back", "values": {"ours": 0.97, "slow": 0.8}}],
}
GROWTH: Series = {
    "title": "Growth",
    "x_label": "records",
    "y_label": "CPU seconds",
    "x_log": True,
    "y_log": True,
    "lines": [{"label": "imports", "points": [[0, 3], [1000, 1], [10_000, 11], [1_000_000, 900]]}],
}
TEXT = "## Queue: jobs\n\nWhat is measured.\n\n| bar | held |\n| --- | --- |\n| CPU | yes |\n\n### Sizes\n\nmore"


def result(name: str = "queue", **figures: object) -> Result:
    ended = BEGAN + timedelta(minutes=3)
    return Result.of(name, TEXT, figures, began=BEGAN, ended=ended, load=(0.52, 1.94))


def missed(**more: object) -> dict[str, object]:
    return {"bar": "wall", "measured": 1.5, "limit": 1.0, "at_least": False, "unit": "s", "held": False, **more}


def test_the_summary_says_quotients_then_what_is_missed_and_who_is_ahead() -> None:
    held = {"bar": "CPU", "measured": 7.0, "limit": 6, "at_least": True, "held": True}
    text = in_short([result(bars=[held, missed()], comparisons=[CPU, F1]), Result(benchmark="scale")])
    assert text.startswith("1 of 2 bars are held; a peer is ahead on 1 line.")
    assert "- **Queue**: 1 of 2 bars held." in text
    assert "CPU a job (less is better): slow 6 to 7.5 × ours; fast 0.5 to 2 × ours" in text
    assert "F1 (more is better): held back: ours 0.97; slow 0.8" in text
    assert "**Missed**: wall: 1.5 s, wanted ≤ 1 s" in text
    assert "**Peer ahead**: fast, CPU a job: 100 jobs 5, ours 10 µs" in text
    assert "lazy" not in text, "who does less is not ahead"
    assert "- **Scale**: not measured yet." in text
    assert text.index("6 to 7.5") < text.index("Missed") < text.index("Peer ahead")


def test_a_bar_that_only_names_who_is_ahead_is_said_once() -> None:
    known, unknown = missed(peer="fast", bar="fast over ours"), missed(peer="other", bar="other over ours")
    text = in_short([result(bars=[known, unknown], comparisons=[CPU])])
    assert "fast over ours" not in text
    assert "other over ours" in text


def test_bars_sum_up_what_compares_with_nobody() -> None:
    bars = [missed(), {"bar": "exponent", "measured": 1.042, "limit": 1.1, "unit": "", "held": True}]
    assert "  - exponent: 1.04, wanted ≤ 1.1" in in_short([result(bars=bars)]).splitlines()
    assert "exponent" not in in_short([result(bars=bars, comparisons=[F1])])


def test_more_is_better_the_other_way_round() -> None:
    better: Comparison = {**F1, "groups": [{"label": "held back", "values": {"ours": 0.9, "slow": 0.95}}]}
    assert [peer for _, peer, _ in peers_ahead([better])] == ["slow"]
    assert peers_ahead([F1]) == []


def test_a_rerun_replaces_its_own_part_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(result("queue", comparisons=[CPU, F1], series=[GROWTH], machine="2 cores"))
    store.save(result("study", comparisons=[F1], machine="2 cores"))
    before = store.assemble(["queue", "scale", "study"])
    assert before == store.page.read_text()
    assert [path.name for path in sorted(store.folder.glob("queue*"))] == [
        "queue-1.svg",
        "queue-2.svg",
        "queue-3.svg",
        "queue.json",
    ]
    store.save(result("queue", comparisons=[F1], bars=[missed()]))
    assert [path.name for path in sorted(store.folder.glob("queue*"))] == ["queue-1.svg", "queue.json"]
    after = store.assemble(["queue", "scale", "study"])
    assert "**Missed**" in after
    assert "**Missed**" not in before
    assert store.load("study") == result("study", comparisons=[F1], machine="2 cores")


def test_every_plot_of_the_page_is_there_and_before_the_tables(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(result("queue", comparisons=[CPU, F1], series=[GROWTH]))
    text = store.assemble(["queue"])
    plots = re.findall(r"!\[([^]]+)\]\(([^)]+)\)", text)
    assert [title for title, _ in plots] == ["Growth", "CPU a job", "F1"]
    assert all((tmp_path / path).exists() for _, path in plots)
    assert text.index("What is measured.") < text.index("![Growth]") < text.index("| bar |") < text.index("### Sizes")
    assert "2026-11-21 09:30 UTC, 3.0 minutes, load average 0.5 at the start and 1.9 at the end." in text


def test_the_page_in_the_docs_is_made_of_the_figures_beside_it() -> None:
    store = Store(ROOT / "docs")
    kept = store.kept()
    if not kept:
        pytest.skip("no figures are kept yet: make bench")
    again = "run: .venv/bin/python -m benchmarks --assemble"
    assert store.page.read_text(encoding="utf-8") == page([store.load(name) for name in command.names()]), again
    drawn = {name: svg for result in kept for name, _, svg in result.plots}
    assert drawn == {path.name: path.read_text(encoding="utf-8") for path in store.folder.glob("*.svg")}, again


def test_a_failure_is_named_and_the_last_good_figures_stand(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(result("queue", bars=[missed()]))
    error = "exit status 1\nTraceback\nRuntimeError: /srv/somebody/main/x.py could not be read\n\n"
    store.save(store.load("queue").failing(error, at=BEGAN + timedelta(days=1)))
    store.save(Result(benchmark="study").failing("", at=BEGAN))
    text = store.assemble(["queue", "study"])
    assert "**Failed** 2026-11-22 09:30 UTC: `RuntimeError: x.py could not be read`" in text
    assert "| CPU | yes |" in text
    assert "- **Study**:\n  - **Failed** 2026-11-21 09:30 UTC: `no reason given`" in text
    assert "somebody" not in text + (store.folder / "queue.json").read_text()
    store.save(result("queue"))
    assert "Failed" not in page([store.load("queue")])


def test_a_run_is_kept_a_small_one_is_not_and_a_failure_is_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    asked: list[list[str]] = []

    def run(name: str, options: list[str], tell: object) -> Result | command.Failure:
        asked.append([name, *options])
        return command.Failure("exit status 2\nno server", BEGAN) if name == "pull" else result(name)

    monkeypatch.setattr(command, "run", run)
    assert command.main(["study", "--quick"]) == 0
    assert "## Queue: jobs" in capsys.readouterr().out
    assert not (tmp_path / "docs").exists()
    assert command.main(["study", "pull"]) == 1
    said = capsys.readouterr()
    assert "pull failed: exit status 2\nno server" in said.err
    written = (tmp_path / "docs/benchmarks.md").read_text()
    assert "**Failed** 2026-11-21 09:30 UTC: `no server`" in written
    (tmp_path / "docs/benchmarks.md").unlink()
    assert command.main(["--assemble"]) == 0
    assert (tmp_path / "docs/benchmarks.md").read_text() == written
    assert command.main(["scale", "--size", "7", "--size", "70", "--into", str(tmp_path / "other"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1])[0]["benchmark"] == "scale"
    assert asked == [["study", "--quick"], ["study"], ["pull"], ["scale", "--size=7", "--size=70"]]


def test_bars_are_as_long_as_what_they_say() -> None:
    drawn = ET.fromstring(bars(CPU))
    rects = {
        (one.get("class"), one.get("width")) for one in drawn.iter(f"{SVG}rect") if one.get("class") in {"ours", "peer"}
    }
    widths = {kind: sorted({float(width or 0) for k, width in rects if k == kind}) for kind in ("ours", "peer")}
    [ours] = widths["ours"]
    assert widths["peer"] == pytest.approx([ours / 2, ours * 2, ours * 6, ours * 7.5], rel=0.01)
    assert all(float(one.get("x", "0")) + float(one.get("width", "0")) <= WIDTH for one in drawn.iter(f"{SVG}rect"))
    said = ["".join(one.itertext()) for one in drawn.iter(f"{SVG}text")]
    assert {"CPU a job", "µs, less is better", "100 jobs", "slow", "lazy <&>", "1 (does half of it)"} <= set(said)


def test_lines_of_equal_factors_are_equally_long_on_a_logarithmic_axis() -> None:
    drawn = ET.fromstring(lines(GROWTH))
    places = [float(one.get("cx", "0")) for one in drawn.iter(f"{SVG}circle") if one.get("r") == "3.5"]
    assert len(places) == 3, "zero has no place there"
    assert (places[2] - places[1]) / (places[1] - places[0]) == pytest.approx(2, rel=0.01)
    said = ["".join(one.itertext()) for one in drawn.iter(f"{SVG}text")]
    assert {"1k", "10k", "100k", "1M", "imports", "records"} <= set(said)
    straight = ET.fromstring(lines({**GROWTH, "x_log": False, "y_log": False}))
    assert "0" in ["".join(one.itertext()) for one in straight.iter(f"{SVG}text")]


def test_a_plot_of_one_point_or_of_none_is_still_a_plot() -> None:
    alone: Series = {**GROWTH, "lines": [{"label": "one", "points": [[5, 5]]}]}
    for series in (alone, {**alone, "x_log": False, "y_log": False}, {**GROWTH, "lines": []}):
        ET.fromstring(lines(series))  # type: ignore[arg-type]
    ET.fromstring(bars({**F1, "groups": []}))


def test_many_scores_are_said_from_where_to_where() -> None:
    many: Comparison = {
        **F1,
        "groups": [{"label": str(n), "values": {"ours": 0.9 + n / 100, "slow": 0.5 + n / 10}} for n in range(5)],
    }
    assert "F1 (more is better): ours 0.9 to 0.94; slow 0.5 to 0.9" in in_short([result(comparisons=[many])])


def test_where_there_is_nobody_to_compare_with_a_group_is_a_bar() -> None:
    alone: Comparison = {**F1, "groups": [{"label": f"/path{n}", "values": {"ours": n}} for n in (1, 2)]}
    said = ["".join(one.itertext()) for one in ET.fromstring(bars(alone)).iter(f"{SVG}text")]
    assert said == ["F1", "more is better", "/path1", "1", "/path2", "2"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.97251, "0.973"), (7.125, "7.12"), (64.4, "64.4"), (1234.5, "1,234"), (0.5, "0.5")]
)
def test_numbers_are_said_with_three_digits(value: float, text: str) -> None:
    assert number(value) == text
