"""What two records have in common, as levels: small readable steps of each feature, computed for all pairs at once.

Belongs here: measuring. How much a level weighs stands in `weights.toml`; what is refused whatever the weight, in
`cluster`. Every feature is symmetric, and depends on the two records and on records of the same logical day only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingestion_assets.events.deduplication.blocks import DOORS, FAR, HALF_DAY, areas
from ingestion_assets.events.deduplication.days import DAY
from ingestion_assets.events.deduplication.prepare import Batch, Csr
from ingestion_assets.events.deduplication.venues import Likeness, compare_addresses, compare_venues

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.prepare import Floats, Ints

    Levels = NDArray[np.int8]
    Mask = NDArray[np.bool_]

# The levels of each feature, by their names in the weights file. The order is that of the codes below.
LEVELS: dict[str, tuple[str, ...]] = {
    "title": ("same", "nearly", "within", "mostly", "half", "little", "one_word", "nothing"),
    "left_over_both": ("none", "light", "one_word", "two_words", "more"),
    "left_over_one": ("none", "light", "one_word", "two_words", "more"),
    "rest": ("none", "one_side", "both_known", "both_same_language", "both_other_language", "both"),
    "shared_weight": ("none", "light", "one_word", "two_words", "more"),
    "spelling": ("same", "97", "90", "80", "65", "50", "apart"),
    "letters": ("same", "95", "88", "75", "apart"),
    "languages": ("unknown", "same", "differ", "differ_in_words"),
    "translated": ("no", "little", "half", "all_perhaps", "all"),
    "shared_words": ("none", "known_only", "names"),
    "names": ("neither", "one_side", "both"),
    "numbers": ("none", "same", "one_side", "differ"),
    "parts": ("none", "same", "one_side", "day_one_side", "differ"),
    "sessions": ("none", "same", "one_side", "against_clock", "differ"),
    "tribute": ("same", "differ"),
    "addon": ("none", "same", "both_other", "one_side"),
    "umbrella": ("none", "both", "both_with_rest", "one_side", "one_side_with_rest"),
    "kind": ("none", "same", "one_side", "differ"),
    "public": ("none", "same", "one_side", "differ"),
    "support": ("none", "same", "one_side", "differ"),
    "beside": ("none", "same", "one_side", "differ"),
    "venue": ("different", "clashing", "weak", "unknown", "partial", "strong", "same"),
    "distance": ("unknown", "100m", "300m", "1km", "5km", "25km", "farther"),
    "address": ("unknown", "same", "differ"),
    "city": ("unknown", "same", "differ"),
    "time": (
        "same",
        "15min",
        "35min",
        "65min",
        "95min",
        "200min",
        "slip_past_midnight",
        "slip_to_evening",
        "slip_by_day",
        "slip_and_doors_past_midnight",
        "half_day",
        "one_dated",
        "both_dated",
        "apart",
    ),
    "end": ("unknown", "same", "differ"),
    "length": ("same", "few_days", "one_day_to_more"),
    "source": ("other", "same"),
    "url": ("unknown", "same", "differ"),
    "people": ("unknown", "shared", "none_shared"),
    "places_of_title": ("one", "two", "many_venue_known", "many_venue_unknown"),
    "alone_in_slot": ("no_slot", "both", "one_side", "neither"),
}


@dataclass(slots=True)
class PairFeatures:
    """`levels[name]` holds a code for each pair; `LEVELS[name]` says what the code means."""

    a: Ints
    b: Ints
    levels: dict[str, Levels]
    second: dict[str, Levels] = field(default_factory=dict)
    """The levels of the second look (`neighbours`), once it is taken."""

    def __len__(self) -> int:
        return len(self.a)


@dataclass(slots=True)
class _Overlap:
    shared: Floats
    rest_a: Floats
    rest_b: Floats
    known_a: Mask
    """A word of the lexicon is among what only the first head has."""
    known_b: Mask
    names: Mask
    """A word that both heads have is none of the lexicon: a name, most often."""


def pair_features(batch: Batch, a: Ints, b: Ints) -> PairFeatures:
    """The levels of every feature for the pairs `(a[i], b[i])`."""
    import numpy as np

    overlap = _overlap(batch, a, b)
    venue = _venues(batch, a, b)
    distance = _distance(batch, a, b)
    levels: dict[str, Levels] = {
        **_title_levels(batch, a, b, overlap),
        **_label_levels(batch, a, b, overlap),
        **_time_levels(batch, a, b),
        "venue": venue,
        "distance": distance,
        "address": _addresses(batch, a, b),
        "city": _both(batch.city, a, b),
        "source": (batch.source[a] == batch.source[b]).astype(np.int8),
        "url": _both(batch.url, a, b),
        "people": _people(batch, a, b),
        "places_of_title": _places_of_title(batch, a, b, venue, distance),
        "alone_in_slot": _slots(batch, a, b, venue, distance),
    }
    return PairFeatures(a, b, {name: levels[name] for name in LEVELS})


def nothing_in_common(batch: Batch, pairs: PairFeatures) -> Mask:
    """Titles that share no word and hardly a letter, where one cannot be the other's translation."""
    import numpy as np
    from rapidfuzz.fuzz import partial_ratio
    from rapidfuzz.process import cpdist

    levels = pairs.levels
    code = {(name, label): labels.index(label) for name, labels in LEVELS.items() for label in labels}
    strangers = (
        (levels["title"] == code["title", "nothing"])
        & (levels["spelling"] >= code["spelling", "65"])
        & (levels["letters"] == code["letters", "apart"])
    )
    own_words = (levels["names"] > 0) | (levels["languages"] == code["languages", "same"])
    result = np.asarray(strangers & own_words)
    rows = np.flatnonzero(result)
    if len(rows):
        # A misspelt name beside a venue or a slogan: one title is nearly within the other.
        left = [batch.raws[i] for i in batch.raw[pairs.a[rows]].tolist()]
        right = [batch.raws[i] for i in batch.raw[pairs.b[rows]].tolist()]
        result[rows] = cpdist(left, right, scorer=partial_ratio, dtype=np.float32) < _WITHIN
    return result


_WITHIN = 75.0


# Titles


def _overlap(batch: Batch, a: Ints, b: Ints) -> _Overlap:
    """Weight (summed idf) of the words that both heads have, and of those that only one has.

    A word spelt almost alike on the other side is shared. A word that stands in the other's or the own venue, city,
    organiser or cast explains itself there and counts little.
    """
    import numpy as np

    size = len(a)
    width = len(batch.idf) + 1
    title_a, title_b = batch.title[a], batch.title[b]
    pair_a, token_a = _expand(batch.head, title_a)
    pair_b, token_b = _expand(batch.head, title_b)
    code_a, code_b = pair_a * width + token_a, pair_b * width + token_b
    in_b, in_a = _within(code_a, code_b), _within(code_b, code_a)
    _forgive_typos(batch, (pair_a, token_a, in_b), (pair_b, token_b, in_a))
    weight_a, weight_b = batch.idf[token_a], batch.idf[token_b]
    shared = (
        np.bincount(pair_a, weight_a * in_b, minlength=size) + np.bincount(pair_b, weight_b * in_a, minlength=size)
    ) / 2
    names = np.bincount(pair_a, in_b & ~batch.known[token_a], minlength=size) > 0
    rests: list[Floats] = []
    knowns: list[Mask] = []
    for pair, token, found, weight in ((pair_a, token_a, in_b, weight_a), (pair_b, token_b, in_a, weight_b)):
        left = ~found
        explained = np.zeros(len(pair), dtype=bool)
        rows = pair[left]
        if len(rows):
            known = np.zeros(len(rows), dtype=bool)
            touched = np.unique(rows)
            position = np.searchsorted(touched, rows)
            for side in (a, b):
                context_pair, context_token = _expand(batch.context, side[touched])
                known |= _within(position * width + token[left], context_pair * width + context_token)
            explained[left] = known
        rests.append(_float(np.bincount(pair, weight * left * np.where(explained, 0.15, 1.0), minlength=size)))
        solid = left & ~explained & batch.known[token]
        knowns.append(np.bincount(pair, solid, minlength=size) > 0)
    return _Overlap(shared, rests[0], rests[1], knowns[0], knowns[1], names)


def _float(values: NDArray[Any]) -> Floats:
    import numpy as np

    return values.astype(np.float64, copy=False)


def _expand(csr: Csr, rows: Ints) -> tuple[Ints, Ints]:
    """`(position in rows, value)` for every value of those rows, in order."""
    import numpy as np

    start, length = csr.start[rows], csr.start[rows + 1] - csr.start[rows]
    position = np.repeat(np.arange(len(rows)), length)
    first = np.repeat(start - np.r_[0, np.cumsum(length)[:-1]], length) if len(rows) else start
    return position, csr.data[first + np.arange(len(position))]


def _within(needles: Ints, hay: Ints) -> Mask:
    """Whether each needle is in the hay; both ascending."""
    import numpy as np

    if not len(hay):
        return np.zeros(len(needles), dtype=bool)
    place = np.minimum(np.searchsorted(hay, needles), len(hay) - 1)
    return np.asarray(hay[place] == needles)


def _forgive_typos(batch: Batch, side_a: tuple[Ints, Ints, Mask], side_b: tuple[Ints, Ints, Mask]) -> None:
    """Mark words left over on both sides of a pair as found where they differ by a letter (two from nine letters on)."""
    import numpy as np
    from rapidfuzz.distance import OSA
    from rapidfuzz.process import cpdist

    pair_a, token_a, found_a = side_a
    pair_b, token_b, found_b = side_b
    left_a, left_b = np.flatnonzero(~found_a), np.flatnonzero(~found_b)
    if not len(left_a) or not len(left_b):
        return
    # Both lists ascend by pair: for each word left in `a`, the run of words left in `b` of the same pair.
    begin = np.searchsorted(pair_b[left_b], pair_a[left_a], side="left")
    count = np.searchsorted(pair_b[left_b], pair_a[left_a], side="right") - begin
    one = np.repeat(left_a, count)
    two = left_b[np.repeat(begin - np.r_[0, np.cumsum(count)[:-1]], count) + np.arange(int(count.sum()))]
    if not len(one):
        return
    width = len(batch.tokens) + 1
    low, high = np.minimum(token_a[one], token_b[two]), np.maximum(token_a[one], token_b[two])
    codes, back = np.unique(low * width + high, return_inverse=True)
    left, right = [batch.tokens[i] for i in codes // width], [batch.tokens[i] for i in codes % width]
    near = cpdist(left, right, scorer=OSA.distance, score_cutoff=2, dtype=np.int32) <= np.asarray(
        [_typos_allowed(x, y) for x, y in zip(left, right, strict=True)], dtype=np.int32
    )
    hit = near[back]
    found_a[one[hit]] = True
    found_b[two[hit]] = True


def _typos_allowed(one: str, two: str) -> int:
    """Letters that may differ. Short words and numbers must be the same: `2` and `3`, `Ana` and `Ani` are two things."""
    if not one.isalpha() or not two.isalpha():
        return -1
    shorter = min(len(one), len(two))
    return -1 if shorter < 5 else 1 if shorter < 9 else 2


def _title_levels(batch: Batch, a: Ints, b: Ints, overlap: _Overlap) -> dict[str, Levels]:
    import numpy as np

    low, high = np.minimum(overlap.rest_a, overlap.rest_b), np.maximum(overlap.rest_a, overlap.rest_b)
    total = overlap.shared + low + high
    share = np.divide(overlap.shared, total, out=np.zeros(len(a)), where=total > 0)
    spelling = _spelling(batch.texts, batch.title[a], batch.title[b])
    letters = _spelling(batch.raws, batch.raw[a], batch.raw[b])
    same = (batch.title[a] == batch.title[b]) | (spelling >= 100.0)
    title = np.select(
        [
            same,
            share >= 0.85,
            (low < 0.5) & (overlap.shared > 0),
            share >= 0.6,
            share >= 0.4,
            share >= 0.2,
            overlap.shared > 0,
        ],
        [0, 1, 2, 3, 4, 5, 6],
        default=7,
    )
    one, two = batch.lang[a], batch.lang[b]
    languages = np.where((one == 0) | (two == 0), 0, np.where(one == two, 1, 2))
    spoken_a, spoken_b = batch.spoken[a], batch.spoken[b]
    languages = np.where((spoken_a > 0) & (spoken_b > 0), np.where(spoken_a == spoken_b, 1, 3), languages)
    rest = np.where(same, 0.0, low)
    return {
        "title": title.astype(np.int8),
        "left_over_both": _weight_level(rest),
        "left_over_one": _weight_level(np.where(same, 0.0, high)),
        "rest": np.select(
            [
                high < 0.5,
                low < 0.5,
                overlap.known_a & overlap.known_b,
                languages == 1,
                languages >= 2,
            ],
            [0, 1, 2, 3, 4],
            default=5,
        ).astype(np.int8),
        "shared_weight": _weight_level(overlap.shared),
        "shared_words": np.where(overlap.names, 2, np.where(overlap.shared > 0, 1, 0)).astype(np.int8),
        "spelling": np.select(
            [spelling >= 100, spelling >= 97, spelling >= 90, spelling >= 80, spelling >= 65, spelling >= 50],
            [0, 1, 2, 3, 4, 5],
            default=6,
        ).astype(np.int8),
        "letters": np.select(
            [letters >= 100, letters >= 95, letters >= 88, letters >= 75], [0, 1, 2, 3], default=4
        ).astype(np.int8),
        "languages": languages.astype(np.int8),
        "translated": np.select(
            [languages < 2, title <= 3, title <= 5, languages == 2], [0, 1, 2, 3], default=4
        ).astype(np.int8),
    }


def _weight_level(weight: Floats) -> Levels:
    """None, less than a rare word, one, two, more. A rare word weighs about 7 (one in a thousand titles)."""
    import numpy as np

    return np.select([weight < 0.5, weight < 4.0, weight < 8.5, weight < 14.0], [0, 1, 2, 3], default=4).astype(np.int8)


def _spelling(texts: Sequence[str], one: Ints, two: Ints) -> Floats:
    """Similarity 0..100 of two columns of text ids, each pair of texts once."""
    import numpy as np
    from rapidfuzz.fuzz import ratio
    from rapidfuzz.process import cpdist

    width = len(texts)
    codes, back = np.unique(np.minimum(one, two) * width + np.maximum(one, two), return_inverse=True)
    left, right = [texts[i] for i in codes // width], [texts[i] for i in codes % width]
    return np.asarray(cpdist(left, right, scorer=ratio, dtype=np.float32), dtype=np.float64)[back]


# What titles say about the listing


def _label_levels(batch: Batch, a: Ints, b: Ints, overlap: _Overlap) -> dict[str, Levels]:
    import numpy as np

    parsed = batch.parsed
    addon_a, addon_b = parsed["addons"][a], parsed["addons"][b]
    umbrella = parsed["umbrella"][a] + parsed["umbrella"][b]
    high = np.maximum(overlap.rest_a, overlap.rest_b)
    low = np.minimum(overlap.rest_a, overlap.rest_b)
    parts = _sets(batch, parsed["parts"], a, b)
    day_parts = np.asarray(
        [
            any(code == "day" for code, _ in value)
            if isinstance(value, frozenset) and value and isinstance(next(iter(value)), tuple)
            else False
            for value in batch.sets
        ]
    )
    one_sided_day = (parts == 2) & day_parts[np.maximum(parsed["parts"][a], parsed["parts"][b])]
    parts = np.where(parts == 3, 4, np.where(one_sided_day, 3, parts))
    return {
        "names": (parsed["name"][a] + parsed["name"][b]).astype(np.int8),
        "numbers": _sets(batch, parsed["numbers"], a, b),
        "parts": parts.astype(np.int8),
        "sessions": _sessions(batch, a, b),
        "tribute": (parsed["tribute"][a] != parsed["tribute"][b]).astype(np.int8),
        "addon": np.select(
            [(addon_a == 0) & (addon_b == 0), addon_a == addon_b, (addon_a > 0) & (addon_b > 0)], [0, 1, 2], default=3
        ).astype(np.int8),
        "umbrella": np.select(
            [umbrella == 0, (umbrella == 2) & (high < 4.0), umbrella == 2, low < 0.5], [0, 1, 2, 4], default=3
        ).astype(np.int8),
        "kind": _sets(batch, parsed["kinds"], a, b),
        "public": _sets(batch, parsed["publics"], a, b),
        "support": _sets(batch, parsed["support"], a, b),
        "beside": _sets(batch, parsed["secondary"], a, b),
    }


def _sessions(batch: Batch, a: Ints, b: Ints) -> Levels:
    """As `_sets`, and whether one title's label goes against the other record's clock."""
    import numpy as np

    column = batch.parsed["sessions"]
    sets = _sets(batch, column, a, b)
    level = np.where(sets == 3, 4, sets)
    for label, other in ((a, b), (b, a)):
        for i in np.flatnonzero((level == 2) & (column[label] > 0) & (batch.minute[other] >= 0)).tolist():
            clock = int(batch.minute[other[i]])
            hours = [_HOURS[name] for name in batch.sets[int(column[label[i]])] if name in _HOURS]
            if hours and not any(begin <= clock < end for begin, end in hours):
                level[i] = 3
    return level.astype(np.int8)


_HOURS = {
    "morning": (5 * 60, 13 * 60),
    "matinee": (10 * 60, 18 * 60),
    "night": (17 * 60, 30 * 60),
    "late": (17 * 60, 30 * 60),
}
"""When a session can begin, generously, in minutes of the logical day."""


def _sets(batch: Batch, column: Ints, a: Ints, b: Ints) -> Levels:
    """0: neither says anything, 1: they share something, 2: one says something, 3: both do and share nothing."""
    import numpy as np

    one, two = column[a], column[b]
    level = np.where((one == 0) & (two == 0), 0, np.where((one == 0) | (two == 0), 2, np.where(one == two, 1, 3)))
    open_ = np.flatnonzero(level == 3)
    if len(open_):
        codes, back = np.unique(one[open_] * len(batch.sets) + two[open_], return_inverse=True)
        meet = np.asarray(
            [bool(batch.sets[c // len(batch.sets)] & batch.sets[c % len(batch.sets)]) for c in codes.tolist()]
        )
        level[open_[meet[back]]] = 1
    return level.astype(np.int8)


# Places


def _venues(batch: Batch, a: Ints, b: Ints) -> Levels:
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


def _addresses(batch: Batch, a: Ints, b: Ints) -> Levels:
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


def _distance(batch: Batch, a: Ints, b: Ints) -> Levels:
    """Metres between the coordinates, in steps. A spot that several venues of a day share is a city's middle: unknown."""
    import numpy as np

    lat, lon = batch.lat.copy(), batch.lon.copy()
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
_CITY_MIDDLE = 5
"""Distinct venues on one spot, to the fourth decimal, from which the spot is taken for a geocoder's default."""


def _both(column: Ints, a: Ints, b: Ints) -> Levels:
    """0: not known on one side, 1: the same, 2: not the same."""
    import numpy as np

    one, two = column[a], column[b]
    return np.where((one == 0) | (two == 0), 0, np.where(one == two, 1, 2)).astype(np.int8)


def _people(batch: Batch, a: Ints, b: Ints) -> Levels:
    import numpy as np

    named = np.asarray([bool(names) for names in batch.people], dtype=bool)
    level = np.zeros(len(a), dtype=np.int8)
    for i in np.flatnonzero(named[a] & named[b]).tolist():
        level[i] = 1 if batch.people[int(a[i])] & batch.people[int(b[i])] else 2
    return level


# Times


def _time_levels(batch: Batch, a: Ints, b: Ints) -> dict[str, Levels]:
    import numpy as np

    # A clock in the title stands in for a missing time.
    clock = np.where((batch.minute < 0) & (batch.parsed["clock"] >= 0), batch.parsed["clock"], batch.minute)
    one, two = clock[a], clock[b]
    apart = np.abs(one - two)
    offset = np.maximum(np.abs(batch.offset[a]), np.abs(batch.offset[b]))
    slip = (apart == offset) & (offset >= 60)
    near_slip = (np.abs(apart - offset) <= DOORS) & (offset >= 240)
    later = np.maximum(one, two)
    neither, either = (one < 0) & (two < 0), (one < 0) | (two < 0)
    steps = [
        (neither, "both_dated"),
        (either, "one_dated"),
        (apart == 0, "same"),
        # From an afternoon to an evening the clock slips just as far as from a matinee to the evening show.
        (slip & (apart > 65) & (later >= DAY), "slip_past_midnight"),
        (slip & (apart > 65) & (later >= EVENING), "slip_to_evening"),
        (slip & (apart > 65), "slip_by_day"),
        (apart <= 15, "15min"),
        (apart <= 35, "35min"),
        (apart <= 65, "65min"),
        (apart <= 95, "95min"),
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
    length = np.where(
        span_one == span_two, 0, np.where(long_one & long_two, 1, np.where(np.maximum(span_one, span_two) >= 2, 2, 1))
    )
    return {"time": time.astype(np.int8), "end": end.astype(np.int8), "length": length.astype(np.int8)}


# What else happens that day


def _places_of_title(batch: Batch, a: Ints, b: Ints, venue: Levels, distance: Levels) -> Levels:
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


def _slots(batch: Batch, a: Ints, b: Ints, venue: Levels, distance: Levels) -> Levels:
    """Whether each source lists one thing only at that place in that minute. Then a title in other words may be it."""
    import numpy as np

    slot = np.c_[batch.day, batch.alias, batch.minute, batch.source]
    _, back, counts = np.unique(slot, axis=0, return_inverse=True, return_counts=True)
    alone = (counts[back.ravel()] == 1) & (batch.alias >= 0)
    minute = (batch.minute[a] == batch.minute[b]) & (batch.minute[a] >= 0)
    here = (venue >= Likeness.STRONG) | ((distance == 1) & (venue >= Likeness.WEAK))
    both = alone[a].astype(np.int64) + alone[b]
    return np.where(minute & here, np.select([both == 2, both == 1], [1, 2], default=3), 0).astype(np.int8)
