"""What two records have in common, as levels: small readable steps of each feature, computed for all pairs at once.

Belongs here: putting the measurements together. Every feature is symmetric, and depends on the two records and on
records of the same logical day only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication import pair_listings as listings
from ingestion_assets.events.deduplication.columns import Batch
from ingestion_assets.events.deduplication.levels import FACTS, LEVELS, code
from ingestion_assets.events.deduplication.pair_labels import label_levels
from ingestion_assets.events.deduplication.pair_titles import overlap_of, title_levels
from ingestion_assets.events.deduplication.venues import Likeness

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Ints

    Levels = NDArray[np.int8]
    Mask = NDArray[np.bool_]


@dataclass(slots=True)
class PairFeatures:
    """`levels[name]` holds a code for each pair; `LEVELS` and `FACTS` say what the codes mean."""

    a: Ints
    b: Ints
    levels: dict[str, Levels]
    second: dict[str, Levels] = field(default_factory=dict)
    """The levels of the second look (`neighbours`), once it is taken."""

    def __len__(self) -> int:
        return len(self.a)


def pair_features(batch: Batch, a: Ints, b: Ints) -> PairFeatures:
    """The levels of every feature for the pairs `(a[i], b[i])`."""
    import numpy as np

    overlap = overlap_of(batch, a, b)
    venue = listings.venue_levels(batch, a, b)
    distance = listings.distance_levels(batch, a, b)
    address = listings.address_levels(batch, a, b)
    city = listings.agreement(batch.city, a, b)
    # `NEW VENUE`: the other listing may still name the old one, and two places say nothing.
    moved = (batch.parsed["moved"][a] > 0) | (batch.parsed["moved"][b] > 0)
    venue[moved & (venue < Likeness.UNKNOWN)] = Likeness.UNKNOWN
    distance[moved], address[moved] = 0, 0
    place = listings.place_levels(venue, distance, address, city)
    place[batch.online[a] & batch.online[b]] = code("place", "likely")
    levels: dict[str, Levels] = {
        **title_levels(batch, a, b, overlap),
        **label_levels(batch, a, b, overlap),
        **listings.time_levels(batch, a, b),
        "venue": venue,
        "distance": distance,
        "address": address,
        "city": city,
        "place": place,
        "source": (batch.source[a] == batch.source[b]).astype(np.int8),
        "url": listings.agreement(batch.url, a, b),
        "people": listings.people_levels(batch, a, b),
        "places_of_title": listings.places_of_title(batch, a, b, venue, distance),
        "alone_in_slot": listings.slot_levels(batch, a, b, place),
    }
    _forgive_talks(batch, a, b, levels)
    return PairFeatures(a, b, {name: levels[name] for name in (*LEVELS, *FACTS)})


def _forgive_talks(batch: Batch, a: Ints, b: Ints, levels: dict[str, Levels]) -> None:
    """`Lecture: Bees` and `Bees` at one minute in one place where each source lists one thing: no talk beside a show."""
    import numpy as np

    said = batch.parsed["secondary"]
    talk = np.asarray([names == {"talk"} for names in batch.sets], dtype=bool)
    here = (levels["time"] == code("time", "same")) & (levels["alone_in_slot"] == code("alone_in_slot", "both"))
    spoken = talk[np.maximum(said[a], said[b])]  # one of them is 0, the empty set
    levels["beside"][here & spoken & (levels["beside"] == code("beside", "one_side"))] = code("beside", "none")
