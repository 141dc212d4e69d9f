"""A batch of records as columns: what blocking, pair features and clustering work on.

Belongs here: what each column means. Its order is fixed by logical day and key, so nothing downstream depends on the
order of the input. Filling it is `prepare`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingestion_assets.events.deduplication.records import Key, Record
from ingestion_assets.events.deduplication.titles import ParsedTitle
from ingestion_assets.events.deduplication.venues import ParsedVenue

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

PLAYS = 2
"""What `X plays Y` is among the values of `parsed["tribute"]`; a tribute is 1."""


@dataclass(slots=True)
class Csr:
    """Lists of token ids, one a row: row i is `data[start[i]:start[i + 1]]`, ascending."""

    start: Ints
    data: Ints


@dataclass(slots=True)
class Batch:
    """Columns over records sorted by logical day and key. Integer ids are local to the batch; -1 or 0 say "none"."""

    records: Sequence[Record]
    keys: Sequence[Key]
    titles: Sequence[ParsedTitle]
    title: Ints
    """Id of the head's words, the same for the same set of words."""
    texts: Sequence[str]
    """By title id."""
    text_rank: Ints
    """By title id: its place in alphabetical order."""
    head: Csr
    """By title id."""
    raw: Ints
    """Id of the whole title's letters and digits."""
    raws: Sequence[str]
    """By raw id."""
    context: Csr
    """By record: words of its venue, city, organiser, performers and lesser acts."""
    around: Csr
    """By record: words of its venue and city."""
    cast: Csr
    """By record: words of its organiser, performers and lesser acts."""
    idf: Floats
    """By token id."""
    frame: NDArray[np.bool_]
    """By token id: a word that says what kind of event it is, or for whom, and not which."""
    form: NDArray[np.bool_]
    """By token id: a word for a form that many sources put before a title or leave out: a concert, a talk, a film."""
    proper: Csr
    """By record: words of the head that are written like names."""
    known: NDArray[np.bool_]
    """By token id: a word of the lexicon, which means the same in both languages."""
    tokens: Sequence[str]
    chain_names: frozenset[str]
    """Words that the branches of a chain share."""
    translations: frozenset[tuple[str, str]]
    """Phrases that mean the same, as the corpus taught."""
    day: Ints
    minute: Ints
    end: Ints
    """Minutes from the logical day's midnight to the end, -1 when unknown."""
    span: Ints
    """Further days it lasts."""
    offset: Ints
    shifting: NDArray[np.bool_]
    """By record: its source is known for clocks shifted by the UTC offset."""
    source: Ints
    lang: Ints
    """The language that the source or the title's words tell, 0 unknown."""
    spoken: Ints
    """The language that the title's words tell, 0 unknown."""
    venue: Ints
    venues: Sequence[ParsedVenue]
    alias: Ints
    """By record: id of the place its venue's name is an alias of (-1: nowhere)."""
    spot: Ints
    """By record: id of its venue's key whatever the city, -1 where the name has no proper word."""
    place: Ints
    """By record: 1 + index into `addresses`, 0 none."""
    addresses: Sequence[tuple[str, frozenset[str]]]
    city: Ints
    """0: not named."""
    city_rank: Sequence[int]
    """By city id: its place in the alphabet."""
    lat: Floats
    lon: Floats
    url: Ints
    """0: none."""
    people: Sequence[frozenset[str]]
    """Organiser and performers, folded."""
    parsed: Mapping[str, Ints]
    """Small integer codes of what titles say: sessions, parts, addons …, 0 for nothing."""
    sets: Sequence[Any]
    """What those codes stand for."""
    framed: NDArray[np.bool_]
    """By record: several pieces make its title."""
    french: NDArray[np.bool_]
    """By record: its title is French by its own words."""
    online: NDArray[np.bool_]
    """By record: it is on the net, and names no place."""
    match: NDArray[np.bool_]
    """By record: its title is of two teams."""
    area: Ints | None = None
    """By record: its city or the one that its neighbours name (`blocks.areas`), once it was asked for."""

    def __len__(self) -> int:
        return len(self.records)


def distinct(values: Any) -> Any:
    """Each value once, ascending. `numpy.unique` hashes since NumPy 2.3: some sixty times the time of sorting integers."""
    import numpy as np

    ordered = np.sort(values)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered
