"""What keeps two records apart whatever their score: facts that cannot both be true of one event.

A label on one side only is evidence and weighs in the score; only two labels that contradict each other are here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ingestion_assets.events.deduplication.blocks import plausible_times
from ingestion_assets.events.deduplication.levels import code
from ingestion_assets.events.deduplication.lexicon import COMPOSERS, FORMS, default_lexicon
from ingestion_assets.events.deduplication.pairs import PairFeatures
from ingestion_assets.events.deduplication.prepare import PLAYS, Batch
from ingestion_assets.events.deduplication.title_units import parts_contradict
from ingestion_assets.events.deduplication.titles import ParsedTitle
from ingestion_assets.events.deduplication.venues import Likeness

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.prepare import Ints


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
    """A title of common words in two places that nothing connects: every library has its story time."""
    PUBLICS_DIFFER = 18
    """For beginners and for the advanced, in French and in English, for women and for men."""
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
            _contradict(batch, "sessions", a, b),
            _contradict(batch, "parts", a, b, parts_contradict)
            | _day_of_the_whole(batch, a, b)
            | _show_of_the_day(batch, a, b),
            (pairs.levels["addon"] == code("addon", "one_side")) | _contradict(batch, "addons", a, b),
            ~plausible_times(batch, a, b) | two_showings(pairs) | _clocks_differ(batch, a, b),
            twice,
            nothing_in_common(batch, pairs),
            pairs.levels["numbers"] == code("numbers", "differ"),
            (pairs.levels["tribute"] == code("tribute", "differ")) | _plays_another(batch, a, b),
            _contradict(batch, "publics", a, b, _publics_contradict) | _for_some(pairs),
            (pairs.levels["beside"] == code("beside", "one_side")) & (one >= 0) & (two >= 0) & (one != two),
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
            Conflict.BESIDE_IT,
        ],
        default=Conflict.NONE,
    ).astype(np.int8)
    elsewhere = pairs.levels["place"] >= code("place", "different")
    common = pairs.levels["shared_words"] < code("shared_words", "names")
    result[(result == Conflict.NONE) & ((elsewhere & common) | _two_branches(batch, pairs))] = Conflict.OTHER_PLACE
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
        own = said - whole - _around(batch, day, other) - FORMS
        # `Day 2` misspelt leaves its number behind.
        misspelt = any(number in word for word in own for number in numbers)
        result[i] = bool(numbers or title.umbrella) and len(whole) > 1 and whole < said and bool(own) and not misspelt
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
        result[i] = not {*other.head, *other.support, *_around(batch, one, two)}.issuperset(batch.titles[one].head)
    return np.asarray(result)


def _clocks_differ(batch: Batch, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """A title names its hour, and the other begins at another: the day has several showings."""
    import numpy as np

    told = batch.parsed["clock"]
    clock = np.where(told >= 0, told, batch.minute)
    one, two = clock[a], clock[b]
    apart = np.abs(one - two) > _SAME_HOUR
    return np.asarray(((told[a] >= 0) | (told[b] >= 0)) & (one >= 0) & (two >= 0) & apart)


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
        left, right = batch.venues[one[i]].core, batch.venues[two[i]].core
        result[i] = (alike[i] or left & right <= batch.chain_names) and _named_apart(left, right)
    return result


def _named_apart(one: frozenset[str], two: frozenset[str]) -> bool:
    """Each has a proper name, and no word of one is the beginning of a word of the other: `Parc-Ex`, `Parc-Extension`."""
    left, right = one - two, two - one
    return bool(left and right) and not any(x.startswith(y) or y.startswith(x) for x in left for y in right)


_BRANCHES = ("library", "cinema", "school", "pool", "park", "church", "community")


_PUBLICS = (
    frozenset({"beginner", "intermediate", "advanced"}),
    frozenset({"french", "english", "spanish", "italian", "german", "mandarin", "creole", "farsi"}),
    frozenset({"woman", "man"}),
)


def _for_some(pairs: PairFeatures) -> NDArray[np.bool_]:
    """An activity, and the same for children or beginners: who tells one from the other writes it. A show is a show."""
    import numpy as np

    levels = pairs.levels
    activity = levels["shared_words"] < code("shared_words", "names")
    one_tongue = levels["languages"] < code("languages", "differ_in_words")
    return np.asarray((levels["public"] == code("public", "one_side")) & activity & one_tongue)


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


def other_words(batch: Batch, pairs: PairFeatures, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each title has a rare word that the other lacks, no act stands in both, and neither can be a translation.

    Only of the pairs that are `asked` for.
    """
    import numpy as np

    levels = pairs.levels
    both = (levels["rest"] > code("rest", "one_side")) & (levels["title"] > code("title", "within"))
    rare = levels["left_over_both"] > code("left_over_both", "light")
    one_language = levels["languages"] < code("languages", "differ")
    in_a_frame = batch.framed[pairs.a] & batch.framed[pairs.b] & (levels["shared_words"] > code("shared_words", "none"))
    # In French only names are written large all through, and names are not translated.
    acts = (batch.act[pairs.a] & batch.act[pairs.b]) | batch.french_act[pairs.a] | batch.french_act[pairs.b]
    two_acts = acts & (levels["shared_words"] == code("shared_words", "none"))
    # Pottery and watercolour: both are understood, whatever the language, and they are not the same.
    understood = (levels["understood"] == code("understood", "both")) & (levels["title"] > code("title", "mostly"))
    # So is a night of wine: what it means in the other language is known, and a name is not it.
    half = (levels["understood"] == code("understood", "one_side")) & (
        levels["shared_words"] == code("shared_words", "none")
    )
    understood |= half & (levels["languages"] != code("languages", "same")) & ~_one_listing_each(pairs)
    known = set(np.flatnonzero(understood).tolist())
    # A French title writes names large and little else: one that the other title lacks is not translated there.
    named = (levels["french_name"] == code("french_name", "missing")) & (
        levels["shared_words"] == code("shared_words", "none")
    )
    untranslated = (
        two_acts
        | understood
        | named
        | (batch.match[pairs.a] & batch.match[pairs.b])  # teams keep their names
        | (rare & (levels["languages"] == code("languages", "same")))
        | (
            rare
            & (levels["names"] == code("names", "both"))
            & (levels["languages"] < code("languages", "differ_in_words"))
        )
        | ((levels["proper"] == code("proper", "both_missing")) & (one_language | in_a_frame))
    )
    open_ = asked & both & (levels["letters"] > code("letters", "88"))
    result = np.asarray(open_ & untranslated)
    for row in np.flatnonzero(result).tolist():
        result[row] = not _cut_short(batch, int(pairs.a[row]), int(pairs.b[row]))
    for row in np.flatnonzero(result).tolist():
        result[row] = not _act_in_both(batch, int(pairs.a[row]), int(pairs.b[row]), row in known)
    for row in np.flatnonzero(open_ & ~result & batch.framed[pairs.a] & batch.framed[pairs.b]).tolist():
        result[row] = _under_one_frame(batch, int(pairs.a[row]), int(pairs.b[row]))
    return result


def _one_listing_each(pairs: PairFeatures) -> NDArray[np.bool_]:
    """In two languages, at one minute in one place where each source lists one thing: likely a translation."""
    import numpy as np

    levels = pairs.levels
    told = levels["languages"] == code("languages", "differ_in_words")
    return np.asarray(told & (levels["alone_in_slot"] == code("alone_in_slot", "both")))


def _cut_short(batch: Batch, one: int, two: int) -> bool:
    """One title is the beginning of the other, down to the middle of a word."""
    first, second = sorted((batch.titles[one].letters, batch.titles[two].letters), key=len)
    return len(first) >= _CUT and second.startswith(first)


_CUT = 16
"""Letters from which a title's beginning stands for it."""


def _under_one_frame(batch: Batch, one: int, two: int) -> bool:
    """Both titles write the same frame, so they are of one language, and what they put into it is not alike.

    Two words on both sides of a dash or an `@` are two teams, and a team plays one game at a time.
    """
    first, second = batch.titles[one], batch.titles[two]
    apart = set(first.head) ^ set(second.head)
    teams = len(first.head) == len(second.head) == len(apart) == 2 and default_lexicon().frames.isdisjoint(apart)
    return (teams or not first.frames.isdisjoint(second.frames)) and not _misspelt(batch, one, two)


def _act_in_both(batch: Batch, one: int, two: int, understood: bool) -> bool:
    """What names an act, and not the place or a series, stands in both titles: a whole piece, or the rest but for typos."""
    first, second = batch.titles[one], batch.titles[two]
    if batch.match[one] and batch.match[two]:
        return _same_game(first, second) or _misspelt(batch, one, two)
    if batch.match[one] or batch.match[two]:
        # `Castors de Moncton – Faucons de Laval`: a game that its title does not call one.
        game, other = (first, second) if batch.match[one] else (second, first)
        if all(not side.isdisjoint(other.head) for side in _sides(game)):
            return True
    if not COMPOSERS.isdisjoint(set(first.head) & set(second.head)):
        return True  # one names the soloist, the other the orchestra
    shared = first.pieces & second.pieces
    if shared:
        around, lexicon = _around(batch, one, two), default_lexicon()
        # `Nuits Comets` is what several acts play under, and what is understood in both names no act.
        if any(
            not around.issuperset(piece)
            and (lexicon.frames - _GROUPS).isdisjoint(piece)
            and not (understood and lexicon.concepts.issuperset(piece))
            for piece in shared
        ):
            return True
    return _misspelt(batch, one, two)


_GROUPS = frozenset({"circus"})
"""Frames that stand in the names of those who play, too: `Cirque Vaillancourt`."""


def _same_game(one: ParsedTitle, two: ParsedTitle) -> bool:
    """Each of the two sides has a word in common with a side of the other game; home and away may change places."""
    (home, away), (host, guest) = _sides(one), _sides(two)
    return bool((home & host and away & guest) or (home & guest and away & host))


def _sides(title: ParsedTitle) -> tuple[set[str], set[str]]:
    middle = title.head.index("match")
    return set(title.head[:middle]), set(title.head[middle + 1 :])


def _around(batch: Batch, one: int, two: int) -> set[str]:
    """The words of the two venues and cities."""
    return {
        batch.tokens[token]
        for i in (one, two)
        for token in batch.around.data[batch.around.start[i] : batch.around.start[i + 1]].tolist()
    }


def _misspelt(batch: Batch, one: int, two: int) -> bool:
    """What the two titles do not share is spelt much alike: word by word, then what is left as a whole."""
    from rapidfuzz.fuzz import ratio

    first, second, around = batch.titles[one], batch.titles[two], _around(batch, one, two)
    # A course, a workshop: what form it has is no name.
    left = [word for word in first.head if word not in second.head and word not in around and word not in FORMS]
    right = [word for word in second.head if word not in first.head and word not in around and word not in FORMS]
    for word in tuple(left):
        twin = max(right, key=lambda other: ratio(word, other), default="")
        if ratio(word, twin) >= _TYPO:
            left.remove(word)
            right.remove(twin)
    return not left or not right or ratio("".join(left), "".join(right)) >= _MISSPELT


_TYPO = 80.0
_MISSPELT = 72.0


def nothing_in_common(batch: Batch, pairs: PairFeatures) -> NDArray[np.bool_]:
    """Titles that share no word and hardly a letter, where one cannot be the other's translation."""
    import numpy as np
    from rapidfuzz.fuzz import partial_ratio
    from rapidfuzz.process import cpdist

    levels = pairs.levels
    strangers = (
        (levels["title"] == code("title", "nothing"))
        & (levels["spelling"] >= code("spelling", "65"))
        & (levels["letters"] == code("letters", "apart"))
    )
    own_words = (levels["names"] > 0) | (levels["languages"] == code("languages", "same"))
    result = np.asarray(strangers & own_words)
    rows = np.flatnonzero(result)
    if len(rows):
        # A misspelt name beside a venue or a slogan: one title is nearly within the other.
        left = [batch.raws[i] for i in batch.raw[pairs.a[rows]].tolist()]
        right = [batch.raws[i] for i in batch.raw[pairs.b[rows]].tolist()]
        result[rows] = cpdist(left, right, scorer=partial_ratio, dtype=np.float32) < _WITHIN
    return result


_WITHIN = 75.0
