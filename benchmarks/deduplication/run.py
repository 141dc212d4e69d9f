"""Deduplication against the exact key, Splink and recordlinkage: the same labelled records, one run.

    python -m benchmarks.deduplication.run [--quick] [--json FILE] [--without-peers]

Splink and recordlinkage get the fields that our parser reads for nothing, labels to fit with and a threshold tuned on a
second corpus; both are measured on corpora that none of them, nor our weights, have seen. Prints Markdown.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks._figures import Comparison, Group
from benchmarks._measure import Bar, bars_table, markdown_table
from benchmarks._options import Options, note, read_options
from benchmarks._processes import peer_python, run_child
from benchmarks.deduplication.fields import corpus
from benchmarks.deduplication.measure import event_days
from benchmarks.deduplication.metrics import Quality, quality

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
OURS, EXACT, SPLINK, RECORDLINKAGE = "ours", "exact key", "Splink", "recordlinkage"
PEERS = {SPLINK: "benchmarks.deduplication.peer_splink", RECORDLINKAGE: "benchmarks.deduplication.peer_recordlinkage"}
HELD_BACK = "held back"
OTHERS = ("words outside the lexicon", "second generator", "third generator")
"""Measured with the smallest number of records only."""
LABELLED = 10_000
"""Records that the peers are fitted and tuned on, each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One method on one corpus."""

    method: str
    corpus: str
    records: int
    cpu: float
    wall: float
    rss_mb: float
    quality: Mapping[str, Any]

    @property
    def scored(self) -> Quality:
        return Quality(**self.quality)


def measure(options: Options) -> Iterator[Measurement]:
    """Every method on every corpus, each in a process of its own."""
    smallest = options.sizes[0]
    wanted = [(HELD_BACK, size) for size in options.sizes] + [(name, smallest) for name in OTHERS]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        models: dict[str, str] = {}
        python = None if options.without_peers else peer_python(REQUIREMENTS)
        if python is not None:
            labelled = min(LABELLED, options.sizes[-1])
            given = {name: _fields(name, labelled, folder) for name in ("train", "tune")}
            for name, module in PEERS.items():
                note(f"deduplication: fitting {name} with {labelled} labelled records")
                models[name] = str(Path(folder) / f"{name}.json")
                run_child(module, {**given, "model": models[name]}, python=python)
        for place, size in wanted:
            rows = corpus(place, size)
            truth = {row.record.key: row for row in rows}
            path = _fields(place, size, folder) if python is not None else ""
            for name in (OURS, EXACT, *models):
                note(f"deduplication: {name}, {place}, {size} records")
                if name in models:
                    task = {"path": path, "model": models[name]}
                    done = run_child(PEERS[name], task, python=python or "")
                else:
                    done = run_child("benchmarks.deduplication.ours", {"method": name, "corpus": place, "rows": size})
                label = {(source, source_id): cluster for source, source_id, cluster in done.pop("labels")}
                predicted = [label[tuple(key)] for key in truth]
                found = quality(list(truth.values()), predicted, event_days(rows))
                yield Measurement(
                    method=name,
                    corpus=place,
                    records=size,
                    cpu=done["cpu"],
                    wall=done["wall"],
                    rss_mb=done["rss_mb"],
                    quality=found.as_dict(),
                )


def _fields(name: str, rows: int, folder: str) -> str:
    return str(run_child("benchmarks.deduplication.fields", {"corpus": name, "rows": rows, "folder": folder})["path"])


def bars(found: Sequence[Measurement]) -> list[Bar]:
    """What must hold."""
    result = []
    for one in found:
        if one.method != OURS:
            continue
        where = f"{one.corpus}, {one.records}"
        outside = one.corpus == OTHERS[0]
        score = one.scored
        result.append(Bar(f"pair F1, {where}", score.f1, 0.93 if outside else 0.97, at_least=True, unit=""))
        result.append(Bar(f"pair precision, {where}", score.precision, 0.98, at_least=True, unit=""))
        if one.corpus == HELD_BACK:
            result.append(Bar(f"false merges across a series' dates, {where}", score.series_merges, 0, unit=""))
            kind, share = max(score.mixed.items(), key=lambda item: item[1])
            result.append(Bar(f"records in mixed clusters, worst kind ({kind}), {where}", share * 100, 0.5, unit="%"))
        for other in found:
            if other.method in PEERS and (other.corpus, other.records) == (one.corpus, one.records):
                lead = score.f1 - other.scored.f1
                text = f"pair F1 ahead of {other.method}, {where}"
                result.append(Bar(text, lead, 0, at_least=True, unit="", peer=other.method))
    return result


def comparisons(found: Sequence[Measurement]) -> list[Comparison]:
    """How right, and at what cost. The exact key finds an eighth of the pairs: its speed compares with nothing."""
    places = list(dict.fromkeys((one.corpus, one.records) for one in found))

    def groups(value: Callable[[Measurement], float], *, cost: bool) -> list[Group]:
        result: list[Group] = []
        for name, records in places:
            here = {one.method: value(one) for one in found if (one.corpus, one.records) == (name, records)}
            group: Group = {"label": f"{name}, {records:,} records", "values": here}
            if cost and EXACT in here:
                group["not_comparable"] = {EXACT: "finds equal texts alone"}
            result.append(group)
        return result

    return [
        {
            "title": "Pair F1",
            "unit": "",
            "lower_is_better": False,
            "score": True,
            "groups": groups(lambda one: one.scored.f1, cost=False),
        },
        {
            "title": "CPU a record",
            "unit": "µs",
            "lower_is_better": True,
            "groups": groups(lambda one: one.cpu / one.records * 1e6, cost=True),
        },
        {
            "title": "Peak memory",
            "unit": "MB",
            "lower_is_better": True,
            "groups": groups(lambda one: one.rss_mb, cost=True),
        },
    ]


def report(found: Sequence[Measurement]) -> str:
    """The section of the report."""
    rows = [
        {
            "corpus": one.corpus,
            "records": f"{one.records:,}",
            "method": one.method,
            "pair P": f"{one.scored.precision:.3f}",
            "pair R": f"{one.scored.recall:.3f}",
            "pair F1": f"{one.scored.f1:.3f}",
            "B³ F1": f"{one.scored.b3_f1:.3f}",
            "clusters exact": f"{one.scored.exact:.3f}",
            "CPU s": f"{one.cpu:.1f}",
            "peak MB": f"{one.rss_mb:.0f}",
        }
        for one in found
    ]
    return "\n\n".join(
        [
            "## Deduplication: which records are one event",
            NOTE,
            bars_table(bars(found)),
            markdown_table(list(rows[0]), rows),
        ]
    )


NOTE = (
    "All records are generated, by three generators of different make; no labelled set of real event pairs is at hand. "
    "Our weights were fitted on other corpora of all three, the peers on one of the first, with labels, "
    "their thresholds tuned on a second corpus of it: only `held back` is fair to all, the rest shows what carries over. "
    "CPU of ours includes reading titles and venues and counting words; that of the peers begins with these fields ready."
)


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_options(__doc__ or "", arguments, sizes=(10_000, 100_000), quick=(2_000,))
    found = list(measure(options))
    options.write(report(found), [asdict(one) for one in found], bars(found), comparisons=comparisons(found))


if __name__ == "__main__":
    main()
