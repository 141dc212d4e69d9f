"""docs/benchmarks.md, made of what each benchmark last measured: one JSON file a benchmark, and plots, in docs/benchmarks.

A benchmark that is run again replaces its own part and no other, so every part says when it ran and how busy the machine
was. What the summary says is derived from the figures: nobody writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from benchmarks._figures import Comparison, Group, Series, number, with_unit
from benchmarks._plots import figures_of, is_ours

INTRODUCTION = """\
Ours beside the libraries that people use for the same work, each benchmark in one run on one machine. This page, its
plots and the figures in `benchmarks/*.json` beside it are written by

```sh
make bench                                        # everything, with peers in environments of their own: most of an hour
.venv/bin/python -m benchmarks loading pull       # again, and these parts of the page alone
.venv/bin/python -m benchmarks --quick            # small sizes, for a first look; printed, not kept
```

Other work on the machine makes wall times and latencies upper bounds; CPU time is what compares, hence the load average
beside each part."""
_EACH = 8
"""Scores that a summary says one by one; of more it says from where to where they go."""
_PATH = re.compile(r"(?:/[\w.@+-]+){2,}/([\w.@+-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark said when it last ran to its end, and how a later run failed if one did."""

    benchmark: str
    date: str = ""
    """UTC, to the minute; empty when it has not run to its end yet."""
    seconds: float = 0.0
    load_at_start: float = 0.0
    load_at_end: float = 0.0
    machine: str = ""
    report: Sequence[str] = ()
    """Lines of Markdown."""
    bars: Sequence[Mapping[str, Any]] = ()
    comparisons: Sequence[Comparison] = ()
    series: Sequence[Series] = ()
    measurements: Sequence[Any] = ()
    failed: Mapping[str, str] | None = field(default=None)
    """`date` and `error` of the last run, where it failed."""

    @classmethod
    def of(
        cls, benchmark: str, report: str, figures: Any, *, began: datetime, ended: datetime, load: tuple[float, float]
    ) -> Self:
        """A run that has ended well. `figures` is what it wrote as JSON; `load` is at the start and at the end."""
        known = figures if isinstance(figures, Mapping) else {"measurements": figures or []}
        return cls(
            benchmark=benchmark,
            date=_minute(began),
            seconds=round((ended - began).total_seconds(), 1),
            load_at_start=round(load[0], 2),
            load_at_end=round(load[1], 2),
            machine=known.get("machine", ""),
            report=report.strip().splitlines(),
            **{key: _rounded(known.get(key, ())) for key in ("bars", "comparisons", "series", "measurements")},
        )

    def failing(self, error: str, *, at: datetime) -> Result:
        """The same figures, and that the last run failed. Of the error the last line is kept, without folders."""
        last = next((line.strip() for line in reversed(error.splitlines()) if line.strip()), "no reason given")
        return Result(**{**_fields(self), "failed": {"date": _minute(at), "error": _PATH.sub(r"\1", last)[:300]}})

    @property
    def title(self) -> str:
        """Of its part of the page."""
        first = self.report[0] if self.report else ""
        return first.removeprefix("## ") if first.startswith("## ") else self.benchmark.capitalize()

    @property
    def plots(self) -> list[tuple[str, str, str]]:
        """(file name, title, SVG)."""
        drawn = figures_of(self.comparisons, self.series)
        return [(f"{self.benchmark}-{place}.svg", title, draw()) for place, (title, draw) in enumerate(drawn, 1)]


def _fields(result: Result) -> dict[str, Any]:
    return {name: getattr(result, name) for name in Result.__dataclass_fields__}


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _rounded(value: Any) -> Any:
    """Six digits: what a measurement is good for, and a file that people can read."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case Mapping():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
    return value


class Store:
    """The folder `docs` of a report: benchmarks.md and benchmarks/."""

    def __init__(self, docs: Path) -> None:
        self.page = docs / "benchmarks.md"
        self.folder = docs / "benchmarks"

    def load(self, benchmark: str) -> Result:
        """What it last measured; an empty result when it never ran."""
        path = self.folder / f"{benchmark}.json"
        if not path.exists():
            return Result(benchmark=benchmark)
        return Result(**json.loads(path.read_text(encoding="utf-8")))

    def kept(self) -> list[Result]:
        """Every result that there is."""
        return [self.load(path.stem) for path in sorted(self.folder.glob("*.json"))]

    def save(self, result: Result) -> None:
        """Keep a result with its plots, in place of the ones before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(result), indent=1, ensure_ascii=False)
        (self.folder / f"{result.benchmark}.json").write_text(f"{text}\n", encoding="utf-8")
        for old in self.folder.glob(f"{result.benchmark}-*.svg"):
            old.unlink()
        for name, _, svg in result.plots:
            (self.folder / name).write_text(svg, encoding="utf-8")

    def assemble(self, benchmarks: Sequence[str]) -> str:
        """Write the page from what is kept, and return it."""
        text = page([self.load(name) for name in benchmarks])
        self.page.parent.mkdir(parents=True, exist_ok=True)
        self.page.write_text(text, encoding="utf-8")
        return text


def page(results: Sequence[Result]) -> str:
    """The whole report, as Markdown."""
    parts = ["# Benchmarks", INTRODUCTION, circumstances(results), "## In short", in_short(results)]
    return "\n\n".join([*(part for part in parts if part), *(section(one) for one in results if one.date)]) + "\n"


def circumstances(results: Sequence[Result]) -> str:
    """When and on what, for the page."""
    ran = [one for one in results if one.date]
    if not ran:
        return ""
    machines = sorted({one.machine for one in ran})
    loads = [load for one in ran for load in (one.load_at_start, one.load_at_end)]
    first, last = min(one.date for one in ran), max(one.date for one in ran)
    minutes = number(round(sum(one.seconds for one in ran) / 60, 1))
    return (
        f"Measured {first if first == last else f'{first} to {last}'}, {minutes} minutes"
        f" in all; load average {min(loads):.1f} to {max(loads):.1f}. {'; '.join(machines)}."
    )


def in_short(results: Sequence[Result]) -> str:
    """Quotients first, then every bar that is missed and every line on which a peer is ahead."""
    bars = [bar for one in results for bar in one.bars]
    ahead = sum(len(found) for one in results for _, _, found in peers_ahead(one.comparisons))
    held = sum(bool(bar["held"]) for bar in bars)
    lines = [
        f"{held} of {len(bars)} bars are held; a peer is ahead on {ahead or 'no'} line{'' if ahead == 1 else 's'}.\n"
    ]
    for one in results:
        lines += list(_summary(one))
    return "\n".join(lines)


def _summary(result: Result) -> list[str]:
    if not result.date and result.failed is None:
        return [f"- **{result.benchmark.capitalize()}**: not measured yet."]
    held = sum(bool(bar["held"]) for bar in result.bars)
    counted = f" {held} of {len(result.bars)} bars held." if result.bars else ""
    lines = [f"- **{result.title.partition(':')[0]}**:{counted}"]
    if result.failed is not None:
        lines.append(f"  - **Failed** {result.failed['date']}: {_code(result.failed['error'])}")
    lines += [f"  - {text}" for one in result.comparisons if (text := _beside(one))]
    if not result.comparisons:  # then the bars are all that there is to sum up
        lines += [f"  - {_measured(bar)}" for bar in result.bars if bar["held"]]
    ahead = peers_ahead(result.comparisons)
    told = {peer for _, peer, _ in ahead}
    for bar in result.bars:
        if not bar["held"] and bar.get("peer", "") not in told:
            lines.append(f"  - **Missed**: {_measured(bar)}")
    for comparison, peer, groups in ahead:
        said = "; ".join(_lead(comparison, peer, group) for group in groups)
        lines.append(f"  - **Peer ahead**: {peer}, {_small(comparison['title'])}: {said}")
    return lines


def _measured(bar: Mapping[str, Any]) -> str:
    sign, unit = "≥" if bar.get("at_least") else "≤", bar.get("unit", "")
    return f"{bar['bar']}: {with_unit(bar['measured'], unit)}, wanted {sign} {bar['limit']:g} {unit}".rstrip()


def peers_ahead(comparisons: Sequence[Comparison]) -> list[tuple[Comparison, str, list[Group]]]:
    """Where a peer that did the same work is better than ours, by comparison and peer."""
    found = []
    for comparison in comparisons:
        for peer in _peers(comparison):
            groups = [group for group in comparison["groups"] if _is_ahead(comparison, group, peer)]
            if groups:
                found.append((comparison, peer, groups))
    return found


def _is_ahead(comparison: Comparison, group: Group, peer: str) -> bool:
    ours, value = _ours(group), group["values"].get(peer)
    if ours is None or value is None or peer in group.get("not_comparable", {}):
        return False
    return value < ours if comparison["lower_is_better"] else value > ours


def _peers(comparison: Comparison) -> list[str]:
    names = [name for group in comparison["groups"] for name in group["values"] if not is_ours(name)]
    return list(dict.fromkeys(names))


def _ours(group: Group) -> float | None:
    """The first one of ours is what peers are compared with: where there are several, the others do more."""
    return next((value for name, value in group["values"].items() if is_ours(name)), None)


def _lead(comparison: Comparison, peer: str, group: Group) -> str:
    value, ours = group["values"][peer], _ours(group) or 0.0
    return f"{group['label']} {number(value)}, ours {with_unit(ours, comparison['unit'])}"


def _beside(comparison: Comparison) -> str:
    """One sentence: each peer's values by ours, or the values where a quotient means nothing."""
    better = "less" if comparison["lower_is_better"] else "more"
    head = f"{comparison['title']} ({better} is better): "
    values = sum(len(group["values"]) for group in comparison["groups"])
    if comparison.get("score") and _peers(comparison) and values <= _EACH:
        return head + " · ".join(
            f"{group['label']}: " + "; ".join(_value(group, name) for name in group["values"])
            for group in comparison["groups"]
        )
    said = []
    for peer in _peers(comparison):
        pairs = [
            (group["values"][peer], ours)
            for group in comparison["groups"]
            if peer in group["values"]
            and peer not in group.get("not_comparable", {})
            and (ours := _ours(group)) is not None
        ]
        if not pairs:
            continue
        if comparison.get("score") or any(ours == 0 for _, ours in pairs):
            said.append(f"{peer} {_range([value for value, _ in pairs])}")
        else:
            said.append(f"{peer} {_range([value / ours for value, ours in pairs])} × ours")
    if not said:
        values = [(group["label"], ours) for group in comparison["groups"] if (ours := _ours(group)) is not None]
        return head + "; ".join(f"{label} {with_unit(value, comparison['unit'])}" for label, value in values)
    if comparison.get("score") or "× ours" not in " ".join(said):
        ours_all = [value for group in comparison["groups"] if (value := _ours(group)) is not None]
        said.insert(0, f"ours {_range(ours_all)}")
    return head + "; ".join(said)  # names of methods have commas


def _value(group: Group, method: str) -> str:
    less = group.get("not_comparable", {}).get(method)
    return f"{method} {number(group['values'][method])}" + (f" ({less})" if less else "")


def _range(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def section(result: Result) -> str:
    """One benchmark's part: when it ran, what it says of itself, its plots before its tables."""
    lines = list(result.report)
    if lines and lines[0].startswith("## "):
        lines = lines[1:]
    elif lines and not lines[0].startswith("|"):
        lines = ["```", *lines, "```"]
    blocks = ["\n".join(block) for blank, block in groupby(lines, key=lambda line: not line.strip()) if not blank]
    tables = next((place for place, block in enumerate(blocks) if block.startswith(("|", "###", "```"))), len(blocks))
    when = (
        f"{result.date}, {result.seconds / 60:.1f} minutes, load average {result.load_at_start:.1f} at the start and"
        f" {result.load_at_end:.1f} at the end."
    )
    if result.failed is not None:
        when += f" The run of {result.failed['date']} failed: {_code(result.failed['error'])}."
    plots = [f"![{title}](benchmarks/{name})" for name, title, _ in result.plots]
    return "\n\n".join([f"## {result.title}", when, *blocks[:tables], *plots, *blocks[tables:]])


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def _small(text: str) -> str:
    """For the middle of a sentence; an abbreviation keeps its capitals."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
