"""The score: numbers from a text file, added up. Every score can be taken apart again.

Belongs here: reading `weights.toml` and turning levels into a probability. Fitting them is
`benchmarks/deduplication/fit.py`; nothing is learned at run time.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ingestion_assets.events.deduplication.pairs import LEVELS, PairFeatures

if TYPE_CHECKING:
    from ingestion_assets.events.deduplication.prepare import Floats

CROSSES: tuple[tuple[str, str], ...] = (
    ("title", "venue"),
    ("title", "time"),
    ("venue", "time"),
    ("venue", "distance"),
    ("title", "alone_in_slot"),
    ("translated", "alone_in_slot"),
    ("title", "places_of_title"),
    ("source", "time"),
    ("source", "title"),
    ("left_over_both", "venue"),
    ("rest", "alone_in_slot"),
    ("rest", "title"),
    ("left_over_one", "umbrella"),
    ("sessions", "time"),
)
"""Features whose levels say more together than apart: the same title means less in another place."""


@dataclass(frozen=True, slots=True)
class Model:
    """Log-odds per level; `version` is a digest of the numbers."""

    bias: float
    weights: Mapping[str, tuple[float, ...]]
    crosses: Mapping[tuple[str, str], tuple[tuple[float, ...], ...]]
    version: str

    def log_odds(self, pairs: PairFeatures) -> Floats:
        """The log-odds that each pair is one event."""
        import numpy as np

        total = np.full(len(pairs), self.bias)
        for name, numbers in self.weights.items():
            total += np.asarray(numbers)[pairs.levels[name]]
        for (one, two), table in self.crosses.items():
            total += np.asarray(table)[pairs.levels[one], pairs.levels[two]]
        return total

    def contributions(self, pairs: PairFeatures, index: int) -> list[tuple[str, str, float]]:
        """`(feature, level, log-odds)` of one pair, the weightiest first. They and the bias add up to its log-odds."""
        parts = []
        for name, numbers in self.weights.items():
            level = int(pairs.levels[name][index])
            parts.append((name, LEVELS[name][level], numbers[level]))
        for (one, two), table in self.crosses.items():
            i, j = int(pairs.levels[one][index]), int(pairs.levels[two][index])
            parts.append((f"{one} x {two}", f"{LEVELS[one][i]} x {LEVELS[two][j]}", table[i][j]))
        return sorted(parts, key=lambda part: (-abs(part[2]), part[0]))


def read_model(text: str) -> Model:
    """The model of a weights file. ValueError names a feature or level that is missing or unknown."""
    raw: dict[str, Any] = tomllib.loads(text)
    weights = {}
    for name, levels in LEVELS.items():
        given = raw.get("weights", {}).get(name, {})
        if set(given) != set(levels):
            raise ValueError(f"the weights of {name!r} must name exactly the levels {', '.join(levels)}")
        weights[name] = tuple(float(given[level]) for level in levels)
    crosses = {}
    for one, two in CROSSES:
        given = raw.get("crosses", {}).get(f"{one} x {two}", {})
        unknown = set(given) - {f"{i} x {j}" for i in LEVELS[one] for j in LEVELS[two]}
        if unknown:
            raise ValueError(f"the weights of '{one} x {two}' name unknown levels: {', '.join(sorted(unknown))}")
        crosses[one, two] = tuple(tuple(float(given.get(f"{i} x {j}", 0.0)) for j in LEVELS[two]) for i in LEVELS[one])
    return Model(float(raw["bias"]), weights, crosses, hashlib.sha256(text.encode()).hexdigest()[:12])


@lru_cache(maxsize=1)
def default_model() -> Model:
    """The model shipped with the package."""
    return read_model(files(__package__).joinpath("weights.toml").read_text(encoding="utf-8"))
