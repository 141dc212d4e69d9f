"""Names that several houses of one city share: `Namaste Verdun`, `Namaste LaSalle`, `YMCA Westmount`, `YMCA du Parc`.

Belongs here: telling from a corpus which words of venue names stand for a chain and not for a place. The word alone
then says nothing of where something is, and two names that share no other word are two branches.
"""

from __future__ import annotations

import math
from collections import defaultdict

from ingestion_assets.events.deduplication.venues import ParsedVenue

_BRANCHES = 3
"""Houses that must share a word, each with words of its own, before it is held to be a chain's name."""
_APART = 0.7
"""Kilometres between two branches at least: less may be one house under two names, placed by two geocoders."""
_ONE_CITY = 60.0
"""Kilometres beyond which one of two places is a geocoder's mistake."""
_LOOKED_AT = 12
"""Houses that are kept of one word: a word that so many share is settled, and memory stays small."""


class ChainNames:
    """Collects where venues stand. Add in the same order for the same result."""

    def __init__(self) -> None:
        self._houses: dict[tuple[str, str], dict[frozenset[str], tuple[float, float]]] = defaultdict(dict)

    def add(self, venue: ParsedVenue, city: str, lat: float, lon: float) -> None:
        """A venue whose name has more than one word of its own, and where it stands, in degrees."""
        for word in venue.core:
            houses = self._houses[city, word]
            if venue.core not in houses and len(houses) < _LOOKED_AT:
                houses[venue.core] = lat, lon

    def words(self) -> frozenset[str]:
        """The words that branches share."""
        return frozenset(word for (_, word), houses in self._houses.items() if _branches(houses, word))


def _branches(houses: dict[frozenset[str], tuple[float, float]], word: str) -> bool:
    """Enough houses stand apart, and have no other word in common."""
    kept: list[tuple[frozenset[str], tuple[float, float]]] = []
    for core, place in houses.items():
        own = core - {word}
        if own and all(own.isdisjoint(other) and _APART < _kilometres(place, at) < _ONE_CITY for other, at in kept):
            kept.append((own, place))
    return len(kept) >= _BRANCHES


def _kilometres(one: tuple[float, float], two: tuple[float, float]) -> float:
    east = (one[1] - two[1]) * math.cos(math.radians((one[0] + two[0]) / 2))
    return 111.195 * math.hypot(one[0] - two[0], east)
