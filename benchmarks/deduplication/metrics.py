"""How good a clustering is: pairs, B-cubed, and the mistakes that must not happen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.deduplication.generate import Labelled


@dataclass(frozen=True, slots=True)
class Quality:
    precision: float
    recall: float
    f1: float
    b3_precision: float
    b3_recall: float
    b3_f1: float
    exact: float
    """Share of the true clusters found exactly."""
    series_merges: int
    """Wrong pairs inside one series whose events lie on different dates."""
    mixed: Mapping[str, float]
    """By kind: share of its records in a cluster that holds another event's record."""

    def line(self) -> str:
        worst = sorted(self.mixed.items(), key=lambda item: -item[1])[:6]
        shown = " ".join(f"{kind}={share:.2%}" for kind, share in worst)
        return (
            f"P={self.precision:.4f} R={self.recall:.4f} F1={self.f1:.4f} B3={self.b3_f1:.4f} exact={self.exact:.3f} "
            f"series merges={self.series_merges} mixed: {shown}"
        )

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def quality(
    rows: Sequence[Labelled], predicted: Sequence[Hashable], event_days: Mapping[str, object] | None = None
) -> Quality:
    """Compare predicted cluster labels, in the order of `rows`, with the truth."""
    both: Counter[tuple[Hashable, str]] = Counter()
    found: Counter[Hashable] = Counter()
    true: Counter[str] = Counter()
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, (row, label) in enumerate(zip(rows, predicted, strict=True)):
        both[label, row.event] += 1
        found[label] += 1
        true[row.event] += 1
        members[label].append(index)
    pairs = sum(n * (n - 1) // 2 for n in both.values())
    guessed = sum(n * (n - 1) // 2 for n in found.values())
    wanted = sum(n * (n - 1) // 2 for n in true.values())
    precision = pairs / guessed if guessed else 1.0
    recall = pairs / wanted if wanted else 1.0
    b3_precision = sum(n * n / found[label] for (label, _), n in both.items()) / len(rows)
    b3_recall = sum(n * n / true[event] for (_, event), n in both.items()) / len(rows)
    exact = sum(n == found[label] == true[event] for (label, event), n in both.items()) / len(true)
    series_merges = 0
    total: Counter[str] = Counter(row.kind for row in rows)
    mixed: Counter[str] = Counter()
    for indices in members.values():
        events = {rows[i].event for i in indices}
        if len(events) == 1:
            continue
        for i in indices:
            mixed[rows[i].kind] += 1
        if event_days is not None:
            series_merges += sum(
                rows[i].event != rows[j].event
                and rows[i].series == rows[j].series
                and event_days[rows[i].event] != event_days[rows[j].event]
                for x, i in enumerate(indices)
                for j in indices[x + 1 :]
            )
    return Quality(
        precision, recall, _f1(precision, recall), b3_precision, b3_recall, _f1(b3_precision, b3_recall), exact,
        series_merges,
        {kind: mixed[kind] / count for kind, count in sorted(total.items())},
    )  # fmt: skip


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
