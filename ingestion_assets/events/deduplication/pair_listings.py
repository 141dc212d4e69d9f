"""What two listings have in common besides their titles: place, time, source, and what else happens that day.

Belongs here: measuring. What a level weighs stands in `weights.toml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication.addresses import compare_addresses
from ingestion_assets.events.deduplication.blocks import DOORS, FAR, HALF_DAY, areas, starts
from ingestion_assets.events.deduplication.columns import Batch
from ingestion_assets.events.deduplication.days import DAY
from ingestion_assets.events.deduplication.levels import LEVELS
from ingestion_assets.events.deduplication.venues import Likeness, compare_venues

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Ints

    Levels = NDArray[np.int8]


def venue_levels(batch: Batch, a: Ints, b: Ints) -> Levels:
    import numpy as np

    one, two = np.minimum(batch.venue[a], batch.venue[b]), np.maximum(batch.venue[a], batch.venue[b])
    width = len(batch.venues)
    codes, back = np.unique(one * width + two, return_inverse=True)
    table = np.asarray(
        [compare_venues(batch.venues[c // width], batch.venues[c % width]) for c in codes.tolist()], dtype=np.int8
    )
    level = table[back] if len(codes) else np.zeros(0, dtype=np.int8)
    alias = (batch.alias[a] == batch.alias[b]) & (batch.alias[a] >= 0)
    return np.where(alias, np.int8(Likeness.SAME), level).astype(np.int8)


def address_levels(batch: Batch, a: Ints, b: Ints) -> Levels:
    import numpy as np

    level = np.zeros(len(a), dtype=np.int8)
    known = np.flatnonzero((batch.place[a] > 0) & (batch.place[b] > 0))
    if len(known):
        width = len(batch.addresses)
        codes, back = np.unique((batch.place[a[known]] - 1) * width + batch.place[b[known]] - 1, return_inverse=True)
        table = np.asarray(
            [compare_addresses(batch.addresses[c // width], batch.addresses[c % width]) for c in codes.tolist()]
        )
        level[known] = np.asarray([0, 1, 2], dtype=np.int8)[table[back]]  # -1 picks the last: two doors
    return level


def place_levels(venue: Levels, distance: Levels, address: Levels, city: Levels) -> Levels:
    """One verdict on the place, from `same` to `apart`, out of its name, map, door and city."""
    import numpy as np

    near, here = (distance == 1) | (distance == 2), distance == 1
    far, farther = distance >= 4, distance >= 5
    door, other_door = address == 1, address == 2
    elsewhere = (city == 2) & ~near & ~door
    unnamed = venue == Likeness.UNKNOWN
    clash = venue <= Likeness.CLASHING
    steps = [
        (farther & (venue < Likeness.STRONG), "apart"),
        (farther | (elsewhere & (venue >= Likeness.PARTIAL)), "doubtful"),
        (elsewhere, "apart"),
        ((venue == Likeness.SAME) & ~(far & other_door), "same"),
        ((venue == Likeness.STRONG) & (near | door), "same"),
        ((venue == Likeness.STRONG) & ~far & ~other_door, "likely"),
        ((venue == Likeness.PARTIAL) & (near | door), "likely"),
        (unnamed & door & ~far, "likely"),
        (door & here, "likely"),
        (venue == Likeness.STRONG, "perhaps"),
        ((venue == Likeness.PARTIAL) & ~far & ~other_door, "perhaps"),
        (unnamed & near, "perhaps"),
        (door & ~far, "perhaps"),
        (unnamed & ~far & ~other_door, "unknown"),
        (near & ~(clash & other_door), "doubtful"),
        ((venue >= Likeness.WEAK) & ~far & ~other_door, "doubtful"),
        (~far & ~other_door, "different"),
    ]
    code = LEVELS["place"].index
    return np.select([mask for mask, _ in steps], [code(name) for _, name in steps], default=code("apart")).astype(
        np.int8
    )


def distance_levels(batch: Batch, a: Ints, b: Ints) -> Levels:
    """Metres between the coordinates, in steps. A spot that several venues of a day share is a city's middle: unknown."""
    import numpy as np

    lat, lon = batch.lat.copy(), batch.lon.copy()
    # Two decimals are a kilometre, and so are three that end in five: a city's middle, not a door.
    rough = (np.abs(lat * 200 - np.round(lat * 200)) < 1e-6) & (np.abs(lon * 200 - np.round(lon * 200)) < 1e-6)
    lat[rough] = np.nan
    known = np.flatnonzero(~np.isnan(lat) & (batch.alias >= 0))
    if len(known):
        spots = np.c_[batch.day[known], np.round(lat[known] * 1e4), np.round(lon[known] * 1e4)].astype(np.int64)
        distinct = np.unique(np.c_[spots, batch.alias[known]], axis=0)[:, :3]
        places, many = np.unique(distinct, axis=0, return_counts=True)
        crowded = {tuple(place) for place in places[many >= _CITY_MIDDLE].tolist()}
        if crowded:
            located = np.flatnonzero(~np.isnan(lat))
            everywhere = np.c_[batch.day[located], np.round(lat[located] * 1e4), np.round(lon[located] * 1e4)].astype(
                np.int64
            )
            lat[located[[tuple(spot) in crowded for spot in everywhere.tolist()]]] = np.nan
    metres_lat = (lat[a] - lat[b]) * 111_195.0
    metres_lon = (lon[a] - lon[b]) * 111_195.0 * np.cos(np.radians((lat[a] + lat[b]) / 2))
    metres = np.hypot(metres_lat, metres_lon)
    level = np.select(
        [np.isnan(metres), metres < 100, metres < 300, metres < 1_000, metres < 5_000, metres < 25_000],
        [0, 1, 2, 3, 4, 5],
        default=6,
    )
    return level.astype(np.int8)


EVENING = 18 * 60
"""From here on a start is an evening's."""
EARLY = 7 * 60
"""Before it hardly anything begins."""
NIGHT = 20 * 60
"""From here on doors open for a night."""
MAIN_ACT = 23 * 60 + 30
"""From here on no doors open: a night is well under way."""
LATE = 22 * 60 + 45
"""From here on hardly any show begins that is the second of its day."""
_CITY_MIDDLE = 5
"""Distinct venues on one spot, to the fourth decimal, from which the spot is taken for a geocoder's default."""


def agreement(column: Ints, a: Ints, b: Ints) -> Levels:
    """0: not known on one side, 1: the same, 2: not the same."""
    import numpy as np

    one, two = column[a], column[b]
    return np.where((one == 0) | (two == 0), 0, np.where(one == two, 1, 2)).astype(np.int8)


def people_levels(batch: Batch, a: Ints, b: Ints) -> Levels:
    """1: a name stands in both. That none does says nothing: one source names the promoter, another the band."""
    import numpy as np

    named = np.asarray([bool(names) for names in batch.people], dtype=bool)
    level = np.zeros(len(a), dtype=np.int8)
    for i in np.flatnonzero(named[a] & named[b]).tolist():
        level[i] = bool(batch.people[int(a[i])] & batch.people[int(b[i])])
    return level


# Times


def time_levels(batch: Batch, a: Ints, b: Ints) -> dict[str, Levels]:
    import numpy as np

    # A clock in the title stands in for a missing time.
    clock = np.where((batch.minute < 0) & (batch.parsed["clock"] >= 0), batch.parsed["clock"], batch.minute)
    net = batch.online[a] & batch.online[b]
    one, two = (np.where(net, start, clock[end]) for start, end in zip(starts(batch, a, b), (a, b), strict=True))
    apart = np.abs(one - two)
    offset = np.maximum(np.abs(batch.offset[a]), np.abs(batch.offset[b]))
    slip = (apart == offset) & (offset >= 60)
    # UTC is later than the clock west of Greenwich, earlier east of it. By day it is believed of sources that are known
    # for it only: from an afternoon to an evening the clock slips just as far as from a matinee to the evening show.
    west = np.where(np.abs(batch.offset[a]) >= np.abs(batch.offset[b]), batch.offset[a], batch.offset[b]) < 0
    shifted = np.where((one > two) == west, batch.shifting[a], batch.shifting[b])
    # Of any source where both titles name one session or part, and late in the evening, when no second show begins.
    labels = [batch.parsed[name] for name in ("sessions", "parts")]
    shifted |= np.any([(column[a] > 0) & (column[a] == column[b]) for column in labels], axis=0)
    shifted |= np.maximum(one, two) >= LATE
    # Or early in the morning, when nothing begins.
    earlier = np.minimum(one, two)
    shifted |= (earlier >= 0) & (earlier < EARLY)
    # Or of sources that list the title once that day: of a matinee and its evening most list both, and of all such
    # starts that differ by exactly the offset (and not by half an hour more or less) nine in ten are one showing.
    once = (_listings(batch, batch.source) == 1) & (batch.parsed["sessions"] == 0)
    # But where others bear out both starts, in whatever language, there are two showings.
    borne_out = _listings(batch, batch.minute, of_title=False) > 1
    shifted |= once[a] & once[b] & ~(borne_out[a] & borne_out[b])
    # A clock in a title is right, and tells the showings of a day apart.
    shifted &= (batch.parsed["clock"][a] < 0) & (batch.parsed["clock"][b] < 0)
    # A club night has doors, a first DJ and a main act, and one of them after midnight is what a source calls its start.
    later = np.maximum(one, two)
    same_night = once[a] & once[b] & (batch.title[a] == batch.title[b]) & (earlier >= NIGHT) & (later >= MAIN_ACT)
    near_slip = (np.abs(apart - offset) <= DOORS) & (offset >= 240)
    neither, either = (one < 0) & (two < 0), (one < 0) | (two < 0)
    steps = [
        (neither, "both_dated"),
        (either, "one_dated"),
        (apart == 0, "same"),
        (slip & (apart > 65) & (later >= DAY), "slip_past_midnight"),
        (slip & shifted & (apart > 65) & (later >= EVENING), "slip_to_evening"),
        (slip & shifted & (apart > 65), "slip_by_day"),
        (apart <= 15, "15min"),
        (apart <= 35, "35min"),
        (apart <= 65, "65min"),
        (apart <= 95, "95min"),
        (same_night & (apart <= FAR), "95min"),
        (apart <= FAR, "200min"),
        (near_slip & (later >= DAY), "slip_and_doors_past_midnight"),
        (apart == HALF_DAY, "half_day"),
    ]
    code = LEVELS["time"].index
    time = np.select([mask for mask, _ in steps], [code(name) for _, name in steps], default=code("apart"))
    end_one, end_two = batch.end[a], batch.end[b]
    end = np.where((end_one < 0) | (end_two < 0), 0, np.where(end_one == end_two, 1, 2))
    span_one, span_two = batch.span[a], batch.span[b]
    long_one, long_two = span_one >= 1, span_two >= 1
    # A night that ends after midnight lasts one further day and is no festival.
    longest = np.maximum(span_one, span_two)
    open_ended = ((span_one == 0) & (end_one < 0)) | ((span_two == 0) & (end_two < 0))
    # An exhibition is no single day, whoever leaves out when it ends.
    exhibits = np.asarray(["exhibition" in said for said in batch.sets], dtype=bool)[batch.parsed["kinds"]]
    lasts = exhibits[a] | exhibits[b]
    length = np.select(
        [span_one == span_two, long_one & long_two, (longest >= 1) & open_ended & ~lasts, (longest >= 2) & ~lasts],
        [0, 1, 2, 3],
        default=1,
    )
    return {"time": time.astype(np.int8), "end": end.astype(np.int8), "length": length.astype(np.int8)}


def _listings(batch: Batch, column: Ints, *, of_title: bool = True) -> Ints:
    """By record: how many have its title in its place that day, and the same in `column`."""
    import numpy as np

    titles, places = int(batch.title.max(initial=0)) + 1, int(batch.alias.max(initial=0)) + 2
    low, high = int(column.min(initial=0)), int(column.max(initial=0))
    code = (batch.day - batch.day.min(initial=batch.day[0])) * (high - low + 1) + column - low
    code = (code * titles + (batch.title if of_title else 0)) * places + batch.alias + 1
    ordered = np.sort(code)
    return np.asarray(np.searchsorted(ordered, code, side="right") - np.searchsorted(ordered, code, side="left"))


# What else happens that day


def places_of_title(batch: Batch, a: Ints, b: Ints, venue: Levels, distance: Levels) -> Levels:
    """In how many places of its city the title is on that day: in many, it says little where the place is not known."""
    import numpy as np

    named = np.flatnonzero(batch.alias >= 0)
    size = int(batch.title.max()) + 1 if len(batch) else 1
    code = (batch.day * (len(batch.city_rank) + 1) + areas(batch)) * size + batch.title
    distinct = (
        np.unique(np.c_[code[named], batch.alias[named]], axis=0) if len(named) else np.zeros((0, 2), dtype=np.int64)
    )
    codes, counts = np.unique(distinct[:, 0], return_counts=True)
    many = np.ones(len(batch), dtype=np.int64)
    if len(codes):
        place = np.minimum(np.searchsorted(codes, code), len(codes) - 1)
        many = np.where(codes[place] == code, counts[place], 1)
    most = np.maximum(many[a], many[b])
    sure = (venue >= Likeness.STRONG) | ((distance >= 1) & (distance <= 2))
    return np.select([most <= 1, most <= 2, sure], [0, 1, 2], default=3).astype(np.int8)


def slot_levels(batch: Batch, a: Ints, b: Ints, place: Levels) -> Levels:
    """Whether each source lists one thing only at that place in that minute. Then a title in other words may be it."""
    import numpy as np

    slot = np.c_[batch.day, batch.alias, batch.minute, batch.source]
    _, back, counts = np.unique(slot, axis=0, return_inverse=True, return_counts=True)
    alone = (counts[back.ravel()] == 1) & (batch.alias >= 0)
    minute = (batch.minute[a] == batch.minute[b]) & (batch.minute[a] >= 0)
    here = place <= LEVELS["place"].index("likely")
    both = alone[a].astype(np.int64) + alone[b]
    return np.where(minute & here, np.select([both == 2, both == 1], [1, 2], default=3), 0).astype(np.int8)
