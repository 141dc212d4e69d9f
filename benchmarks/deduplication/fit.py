"""Fit the weights of the pair score and write them as readable numbers.

    python -m benchmarks.deduplication.fit                 # rewrites weights.toml in the package
    python -m benchmarks.deduplication.fit --leave-out     # fits without each generator in turn, measures on that one

Logistic regression over levels, held to what people expect: along every chain of `ORDER` a level weighs at most as much
as the one before it. Steps and crosses are shrunk towards nothing, so a level that the data hardly shows weighs what its
neighbour weighs. Candidate pairs come from several generators of different make, each counted alike, because a weight
that one of them alone supports is a habit of that generator. Needs scipy (requirements-fit.txt).
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.deduplication.generate import Labelled, Spec, generate
from benchmarks.deduplication.generate_other import generate_other
from benchmarks.deduplication.generate_third import generate_third
from benchmarks.deduplication.measure import measure
from ingestion_assets.events.deduplication import weights as shipped
from ingestion_assets.events.deduplication.blocks import candidate_pairs
from ingestion_assets.events.deduplication.columns import Batch
from ingestion_assets.events.deduplication.conflicts import Conflict, conflicts
from ingestion_assets.events.deduplication.levels import LEVELS
from ingestion_assets.events.deduplication.lexicon import default_lexicon, singular
from ingestion_assets.events.deduplication.neighbours import SECOND_LEVELS, second_levels
from ingestion_assets.events.deduplication.pairs import PairFeatures, pair_features
from ingestion_assets.events.deduplication.prepare import prepare
from ingestion_assets.events.deduplication.resolve import Config
from ingestion_assets.events.deduplication.statistics import CorpusStatistics, build_statistics

TARGET = Path(shipped.__file__).with_name("weights.toml")

ORDER: dict[str, tuple[str, ...]] = {
    "title": ("same > nearly > within > mostly > half > little > one_word > nothing",),
    "left_over_both": ("none > light > one_word > two_words > more",),
    "left_over_one": ("none > light > one_word > two_words > more",),
    "rest": (
        "none > one_side > both_other_language > both > both_one_known > both_same_language_one_known > both_known",
        "both > both_same_language",
    ),
    "proper": ("none > one_missing > both_missing",),
    "shared_weight": ("more > two_words > one_word > light > none",),
    "spelling": ("same > 97 > 90 > 80 > 65 > 50 > apart",),
    "letters": ("same > 95 > 88 > 75 > apart",),
    "shared_words": ("names > known_only > frames_only > none",),
    "numbers": ("same > none > one_side > differ",),
    "parts": ("same > none > one_side > differ", "none > day_one_side > differ"),
    "sessions": ("same > none > one_side > against_clock > differ",),
    "tribute": ("same > differ",),
    "addon": ("same > none > both_other > one_side",),
    "umbrella": ("both > none > one_side_with_rest", "none > one_side", "both > both_with_rest"),
    "kind": ("same > none > one_side > differ",),
    "public": ("same > none > one_side > differ",),
    "support": ("same > none > differ", "same > one_side > differ"),
    "beside": ("same > none > one_side > differ",),
    "place": ("same > likely > perhaps > unknown > doubtful > different > apart",),
    "time": (
        "same > 15min > 35min > 65min > 95min > 200min > apart",
        "same > one_dated",
        "same > both_dated",
        "same > slip_past_midnight > slip_to_evening > slip_by_day > half_day",
        "slip_past_midnight > slip_and_doors_past_midnight",
    ),
    "end": ("same > unknown > differ",),
    "length": ("same > few_days > one_day_to_more", "same > unknown_to_more"),
    "url": ("same > unknown > differ",),
    "people": ("shared > unknown",),
    "places_of_title": ("one > two > many_venue_known > many_venue_unknown",),
    "alone_in_slot": ("both > one_side > neither",),
    "rival": ("none > close > level > ahead > far_ahead", "none < behind < far_behind"),
    "third": ("none > objects > objects_strongly", "none < vouches < vouches_strongly"),
}
"""For each feature what can only speak less (`>`) or more (`<`) for one event than what stands before it."""
PRIOR = {
    "place:different": -3.0,
    "place:apart": -3.0,
    "title:nothing": -2.0,
    "public:one_side": -2.0,
    "beside:one_side": -2.0,
}
"""Steps that are believed before any data is seen."""

CAUTION = 1.2
"""How much worse it is to join two events than to miss that two records are one: a wrong merge hides an event."""
_CROSS_PENALTY = 4.0
_BOUNDS: dict[bool | None, tuple[float | None, float | None]] = {
    None: (None, None),
    True: (None, 0.0),
    False: (0.0, None),
}

Codes = Mapping[str, np.ndarray]
Levels = Mapping[str, tuple[str, ...]]
Crosses = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Corpus:
    """The candidate pairs of a corpus."""

    maker: str
    batch: Batch
    pairs: PairFeatures
    same: np.ndarray
    """Whether a pair is one event."""
    free: np.ndarray
    """Whether no conflict forbids it."""


def training_sets(rows: int) -> list[tuple[str, list[Labelled]]]:
    """Corpora of every generator, with seeds that no test and no benchmark uses."""
    return [
        ("first", generate(Spec(rows=rows, seed=1_000, crowded=rows // 40))),
        *(
            (
                "first",
                generate(Spec(rows=rows, seed=1_001 + i, strange=0.5, vary=True, hard=1.5, noise=(0.7, 1.0)[i % 2])),
            )
            for i in range(3)
        ),
        *(("other", generate_other(rows, seed=1_000 + i, damage=1.0 + i / 2)) for i in range(2)),
        *(("third", generate_third(rows, seed=1_000 + i)) for i in range(2)),
    ]


def candidates(maker: str, rows: list[Labelled], statistics: CorpusStatistics) -> Corpus:
    """Block and measure a corpus."""
    batch = prepare([row.record for row in rows], statistics)
    events = {row.record.key: row.event for row in rows}
    number = {name: i for i, name in enumerate(sorted(set(events.values())))}
    truth = np.asarray([number[events[key]] for key in batch.keys])
    a, b = candidate_pairs(batch)
    same = truth[a] == truth[b]
    pairs = pair_features(batch, a, b)
    free = conflicts(batch, pairs) == Conflict.NONE
    sizes = np.bincount(truth)
    wanted = int((sizes * (sizes - 1) // 2).sum())
    print(
        f"  {maker}: {len(rows)} rows, {len(a)} candidates, blocking recall {same.sum() / wanted:.4f}, "
        f"lost to conflicts {(same & ~free).sum() / wanted:.4f}",
        file=sys.stderr,
    )
    return Corpus(maker, batch, pairs, same, free)


def parents(name: str) -> dict[str, tuple[str, bool]]:
    """Level -> the level from which its step leads, and whether it leads down."""
    above: dict[str, tuple[str, bool]] = {}
    for chain in ORDER.get(name, ()):
        down = " > " in chain
        for one, two in pairwise(chain.split(" > " if down else " < ")):
            above.setdefault(two, (one, down))
    return above


@dataclass(slots=True)
class Design:
    """The columns of a table: a step for every level, a cell for every cross."""

    levels: Levels
    crosses: Crosses

    def paths(self) -> dict[str, np.ndarray]:
        """For each feature a matrix: level -> steps from the top of its chain down to it."""
        tables = {}
        for name, labels in self.levels.items():
            above = parents(name)
            table = np.zeros((len(labels), len(labels)))
            for row, label in enumerate(labels):
                at: str | None = label
                while at is not None:
                    table[row, labels.index(at)] = 1.0
                    at = above[at][0] if at in above else None
            tables[name] = table
        return tables

    def matrix(self, codes: Codes) -> Any:
        from scipy.sparse import csr_matrix, hstack

        rows = len(next(iter(codes.values())))
        blocks = [csr_matrix(table[codes[name]]) for name, table in self.paths().items()]
        for one, two in self.crosses:
            width = len(self.levels[two])
            cell = codes[one].astype(np.int64) * width + codes[two]
            shape = (rows, len(self.levels[one]) * width)
            blocks.append(csr_matrix((np.ones(rows), cell, np.arange(rows + 1)), shape=shape))
        return hstack(blocks, format="csr")

    def columns(self) -> tuple[np.ndarray, np.ndarray, list[tuple[float | None, float | None]]]:
        """By column: what is believed beforehand, the penalty of straying from it, and its bounds."""
        prior: list[float] = []
        penalty: list[float] = []
        bound: list[tuple[float | None, float | None]] = []
        for name, labels in self.levels.items():
            above = parents(name)
            for label in labels:
                prior.append(PRIOR.get(f"{name}:{label}", 0.0))
                begins = any(chain.startswith(f"{label} ") for chain in ORDER.get(name, ()))
                penalty.append(1.0)
                # The top of a chain is no step: what it says the bias says.
                bound.append((0.0, 0.0) if label not in above and begins else _BOUNDS[above.get(label, ("", None))[1]])
        for one, two in self.crosses:
            cells = len(self.levels[one]) * len(self.levels[two])
            prior += [0.0] * cells
            penalty += [_CROSS_PENALTY] * cells
            bound += [(None, None)] * cells
        return np.asarray(prior), np.asarray(penalty), bound

    def numbers(self, coefficients: np.ndarray) -> dict[str, dict[str, float]]:
        """Steps added up again: one weight a level, and the cells of crosses that weigh something."""
        found: dict[str, dict[str, float]] = {}
        position = 0
        for name, table in self.paths().items():
            own = table @ coefficients[position : position + len(table)]
            found[name] = {label: float(weight) for label, weight in zip(self.levels[name], own, strict=True)}
            position += len(table)
        for one, two in self.crosses:
            cells = [f"{i} x {j}" for i in self.levels[one] for j in self.levels[two]]
            own = coefficients[position : position + len(cells)]
            found[f"{one} x {two}"] = {
                cell: float(weight) for cell, weight in zip(cells, own, strict=True) if abs(weight) >= 0.05
            }
            position += len(cells)
        return found


@dataclass(slots=True)
class Known:
    """Pairs whose truth is known, with what has been added up for them so far."""

    codes: Codes
    same: np.ndarray
    odds: np.ndarray
    weight: float


def fit_table(place: str, data: Sequence[Known], design: Design, strength: float, *, bias: bool) -> list[str]:
    """Fit one table and give its lines of the weights file."""
    from scipy.optimize import minimize
    from scipy.sparse import vstack

    matrix = vstack([design.matrix(known.codes) for known in data], format="csr")
    same = np.concatenate([known.same for known in data])
    offset = np.concatenate([known.odds for known in data])
    share = np.concatenate([np.full(len(known.same), known.weight) for known in data])
    weight = share * np.where(same, 1.0, CAUTION)
    sign = np.where(same, 1.0, -1.0)
    prior, penalty, bound = design.columns()
    stiff = penalty / strength

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (offset + beta[0] + matrix @ beta[1:])
        pull = weight * sign / (1.0 + np.exp(np.clip(margin, -500, 500)))
        stray = beta[1:] - prior
        value = float((weight * np.logaddexp(0.0, -margin)).sum() + (stiff * stray * stray).sum() / 2)
        return value, np.r_[-pull.sum() if bias else 0.0, stiff * stray - matrix.T @ pull]

    limits = [(None, None) if bias else (0.0, 0.0), *bound]
    found = minimize(
        loss, np.r_[0.0, prior], jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 1_500, "maxfun": 3_000}
    )
    numbers, base = design.numbers(found.x[1:]), float(found.x[0])
    if bias:
        # Weights against the average pair: a level that most pairs have then weighs about nothing.
        for name, labels in design.levels.items():
            seen = np.concatenate([known.codes[name] for known in data])
            usual = float(np.average(np.asarray([numbers[name][label] for label in labels])[seen], weights=share))
            numbers[name] = {label: weight - usual for label, weight in numbers[name].items()}
            base += usual
    lines = [f"[{place}]", f"bias = {base:.3f}"]
    for name, weights in numbers.items():
        kind = f'crosses."{name}"' if " x " in name else f"weights.{name}"
        lines += ["", f"[{place}.{kind}]", *(f'"{level}" = {number:.2f}' for level, number in weights.items())]
    return lines


def known_pairs(corpora: Sequence[Corpus]) -> list[Known]:
    """The pairs that no conflict decides; every generator's together count alike."""
    totals: dict[str, int] = {}
    for corpus in corpora:
        totals[corpus.maker] = totals.get(corpus.maker, 0) + int(corpus.free.sum())
    usual = sum(totals.values()) / len(totals)
    return [
        Known(
            {name: levels[corpus.free] for name, levels in corpus.pairs.levels.items()},
            corpus.same[corpus.free],
            np.zeros(int(corpus.free.sum())),
            usual / totals[corpus.maker],
        )
        for corpus in corpora
    ]


def fit(corpora: Sequence[Corpus], strength: float) -> str:
    """The text of the weights file. Each half of the corpora teaches the second table about the first of the other."""
    design, around = Design(LEVELS, shipped.CROSSES), Design(SECOND_LEVELS, shipped.SECOND_CROSSES)
    halves = corpora[0::2], corpora[1::2]
    second: list[Known] = []
    for own, other in (halves, halves[::-1]):
        raw = tomllib.loads("\n".join(fit_table("first", known_pairs(other), design, strength, bias=True)))
        table = shipped.read_table(raw["first"], "first", LEVELS, shipped.CROSSES)
        for corpus, known in zip(own, known_pairs(own), strict=True):
            odds = table.sum(corpus.pairs.levels)
            codes = second_levels(corpus.batch, corpus.pairs.a, corpus.pairs.b, odds, ~corpus.free)
            known.codes = {name: levels[corpus.free] for name, levels in codes.items()}
            known.odds = odds[corpus.free]
            second.append(known)
    lines = [
        "# Log-odds that two records are one event: a bias, one weight a level, and crosses of two levels. `first` looks at",
        "# the two records, `second` adds what the records around say. Written by benchmarks/deduplication/fit.py;",
        "# may be edited by hand. A cross that is left out weighs nothing.",
        *fit_table("first", known_pairs(corpora), design, strength, bias=True),
        "",
        *fit_table("second", second, around, strength, bias=False),
    ]
    return "\n".join(lines) + "\n"


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


def measured(sets: Sequence[tuple[str, list[Labelled]]]) -> list[Corpus]:
    """Every fourth corpus is seen through the default statistics, as a platform sees its first days."""
    default = general_statistics([rows for _, rows in sets])
    return [
        candidates(maker, rows, default if i % 4 == 3 else build_statistics(row.record for row in rows))
        for i, (maker, rows) in enumerate(sets)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--strength", type=float, default=0.1, help="inverse of the L2 penalty")
    parser.add_argument("--leave-out", action="store_true")
    options = parser.parse_args()
    sets = training_sets(options.rows)
    corpora = measured(sets)
    tests = {
        "first": lambda: generate(Spec(rows=options.rows, seed=2_000, crowded=options.rows // 40)),
        "other": lambda: generate_other(options.rows, seed=2_000),
        "third": lambda: generate_third(options.rows, seed=2_000),
    }
    if options.leave_out:
        for maker, test in tests.items():
            text = fit([corpus for corpus in corpora if corpus.maker != maker], options.strength)
            model = shipped.read_model(text)
            print(f"{maker}, not fitted on:", measure(test(), Config(reasons=False), model).line(), flush=True)
        return
    TARGET.write_text(fit(corpora, options.strength), encoding="utf-8")
    statistics = general_statistics([rows for _, rows in sets])
    TARGET.with_name("statistics.json").write_text(statistics.to_json() + "\n", encoding="utf-8")
    shipped.default_model.cache_clear()
    for maker, test in tests.items():
        for accept in (0.5, 0.7, 0.9):
            print(
                f"{maker}, accept {accept}:", measure(test(), Config(accept=accept, reasons=False)).line(), flush=True
            )


if __name__ == "__main__":
    main()
