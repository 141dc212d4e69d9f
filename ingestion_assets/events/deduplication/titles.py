"""A title read once: the act, who supports it, and what the rest says about the listing.

Belongs here: what one title says by itself. Comparing two titles belongs to `pairs`.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import lru_cache

from ingestion_assets.events.deduplication.lexicon import Entry, Lexicon, default_lexicon, singular
from ingestion_assets.events.deduplication.text import bare, fold, stem, words
from ingestion_assets.events.deduplication.venues import (
    Likeness,
    compare_venues,
    parse_city,
    parse_venue,
)

_ITEM = re.compile(
    r"(?P<clock>\b\d{1,2}\s?h\s?\d{2}\b|\b\d{1,2}\s?h\b(?!')|\b\d{1,2}(?::\d{2})?\s?[ap]\.?m\b\.?|\b\d{1,2}:\d{2}\b)"
    r"|(?P<ages>\bages?\s\d{1,2}\s?(?:[-–]|to|a)\s?\d{1,2}\b|\b\d{1,2}\s?(?:[-–]|to|a)\s?\d{1,2}\s(?:ans|years|yrs?|y/?o)\b)"
    r"|(?P<ofmany>\b\d{1,2}\s?(?:/|\bof\b|\bde\b|\bsur\b)\s?\d{1,2}\b)"
    r"|(?P<hash>(?:#|\bn[o°º]\.?)\s?\d+)"
    r"|(?P<counted>\b[jl]\s?\d{1,2}\b)"
    r"|(?P<word>[^\W_]+(?:['&.][^\W_]+)*)"
    r"|(?P<sep>[()\[\]{}:|/@;!?•·\"«»]|\s[-–—~_]+\s|[–—]|[-–—]\s|,\s)"
    r"|(?P<join>[+])"
)
_MONTH = (
    r"(?:janvier|january|janv|jan|fevrier|february|fevr?|feb|mars|march|mar|avril|april|avr|apr|mai|may|juin|june|jun|"
    r"juillet|july|juil|jul|aout|august|aug|septembre|september|sept?|octobre|october|oct|novembre|november|nov|"
    r"decembre|december|dec)\b\.?"
)
_DAY = r"\d{1,2}(?:er|st|nd|rd|th)?\b"
_TO = r"\s*(?:[-–&,]|\b(?:to|au|a|et|and)\b)\s*"
_LEAD = r"(?:\b(?:du|le|les|from|on|the)\s+)?"
_DATE = re.compile(
    rf"{_LEAD}\b(?:{_DAY}(?:\s+{_MONTH})?{_TO})*{_DAY}\s+{_MONTH}(?:,?\s+20\d\d\b)?"
    rf"|{_LEAD}\b{_MONTH}\s+{_DAY}(?:{_TO}(?:{_MONTH}\s+)?{_DAY})*(?:,?\s+20\d\d\b)?"
    r"|\b20\d\d-[01]\d-[0-3]\d\b|\b[0-3]?\d/[0-3]?\d/20\d\d\b"
    # How long it lasts, said beside its name: `: 3 jours`, `(2-day)`.
    r"|(?<=[,:(\[|–-])\s?\d{1,2}[\s-](?:days?|jours)(?=\s*(?:$|[)\]|,:–-]))"
)
"""A date in a title repeats what the record says in its own field, or says how long the event lasts."""
_ROMAN = {"ii": 2, "iii": 3, "iiii": 4, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "xi": 11, "xii": 12}
_ROMAN_PART = {**_ROMAN, "i": 1, "v": 5, "x": 10}
_NUMBER = {
    word: number
    for number, names in enumerate(
        (
            "un une one premier premiere first", "deux two deuxieme second seconde", "trois three troisieme third",
            "quatre four quatrieme fourth", "cinq five cinquieme fifth", "six sixieme sixth", "sept seven septieme seventh",
            "huit eight huitieme eighth", "neuf nine neuvieme ninth", "dix ten dixieme tenth",
        ),
        start=1,
    )
    for word in names.split()
}  # fmt: skip
_ORDINAL = re.compile(r"^(\d{1,3})(?:e|er|re|ere|eme|ieme|st|nd|rd|th)$")
_YEAR = re.compile(r"^(?:19|20)\d\d$")
_OF_NAMES = frozenset({"word", "sep", "support", "clock", "status", "number"})
_ELISION = re.compile(r"\b(?:l|d|qu|j|c|s|n|m)['’]\w")
_EDITION = frozenset({"edition", "annual", "annuel", "annuelle", "anniversaire", "anniversary"})
_GATHERINGS = frozenset({"meetup", "meetups", "meeting", "rencontre", "rencontres"})
_CLOSING = frozenset({"tickets", "live"})
_ON_THE_NET = frozenset({"webinar", "webinar:", "webinaire", "webinaire:", "zoom"})
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MEALS = frozenset({"dinner", "brunch"})
_LABELS = frozenset({"status", "session", "addon", "calendar", "stop", "clock", "part", "number"})


@dataclass(frozen=True, slots=True)
class ParsedTitle:
    """What one title says. All words are folded, and replaced by their lexicon code or their stem."""

    head: tuple[str, ...]
    """The words that say which event it is, in order, each once. Never empty."""
    support: tuple[str, ...] = ()
    """Words of lesser acts and guests."""
    presenters: tuple[str, ...] = ()
    text: str = ""
    """The head's words sorted: what string similarities compare."""
    kinds: frozenset[str] = frozenset()
    secondary: frozenset[str] = frozenset()
    """Kinds that happen beside another event: workshop, talk, opening …"""
    publics: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    clock: int | None = None
    """A time of day in the title, in minutes."""
    parts: frozenset[tuple[str, int]] = frozenset()
    numbers: frozenset[str] = frozenset()
    addons: frozenset[str] = frozenset()
    tribute: bool = False
    plays: bool = False
    """`X plays Y`: a tribute by X where the other listing is of Y alone, a recital where it names both."""
    online: bool = False
    """It says that the event is on the net."""
    umbrella: bool = False
    statuses: frozenset[str] = frozenset()
    moved: bool = False
    """It says that the place has changed: another listing may still name the old one."""
    name: bool = False
    """It is made of words that nobody knows and none that joins them: a name, which is not translated."""
    lang: str = ""
    """`fr`, `en`, or empty: what its little words and accents say, when they say anything."""
    letters: str = ""
    """The whole title's letters and digits, folded."""
    words: tuple[str, ...] = ()
    """Its words as written, folded: what tells the language of titles without little words."""
    pieces: frozenset[tuple[str, ...]] = frozenset()
    """What stands between separators and names something: an act, not a festival, not a genre."""
    frames: frozenset[str] = frozenset()
    """The pieces, as written, that say under what an act or a topic is on: a festival, a night, a kind of event."""
    framed: bool = False
    """Several pieces make the head: a frame and what it frames, an act and its tour."""
    act: bool = False
    """Written like a name all through, without an article before it: an act, for works begin with one or go on small."""
    proper: frozenset[str] = frozenset()
    """Words of the head that are written like names, in a title that writes its other words small."""


class _Unit:
    """One piece of a title: a phrase of the lexicon, a plain word, a clock, a number or a separator."""

    __slots__ = ("code", "role", "value", "weak", "word")

    def __init__(self, role: str, code: str, *, weak: bool = False, value: int | None = None, word: str = "") -> None:
        self.role = role
        self.word = word or code
        self.code = code
        self.weak = weak
        self.value = value


@lru_cache(maxsize=32_768)
def parse_title(title: str) -> ParsedTitle:
    """Read a title with the shipped lexicon. Cached: series and chains repeat their titles by the thousand."""
    return _Parser(default_lexicon()).parse(title)


_PLACE_BEGINS = re.compile(
    r"\s+(?:@|[-–—|])\s+|\s*[|()\[\]@]\s*|\s*:\s+|,\s+|\s+(?:at|in|à|au|aux|chez)\s+(?:(?:la|le|les|the)\s+|l['’])?",
    re.IGNORECASE,
)


@lru_cache(maxsize=32_768)
def without_place(title: str, venue: str | None, city: str | None) -> str:
    """The title but for the pieces that name its own venue: `X @ Théâtre Y`, `Club Y : X`, `X au Musée Y`.

    They would be taken for what the event is: a play, where the venue is a theatre. Something always stays.
    """
    town = parse_city(city)
    place = parse_venue(venue, town)
    if place.core.isdisjoint(stem(word) for word in words(title)):
        return title
    begin, kept, dropped = 0, "", ""
    for found in (*_PLACE_BEGINS.finditer(title), None):
        piece = title[begin : found.start() if found else None]
        named = parse_venue(piece, town)
        if named.core and named.core <= place.core and compare_venues(named, place) >= Likeness.STRONG:
            dropped += piece
        else:
            kept += piece
        if found:
            kept += found[0]
            begin = found.end()
    return kept if dropped and any(map(str.isalpha, kept)) else title


class _Parser:
    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon

    def parse(self, title: str) -> ParsedTitle:
        title = _CUT_OFF.sub("", title) if title.rstrip().endswith(("…", "...")) else title
        folded = fold(title)
        folded = (
            _DATE.sub(" ", folded) if not folded.isalpha() and _DATE.sub("", folded).strip(" -–:,()[]|") else folded
        )
        units = _number_parts(self._units(folded))
        segments = _segments(units)
        head: list[str] = []
        support: list[str] = []
        presenters: list[str] = []
        pieces: list[tuple[str, ...]] = []
        frames: set[str] = set()
        flags: dict[str, set[str]] = {
            name: set() for name in ("kind", "secondary", "public", "session", "addon", "status")
        }
        parts: set[tuple[str, int]] = set()
        weekdays: set[tuple[str, int]] = set()
        clock: int | None = None
        alone = 0
        tribute = plays = umbrella = trailing = framed = False
        for segment in segments:
            label = all(unit.role in _LABELS for unit in segment)
            # `w/ X` and `et invités : X`: the word stands before the separator, its names behind it.
            lesser = trailing and bool(head)
            trailing = segment[-1].role == "support"
            before, named = len(head), False
            for position, unit in enumerate(segment):
                role = unit.role
                if role == "calendar" and label and unit.code in _WEEK:
                    weekdays.add(("weekday", _WEEK.index(unit.code)))
                if role in ("stop", "calendar"):
                    continue
                if role == "clock":
                    clock = unit.value if clock is None else clock
                    continue
                if role == "number" and unit.value is not None:
                    parts.add((unit.code, unit.value))
                    continue
                if role in ("status", "session", "addon") and (label or not unit.weak):
                    flags[role].add(unit.code)
                    continue
                if role == "tribute" and unit.code == "plays":
                    plays = plays or position > 0
                    continue
                if role == "tribute":
                    tribute = True
                    if not unit.weak:
                        continue
                elif role == "support":
                    # A title that begins with `Avec …` names no act before it; its words are the act.
                    lesser = lesser or bool(head)
                    continue
                elif role == "presents":
                    if position and unit.code == "presents" and head:
                        presenters += head
                        head.clear()
                        before, pieces = 0, []
                    continue
                elif role == "umbrella":
                    umbrella = True
                elif role == "status" and unit.code in _CLOSING and unit is segment[-1] and head:
                    continue  # `X Tickets`, `X Live`
                elif lesser and unit.code in _MEALS:
                    flags["addon"].add("package")  # `X + souper` sells X with a meal
                elif role in ("kind", "secondary", "public"):
                    flags[role].add(unit.code)
                named = named or (unit.role == "word" and unit.code.isalpha() and not lesser)
                if lesser and not support:
                    alone = len(head)
                (support if lesser else head).append(unit.code)
            if len(head) > before:
                frame = any(unit.role == "umbrella" for unit in segment)
                if any(_frames(unit, self.lexicon) for unit in segment):
                    frames.add(" ".join(unit.word for unit in segment))
                pieces.append(tuple(sorted(set(head[before:]))) if named and not frame else ())
        large = _proper(title)
        before_support = head[:alone] if alone else head
        head = list(dict.fromkeys(head))
        if head and support and all(word in self.lexicon.frames for word in before_support):
            pieces.append(tuple(sorted(set(support))))
            head, support, framed = list(dict.fromkeys(head + support)), [], True  # `Workshop with X` is about X
        if not head:
            spoken = [unit.code for unit in units if unit.role not in ("sep", "clock", "stop")]
            # `!!!` is a band and `20h` may be a title: then the whole text is the one word there is.
            head = list(dict.fromkeys(support or spoken)) or [folded.strip()]
            support = []
        return ParsedTitle(
            head=tuple(head),
            support=tuple(dict.fromkeys(word for word in support if word not in head)),
            presenters=tuple(dict.fromkeys(presenters)),
            text=" ".join(sorted(head)),
            kinds=frozenset(flags["kind"]),
            secondary=frozenset(flags["secondary"]),
            publics=frozenset(flags["public"]),
            sessions=frozenset(flags["session"]),
            clock=clock,
            # A festival and its Sunday are two; of anything else a weekday repeats the date.
            parts=frozenset(parts | weekdays if umbrella else parts),
            numbers=frozenset(word for word in head if word.isdigit())
            | {unit.word for unit in units if unit.role == "public" and unit.word[0].isdigit()},
            addons=frozenset(flags["addon"]),
            tribute=tribute,
            plays=plays,
            umbrella=umbrella,
            statuses=frozenset(flags["status"]),
            moved="moved" in flags["status"],
            online="en_ligne" in flags["status"] or "en_ligne" in head or not _ON_THE_NET.isdisjoint(folded.split()),
            name=all(unit.role in _OF_NAMES for unit in units) and not _ELISION.search(title.lower()),
            letters="".join(filter(str.isalnum, folded)),
            lang=_language(title),
            words=tuple(unit.word for unit in units if unit.role not in ("sep", "clock", "number", "stop")),
            pieces=frozenset(filter(None, pieces)),
            frames=frozenset(frames) if len(pieces) > 1 else frozenset(),
            framed=framed or len(pieces) > 1,
            act=len(head) > 1 and _is_act(title),
            proper=frozenset(unit.code for unit in units if large.intersection(unit.word.split())) & frozenset(head),
        )

    def _units(self, text: str) -> list[_Unit]:
        """The title's pieces, longest known phrases first. A phrase never reaches across a separator."""
        units: list[_Unit] = []
        run: list[str] = []
        for found in _ITEM.finditer(text):
            group = found.lastgroup
            if group == "word":
                word = bare(found[0].replace(".", ""))
                if word:
                    run.append(word)
                continue
            units += self._phrases(run)
            run = []
            if group == "clock":
                units.append(_Unit("clock", "clock", value=_minutes(found[0])))
            elif group == "ages":
                units.append(_ages(found[0]))
            elif group in {"ofmany", "hash"}:
                units.append(_Unit("number", "part", value=int(re.findall(r"\d+", found[0])[0])))
            elif group == "counted":  # `J2` is the second day, `L2` the second level
                code = "day" if found[0].startswith("j") else "level"
                units.append(_Unit("number", code, value=int(found[0][1:])))
            elif group == "join":
                units.append(_Unit("support", "support"))
            else:
                units.append(_Unit("sep", found[0].strip() or "-"))
        return units + self._phrases(run)

    def _phrases(self, run: list[str]) -> list[_Unit]:
        units: list[_Unit] = []
        position = 0
        known = [singular(word) for word in run]
        while position < len(run):
            entry: Entry | None = self.lexicon.match(known, position)
            if entry is None:
                entry = self.lexicon.misspelt(known[position])
            if entry is None:
                # A stem that happens to be a code of the lexicon is none: `belle` is no bell.
                plain = stem(run[position])
                plain = f"{run[position]}'" if plain in self.lexicon.concepts else plain
                units.append(_Unit("word", plain, word=run[position]))
                position += 1
                continue
            # `Saturday` repeats the date; `Saturdays` is what a series is called.
            habitual = entry.role == "calendar" and known[position] != run[position]
            role = "concept" if habitual else entry.role
            word = run[position] if len(entry.phrase) == 1 else " ".join(entry.phrase)
            units.append(_Unit(role, entry.code, weak=entry.weak, word=word))
            position += len(entry.phrase)
        return units


def _frames(unit: _Unit, lexicon: Lexicon) -> bool:
    return unit.code in lexicon.frames or unit.code in lexicon.weekdays


def _ages(text: str) -> _Unit:
    """`6-12 ans`, `ages 6 to 12`: for whom it is, and its own number where a day has several groups."""
    youngest, oldest = (int(found) for found in re.findall(r"\d+", text))
    public = "child" if oldest <= 12 else "teen" if oldest <= 17 else "adult"
    return _Unit("public", public, word=f"{youngest}-{oldest}")


_CUT_OFF = re.compile(r"(?<=\w)\W+\w*(?:…|\.\.\.)\s*$")
_SPOKEN = re.compile(r"[^\W\d_][^\W_]*(?:['’][^\W_]+)*")
_PIECE = re.compile(
    r"\s[-–—|/@+~]+\s|[()\[\]{}:|;!?•·\"«»–—,]|\s(?:avec|with|par|by|feat\.?|ft\.?|w/|présentent?|presents?|vs\.?|contre|at|à)\s",
    re.IGNORECASE,
)
_LEADING = frozenset("the les le la l un une a".split())
_ARTICLES = frozenset("the les le la l un une a and et & of".split())


def _proper(title: str) -> set[str]:
    """The words, folded, that are written like names; none where the whole title is in capitals.

    Two kinds: a large word inside a piece that writes others small, and every word of a piece of two and more that are
    all large. English titles write everything large, French ones only names: so this says something about two titles
    together, where each has such words that the other lacks.
    """
    large: set[str] = set()
    for piece in _PIECE.split(html.unescape(title)):
        spoken = [_unelided(word) for word in _SPOKEN.findall(piece)]
        content = [word for word in spoken if word.lower() not in _ARTICLES]
        if not content or piece.isupper():
            continue
        if len(content) > 1 and all(word[0].isupper() for word in content):
            large.update(content)
        elif any(len(word) > 3 and word.islower() for word in content[1:]):
            large.update(word for word in spoken[1:] if word[0].isupper() and not word.isupper())
    return {bare(fold(word)) for word in large}


def _is_act(title: str) -> bool:
    first = _PIECE.split(html.unescape(title))[0]
    spoken = _SPOKEN.findall(first)
    return (
        len(spoken) > 1
        and not first.isupper()
        and spoken[0].lower() not in _LEADING
        and all(word[0].isupper() for word in spoken if word.lower() not in _ARTICLES)
    )


def _unelided(word: str) -> str:
    return word.replace("’", "'").rpartition("'")[2] if word[1:2] in ("'", "’") else word


_FRENCH = frozenset(
    "le la les un une des du de et à au aux avec pour sur dans chez ou en l d autour par son sa ses qu".split()
)
_ENGLISH = frozenset("the of and with for in at by to from on an its our your w about into a's".split())
_FRENCH_COMMON = frozenset(
    "jour jours soir soiree soirees atelier ateliers cours heure fete spectacle enfants ados adultes famille groupe "
    "partie seance volet niveau journee rencontre rencontres lancement exposition vernissage visite marche foire nuit "
    "nuits conte contes comptines souper stationnement navette forfait hommage tournee projection bibliotheque".split()
)
_ENGLISH_COMMON = frozenset(
    "day days night nights evening workshop workshops class classes hour show kids teens adults family group session "
    "chapter level meeting launch exhibition opening tour market fair story stories storytime dinner parking shuttle "
    "package tribute lecture screening library talk time meet game games beginners introduction made easy".split()
)
"""Words of listings that are of one language for certain; they decide where no little word does."""
_ACCENTS = frozenset("éèêàçôîûùœ")
_LETTERS = re.compile(r"[^\W\d_]+")


def _language(title: str) -> str:
    title = title.lower()
    found = set(_LETTERS.findall(title))
    french, english = len(found & _FRENCH), len(found & _ENGLISH)
    if french == english:
        plain = {fold(word) for word in found}
        french, english = len(plain & _FRENCH_COMMON), len(plain & _ENGLISH_COMMON)
    if french == english:
        return "fr" if not _ACCENTS.isdisjoint(title) else ""
    return "fr" if french > english else "en"


def _segments(units: list[_Unit]) -> list[list[_Unit]]:
    segments: list[list[_Unit]] = [[]]
    for unit in units:
        if unit.role == "sep":
            if segments[-1]:
                segments.append([])
        else:
            segments[-1].append(unit)
    return [segment for segment in segments if segment]


def _number_parts(units: list[_Unit]) -> list[_Unit]:
    """`Day 2`, `2e partie`, `Part II`: the counting word and its number become one unit. Years and editions go."""
    result: list[_Unit] = []
    position = 0
    while position < len(units):
        unit = units[position]
        following = units[position + 1] if position + 1 < len(units) else None
        if unit.role == "part":
            number = _as_number(following, roman=True) if unit.code != "group" else _group(following)
            if following is not None and following.role == "number":
                number = following.value
            if number is not None:
                result.append(_Unit("number", _counted(unit.code), value=number))
                position += 2
                continue
            # `class`, `part` and the like without a number are plain words; a meeting is a kind of event.
            unit = _Unit("kind", "gathering") if unit.word in _GATHERINGS else _Unit("word", unit.code)
        elif following is not None and unit.role in ("word", "concept"):
            ordinal = _ORDINAL.match(unit.word)
            number = int(ordinal[1]) if ordinal else _NUMBER.get(unit.word)
            if following.role == "part" and number is not None and (ordinal or number <= 10):
                following_code = following.code
                position += 2
                if not (following_code == "volume" and ordinal):  # `12e édition` counts years, not pieces
                    result.append(_Unit("number", _counted(following_code), value=number))
                continue
            if ordinal and following.word in _EDITION:
                position += 2
                continue
        if unit.role == "word" and _YEAR.match(unit.code):
            position += 1
            continue
        if unit.code == "i" and result and (following is None or following.role == "sep"):
            unit = _Unit("word", "1")  # `The Storm I`
        if unit.role == "word" and unit.code in _ROMAN and result:
            unit = _Unit("word", str(_ROMAN[unit.code]))
        result.append(unit)
        position += 1
    return result


_ONE_COUNT = frozenset({"part", "course", "session", "episode", "volume", "concert_no", "module"})


def _counted(code: str) -> str:
    """What is counted: one source calls it the third session, another part 3, and means the same."""
    return "part" if code in _ONE_COUNT else code


def parts_contradict(one: frozenset[tuple[str, int]], two: frozenset[tuple[str, int]]) -> bool:
    """Both count the same sort of thing, and no number is the same. A level and a session say nothing of each other."""
    return not one & two and not {code for code, _ in one}.isdisjoint(code for code, _ in two)


def _group(unit: _Unit | None) -> int | None:
    """`Group 2`, and `group C`, which is no Roman hundred."""
    if unit is not None and unit.role != "sep" and len(unit.word) == 1 and unit.word.isalpha():
        return ord(unit.word) - ord("a") + 1
    return _as_number(unit, roman=False)


def _as_number(unit: _Unit | None, *, roman: bool) -> int | None:
    if unit is None or unit.role in ("sep", "clock"):
        return None
    code = unit.code
    if code.isdigit() and len(code) <= 3:
        return int(code)
    if roman and code in _ROMAN_PART:
        return _ROMAN_PART[code]
    if unit.role in ("word", "concept"):
        return _NUMBER.get(unit.word)
    return None


def _minutes(text: str) -> int | None:
    """`20h30`, `8 pm`, `8:30 p.m.`, `14:00` in minutes after midnight; None for what is no time of day."""
    numbers = [int(found) for found in re.findall(r"\d+", text)]
    hour, minute = numbers[0], numbers[1] if len(numbers) > 1 else 0
    if "p" in text and hour < 12:
        hour += 12
    elif "a" in text and hour == 12:
        hour = 0
    return hour * 60 + minute if hour < 24 and minute < 60 else None
