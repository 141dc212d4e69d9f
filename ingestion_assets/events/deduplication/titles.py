"""A title read once: the act, who supports it, and what the rest says about the listing.

Belongs here: what one title says by itself. Comparing two titles belongs to `pairs`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ingestion_assets.events.deduplication.lexicon import COMPOSERS, Entry, Lexicon, default_lexicon, singular
from ingestion_assets.events.deduplication.text import bare, fold, stem
from ingestion_assets.events.deduplication.title_style import language_of, proper_words
from ingestion_assets.events.deduplication.title_units import (
    DATE,
    ITEM,
    Unit,
    cut_at_separators,
    further_days,
    minutes,
    number_parts,
    one_date,
    read_ages,
    read_passes,
)

_OF_NAMES = frozenset({"word", "sep", "support", "clock", "status", "number"})
_ELISION = re.compile(r"\b(?:l|d|qu|j|c|s|n|m)['’]\w")
_CLOSING = frozenset({"tickets", "live"})
_ON_THE_NET = re.compile(r"\b(?:webinars?|webinaires?|zoom)\b")
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PAGES = frozenset({"child", "family"})
_IN_PASSING = frozenset({"family"})
_LEVELS = ("beginner", "intermediate", "advanced")
_TONGUE = re.compile(r"[(\[]\s*(fr|en|ang|eng)\s*[)\]]")
_TONGUES = {"fr": "francais", "en": "english", "ang": "english", "eng": "english"}
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
    of_a_day: bool = False
    """It names one day: `Day 2`, `Saturday`, `Feb. 13`. What lasts for days under its name is not it."""
    days: int = 0
    """How many days it says it lasts beyond the first."""
    numbers: frozenset[str] = frozenset()
    addons: frozenset[str] = frozenset()
    tribute: bool = False
    plays: bool = False
    """`X plays Y`: a tribute by X where the other listing is of Y alone, a recital where it names both."""
    introductory: bool = False
    """`Introduction to X`: for beginners, and perhaps no more than a course."""
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
    """The whole title's letters and digits but for a date, folded."""
    words: tuple[str, ...] = ()
    """Its words as written, folded: what tells the language of titles without little words."""
    pieces: frozenset[tuple[str, ...]] = frozenset()
    """What stands between separators and names something: an act, not a festival, not a genre."""
    frames: frozenset[str] = frozenset()
    """The pieces, as written, that say under what an act or a topic is on: a festival, a night, a kind of event."""
    framed: bool = False
    """Several pieces make the head: a frame and what it frames, an act and its tour."""
    proper: frozenset[str] = frozenset()
    """Words of the head that are written like names, in a title that writes its other words small."""


@lru_cache(maxsize=32_768)
def parse_title(title: str) -> ParsedTitle:
    """Read a title with the shipped lexicon. Cached: series and chains repeat their titles by the thousand."""
    return _Parser(default_lexicon()).parse(title)


class _Parser:
    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon

    def parse(self, title: str) -> ParsedTitle:
        title = _CUT_OFF.sub("", title) if title.rstrip().endswith(("…", "...")) else title
        title = _FROM_AGE.sub(" ", title)
        elsewhere = _MOVED.search(title)
        unmoved = title[: elsewhere.start()].rstrip(" |([–—-") if elsewhere else ""
        if elsewhere and unmoved:
            title = unmoved + title[elsewhere.end() :]
        title = _HASHTAGS.sub("", title) if "#" in title else title
        title = _AUTHOR_FIRST.sub(r"\2 by \1", title) if "s " in title else title
        priced = fold(title)
        unpriced = _PRICE.sub(" ", priced)
        worded = unpriced if any(map(str.isalnum, unpriced)) else priced
        dated = _TONGUE.sub(lambda found: f" ({_TONGUES[found[1]]})", worded)
        dated, passes = read_passes(dated)
        dates = [found[0] for found in DATE.finditer(dated)]
        without_dates = DATE.sub(" ", dated) if dates else dated
        days = passes or further_days(dated, dates)
        folded = without_dates if any(map(str.isalpha, without_dates)) else dated
        units = number_parts(self._units(folded))
        segments = cut_at_separators(units)
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
        levels: set[str] = set()
        tribute = plays = umbrella = trailing = framed = False
        for segment in segments:
            label = all(unit.role in _LABELS for unit in segment)
            # `Kids: X`, `Famille : X` say which page it is on; `X for kids` says for whom it is.
            # Behind it families are said in passing, children are not.
            pages = _PAGES if segment is segments[0] else _IN_PASSING if segment is segments[-1] else frozenset()
            category = bool(pages) and len(segments) > 1 and all(unit.code in pages for unit in segment)
            category = category and not any(unit.word[0].isdigit() for unit in segment)  # `U13: X`
            # `w/ X` and `et invités : X`: the word stands before the separator, its names behind it.
            lesser = (trailing or _is_a_tour(segment)) and bool(head)
            trailing = segment[-1].role == "support"
            before, named = len(head), False
            for position, unit in enumerate(segment):
                role = unit.role
                last = unit is segment[-1] and umbrella
                if role == "calendar" and (label or last) and unit.code in _WEEK:
                    weekdays.add(("weekday", _WEEK.index(unit.code)))
                if role == "stop" and unit.word in _BY and head and not lesser:
                    # `The Cold Beach by Maeve Beaulieu`: who wrote it, where the next listing names the company.
                    lesser = all(name.role == "word" for name in segment[position + 1 :]) and unit is not segment[-1]
                if role in ("stop", "calendar") or category:
                    continue
                if role == "clock":
                    clock = unit.value if clock is None else clock
                    continue
                if role == "number" and unit.value is not None:
                    if unit.code != "level" or not 0 < unit.value <= len(_LEVELS):
                        parts.add((unit.code, unit.value))
                    if unit.code == "level" and unit.value > 0:
                        level = _LEVELS[min(unit.value, len(_LEVELS)) - 1]
                        levels.add(level)  # `level 2` is for the intermediate
                        head.append(level)
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
                elif role == "presents" and unit.word.split()[-1] in _BY:
                    lesser = lesser or bool(head)  # `X hosted by Y`
                    continue
                elif role == "presents":
                    if position and unit.code == "presents" and head:
                        presenters += head
                        head.clear()
                        flags["public"].clear()  # `Jeunesses du Quartier presents X`
                        before, pieces = 0, []
                    continue
                elif role == "umbrella":
                    umbrella = True
                elif role == "status" and unit.code in _CLOSING and unit is segment[-1] and head:
                    continue  # `X Tickets`, `X Live`
                elif unit.code == "match" and not 0 < position < len(segment) - 1:
                    # `Vitamin C`, `The Host`: nobody plays anybody.
                    (support if lesser else head).append(unit.word)
                    continue
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
        if levels:
            # `Introduction to X, level 2` is not for beginners.
            flags["public"] = flags["public"].difference(_LEVELS) | levels
        introductory = any(unit.code == "beginner" and unit.word.startswith(_INTRODUCTORY) for unit in units)
        implied = set()
        if introductory and flags["public"].intersection(_LEVELS[1:]):
            implied.add("beginner")  # `Introduction to X – intermediate`
        if "storytime" in flags["kind"] or "baby" in flags["public"]:
            implied.add("child")  # story time is for children, ages or not
        flags["public"] -= implied
        # All levels: said in passing, as for whom it is; only another level contradicts it.
        head = [word for word in head if word not in implied and word != "all_levels"] or head
        large = proper_words(title)
        before_support = head[:alone] if alone else head
        head = list(dict.fromkeys(head))
        nights = all(word in _NIGHTS or word in _GENRES for word in before_support)
        if head and support and (nights or all(word in self.lexicon.frames for word in before_support)):
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
            parts=frozenset(parts | weekdays if umbrella or passes is not None else parts),
            of_a_day=bool(weekdays) or any(code == "day" for code, _ in parts) or (one_date(dates) and not days),
            days=days,
            numbers=frozenset(word for word in head if word.isdigit())
            | {unit.word for unit in units if unit.role == "public" and unit.word[0].isdigit()},
            addons=frozenset(flags["addon"]),
            tribute=tribute,
            plays=plays and (COMPOSERS | {"orchestra"}).isdisjoint((*head, *support)),
            umbrella=umbrella,
            statuses=frozenset(flags["status"]),
            moved="moved" in flags["status"] or bool(unmoved),
            introductory=introductory and "beginner" in flags["public"],
            online="en_ligne" in flags["status"] or "en_ligne" in head or bool(_ON_THE_NET.search(folded)),
            name=all(unit.role in _OF_NAMES for unit in units) and not _ELISION.search(title.lower()),
            letters="".join(filter(str.isalnum, folded)),
            lang=language_of(title),
            words=tuple(unit.word for unit in units if unit.role not in ("sep", "clock", "number", "stop")),
            pieces=frozenset(filter(None, pieces)),
            frames=frozenset(frames) if len(pieces) > 1 else frozenset(),
            framed=framed or len(pieces) > 1,
            proper=frozenset(unit.code for unit in units if large.intersection(unit.word.split())) & frozenset(head),
        )

    def _units(self, text: str) -> list[Unit]:
        """The title's pieces, longest known phrases first. A phrase never reaches across a separator."""
        units: list[Unit] = []
        run: list[str] = []
        for found in ITEM.finditer(text):
            group = found.lastgroup
            if group == "word":
                word = bare(found[0].replace(".", ""))
                if word:
                    run.append(word)
                continue
            units += self._phrases(run)
            run = []
            if group == "clock":
                units.append(Unit("clock", "clock", value=minutes(found[0])))
            elif group in {"ages", "under"}:
                units.append(read_ages(found[0]))
            elif group in {"ofmany", "hash"}:
                units.append(Unit("number", "part", value=int(re.findall(r"\d+", found[0])[0])))
            elif group == "counted":  # `J2` is the second day, `L2` the second level
                code = "day" if found[0].startswith("j") else "level"
                units.append(Unit("number", code, value=int(found[0][1:])))
            elif group == "join":
                units.append(Unit("support", "support"))
            else:
                units.append(Unit("sep", found[0].strip() or "-"))
        return units + self._phrases(run)

    def _phrases(self, run: list[str]) -> list[Unit]:
        units: list[Unit] = []
        position = 0
        known = [singular(word) for word in run]
        while position < len(run):
            entry: Entry | None = self.lexicon.match(known, position)
            if entry is None or len(entry.phrase) == 1:
                entry = self.lexicon.misspelt_phrase(known, position) or entry
            if entry is None:
                entry = self.lexicon.misspelt(known[position])
            if entry is None:
                # A stem that happens to be a code of the lexicon is none: `belle` is no bell.
                plain = stem(run[position])
                plain = f"{run[position]}'" if plain in self.lexicon.concepts else plain
                role = "umbrella" if _COINED.search(run[position]) else "word"
                units.append(Unit(role, plain, word=run[position]))
                position += 1
                continue
            # `Saturday` repeats the date; `Saturdays` is what a series is called.
            habitual = entry.role == "calendar" and known[position] != run[position]
            role = "concept" if habitual else entry.role
            word = run[position] if len(entry.phrase) == 1 else " ".join(entry.phrase)
            units.append(Unit(role, entry.code, weak=entry.weak, word=word))
            position += len(entry.phrase)
        return units


_PRICE = re.compile(r"[(\[]?(?<!\w)(?:\d{1,4}(?:[.,]\d\d)?\s?[$€£]|[$€£]\s?\d{1,4}(?:[.,]\d\d)?\b)(?!\w)[)\]]?")
"""`10 $`, `(€8.50)`"""
_FROM_AGE = re.compile(
    r"\b(?:d[èe]s|[àa] partir de)\s+\d{1,2}\s+ans\b|\b\d{1,2}\s+ans\s+(?:et\s+plus|et\s+\+|\+)"
    r"|\bages?\s+\d{1,2}\s*(?:\+|and\s+up\b|and\s+over\b|&\s+up\b)",
    re.IGNORECASE,
)
"""From which age on: said of the listing, unlike a group's ages from and to."""

_MOVED = re.compile(
    r"\b(?:moved|relocated|d[ée]plac[ée]e?s?)\s+(?:from|to|de|du|des|d['’]|vers|[àa]|au|aux)\b[^|]*$"
    r"|\(\s*(?:initialement|originally)\b[^)]*\)",
    re.IGNORECASE,
)
"""`Moved from X to Y`, behind the title."""

_GENRES = frozenset(
    "jazz blues soul country folk rock punk electronic techno reggae metal pop hiphop classical baroque latin funk disco "
    "swing salsa independence".split()  # `indie` is read as independent
)
"""Words that stand before `night with X` and say what kind of night it is, not whose."""
_NIGHTS = frozenset({"night", "music", "concert", "show", "comedy", "world_tour"})
_COINED = re.compile(r"^\w{4,}(?:conf|fest|expo)$")
"""`DataConf`, `Igloofest`"""
_HASHTAGS = re.compile(r"(?<=\S)(?:\s+#[^\W\d]\w*)+\s*$")
"""`#family #free`, behind the title"""
_BY = frozenset({"by", "par"})
_AUTHOR_FIRST = re.compile(r"^((?:[^\W\d_][\w.-]*\s){1,2}[^\W\d_][\w.-]*)['’]s\s+((?:The|A|An)\s.+)$")
"""`Ingrid Thornbury's The Horse and the Doll`"""
_INTRODUCTORY = ("intro", "initiation")


def _is_a_tour(segment: list[Unit]) -> bool:
    """`The Long Way Home Tour`, `Tournée mondiale`, `En solo`, behind the name of who plays."""
    spoken = [unit for unit in segment if unit.role != "stop"]
    if not spoken or any(unit.role in ("kind", "secondary", "part", "number") for unit in spoken):
        return False
    return "world_tour" in (spoken[0].code, spoken[-1].code) or [unit.code for unit in spoken] == ["solo"]


def _frames(unit: Unit, lexicon: Lexicon) -> bool:
    return unit.code in lexicon.frames or unit.code in lexicon.weekdays


_CUT_OFF = re.compile(r"(?<=\w)\W+\w*(?:…|\.\.\.)\s*$")
