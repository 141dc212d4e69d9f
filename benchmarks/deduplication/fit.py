"""Fit the weights of the pair score and write them as readable numbers.

    python -m benchmarks.deduplication.fit            # rewrites weights.toml in the package
    python -m benchmarks.deduplication.fit --check    # quality on the development split with the weights as they are

Logistic regression over levels (one weight a level, plus the named crosses), on candidate pairs of the `train` split at
several noise levels. Only this script needs scikit-learn (benchmarks/requirements.txt).
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.deduplication.generate import Labelled, Spec, generate, split
from benchmarks.deduplication.metrics import Quality, quality
from ingestion_assets.events.deduplication import weights as shipped
from ingestion_assets.events.deduplication.blocks import candidate_pairs
from ingestion_assets.events.deduplication.conflicts import Conflict, conflicts
from ingestion_assets.events.deduplication.pairs import LEVELS, PairFeatures, pair_features
from ingestion_assets.events.deduplication.prepare import prepare
from ingestion_assets.events.deduplication.resolve import Config, resolve
from ingestion_assets.events.deduplication.statistics import build_statistics

TARGET = Path(shipped.__file__).with_name("weights.toml")


def training_sets(rows: int) -> list[list[Labelled]]:
    """The train split at three noise levels, and once with topics unknown to the lexicon."""
    specs = [
        Spec(rows=rows, seed=1_000, noise=1.0, crowded=rows // 40),
        Spec(rows=rows, seed=1_001, noise=1.6),
        Spec(rows=rows, seed=1_002, noise=0.6),
        Spec(rows=rows, seed=1_003, noise=1.2, days=30),
    ]
    return [generate(spec) for spec in specs]


def labelled_pairs(rows: list[Labelled]) -> tuple[PairFeatures, np.ndarray]:
    """Features of the candidate pairs that no conflict excludes, and whether each is one event."""
    statistics = build_statistics(row.record for row in rows)
    batch = prepare([row.record for row in rows], statistics)
    event = {row.record.key: row.event for row in rows}
    truth = np.asarray([hash(event[key]) for key in batch.keys])
    a, b = candidate_pairs(batch)
    same = truth[a] == truth[b]
    kept = conflicts(batch, a, b) == Conflict.NONE
    total = sum(n * (n - 1) // 2 for n in _counts(truth).values())
    print(
        f"  {len(rows)} rows, {len(a)} candidates, blocking recall {same.sum() / total:.4f}, lost to conflicts {(same & ~kept).sum() / total:.4f}"
    )
    return pair_features(batch, a[kept], b[kept]), same[kept]


def _counts(values: np.ndarray) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def design(features: PairFeatures) -> tuple[object, list[tuple[str, str]]]:
    """One column a level and a cross of levels; columns without a pair weigh nothing."""
    from scipy.sparse import csr_matrix

    columns: list[np.ndarray] = []
    names: list[tuple[str, str]] = []
    start = 0
    for name, levels in LEVELS.items():
        columns.append(features.levels[name].astype(np.int64) + start)
        names += [(name, level) for level in levels]
        start += len(levels)
    for one, two in shipped.CROSSES:
        columns.append(features.levels[one].astype(np.int64) * len(LEVELS[two]) + features.levels[two] + start)
        names += [(f"{one} x {two}", f"{i} x {j}") for i in LEVELS[one] for j in LEVELS[two]]
        start += len(LEVELS[one]) * len(LEVELS[two])
    indices = np.stack(columns, axis=1)
    rows = len(features)
    matrix = csr_matrix(
        (np.ones(indices.size), indices.ravel(), np.arange(rows + 1) * indices.shape[1]), shape=(rows, start)
    )
    return matrix, names


def fit(rows: int, strength: float) -> str:
    """The text of a weights file."""
    from scipy.sparse import vstack
    from sklearn.linear_model import LogisticRegression

    matrices, labels, names = [], [], []
    for data in training_sets(rows):
        features, same = labelled_pairs(data)
        matrix, names = design(features)
        matrices.append(matrix)
        labels.append(same)
    x, y = vstack(matrices), np.concatenate(labels)
    model = LogisticRegression(C=strength, max_iter=2_000).fit(x, y)
    numbers: dict[str, dict[str, float]] = defaultdict(dict)
    support = np.asarray(x.sum(axis=0)).ravel()
    for (name, level), weight, seen in zip(names, model.coef_[0], support, strict=True):
        if " x " not in name:
            numbers[name][level] = float(weight)
        elif seen >= 5 and abs(weight) >= 0.02:
            numbers[name][level] = float(weight)
    lines = [
        "# Log-odds that two records are one event: the bias, one weight a level, and crosses of two levels.",
        "# Written by benchmarks/deduplication/fit.py; may be edited by hand. A cross that is left out weighs nothing.",
        f"bias = {model.intercept_[0]:.3f}",
    ]
    for name in [*LEVELS, *(f"{one} x {two}" for one, two in shipped.CROSSES)]:
        table = f'crosses."{name}"' if " x " in name else f"weights.{name}"
        lines += ["", f"[{table}]", *(f'"{level}" = {weight:.3f}' for level, weight in numbers[name].items())]
    return "\n".join(lines) + "\n"


def measure(rows: list[Labelled], config: Config | None = None) -> Quality:
    """Quality of the pipeline as shipped, with statistics taken from the records themselves."""
    statistics = build_statistics(row.record for row in rows)
    resolution = resolve((row.record for row in rows), statistics=statistics, config=config or Config(reasons=False))
    label = {key: link.cluster for key, link in resolution.links.items()}
    return quality(rows, [label[row.record.key] for row in rows], event_days(rows))


def event_days(rows: list[Labelled]) -> dict[str, date]:
    """The day of each event: the most common local date of its records that are not in the small hours."""
    votes: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        late = row.record.local_time is not None and row.record.local_time.hour < 8
        votes[row.event][row.record.local_date] += 1 if late else 10
    return {
        event: max(days.items(), key=lambda item: (item[1], -item[0].toordinal()))[0] for event, days in votes.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--strength", type=float, default=0.3, help="inverse of the L2 penalty")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if not options.check:
        TARGET.write_text(fit(options.rows, options.strength), encoding="utf-8")
        shipped.default_model.cache_clear()
    data = split("development", 10_000)
    for accept in (0.5, 0.6, 0.7, 0.8, 0.9):
        print(f"development 10k, accept {accept}:", measure(data, Config(accept=accept, reasons=False)).line())
    print("exact key:", measure(data, Config(exact_only=True)).line())
    assert math.isfinite(shipped.default_model().bias)


if __name__ == "__main__":
    main()
