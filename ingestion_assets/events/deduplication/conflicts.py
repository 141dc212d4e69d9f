"""What keeps two records apart whatever their score: facts that cannot both be true of one event.

A label on one side only is evidence and weighs in the score; only two labels that contradict each other are here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ingestion_assets.events.deduplication.blocks import plausible_times
from ingestion_assets.events.deduplication.columns import PLAYS, Batch
from ingestion_assets.events.deduplication.levels import code
from ingestion_assets.events.deduplication.lexicon import FORMS, default_lexicon
from ingestion_assets.events.deduplication.other_words import (
    cut_short,
    misspelt,
    nothing_in_common,
    other_words,
    place_words,
)
from ingestion_assets.events.deduplication.pairs import PairFeatures
from ingestion_assets.events.deduplication.title_units import parts_contradict
from ingestion_assets.events.deduplication.venues import Likeness

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Ints


class Conflict(IntEnum):
    """Why a union is refused."""

    NONE = 0
    SPLIT_BY_PERSON = 1
    SESSIONS_DIFFER = 2
    PARTS_DIFFER = 3
    ADDON = 4
    TIMES_APART = 5
    SAME_SOURCE_TWO_TIMES = 6
    DAYS_APART = 7
    AMBIGUOUS = 8
    OUTVOTED = 9
    TOO_LARGE = 10
    NOTHING_IN_COMMON = 12
    """No word and hardly a letter shared, and no translation either: a name is not translated, nor is one language."""
    SAME_SOURCE_LISTS_BOTH = 11
    """One source lists two things that do not look like one: it knows them to be two."""
    OTHER_WORDS = 13
    """Each title has words of its own in one language, and no act in common: two items of one programme."""
    NUMBERS_DIFFER = 14
    TRIBUTE_OR_ORIGINAL = 15
    OTHER_PLACE = 17
    """A title of common words in two places that nothing connects: every library has its story time. Or two rooms."""
    PUBLICS_DIFFER = 18
    """For beginners and for the advanced, in French and in English, for women and for men."""
    KINDS_DIFFER = 19
    """A book's launch and the club that reads it, a film and an exhibition of one name."""
    BESIDE_IT = 16
    """One is a workshop, a talk, an opening around the other, and begins at another time."""

    @property
    def label(self) -> str:
        return self.name.lower()


def conflicts(batch: Batch, pairs: PairFeatures) -> NDArray[np.int8]:
    """The first conflict of each pair, `Conflict.NONE` where there is none. Overrides are not considered here."""
    import numpy as np

    a, b = pairs.a, pairs.b
    one, two = batch.minute[a], batch.minute[b]
    # A source that lists one title with a time and once more with another, or without one, means two showings.
    twice = (batch.source[a] == batch.source[b]) & (one != two)
    result = np.select(
        [
            batch.day[a] != batch.day[b],
            _contradict(batch, "sessions", a, b) | (pairs.levels["sessions"] == code("sessions", "against_clock")),
            _contradict(batch, "parts", a, b, parts_contradict)
            | _day_of_the_whole(batch, a, b)
            | _show_of_the_day(batch, a, b)
            | _whole_and_first_day(batch, pairs),
            (pairs.levels["addon"] == code("addon", "one_side")) | _contradict(batch, "addons", a, b),
            ~plausible_times(batch, a, b)
            | two_showings(pairs)
            | _clocks_differ(batch, a, b)
            | _two_tours(batch, pairs),
            twice,
            nothing_in_common(batch, pairs),
            pairs.levels["numbers"] == code("numbers", "differ"),
            (pairs.levels["tribute"] == code("tribute", "differ")) | _plays_another(batch, a, b),
            _contradict(batch, "publics", a, b, _publics_contradict) | _for_some(batch, pairs),
            _contradict(batch, "kinds", a, b, _kinds_contradict),
            (pairs.levels["beside"] == code("beside", "one_side"))
            & (one >= 0)
            & (two >= 0)
            & (one != two)
            & ~_slipped(pairs),
        ],
        [
            Conflict.DAYS_APART,
            Conflict.SESSIONS_DIFFER,
            Conflict.PARTS_DIFFER,
            Conflict.ADDON,
            Conflict.TIMES_APART,
            Conflict.SAME_SOURCE_TWO_TIMES,
            Conflict.NOTHING_IN_COMMON,
            Conflict.NUMBERS_DIFFER,
            Conflict.TRIBUTE_OR_ORIGINAL,
            Conflict.PUBLICS_DIFFER,
            Conflict.KINDS_DIFFER,
            Conflict.BESIDE_IT,
        ],
        default=Conflict.NONE,
    ).astype(np.int8)
    elsewhere = pairs.levels["place"] >= code("place", "different")
    common = pairs.levels["shared_words"] < code("shared_words", "names")
    result[
        (result == Conflict.NONE) & ((elsewhere & common) | _two_branches(batch, pairs) | _two_rooms(batch, pairs))
    ] = Conflict.OTHER_PLACE
    result[(result == Conflict.NONE) & _listed_apart(batch, pairs)] = Conflict.SAME_SOURCE_LISTS_BOTH
    # The costly question last, and only where the answer can matter.
    in_doubt = (result == Conflict.NONE) & (pairs.levels["place"] < code("place", "different"))
    result[other_words(batch, pairs, in_doubt)] = Conflict.OTHER_WORDS
    return result


def _contradict(
    batch: Batch, name: str, a: Ints, b: Ints, contradict: Callable[[Any, Any], bool] = frozenset.isdisjoint
) -> NDArray[np.bool_]:
    """Both say something, and what they say cannot be true of one."""
    import numpy as np

    one, two = batch.parsed[name][a], batch.parsed[name][b]
    result = (one > 0) & (two > 0) & (one != two)
    for i in np.flatnonzero(result).tolist():
        result[i] = contradict(batch.sets[int(one[i])], batch.sets[int(two[i])])
    return np.asarray(result)


def _day_of_the_whole(batch: Batch, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """`Day 1`, `Saturday`, and a listing under the same name that lasts for days: one of its days, and all of it.

    What begins in the evening and lasts for days is a run of shows; a listing without an end is one of them. By day it
    may be an exhibition whose end the other source leaves out, and so may a festival at any hour.
    """
    import numpy as np

    of_a_day, lasts = batch.parsed["of_a_day"] > 0, (batch.span > 0) | (batch.parsed["days"] > 0)
    whole, day = ~of_a_day & lasts, of_a_day & ~lasts
    result = (whole[a] & day[b]) | (day[a] & whole[b])
    evening = np.maximum(batch.minute[a], batch.minute[b]) >= _EVENING
    festival = batch.parsed["umbrella"][a] + batch.parsed["umbrella"][b] > 0
    run = batch.span > 1
    result |= evening & ~festival & ((run[a] & ~lasts[b]) | (~lasts[a] & run[b]))
    return np.asarray(result)


def _show_of_the_day(batch: Batch, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """`Festival X – Day 2`, and `Festival X : Y`: the day, and what is on in it.

    Of a series that is called no festival a number must tell the day: a weekday stands beside many a show.
    """
    import numpy as np

    of_a_day = batch.parsed["of_a_day"] > 0
    result = np.asarray(of_a_day[a] != of_a_day[b])
    for i in np.flatnonzero(result).tolist():
        day, other = (int(a[i]), int(b[i])) if of_a_day[a[i]] else (int(b[i]), int(a[i]))
        title = batch.titles[day]
        numbers = {str(number) for word, number in title.parts if word == "day"}
        whole, said = set(title.head), set(batch.titles[other].head)
        own = said - whole - place_words(batch, day, other) - FORMS
        # `Day 2` misspelt leaves its number behind.
        misspelt = any(number in word for word in own for number in numbers)
        result[i] = bool(numbers or title.umbrella) and len(whole) > 1 and whole < said and bool(own) and not misspelt
    return result


def _whole_and_first_day(batch: Batch, pairs: PairFeatures) -> NDArray[np.bool_]:
    """`Festival X`, and `Festival X – Saturday`: the whole, which is listed by the day it begins, and that day.

    A whole is not listed by the second day of it: what stands there without a label is that day.
    """
    import numpy as np

    levels = pairs.levels
    one_name = (levels["umbrella"] == code("umbrella", "both")) | (levels["rest"] == code("rest", "none"))
    result = np.asarray(one_name & (levels["parts"] == code("parts", "day_one_side")))
    parts = batch.parsed["parts"]
    for i in np.flatnonzero(result).tolist():
        said = {label for side in (pairs.a, pairs.b) for label in batch.sets[int(parts[side[i]])]}
        result[i] = not any(word == "day" and number > 1 for word, number in said)
    return result


_EVENING = 17 * 60
"""From here on hardly an exhibition opens for the day."""


def _plays_another(batch: Batch, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """One title says who plays whom, and the other does not name who plays."""
    import numpy as np

    tribute = batch.parsed["tribute"]
    result = (tribute[a] != tribute[b]) & (tribute[a] + tribute[b] == PLAYS)
    for i in np.flatnonzero(result).tolist():
        one, two = (int(a[i]), int(b[i])) if tribute[a[i]] == PLAYS else (int(b[i]), int(a[i]))
        other = batch.titles[two]
        result[i] = not {*other.head, *other.support, *place_words(batch, one, two)}.issuperset(batch.titles[one].head)
    return np.asarray(result)


def _clocks_differ(batch: Batch, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """A title names its hour, and the other begins at another: the day has several showings."""
    import numpy as np

    told = batch.parsed["clock"]
    clock = np.where(told >= 0, told, batch.minute)
    one, two = clock[a], clock[b]
    apart = np.abs(one - two) > _SAME_HOUR
    return np.asarray(((told[a] >= 0) | (told[b] >= 0)) & (one >= 0) & (two >= 0) & apart)


def _two_tours(batch: Batch, pairs: PairFeatures) -> NDArray[np.bool_]:
    """Guided tours that leave again and again have no doors: another minute is another tour, a shifted clock aside.

    Again and again: at three times or more in one place and day, or so that the title names hour or language.
    """
    import numpy as np

    codes = [code for code in default_lexicon().frames if code == "tour" or code.endswith("_tour")]
    tours = np.asarray([not said.isdisjoint(codes) for said in batch.sets], dtype=bool)
    of_a_tour, told = tours[batch.parsed["secondary"]], batch.parsed["clock"]
    if not of_a_tour.any():
        return np.zeros(len(pairs), dtype=bool)
    tongues = np.asarray([not said.isdisjoint(_TONGUES) for said in batch.sets], dtype=bool)
    clock = np.where(told >= 0, told, batch.minute)
    often = of_a_tour & ((told >= 0) | tongues[batch.parsed["publics"]])
    for column in (batch.spot, batch.title):
        starts: dict[tuple[int, int], set[int]] = {}
        rows = np.flatnonzero(of_a_tour & (clock >= 0) & (column >= 0)).tolist()
        where = [(int(batch.day[i]), int(column[i])) for i in rows]
        for i, key in zip(rows, where, strict=True):
            starts.setdefault(key, set()).add(int(clock[i]))
        for i, key in zip(rows, where, strict=True):
            often[i] |= len(starts[key]) >= _AGAIN
    one, two = clock[pairs.a], clock[pairs.b]
    both = of_a_tour[pairs.a] & of_a_tour[pairs.b] & (often[pairs.a] | often[pairs.b]) & (one >= 0) & (two >= 0)
    return np.asarray(both & (one != two) & ~_slipped(pairs))


_AGAIN = 3
"""Starts of one place, or of one title, from which a day's guided tours are told apart by the minute."""
_SAME_HOUR = 65
"""Minutes by which an hour in a title and a start may differ: the doors, not another showing."""


def _two_branches(batch: Batch, pairs: PairFeatures) -> NDArray[np.bool_]:
    """Two libraries, two cinemas: the same sort of place, which a city has many of, under two names.

    Or two houses of one chain, which have its name in common and no other word.
    """
    import numpy as np

    sorts = np.asarray([sum(1 << i for i, sort in enumerate(_BRANCHES) if sort in v.sorts) for v in batch.venues])
    one, two = batch.venue[pairs.a], batch.venue[pairs.b]
    levels = pairs.levels
    here = (levels["address"] == code("address", "same")) | (levels["distance"] == code("distance", "100m"))
    alike = np.asarray((sorts[one] & sorts[two]) > 0)
    chained = np.asarray([not v.core.isdisjoint(batch.chain_names) for v in batch.venues], dtype=bool)
    result = np.asarray((alike | (chained[one] & chained[two])) & (levels["venue"] <= Likeness.WEAK) & ~here)
    for i in np.flatnonzero(result).tolist():
        here_is, there_is = batch.venues[one[i]], batch.venues[two[i]]
        # `Cinéma du Parc`: where a name has no proper word, another sort of place is what it goes by.
        left, right = here_is.core or here_is.sorts - there_is.sorts, there_is.core or there_is.sorts - here_is.sorts
        result[i] = (alike[i] or left & right <= batch.chain_names) and _named_apart(left, right)
    return result


def _two_rooms(batch: Batch, pairs: PairFeatures) -> NDArray[np.bool_]:
    """`Cinéma X – Salle 3`, `Salle 7 (Cinéma X)`: two things in one house, whatever both are called."""
    import numpy as np

    number = np.asarray([int(v.room) if v.room.isdigit() else -1 for v in batch.venues], dtype=np.int64)
    letter = np.asarray([-1 if v.room.isdigit() or not v.room else ord(v.room) for v in batch.venues], dtype=np.int64)
    result = np.zeros(len(pairs), dtype=bool)
    for room in (number, letter):
        one, two = room[batch.venue[pairs.a]], room[batch.venue[pairs.b]]
        result |= (one >= 0) & (two >= 0) & (one != two)
    return result


def _named_apart(one: frozenset[str], two: frozenset[str]) -> bool:
    """Each has a proper name, and no word of one is the beginning of a word of the other: `Parc-Ex`, `Parc-Extension`."""
    left, right = one - two, two - one
    return bool(left and right) and not any(x.startswith(y) or y.startswith(x) for x in left for y in right)


_BRANCHES = ("library", "cinema", "school", "pool", "park", "church", "community")


_TONGUES = frozenset({"french", "english", "spanish", "italian", "german", "mandarin", "creole", "farsi"})
_FRAMEWORK = frozenset({"a1", "a2", "b1", "b2", "c1", "c2"})
"""Levels of the Common European Framework of Reference for Languages."""
_GRADES = _FRAMEWORK | {"beginner", "intermediate", "advanced", "all_levels"}
_PUBLICS = (
    _GRADES - _FRAMEWORK,
    _FRAMEWORK,
    _TONGUES,
    frozenset({"woman", "man"}),
)


def _kinds_contradict(one: frozenset[str], two: frozenset[str]) -> bool:
    return one.isdisjoint(two) and bool(one & _APART) and bool(two & _APART)


_APART = frozenset({"bookclub", "launch", "storytime", "film", "exhibition", "quiz", "race", "camp", "market"})
"""Kinds of event that are not taken for each other, whatever they are about."""


def _slipped(pairs: PairFeatures) -> NDArray[np.bool_]:
    import numpy as np

    slips = [code("time", f"slip_{when}") for when in ("past_midnight", "to_evening", "by_day")]
    return np.isin(pairs.levels["time"], slips)


def _for_some(batch: Batch, pairs: PairFeatures) -> NDArray[np.bool_]:
    """An activity, and the same for children or beginners: who tells one from the other writes it. A show is a show.

    Families and all levels are what listings are labelled with in passing. In a slot in which each source lists one
    thing, a level may have been left out.
    """
    import numpy as np

    levels = pairs.levels
    activity = levels["shared_words"] < code("shared_words", "names")
    one_tongue = levels["languages"] < code("languages", "differ_in_words")
    publics = batch.parsed["publics"]
    narrow = np.asarray([bool(said - {"family", "all_levels"}) for said in batch.sets], dtype=bool)
    named = narrow[np.maximum(publics[pairs.a], publics[pairs.b])]  # one of them is 0, the empty set
    graded = np.asarray([bool(said) and said <= _GRADES for said in batch.sets], dtype=bool)
    one_slot = (levels["time"] == code("time", "same")) & (levels["alone_in_slot"] == code("alone_in_slot", "both"))
    one_slot &= graded[np.maximum(publics[pairs.a], publics[pairs.b])]
    return np.asarray((levels["public"] == code("public", "one_side")) & activity & one_tongue & named & ~one_slot)


_YOUNG, _GROWN = frozenset({"child", "baby", "family", "teen"}), frozenset({"adult", "senior"})


def _publics_contradict(one: frozenset[str], two: frozenset[str]) -> bool:
    """Both name a level, a language or a sex, and not the same, or one is for children and the other for adults."""
    if any(one & group and two & group and not one & two & group for group in _PUBLICS):
        return True
    ages = [{bool(public & _YOUNG), bool(public & _GROWN)} == {True, False} for public in (one, two)]
    return all(ages) and bool(one & _YOUNG) != bool(two & _YOUNG)


def two_showings(pairs: PairFeatures) -> NDArray[np.bool_]:
    """Starts farther apart than doors and show, where no source is known to shift its clock: a matinee and its evening."""
    import numpy as np

    time = pairs.levels["time"]
    return np.asarray((time == code("time", "200min")) | (time == code("time", "apart")))


def _listed_apart(batch: Batch, pairs: PairFeatures) -> NDArray[np.bool_]:
    """One source lists both, each with a word of its own that is no misspelling: `Repair: Masonry`, `Repair: Weaving`."""
    import numpy as np

    one_source = batch.source[pairs.a] == batch.source[pairs.b]
    both = pairs.levels["rest"] > code("rest", "one_side")
    one_tongue = pairs.levels["languages"] < code("languages", "differ_in_words")
    result = np.asarray(one_source & both & one_tongue)
    for row in np.flatnonzero(result).tolist():
        one, two = int(pairs.a[row]), int(pairs.b[row])
        result[row] = not misspelt(batch, one, two) and not cut_short(batch, one, two)
    return result
