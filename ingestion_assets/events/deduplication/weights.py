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

from ingestion_assets.events.deduplication.levels import LEVELS
from ingestion_assets.events.deduplication.neighbours import SECOND_LEVELS
from ingestion_assets.events.deduplication.pairs import PairFeatures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Floats

CROSSES: tuple[tuple[str, str], ...] = (
    ("title", "place"),
    ("title", "time"),
    ("place", "time"),
    ("rest", "shared_words"),
    ("rest", "translated"),
    ("rest", "alone_in_slot"),
    ("translated", "alone_in_slot"),
    ("title", "places_of_title"),
    ("place", "places_of_title"),
    ("sessions", "time"),
    ("beside", "time"),
    ("source", "title"),
)
"""Features whose levels say more together than apart: the same title means less in another place."""


SECOND_CROSSES: tuple[tuple[str, str], ...] = (("rival", "third"),)


@dataclass(frozen=True, slots=True)
class Table:
    """Log-odds per level and per cross of two levels, to be added up."""

    bias: float
    levels: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, tuple[float, ...]]
    crosses: Mapping[tuple[str, str], tuple[tuple[float, ...], ...]]

    def sum(self, codes: Mapping[str, NDArray[np.int8]]) -> Floats:
        """The log-odds of each row; `codes[name]` holds a level for each."""
        import numpy as np

        total = np.full(len(next(iter(codes.values()))), self.bias)
        for name, numbers in self.weights.items():
            total += np.asarray(numbers)[codes[name]]
        for (one, two), table in self.crosses.items():
            total += np.asarray(table)[codes[one], codes[two]]
        return total

    def contributions(self, codes: Mapping[str, NDArray[np.int8]], index: int) -> list[tuple[str, str, float]]:
        """`(feature, level, log-odds)` of one row, the weightiest first. They and the bias add up to its log-odds."""
        parts = []
        for name, numbers in self.weights.items():
            level = int(codes[name][index])
            parts.append((name, self.levels[name][level], numbers[level]))
        for (one, two), table in self.crosses.items():
            i, j = int(codes[one][index]), int(codes[two][index])
            parts.append((f"{one} x {two}", f"{self.levels[one][i]} x {self.levels[two][j]}", table[i][j]))
        return sorted(parts, key=lambda part: (-abs(part[2]), part[0]))


@dataclass(frozen=True, slots=True)
class Model:
    """Two tables: the first looks at two records, the second adds what the records around say.

    `version` is a digest of the numbers.
    """

    first: Table
    second: Table
    version: str

    def first_odds(self, pairs: PairFeatures) -> Floats:
        """The log-odds that each pair is one event, by the two records alone."""
        return self.first.sum(pairs.levels)


def read_model(text: str) -> Model:
    """The model of a weights file. ValueError names a feature or level that is missing or unknown."""
    raw: dict[str, Any] = tomllib.loads(text)
    return Model(
        read_table(raw.get("first", {}), "first", LEVELS, CROSSES),
        read_table(raw.get("second", {}), "second", SECOND_LEVELS, SECOND_CROSSES),
        hashlib.sha256(text.encode()).hexdigest()[:12],
    )


def read_table(
    raw: Mapping[str, Any], place: str, names: Mapping[str, tuple[str, ...]], pairs: tuple[tuple[str, str], ...]
) -> Table:
    """One of the two tables, checked level by level. ValueError as `read_model`."""
    weights = {}
    for name, levels in names.items():
        given = raw.get("weights", {}).get(name, {})
        if set(given) != set(levels):
            raise ValueError(f"[{place}.weights.{name}] must name exactly the levels {', '.join(levels)}")
        weights[name] = tuple(float(given[level]) for level in levels)
    crosses = {}
    for one, two in pairs:
        given = raw.get("crosses", {}).get(f"{one} x {two}", {})
        unknown = set(given) - {f"{i} x {j}" for i in names[one] for j in names[two]}
        if unknown:
            raise ValueError(f"[{place}.crosses.'{one} x {two}'] names unknown levels: {', '.join(sorted(unknown))}")
        crosses[one, two] = tuple(tuple(float(given.get(f"{i} x {j}", 0.0)) for j in names[two]) for i in names[one])
    return Table(float(raw.get("bias", 0.0)), names, weights, crosses)


@lru_cache(maxsize=1)
def default_model() -> Model:
    """The model shipped with the package."""
    return read_model(files(__package__).joinpath("weights.toml").read_text(encoding="utf-8"))
