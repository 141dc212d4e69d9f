"""Which records are worth comparing. The work per record is bounded, however crowded a day is.

Records meet when they share a logical day and a key: the venue, the address, the spot on the map at that minute, a
rare word of the title or of the venue in that city (in any, where one of them is nowhere in particular), the venue's
proper name, two rare words or all words of the title anywhere, or the URL. Small groups are compared whole; in a large
one a record meets only its neighbours in two sortings, by title and by time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication.columns import Batch, Csr, distinct
from ingestion_assets.events.deduplication.days import DAY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Ints

GROUP = 24
"""Groups up to this size are compared whole."""
WINDOW = 6
"""Neighbours a record meets in a larger group, in each of the two sortings."""
FAR = 200
"""Minutes between two starts beyond which records are compared only where the shift is a known mistake."""
HALF_DAY = 720
DOORS = 60
"""Minutes by which doors open before the show: one source shifted by its clock, another showing the doors."""


def candidate_pairs(batch: Batch) -> tuple[Ints, Ints]:
    """Index pairs `(a, b)`, a < b, each once, ascending. At most about `8 * (GROUP + 2 * WINDOW)` for one record."""
    import numpy as np

    size = len(batch)
    if size < 2:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    found: list[Ints] = []
    for key, rows in _block_keys(batch):
        for order in ("title", "time"):
            first = batch.text_rank[batch.title[rows]]
            second = batch.minute[rows]
            if order == "time":
                first, second = second, first
            sorting = np.lexsort((rows, second, first, key))
            found.append(_meet(batch, key[sorting], rows[sorting], size, whole=order == "title"))
    codes = distinct(np.concatenate(found))
    return codes // size, codes % size


def _meet(batch: Batch, key: NDArray[np.uint64], rows: Ints, size: int, *, whole: bool) -> Ints:
    """Codes `a * size + b` of the pairs in each run of equal keys. `whole`: small groups too, not only large ones."""
    import numpy as np

    count = len(key)
    if count < 2:
        return np.empty(0, dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    lengths = np.diff(np.r_[starts, count])
    remaining = np.repeat(starts + lengths, lengths) - np.arange(count)  # members from here to the group's end
    reach = np.where(np.repeat(lengths, lengths) <= GROUP, GROUP if whole else 0, WINDOW)
    reach = np.minimum(reach, remaining - 1)
    found = []
    here = np.flatnonzero(reach >= 1)
    step = 1
    while len(here):
        a, b = rows[here], rows[here + step]
        keep = plausible_times(batch, a, b)
        a, b = a[keep], b[keep]
        found.append(np.minimum(a, b) * size + np.maximum(a, b))
        step += 1
        here = here[reach[here] >= step]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def starts(batch: Batch, a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """The two starts in minutes, -1 when unknown: by the clocks of their places, or on the net in one zone.

    A zone that nobody named is a guess: on the net the same clock is the same start.
    """
    import numpy as np

    one, two = batch.minute[a], batch.minute[b]
    shifted = two - batch.offset[b] + batch.offset[a]
    # What names no place may be there too, and what two zones say of one instant is on it.
    placeless = (batch.alias < 0) & (batch.place == 0) & np.isnan(batch.lat)
    nets = batch.online | placeless
    net = nets[a] & nets[b] & (two >= 0) & (one >= 0) & (one != two)
    return one, np.where(net, np.maximum(shifted, 0), two)


def plausible_times(batch: Batch, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """Starts that could be one: near, unknown, or apart by a whole UTC offset or half a day (an am/pm slip)."""
    import numpy as np

    one, two = starts(batch, a, b)
    apart = np.abs(one - two)
    offset = np.maximum(np.abs(batch.offset[a]), np.abs(batch.offset[b]))
    # Doors and a slip at once are believed past midnight only: by day a matinee and its evening are as far apart.
    slack = np.where(np.maximum(one, two) >= DAY, DOORS, 0)
    slip = (np.abs(apart - offset) <= slack) & (offset > 0)
    return np.asarray((one < 0) | (two < 0) | (apart <= FAR) | slip | (apart == HALF_DAY))


def _block_keys(batch: Batch) -> list[tuple[NDArray[np.uint64], Ints]]:
    import numpy as np

    every = np.arange(len(batch))
    day = batch.day
    located = ~np.isnan(batch.lat)
    titled_one, titled_two, titled_three = (rare[batch.title] for rare in _rarest(batch.head, batch.idf, 3))
    spot_one, spot_two = _rarest(batch.context, batch.idf, 2)
    # A title without a venue beside it often ends in one.
    unnamed = batch.alias < 0
    spot_one, spot_two = np.where(unnamed, titled_one, spot_one), np.where(unnamed, titled_two, spot_two)
    area = areas(batch)
    keys: list[tuple[NDArray[np.uint64], Ints]] = []

    def add(kind: int, mask: NDArray[np.bool_], *parts: Ints) -> None:
        rows = every[mask]
        if len(rows) > 1:
            keys.append((_mix(kind, *(part[rows] for part in (day, *parts))), rows))

    def add_any(kind: int, columns: Sequence[Ints], part: Ints) -> None:
        """One record's rarest word may be the second rarest of another."""
        rows = np.concatenate([every[column >= 0] for column in columns])
        if len(rows) > 1:
            words = np.concatenate([column[column >= 0] for column in columns])
            keys.append((_mix(kind, day[rows], words, part[rows]), rows))

    add(1, batch.alias >= 0, batch.alias)
    add(2, batch.place > 0, batch.place, area)
    add_any(3, (titled_one, titled_two, titled_three), area)
    add(5, every >= 0, batch.title)
    # A grid cell of about 200 m, and the same grid half a cell off, so that neighbours across a border still meet.
    for kind, shift in ((6, 0.0), (7, 0.5)):
        cell_lat = np.floor(np.nan_to_num(batch.lat) * 500 + shift).astype(np.int64)
        cell_lon = np.floor(np.nan_to_num(batch.lon) * 350 + shift).astype(np.int64)
        add(kind, located, cell_lat, cell_lon, batch.minute)
    add_any(8, (spot_one, spot_two), area)
    # What is nowhere in particular may be in any city.
    rows = np.concatenate([every[column >= 0] for column in (titled_one, titled_two, titled_three)])
    words = np.concatenate([column[column >= 0] for column in (titled_one, titled_two, titled_three)])
    code = _mix(14, day[rows], words)
    asked = np.isin(code, distinct(code[area[rows] == 0]))
    if asked.any():
        keys.append((code[asked], rows[asked]))
    add(10, batch.url > 0, batch.url)
    # Without a city: the venue's proper name, and both rare words at once.
    add(11, batch.spot >= 0, batch.spot)
    add(12, titled_two >= 0, titled_one, titled_two)
    add(13, spot_two >= 0, spot_one, spot_two)
    return keys


_THE_NET = -1
"""The area of what is on the net: the city beside it is its organiser's, or the reader's."""


def areas(batch: Batch) -> Ints:
    """Each record's city; where none is named, the one that most records of that day name for its venue, address or cell."""
    if batch.area is None:
        batch.area = _areas(batch)
    return batch.area


def _areas(batch: Batch) -> Ints:
    import numpy as np

    area = batch.city.copy()
    area[batch.online] = _THE_NET
    nameless = np.flatnonzero(area == 0)
    if not len(nameless):
        return area
    cell = np.floor(np.nan_to_num(batch.lat) * 5).astype(np.int64) * 4_000 + np.floor(
        np.nan_to_num(batch.lon) * 5
    ).astype(np.int64)
    clues = (
        np.where(batch.spot >= 0, batch.spot, -1),
        np.where(batch.place > 0, batch.place, -1),
        np.where(np.isnan(batch.lat), -1, cell + 10_000_000),
    )
    for clue in clues:
        wanted = nameless[(area[nameless] == 0) & (clue[nameless] != -1)]
        if not len(wanted):
            continue
        named = np.flatnonzero((batch.city > 0) & (clue != -1))
        rows, votes = np.unique(np.c_[batch.day[named], clue[named], batch.city[named]], axis=0, return_counts=True)
        order = np.lexsort(([batch.city_rank[c] for c in rows[:, 2].tolist()], -votes))
        best: dict[tuple[int, int], int] = {}
        for day, value, city in rows[order].tolist():
            best.setdefault((day, value), city)
        area[wanted] = [best.get((int(batch.day[i]), int(clue[i])), 0) for i in wanted.tolist()]
    return area


def _rarest(csr: Csr, idf: NDArray[np.float64], count: int) -> list[Ints]:
    """By row: its `count` rarest tokens, the rarest first, -1 where there are fewer. Ties go by the alphabet."""
    import numpy as np

    lengths = np.diff(csr.start)
    row = np.repeat(np.arange(len(lengths)), lengths)
    data = csr.data[np.lexsort((csr.data, -idf[csr.data], row))]
    result = []
    for place in range(count):
        column = np.full(len(lengths), -1, dtype=np.int64)
        has = lengths > place
        column[has] = data[csr.start[:-1][has] + place]
        result.append(column)
    return result


def _mix(kind: int, *parts: Ints) -> NDArray[np.uint64]:
    """A 64-bit hash of columns (splitmix64's finaliser): grouping only, so a collision costs a comparison, no error."""
    import numpy as np

    with np.errstate(over="ignore"):
        value = np.full(len(parts[0]), kind, dtype=np.uint64)
        for part in parts:
            value = (value ^ part.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            value ^= value >> np.uint64(31)
    return value
