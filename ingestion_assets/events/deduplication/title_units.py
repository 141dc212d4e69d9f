"""The pieces that a title is made of: phrases, words, clocks, separators, and numbers with what they count.

Belongs here: cutting a title up, and numbers. What the pieces say together belongs to `titles`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

ITEM = re.compile(
    r"(?P<clock>\b\d{1,2}\s?h\s?\d{2}\b|\b\d{1,2}\s?h\b(?!')|\b\d{1,2}(?::\d{2})?\s?[ap]\.?m\b\.?|\b\d{1,2}:\d{2}\b)"
    r"|(?P<ages>\bages?\s\d{1,2}\s?(?:[-–]|to|a)\s?\d{1,2}\b|\b\d{1,2}\s?(?:[-–]|to|a)\s?\d{1,2}\s(?:ans|years|yrs?|y/?o)\b)"
    r"|(?P<under>\bu-?(?:[5-9]|1\d|2[0-3])\b|\b(?:under|moins\sde)\s\d{1,2}s?(?:\sans)?\b)"
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
_SPELT = {"two": 2, "deux": 2, "three": 3, "trois": 3, "four": 4, "quatre": 4, "five": 5, "cinq": 5}
"""Numbers as words, for `two-day conference`."""
_OF_WHAT = (
    r"(?:\s(?:of|de)\s(?:fun|fete|festivities|festivites|celebrations?|musi(?:c|que)|plaisir)"
    r"|\s(?:conference|festival|event|congress|summit))?"
)
_WEEKDAYS = r"monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_JOURS = r"lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche"
_DAY = r"\d{1,2}(?:er|st|nd|rd|th)?\b"
_TO = r"\s*(?:[-–&,]|\b(?:to|au|a|et|and)\b)\s*"
_LEAD = (
    r"(?:\b(?:du|le|les|from|on|the)\s+)?"
    r"(?:\b(?:mon|tues?|wed|thu(?:rs?)?|fri|sat|sun|lun|mar|mer|jeu|ven|sam|dim)\b[.,]*\s*)?"
)
DATE = re.compile(
    rf"{_LEAD}\b(?:{_DAY}(?:\s+{_MONTH})?{_TO}){{0,4}}{_DAY}\s+{_MONTH}(?:,?\s+20\d\d\b)?"
    rf"|{_LEAD}\b{_MONTH}\s+{_DAY}(?:{_TO}(?:{_MONTH}\s+)?{_DAY}){{0,4}}(?:,?\s+20\d\d\b)?"
    r"|\b20\d\d-[01]\d-[0-3]\d\b|\b[0-3]?\d/[0-3]?\d/20\d\d\b"
    # `31/05`, unlike `3/5`, is no third of five.
    r"|\b(?:[0-3]\d[/.]0[1-9]|0[1-9][/.]1[0-2]|(?:1[3-9]|2\d|3[01])[/.]1[0-2])\b(?![/.]\d)"
    # `Saturday 19`, without a month, where a piece of the title ends.
    rf"|\b(?:{_WEEKDAYS}|{_JOURS})\s+{_DAY}(?=\s*(?:$|[)\]|,:(–-]))"
    # How long it lasts, said beside its name: `: 3 jours`, `(2-day)`.
    rf"|(?<=[,:(\[|–-])\s?(?:\d{{1,2}}|{'|'.join(_SPELT)})[\s-](?:days?|jours){_OF_WHAT}(?=\s*(?:$|[)\]|,:–-]))"
)
"""A date in a title repeats what the record says in its own field, or says how long the event lasts."""
_DAY_NUMBER = re.compile(r"\b(\d{1,2})(?:er|st|nd|rd|th)?\b")
_MONTH_NAME = re.compile(rf"\b{_MONTH}")
_MONTHS = {
    name: number
    for number, names in enumerate(
        "jan,feb fev,mar,apr avr,may mai,jun,jul,aug aou,sep,oct,nov,dec".split(","), start=1
    )
    for name in names.split()
}
_DAYS = re.compile(rf"\b([2-9]|[1-9]\d|{'|'.join(_SPELT)})[\s-](?:days?|jours){_OF_WHAT}(?=\s*(?:$|[)\]|,:–-]))")
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
_EDITION = frozenset({"edition", "annual", "annuel", "annuelle", "anniversaire", "anniversary"})
_GATHERINGS = frozenset({"meetup", "meetups", "meeting", "rencontre", "rencontres"})


class Unit:
    """One piece of a title: a phrase of the lexicon, a plain word, a clock, a number or a separator."""

    __slots__ = ("code", "role", "value", "weak", "word")

    def __init__(self, role: str, code: str, *, weak: bool = False, value: int | None = None, word: str = "") -> None:
        self.role = role
        self.word = word or code
        self.code = code
        self.weak = weak
        self.value = value


def read_ages(text: str) -> Unit:
    """`6-12 ans`, `ages 6 to 12`, `U13`: for whom it is, and its own number where a day has several groups."""
    ages = [int(found) for found in re.findall(r"\d+", text)]
    youngest, oldest = (0, *ages)[-2:]
    public = "child" if oldest <= 12 else "teen" if oldest <= 17 else "adult"
    return Unit("public", public, word=f"{youngest}-{oldest}")


def cut_at_separators(units: list[Unit]) -> list[list[Unit]]:
    """The pieces between separators. `Camping for X` begins with a piece of its own."""
    segments: list[list[Unit]] = [[]]
    for unit in units:
        sold_for = unit.word in ("for", "pour") and [said.role for said in segments[-1]] == ["addon"]
        sold_for = sold_for and segments[-1][0].code != "box"  # `Suites pour violoncelle`
        if unit.role == "sep" or sold_for:
            if segments[-1]:
                segments.append([])
        else:
            segments[-1].append(unit)
    return [segment for segment in segments if segment]


def number_parts(units: list[Unit]) -> list[Unit]:
    """`Day 2`, `2e partie`, `Part II`: the counting word and its number become one unit. Years and editions go."""
    result: list[Unit] = []
    position = 0
    while position < len(units):
        unit = units[position]
        following = units[position + 1] if position + 1 < len(units) else None
        if unit.role == "part":
            number = _as_number(following, roman=True) if unit.code != "group" else _group(following)
            if following is not None and following.role == "number":
                number = following.value
            if number is not None:
                result.append(Unit("number", _counted(unit.code), value=number))
                position += 2
                continue
            # `class`, `part` and the like without a number are plain words; a meeting is a kind of event.
            unit = Unit("kind", "gathering") if unit.word in _GATHERINGS else Unit("word", unit.code)
        elif following is not None and unit.role in ("word", "concept"):
            ordinal = _ORDINAL.match(unit.word)
            number = int(ordinal[1]) if ordinal else _NUMBER.get(unit.word)
            if following.role == "part" and number is not None and (ordinal or number <= 10):
                following_code = following.code
                position += 2
                if not (following_code == "volume" and ordinal):  # `12e édition` counts years, not pieces
                    result.append(Unit("number", _counted(following_code), value=number))
                continue
            if ordinal and following.word in _EDITION:
                position += 2
                continue
        if unit.role == "word" and _YEAR.match(unit.code):
            position += 1
            continue
        if unit.code == "i" and result and (following is None or following.role == "sep"):
            unit = Unit("word", "1")  # `The Storm I`
        if unit.role == "word" and unit.code in _ROMAN and result:
            unit = Unit("word", str(_ROMAN[unit.code]))
        result.append(unit)
        position += 1
    return result


_ONE_COUNT = frozenset({"part", "course", "session", "episode", "volume", "concert_no", "module"})


def _counted(code: str) -> str:
    """What is counted: one source calls it the third session, another part 3, and means the same."""
    return "part" if code in _ONE_COUNT else code


def parts_contradict(one: frozenset[tuple[str, int]], two: frozenset[tuple[str, int]]) -> bool:
    """Both count the same sort of thing, and no number of it is the same. A level says nothing of a session."""
    sorts = {code for code, _ in one} & {code for code, _ in two}
    return bool(sorts - {code for code, _ in one & two})


def _group(unit: Unit | None) -> int | None:
    """`Group 2`, and `group C`, which is no Roman hundred."""
    if unit is not None and unit.role != "sep" and len(unit.word) == 1 and unit.word.isalpha():
        return ord(unit.word) - ord("a") + 1
    return _as_number(unit, roman=False)


def _as_number(unit: Unit | None, *, roman: bool) -> int | None:
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


def minutes(text: str) -> int | None:
    """`20h30`, `8 pm`, `8:30 p.m.`, `14:00` in minutes after midnight; None for what is no time of day."""
    numbers = [int(found) for found in re.findall(r"\d+", text)]
    hour, minute = numbers[0], numbers[1] if len(numbers) > 1 else 0
    if "p" in text and hour < 12:
        hour += 12
    elif "a" in text and hour == 12:
        hour = 0
    return hour * 60 + minute if hour < 24 and minute < 60 else None


def further_days(text: str, dates: Iterable[str]) -> int:
    """How many days a folded title says it lasts beyond the first: `X: 3 jours` 2, `X (10 to 13 June)` 3; 0: unsaid.

    `dates` are what `DATE` finds in it.
    """
    counted = _DAYS.search(text)
    if counted:
        return (_SPELT.get(counted[1]) or int(counted[1])) - 1
    for found in dates:
        days = [int(day) for day in _DAY_NUMBER.findall(found)]
        months = [_month(name) for name in _MONTH_NAME.findall(found)]
        if len(days) == 2 and months:
            further = (months[-1] - months[0]) % 12 * 30 + days[1] - days[0]
            if 0 < further <= _LONGEST:
                return further
    return 0


def read_passes(text: str) -> tuple[str, int | None]:
    """A folded title without the passes to a festival, and how many days beyond the first they say that it lasts.

    None where there is no pass. `Friday Pass: X` is its Friday, `X – passeport 3 jours` all of it: whoever sells the
    ticket lists the event by it.
    """
    if not any(word in text for word in _SOLD):
        return text, None
    text, of_a_day = _DAY_PASS.subn(lambda found: f" ({found['day'] or found['jour']}) ", text)
    days = 0 if of_a_day else None

    def whole(found: re.Match[str]) -> str:
        nonlocal days
        number = found["number"] or found["nombre"]
        days = int(number) - 1 if number else 1
        return " | "

    return _WHOLE_PASS.sub(whole, text), days


_SOLD = ("pass", "ticket", "billet", "forfait", "package")
"""One of these stands in every title that names a pass: most titles are spared the patterns."""
_DAY_PASS = re.compile(
    rf"\b(?P<day>{_WEEKDAYS})\s+(?:day\s+)?(?:pass|ticket)\b"
    rf"|\b(?:billet|passe?|laissez-passer)\s+(?:(?:d'un|1|un)\s+jour\s*[,–—-]?\s*|du\s+)?(?P<jour>{_JOURS})\b"
)
_WHOLE_PASS = re.compile(
    r"\b(?:(?P<number>[2-9])[\s-]days?|weekend|festival|full(?:[\s-]festival)?)[\s-](?:pass(?:port|es)?|package)\b"
    r"|\b(?:pass(?:eport|es|e)?|forfait)\s+(?:(?P<nombre>[2-9])\s+jours|week-?end|(?:de\s+)?fin\s+de\s+semaine|festival|complet)\b"
)

_LONGEST = 120
"""Days beyond which two dates in a title are no beginning and end."""


def _month(name: str) -> int:
    return _MONTHS["jun" if name.startswith("juin") else "jul" if name.startswith("juil") else name[:3]]


def one_date(dates: Sequence[str]) -> bool:
    """Whether what `DATE` finds in a title is one date, and no range of days."""
    return len(dates) == 1 and len(_DAY_NUMBER.findall(dates[0])) == 1
