"""Titles that name two things: each has words of its own, and what they share is no act, no work and no game.

Belongs here: comparing what two titles do not have in common. Labels that contradict each other are in `conflicts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication.columns import Batch
from ingestion_assets.events.deduplication.levels import code
from ingestion_assets.events.deduplication.lexicon import COMPOSERS, FORMS, default_lexicon
from ingestion_assets.events.deduplication.pairs import PairFeatures
from ingestion_assets.events.deduplication.titles import ParsedTitle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def other_words(batch: Batch, pairs: PairFeatures, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each title has words that the other lacks, no act stands in both, and neither can be a translation.

    Only of the pairs that are `asked` for.
    """
    import numpy as np

    levels = pairs.levels
    both = (levels["rest"] > code("rest", "one_side")) & (levels["title"] > code("title", "within"))
    rare = levels["left_over_both"] > code("left_over_both", "light")
    one_language = levels["languages"] < code("languages", "differ")
    in_a_frame = batch.framed[pairs.a] & batch.framed[pairs.b] & (levels["shared_words"] > code("shared_words", "none"))
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
    subject = _subject_in_both(batch, pairs, asked & both)
    # What two items of one conference have in common is its name.
    programme = levels["umbrella"] == code("umbrella", "both_with_rest")
    programme &= batch.framed[pairs.a] & batch.framed[pairs.b]
    untranslated = (
        understood
        | named
        | (batch.match[pairs.a] & batch.match[pairs.b])  # teams keep their names
        # A word of the subject that both have may be what two editors wrote around.
        | (rare & (levels["languages"] == code("languages", "same")) & (~subject | programme))
        | ((levels["proper"] == code("proper", "both_missing")) & (one_language | in_a_frame))
    )
    unlike = np.asarray(levels["letters"] > code("letters", "88"))
    one_tongue = levels["languages"] < code("languages", "differ")
    for row in np.flatnonzero(asked & both & one_tongue & (levels["letters"] == code("letters", "88"))).tolist():
        unlike[row] = _one_word_other(batch, int(pairs.a[row]), int(pairs.b[row]))
    open_ = asked & both & unlike & ~_one_subject(batch, pairs, subject)
    result = np.asarray(open_ & untranslated)
    for row in np.flatnonzero(result).tolist():
        result[row] = not cut_short(batch, int(pairs.a[row]), int(pairs.b[row]))
    for row in np.flatnonzero(result).tolist():
        result[row] = not _act_in_both(batch, int(pairs.a[row]), int(pairs.b[row]), row in known)
    framed = batch.framed[pairs.a] & batch.framed[pairs.b] & ~(batch.match[pairs.a] & batch.match[pairs.b])
    for row in np.flatnonzero(open_ & ~result & framed).tolist():
        result[row] = _under_one_frame(batch, int(pairs.a[row]), int(pairs.b[row]))
    return result


def _one_listing_each(pairs: PairFeatures) -> NDArray[np.bool_]:
    """In two languages, at one minute in one place where each source lists one thing: likely a translation."""
    import numpy as np

    levels = pairs.levels
    told = levels["languages"] == code("languages", "differ_in_words")
    return np.asarray(told & (levels["alone_in_slot"] == code("alone_in_slot", "both")))


def _one_subject(batch: Batch, pairs: PairFeatures, subject: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Two editors name one thing, each in words of their own: a word of its subject, or its number, is in both titles.

    At one minute in one place, where each source lists one thing.
    """
    import numpy as np

    levels = pairs.levels
    numbered = levels["parts"] == code("parts", "same")
    result = np.asarray(
        (levels["alone_in_slot"] == code("alone_in_slot", "both"))
        & (levels["time"] == code("time", "same"))
        & (levels["place"] <= code("place", "likely"))
        & (subject | numbered)
        & (
            (levels["proper"] < code("proper", "both_missing"))
            | (levels["languages"] == code("languages", "differ_in_words"))
        )
        & ~(batch.match[pairs.a] | batch.match[pairs.b])
        # Two items of one conference share its name.
        & (levels["umbrella"] != code("umbrella", "both_with_rest"))
    )
    for row in np.flatnonzero(result & ~numbered).tolist():
        one, two = int(pairs.a[row]), int(pairs.b[row])
        shared = set(batch.titles[one].head) & set(batch.titles[two].head)
        result[row] = not shared <= place_words(batch, one, two) | FORMS
    return result


def _subject_in_both(batch: Batch, pairs: PairFeatures, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Both titles have a word that says more than what kind of event it is.

    Not where it stands before the separator of both: `Horizons : Une colère` and `Horizons : La ville` are of one series.
    Only of the pairs that are `asked` for.
    """
    import numpy as np

    result = np.asarray(asked & (pairs.levels["shared_words"] > code("shared_words", "frames_only")))
    for row in np.flatnonzero(result & batch.framed[pairs.a] & batch.framed[pairs.b]).tolist():
        one, two = batch.titles[int(pairs.a[row])].head, batch.titles[int(pairs.b[row])].head
        shared = set(one) & set(two)
        result[row] = not set(one[: len(shared)]) == shared == set(two[: len(shared)])
    return result


def _one_word_other(batch: Batch, one: int, two: int) -> bool:
    """Long titles of the same words but for the last, which is no misspelling: `... Summit: React`, `... Summit: Scala`."""
    from rapidfuzz.fuzz import ratio

    first, second = batch.titles[one].head, batch.titles[two].head
    if set(first[:-1]) != set(second[:-1]):
        return False
    # `The King and the S`: cut off, not another.
    return min(len(first[-1]), len(second[-1])) > 1 and ratio(first[-1], second[-1]) < _UNLIKE


_UNLIKE = 50.0


def cut_short(batch: Batch, one: int, two: int) -> bool:
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
    named = default_lexicon().frames.isdisjoint({*first.head, *second.head})
    teams = len(first.head) == len(second.head) == len(apart) == 2 and named
    return (teams or not first.frames.isdisjoint(second.frames)) and not misspelt(batch, one, two)


def _act_in_both(batch: Batch, one: int, two: int, understood: bool) -> bool:
    """What names an act, and not the place or a series, stands in both titles: a whole piece, or the rest but for typos."""
    first, second = batch.titles[one], batch.titles[two]
    if batch.match[one] and batch.match[two]:
        return _same_game(first, second) or _one_team_at_once(batch, one, two) or misspelt(batch, one, two)
    if batch.match[one] or batch.match[two]:
        # `Castors de Moncton – Faucons de Laval`: a game that its title does not call one.
        game, other = (first, second) if batch.match[one] else (second, first)
        if all(not side.isdisjoint(other.head) for side in _sides(game)):
            return True
    if not COMPOSERS.isdisjoint(set(first.head) & set(second.head)):
        return True  # one names the soloist, the other the orchestra
    alone = set(first.head) - set(second.head), set(second.head) - set(first.head)
    if sum(own <= COMPOSERS for own in alone) == 1 and all(alone):
        return True  # `Verdi's Aida`, `Portland Opera: Aida`
    shared = first.pieces & second.pieces
    if shared:
        around, lexicon = place_words(batch, one, two), default_lexicon()
        # `Nuits Comets` is what several acts play under, and what is understood in both names no act.
        if any(
            not around.issuperset(piece)
            and (lexicon.frames - _GROUPS).isdisjoint(piece)
            and not (understood and lexicon.concepts.issuperset(piece))
            for piece in shared
        ):
            return True
    if _plays_there(batch, first, second, one, two) or _plays_there(batch, second, first, one, two):
        return True
    if _named_within(batch, first, second, one, two) or _named_within(batch, second, first, one, two):
        return True
    return misspelt(batch, one, two)


def _named_within(batch: Batch, named: ParsedTitle, other: ParsedTitle, one: int, two: int) -> bool:
    """`The Silent Garden – Tamndo Players`, `Inés Quesnel's The Silent Garden`: a piece of one is what the other names.

    Of two words or more beside the place, and no festival's or series' name.
    """
    if named.tribute or named.plays or other.tribute or other.plays:
        return False  # two bands may play one singer's songs
    plain = default_lexicon().frames | FORMS | place_words(batch, one, two)
    said = {*other.head, *other.support}
    return not other.umbrella and any(len(set(piece) - plain) > 1 and said.issuperset(piece) for piece in named.pieces)


def _plays_there(batch: Batch, act: ParsedTitle, night: ParsedTitle, one: int, two: int) -> bool:
    """`Talmei [techno]`, `Nuit Galdy w/ Talmei`: all that names somebody in one stands in the cast of the other."""
    names = set(act.head) - default_lexicon().concepts - place_words(batch, one, two)
    return bool(names) and names <= {*night.support}


_GROUPS = frozenset({"circus"})
"""Frames that stand in the names of those who play, too: `Cirque Vaillancourt`."""


def _same_game(one: ParsedTitle, two: ParsedTitle) -> bool:
    """Each of the two sides has a word in common with a side of the other game; home and away may change places."""
    (home, away), (host, guest) = _sides(one), _sides(two)
    return bool((home & host and away & guest) or (home & guest and away & host))


def _one_team_at_once(batch: Batch, one: int, two: int) -> bool:
    """`Eagles vs Dragons`, `Lyon Eagles vs Ghent`: of teams that are called by their towns, and play one game at a time."""
    if batch.minute[one] < 0 or abs(int(batch.minute[one]) - int(batch.minute[two])) > _KICK_OFF:
        return False
    around = place_words(batch, one, two)
    sides = zip(_sides(batch.titles[one]), _sides(batch.titles[two]), strict=True)
    shared = [(host & guest) - around - default_lexicon().frames for host, guest in sides]
    return any(shared) and not around.isdisjoint({*batch.titles[one].head, *batch.titles[two].head})


_KICK_OFF = 35
"""Minutes by which two sources differ about when a game begins."""


def _sides(title: ParsedTitle) -> tuple[set[str], set[str]]:
    middle = title.head.index("match")
    return set(title.head[:middle]), set(title.head[middle + 1 :])


def place_words(batch: Batch, one: int, two: int) -> set[str]:
    """The words of the two venues and cities."""
    return {
        batch.tokens[token]
        for i in (one, two)
        for token in batch.around.data[batch.around.start[i] : batch.around.start[i + 1]].tolist()
    }


def misspelt(batch: Batch, one: int, two: int) -> bool:
    """What the two titles do not share is spelt much alike: word by word, then what is left as a whole."""
    from rapidfuzz.fuzz import ratio

    first, second, around = batch.titles[one], batch.titles[two], place_words(batch, one, two)
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
    cast = batch.parsed["support"]
    for row in np.flatnonzero(result & (cast[pairs.a] + cast[pairs.b] > 0)).tolist():
        one, two = int(pairs.a[row]), int(pairs.b[row])
        first, second = batch.titles[one], batch.titles[two]
        result[row] = not _plays_there(batch, first, second, one, two) and not _plays_there(
            batch, second, first, one, two
        )
    rows = np.flatnonzero(result)
    if len(rows):
        # A misspelt name beside a venue or a slogan: one title is nearly within the other.
        left = [batch.raws[i] for i in batch.raw[pairs.a[rows]].tolist()]
        right = [batch.raws[i] for i in batch.raw[pairs.b[rows]].tolist()]
        result[rows] = cpdist(left, right, scorer=partial_ratio, dtype=np.float32) < _WITHIN
    return result


_WITHIN = 75.0
