"""Fit the weights of the pair score and write them as readable numbers.

    python -m benchmarks.deduplication.fit            # rewrites weights.toml in the package
    python -m benchmarks.deduplication.fit --check    # quality on the development split with the weights as they are

Logistic regression over levels (one weight a level, plus the named crosses), on candidate pairs of the `train` split at
several noise levels. Only this script needs scikit-learn (benchmarks/requirements.txt).
"""

from __future__ import annotations

import argparse
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.deduplication.generate import Labelled, Spec, generate, split
from benchmarks.deduplication.measure import measure
from ingestion_assets.events.deduplication import weights as shipped
from ingestion_assets.events.deduplication.blocks import candidate_pairs
from ingestion_assets.events.deduplication.conflicts import Conflict, conflicts
from ingestion_assets.events.deduplication.lexicon import default_lexicon, singular
from ingestion_assets.events.deduplication.neighbours import SECOND_LEVELS, second_levels
from ingestion_assets.events.deduplication.pairs import LEVELS, PairFeatures, nothing_in_common, pair_features
from ingestion_assets.events.deduplication.prepare import Batch, prepare
from ingestion_assets.events.deduplication.resolve import Config
from ingestion_assets.events.deduplication.statistics import CorpusStatistics, build_statistics

TARGET = Path(shipped.__file__).with_name("weights.toml")


def training_sets(rows: int) -> list[list[Labelled]]:
    """The train split, and corpora whose sources have other habits, other noise and words that nobody knows."""
    specs = [
        Spec(rows=rows, seed=1_000, crowded=rows // 40),
        Spec(rows=rows, seed=1_001, strange=0.3, noise=0.6),
        *(
            Spec(rows=rows, seed=1_002 + i, strange=0.5, vary=True, hard=2.5, noise=(0.7, 1.0, 1.3)[i % 3])
            for i in range(8)
        ),
    ]
    return [generate(spec) for spec in specs]


Codes = Mapping[str, np.ndarray]
Levels = Mapping[str, tuple[str, ...]]
Crosses = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Corpus:
    """The candidate pairs of a corpus."""

    batch: Batch
    pairs: PairFeatures
    same: np.ndarray
    """Whether a pair is one event."""
    free: np.ndarray
    """Whether no conflict forbids it."""
    weight: np.ndarray
    """What a mistake costs."""

    def known(self, codes: Codes) -> tuple[Codes, np.ndarray, np.ndarray]:
        return {name: code[self.free] for name, code in codes.items()}, self.same[self.free], self.weight[self.free]


def candidates(rows: list[Labelled], statistics: CorpusStatistics) -> Corpus:
    """Block and measure a corpus."""
    batch = prepare([row.record for row in rows], statistics)
    labels = {row.record.key: row for row in rows}
    number = {name: i for i, name in enumerate(sorted({row.event for row in rows}))}
    truth = np.asarray([number[labels[key].event] for key in batch.keys])
    delicate = np.asarray([labels[key].kind in DELICATE for key in batch.keys])
    a, b = candidate_pairs(batch)
    same = truth[a] == truth[b]
    pairs = pair_features(batch, a, b)
    free = (conflicts(batch, a, b) == Conflict.NONE) & ~nothing_in_common(batch, pairs)
    weight = np.where(same, 1.0, np.where(delicate[a] & delicate[b], DELICATE_CAUTION, CAUTION))
    total = sum(n * (n - 1) // 2 for n in Counter(truth.tolist()).values())
    print(
        f"  {len(rows)} rows, {len(a)} candidates, blocking recall {same.sum() / total:.4f}, "
        f"lost to conflicts {(same & ~free).sum() / total:.4f}"
    )
    return Corpus(batch, pairs, same, free, weight)


ORDERED = {
    "title": LEVELS["title"],
    "left_over_both": LEVELS["left_over_both"],
    "left_over_one": LEVELS["left_over_one"],
    "shared_weight": LEVELS["shared_weight"],
    "spelling": LEVELS["spelling"],
    "letters": LEVELS["letters"],
    "distance": LEVELS["distance"][1:],
    "venue": ("same", "strong", "partial", "weak", "clashing", "different"),
    "time": ("same", "15min", "35min", "65min", "95min", "200min"),
}
"""Features whose levels are steps of one thing. They are fitted as steps from one level to the next, so that a level
that the training data hardly shows lies between its neighbours instead of anywhere."""

CAUTION = 1.3
"""How much worse it is to join two events than to miss that two records are one: a wrong merge hides an event."""
DELICATE = frozenset({"matinee", "evening", "early_late", "match", "audience", "part"})
DELICATE_CAUTION = 3.0
"""For two showings of one thing on one day: people stand before a closed door when the later one is hidden."""


def switches(levels: Levels) -> dict[str, np.ndarray]:
    """For each feature a matrix: level -> columns switched on."""
    tables = {}
    for name, labels in levels.items():
        table = np.zeros((len(labels), len(labels)), dtype=bool)
        steps = [labels.index(label) for label in ORDERED.get(name, ())]
        for level in range(len(labels)):
            table[level, steps[: steps.index(level) + 1] if level in steps else [level]] = True
        tables[name] = table
    return tables


def design(codes: Codes, levels: Levels, crosses: Crosses) -> Any:
    """The sparse design matrix of some pairs."""
    from scipy.sparse import csr_matrix, hstack

    rows = len(next(iter(codes.values())))
    blocks = [csr_matrix(table[codes[name]].astype(np.float64)) for name, table in switches(levels).items()]
    for one, two in crosses:
        width = len(levels[two])
        cell = codes[one].astype(np.int64) * width + codes[two]
        blocks.append(csr_matrix((np.ones(rows), cell, np.arange(rows + 1)), shape=(rows, len(levels[one]) * width)))
    return hstack(blocks, format="csr")


def level_weights(coefficients: np.ndarray, levels: Levels, crosses: Crosses) -> dict[str, dict[str, float]]:
    """Steps added up again: one weight a level, and the crosses that weigh something."""
    numbers: dict[str, dict[str, float]] = {}
    position = 0
    for name, table in switches(levels).items():
        own = coefficients[position : position + len(table)]
        numbers[name] = {label: float(own[on].sum()) for label, on in zip(levels[name], table, strict=True)}
        position += len(table)
    for one, two in crosses:
        cells = [f"{i} x {j}" for i in levels[one] for j in levels[two]]
        own = coefficients[position : position + len(cells)]
        numbers[f"{one} x {two}"] = {
            cell: float(weight) for cell, weight in zip(cells, own, strict=True) if abs(weight) >= 0.02
        }
        position += len(cells)
    return numbers


def table_text(place: str, bias: float, numbers: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = [f"[{place}]", f"bias = {bias:.3f}"]
    for name, weights in numbers.items():
        kind = f'crosses."{name}"' if " x " in name else f"weights.{name}"
        lines += ["", f"[{place}.{kind}]", *(f'"{level}" = {weight:.3f}' for level, weight in weights.items())]
    return lines


Known = tuple[Codes, np.ndarray, np.ndarray]


def fit_table(place: str, data: Sequence[Known], levels: Levels, crosses: Crosses, strength: float) -> list[str]:
    """Fit one table and give its lines of the weights file."""
    from scipy.sparse import vstack
    from sklearn.linear_model import LogisticRegression

    matrix = vstack([design(codes, levels, crosses) for codes, _, _ in data])
    truth, weight = (np.concatenate([row[i] for row in data]) for i in (1, 2))
    model = LogisticRegression(C=strength, max_iter=3_000).fit(matrix, truth, weight)
    return table_text(place, float(model.intercept_[0]), level_weights(model.coef_[0], levels, crosses))


def fit_second(data: Sequence[tuple[Known, np.ndarray]], strength: float) -> list[str]:
    """Fit what the records around add to the first log-odds. Where they say nothing, nothing is added.

    So two records alone, or a day with few, are not judged by how often lonely pairs happen to be right.
    """
    from scipy.optimize import minimize
    from scipy.sparse import vstack

    levels, crosses = SECOND_LEVELS, shipped.SECOND_CROSSES
    matrix = vstack([design(codes, levels, crosses) for (codes, _, _), _ in data], format="csr")
    truth, weight = (np.concatenate([known[i] for known, _ in data]) for i in (1, 2))
    offset = np.concatenate([odds for _, odds in data])
    silent = [f"{name}|none" for name in levels]
    names = [f"{name}|{level}" for name, labels in levels.items() for level in labels]
    names += [f"{i}|{j}" for one, two in crosses for i in levels[one] for j in levels[two]]
    spoken = np.asarray(
        [name not in silent and not name.startswith("first_score|") and "none" not in name.split("|") for name in names]
    )
    matrix, sign = matrix[:, spoken], np.where(truth, 1.0, -1.0)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (offset + matrix @ beta)
        miss = 1.0 / (1.0 + np.exp(np.clip(margin, -500, 500)))
        value = float((weight * np.logaddexp(0.0, -margin)).sum() + beta @ beta / (2 * strength))
        return value, beta / strength - matrix.T @ (weight * sign * miss)

    found = minimize(loss, np.zeros(int(spoken.sum())), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    coefficients = np.zeros(len(names))
    coefficients[spoken] = found.x
    return table_text("second", 0.0, level_weights(coefficients, levels, crosses))


def fit(rows: int, strength: float) -> tuple[str, str]:
    """The texts of the weights file and of the default statistics.

    Each half of the corpora teaches the second table about the first table of the other. Every fourth corpus is seen
    through the default statistics, as a platform sees its first days.
    """
    sets = training_sets(rows)
    default = general_statistics(sets)
    corpora = [
        candidates(data, default if i % 4 == 3 else build_statistics(row.record for row in data))
        for i, data in enumerate(sets)
    ]
    halves = corpora[0::2], corpora[1::2]
    second = []
    for own, other in (halves, halves[::-1]):
        table = _first(other, strength)
        for corpus in own:
            odds = table.sum(corpus.pairs.levels)
            codes = second_levels(corpus.batch, corpus.pairs.a, corpus.pairs.b, odds, ~corpus.free)
            second.append((corpus.known(codes), odds[corpus.free]))
    lines = [
        "# Log-odds that two records are one event: a bias, one weight a level, and crosses of two levels. `first` looks at",
        "# the two records, `second` adds what the records around say. Written by benchmarks/deduplication/fit.py;",
        "# may be edited by hand. A cross that is left out weighs nothing.",
        *_first_lines(corpora, strength),
        "",
        *fit_second(second, strength),
    ]
    return "\n".join(lines) + "\n", default.to_json() + "\n"


def general_statistics(sets: Sequence[Sequence[Labelled]]) -> CorpusStatistics:
    """How common the lexicon's words are. No name and no venue: those belong to the corpus that is looked at."""
    concepts = default_lexicon().concepts
    whole = build_statistics(row.record for data in sets for row in data)
    share = 50_000 / whole.documents
    counts = {word: round(count * share) for word, count in whole.word_counts.items() if word in concepts}
    known = {word for phrases in default_lexicon().by_first.values() for entry in phrases for word in entry.phrase}
    return CorpusStatistics(
        documents=50_000,
        word_counts={word: count for word, count in counts.items() if count},
        word_languages={word: lang for word, lang in whole.word_languages.items() if singular(word) in known},
    )


def _first_lines(corpora: Sequence[Corpus], strength: float) -> list[str]:
    return fit_table(
        "first", [corpus.known(corpus.pairs.levels) for corpus in corpora], LEVELS, shipped.CROSSES, strength
    )


def _first(corpora: Sequence[Corpus], strength: float) -> shipped.Table:
    raw = tomllib.loads("\n".join(_first_lines(corpora, strength)))
    return shipped.read_table(raw["first"], "first", LEVELS, shipped.CROSSES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--strength", type=float, default=1.0, help="inverse of the L2 penalty")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if not options.check:
        weights, statistics = fit(options.rows, options.strength)
        TARGET.write_text(weights, encoding="utf-8")
        TARGET.with_name("statistics.json").write_text(statistics, encoding="utf-8")
        shipped.default_model.cache_clear()
    data = split("development", 10_000)
    for accept in (0.5, 0.6, 0.7, 0.8, 0.9):
        print(f"development 10k, accept {accept}:", measure(data, Config(accept=accept, reasons=False)).line())
    print("exact key:", measure(data, Config(exact_only=True)).line())


if __name__ == "__main__":
    main()
