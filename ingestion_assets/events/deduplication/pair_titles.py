"""What two titles have in common, as levels: words, spelling, languages.

Belongs here: titles. Places, times and what else happens that day belong to `pair_listings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingestion_assets.events.deduplication.columns import Batch, Csr, distinct
from ingestion_assets.events.deduplication.lexicon import default_lexicon

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Floats, Ints

    Levels = NDArray[np.int8]
    Mask = NDArray[np.bool_]


@dataclass(slots=True)
class Overlap:
    """By pair: what two heads share, and what each has alone."""

    shared: Floats
    rest: tuple[Floats, Floats]
    known: tuple[Mask, Mask]
    """A word of the lexicon is among what only this head has."""
    understood: tuple[Mask, Mask]
    """All that only this head has are words of the lexicon, and one of them says which event it is."""
    missing: tuple[Mask, Mask]
    """A word that is written like a name is among what only this head has."""
    names: Mask
    """A word that both heads have is none of the lexicon: a name, most often."""
    meant: Mask
    """What each has alone means the same, as the corpus taught."""
    frames: Mask
    """All that both heads have says what kind of event it is, or for whom, and not which."""


def overlap_of(batch: Batch, a: Ints, b: Ints) -> Overlap:
    """Weight (summed idf) of the words that both heads have, and of those that only one has.

    A word spelt almost alike on the other side is shared. A word that stands in the other's or the own venue, city,
    organiser or cast explains itself there and counts little.
    """
    import numpy as np

    size = len(a)
    width = len(batch.idf) + 1
    pair_a, token_a = _expand(batch.head, batch.title[a])
    pair_b, token_b = _expand(batch.head, batch.title[b])
    code_a, code_b = pair_a * width + token_a, pair_b * width + token_b
    in_b, in_a = _within(code_a, code_b), _within(code_b, code_a)
    _forgive_typos(batch, (pair_a, token_a, in_b), (pair_b, token_b, in_a))
    meant = _forgive_translations(batch, (pair_a, token_a, in_b), (pair_b, token_b, in_a), size)

    def some(pair: Ints, chosen: Mask) -> Mask:
        return np.asarray(np.bincount(pair, chosen, minlength=size) > 0)

    def weight(pair: Ints, token: Ints, share: NDArray[Any]) -> Floats:
        return _float(np.bincount(pair, batch.idf[token] * share, minlength=size))

    rests: list[Floats] = []
    knowns: list[Mask] = []
    understood: list[Mask] = []
    missing: list[Mask] = []
    for own, other, pair, token, found in ((a, b, pair_a, token_a, in_b), (b, a, pair_b, token_b, in_a)):
        left = ~found
        explained = np.zeros(len(pair), dtype=bool)
        rows = pair[left]
        if len(rows):
            known = np.zeros(len(rows), dtype=bool)
            touched = distinct(rows)
            position = np.searchsorted(touched, rows)
            # A name in the cast of the other is in both; in the own cast it is the act that the other lacks.
            for csr, side in ((batch.around, a), (batch.around, b), (batch.cast, other)):
                context_pair, context_token = _expand(csr, side[touched])
                known |= _within(position * width + token[left], context_pair * width + context_token)
            explained[left] = known
        rests.append(
            weight(pair, token, left * np.where(explained, _EXPLAINED, np.where(batch.form[token], _FORM, 1.0)))
        )
        solid = left & ~explained
        knowns.append(some(pair, solid & batch.known[token]))
        understood.append(
            some(pair, solid & batch.known[token] & ~batch.frame[token]) & ~some(pair, solid & ~batch.known[token])
        )
        named_pair, named_token = _expand(batch.proper, own)
        missing.append(some(pair, solid & _within(pair * width + token, named_pair * width + named_token)))
    return Overlap(
        shared=(weight(pair_a, token_a, in_b) + weight(pair_b, token_b, in_a)) / 2,
        rest=(rests[0], rests[1]),
        known=(knowns[0], knowns[1]),
        understood=(understood[0], understood[1]),
        missing=(missing[0], missing[1]),
        names=some(pair_a, in_b & ~batch.known[token_a]),
        meant=meant,
        frames=some(pair_a, in_b) & ~some(pair_a, in_b & ~batch.frame[token_a]),
    )


_NOTHING = 0.9
"""Weight below which nothing is left over: three or four words of a venue's name."""
_EXPLAINED = 0.04
_FORM = 0.3
"""How much of its weight a left-over word keeps that the venue, the city or the cast explains."""


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
    # A word that the lexicon knows was written as one of its spellings, and it is these that are misspelt.
    spellings = default_lexicon().spellings
    owner: list[int] = []
    left: list[str] = []
    right: list[str] = []
    for place, code in enumerate(codes.tolist()):
        first, second = batch.tokens[code // width], batch.tokens[code % width]
        known = spellings.get(first), spellings.get(second)
        if known[0] and known[1]:
            continue
        for x in known[0] or (first,):
            for y in known[1] or (second,):
                owner.append(place)
                left.append(x)
                right.append(y)
    near = np.zeros(len(codes), dtype=bool)
    if left:
        close = cpdist(left, right, scorer=OSA.distance, score_cutoff=2, dtype=np.int32) <= np.asarray(
            [_typos_allowed(x, y) for x, y in zip(left, right, strict=True)], dtype=np.int32
        )
        near[np.asarray(owner)[close]] = True
    hit = near[back]
    found_a[one[hit]] = True
    found_b[two[hit]] = True


def _forgive_translations(
    batch: Batch, side_a: tuple[Ints, Ints, Mask], side_b: tuple[Ints, Ints, Mask], size: int
) -> Mask:
    """Mark what is left over on both sides as found where the corpus taught that the two phrases mean the same.

    The result says in which pairs.
    """
    import numpy as np

    if not batch.translations:
        return np.zeros(size, dtype=bool)
    number = {token: i for i, token in enumerate(batch.tokens)}
    # A phrase is known by the sum of its words' random numbers, so that all pairs are looked up at once.
    random = np.random.default_rng(0).integers(1, 2**63, size=len(batch.tokens), dtype=np.uint64)
    factor = np.uint64(0x9E3779B97F4A7C15)

    def phrase(text: str) -> int | None:
        ids = [number.get(word) for word in text.split()]
        return None if None in ids else int(random[np.asarray(ids, dtype=np.int64)].sum())

    known = [(one, two) for one, two in (map(phrase, pair) for pair in batch.translations) if one and two]
    if not known:
        return np.zeros(size, dtype=bool)
    ordered = np.sort(np.asarray(known, dtype=np.uint64), axis=1)
    with np.errstate(over="ignore"):
        codes = distinct(ordered[:, 0] * factor ^ ordered[:, 1])
        sums = []
        for pair, token, found in (side_a, side_b):
            total = np.zeros(size, dtype=np.uint64)
            np.add.at(total, pair[~found], random[token[~found]])
            sums.append(total)
        low, high = np.minimum(*sums), np.maximum(*sums)
        meant = (low > 0) & np.isin(low * factor ^ high, codes)
    for pair, _, found in (side_a, side_b):
        found |= meant[pair]
    return np.asarray(meant)


def _typos_allowed(one: str, two: str) -> int:
    """Letters that may differ. Short words and numbers must be the same: `2` and `3`, `Ana` and `Ani` are two things."""
    if not one.isalpha() or not two.isalpha():
        return -1
    shorter = min(len(one), len(two))
    if shorter == 4:
        return 1 if len(one) == len(two) and sorted(one) == sorted(two) else -1  # `Oamr`: two letters swapped
    return -1 if shorter < 5 else 1 if shorter < 9 else 2


def title_levels(batch: Batch, a: Ints, b: Ints, overlap: Overlap) -> dict[str, Levels]:
    import numpy as np

    low, high = np.minimum(*overlap.rest), np.maximum(*overlap.rest)
    total = overlap.shared + low + high
    share = np.divide(overlap.shared, total, out=np.zeros(len(a)), where=total > 0)
    spelling = spelling_of(batch.texts, batch.title[a], batch.title[b])
    letters = spelling_of(batch.raws, batch.raw[a], batch.raw[b])
    same = (batch.title[a] == batch.title[b]) | (spelling >= 100.0)
    # Where only a venue or a city is left over, the titles are spelt alike but for it.
    spelling = np.where(~same & (high < _NOTHING), np.maximum(spelling, 97.0), spelling)
    letters = np.where(~same & (high < _NOTHING), np.maximum(letters, 95.0), letters)
    title = np.select(
        [
            same,
            share >= 0.85,
            (low < _NOTHING) & (overlap.shared > 0),
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
                same | (high < _NOTHING),
                low < _NOTHING,
                overlap.known[0] & overlap.known[1],
                (languages == 1) & (overlap.known[0] | overlap.known[1]),
                languages == 1,
                overlap.known[0] | overlap.known[1],
                languages >= 2,
            ],
            [0, 1, 7, 6, 5, 4, 2],
            default=3,
        ).astype(np.int8),
        "proper": np.select(
            [same | (low < _NOTHING), overlap.missing[0] & overlap.missing[1], overlap.missing[0] | overlap.missing[1]],
            [0, 2, 1],
        ).astype(np.int8),
        "french_name": ((overlap.missing[0] & batch.french[a]) | (overlap.missing[1] & batch.french[b])).astype(
            np.int8
        ),
        "shared_weight": _weight_level(overlap.shared),
        "shared_words": np.select([overlap.shared <= 0, overlap.names, overlap.frames], [0, 3, 1], default=2).astype(
            np.int8
        ),
        "spelling": np.select(
            [spelling >= 100, spelling >= 97, spelling >= 90, spelling >= 80, spelling >= 65, spelling >= 50],
            [0, 1, 2, 3, 4, 5],
            default=6,
        ).astype(np.int8),
        "letters": np.select(
            [letters >= 100, letters >= 95, letters >= 88, letters >= 75], [0, 1, 2, 3], default=4
        ).astype(np.int8),
        "languages": languages.astype(np.int8),
        "understood": np.select(
            [overlap.understood[0] & overlap.understood[1], overlap.understood[0] | overlap.understood[1]], [2, 1]
        ).astype(np.int8),
        "translated": np.select(
            [languages < 2, title <= 3, title <= 5, languages == 2], [0, 1, 2, 3], default=4
        ).astype(np.int8),
    }


def _weight_level(weight: Floats) -> Levels:
    """None, less than a rare word, one, two, more. A rare word weighs about 7 (one in a thousand titles)."""
    import numpy as np

    return np.select([weight < _NOTHING, weight < 4.0, weight < 8.5, weight < 14.0], [0, 1, 2, 3], default=4).astype(
        np.int8
    )


def spelling_of(texts: Sequence[str], one: Ints, two: Ints) -> Floats:
    """Similarity 0..100 of two columns of text ids, each pair of texts once."""
    import numpy as np
    from rapidfuzz.fuzz import ratio
    from rapidfuzz.process import cpdist

    width = len(texts)
    codes, back = np.unique(np.minimum(one, two) * width + np.maximum(one, two), return_inverse=True)
    left, right = [texts[i] for i in codes // width], [texts[i] for i in codes % width]
    return np.asarray(cpdist(left, right, scorer=ratio, dtype=np.float32), dtype=np.float64)[back]
