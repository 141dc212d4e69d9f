"""The bytes of a calendar file as its components, one raw VEVENT at a time.

Belongs here: encodings, folded lines, BEGIN and END, names and parameters of a line (RFC 5545 §3.1). What a value means
belongs to `values.py`. Nothing here fails: a file may be cut, badly nested, in the wrong encoding or no calendar at
all, and whatever can be told apart is. Reading line by line ourselves, rather than a whole file by a library, is what
keeps one bad line from costing the file, and events of other weeks from costing a full parse.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_EVENTS = 50_000
"""VEVENTs read of one file; public calendars have a few thousand at most."""

MAX_NESTING = 64
"""Components deeper than this are not told apart. Real files nest three deep."""

_LINE_END = re.compile(rb"\r*\n|\r")
_FOLD = re.compile(rb"\n[ \t]")
_LINE = re.compile(r'(?:[\w-]+\.)?([A-Za-z0-9_-]+)((?:;[^:"]*(?:"[^"]*"[^:"]*)*)?):(.*)', re.DOTALL)
_ZONED = re.compile(r"(?!\s*\d{4}-?\d{2}-?\d{2})(.*?):(\s*\d{8}(?:T\d{4,6}Z?)?\b.*)", re.DOTALL)
"""What follows `TZID=` up to a colon of its own, where nobody has quoted the name: the rest of the name, and the value."""
_PARAM = re.compile(r';\s*([A-Za-z0-9_-]+)\s*=((?:"[^"]*"|[^";])*)')
_MARKS = frozenset("BbEe")
_CARET = re.compile(r"\^([n^'])")
_CARET_MEANS = {"n": "\n", "^": "^", "'": '"'}


@dataclass(frozen=True, slots=True)
class Property:
    """One content line. `name` and the names of `params` are in capitals, `value` is as written, escapes and all."""

    name: str
    params: dict[str, str]
    value: str


@dataclass(slots=True)
class Calendar:
    """What a VCALENDAR says of all its events. A nested calendar inherits what it does not say itself."""

    parent: Calendar | None = None
    properties: dict[str, str] = field(default_factory=dict)
    timezones: dict[str, list[str]] = field(default_factory=dict)
    """TZID -> the lines of its VTIMEZONE."""

    def get(self, name: str) -> str | None:
        """The value of a calendar property, the innermost calendar's first."""
        value = self.properties.get(name)
        return self.parent.get(name) if value is None and self.parent is not None else value

    def timezone(self, tzid: str) -> list[str] | None:
        """The lines of the VTIMEZONE called `tzid`."""
        lines = self.timezones.get(tzid)
        return self.parent.timezone(tzid) if lines is None and self.parent is not None else lines


@dataclass(slots=True)
class RawEvent:
    """The lines of one VEVENT, less those of components inside it."""

    calendar: Calendar
    index: int
    """Position in the file, from 0."""
    lines: list[str] = field(default_factory=list)
    cut_off: bool = False
    """The file ends inside this event, so that it may be half of one."""


@dataclass(slots=True)
class CalendarFile:
    """What a file holds."""

    events: list[RawEvent]
    calendars: int
    ended: bool
    """Every component that began has ended. False: the file is probably cut."""
    repaired_lines: int
    """Lines that were not UTF-8."""
    events_dropped: int
    """VEVENTs beyond `MAX_EVENTS`."""


def read_calendar(body: bytes, charset: str | None = None) -> CalendarFile:
    """The components of `body`. `charset` is what the server named; it is used for lines that are not UTF-8."""
    lines, repaired = decode_lines(body, charset)
    reader = _Reader()
    for line in lines:
        reader.take(line)
    return reader.finish(repaired)


def decode_lines(body: bytes, charset: str | None = None) -> tuple[list[str], int]:
    """Unfolded lines of text, and how many of them were not UTF-8.

    Folds are undone before decoding, because they may split a character (RFC 5545 §3.1). Each line decides for itself:
    UTF-8, else `charset`, else Windows-1252. So one damaged byte does not turn the accents of the other lines into
    mojibake. NUL is dropped: PostgreSQL cannot store it.
    """
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        body = body.decode("utf-16", "replace").encode("utf-8", "replace")
    body = body.removeprefix(codecs.BOM_UTF8).replace(b"\x00", b"")
    if b"\r" in body:
        body = _LINE_END.sub(b"\n", body)
    body = _FOLD.sub(b"", body)
    try:
        return body.decode("utf-8").split("\n"), 0
    except UnicodeDecodeError:
        pass
    fallback = _single_byte(charset)
    lines: list[str] = []
    repaired = 0
    for raw in body.split(b"\n"):
        try:
            lines.append(raw.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(raw.decode(fallback, "replace"))
            repaired += 1
    return lines, repaired


def _single_byte(charset: str | None) -> str:
    """The encoding for lines that are not UTF-8. latin-1 means Windows-1252, as it does for browsers."""
    try:
        name = codecs.lookup((charset or "").strip("\"' ")).name
    except LookupError:
        return "cp1252"
    return name if name.startswith(("iso8859-", "cp125", "mac-", "koi8")) and name != "iso8859-1" else "cp1252"


def parse_line(line: str) -> Property | None:
    """One content line; None when it is none (no colon, no name)."""
    match = _LINE.match(line)
    if match is None:
        # A quote that never closes: what stands before the first colon is all that can be trusted.
        head, colon, value = line.partition(":")
        name = head.partition(";")[0].strip()
        return Property(name.upper(), {}, value) if colon and re.fullmatch(r"[A-Za-z0-9_-]+", name) else None
    name, written, value = match.groups()
    params = _params(written) if written else {}
    if "TZID" in params and (split := _ZONED.fullmatch(value)) is not None:
        # Exchange names zones `tzone://Microsoft/Utc` and `(UTC-05:00) Eastern Time (US & Canada)`.
        params["TZID"] += f":{split[1]}"
        value = split[2]
    return Property(name.upper(), params, value)


def _params(text: str) -> dict[str, str]:
    params: dict[str, str] = {}
    for name, value in _PARAM.findall(text):
        plain = value.strip().replace('"', "")
        if "^" in plain:  # RFC 6868
            plain = _CARET.sub(lambda match: _CARET_MEANS[match[1]], plain)
        params[name.upper()] = plain
    return params


class _Reader:
    """The state of reading a file: which components are open."""

    def __init__(self) -> None:
        self.root = Calendar()
        self.calendar = self.root
        self.open: list[str] = []
        self.events: list[RawEvent] = []
        self.event: RawEvent | None = None
        self.timezone: list[str] | None = None
        self.inner = 0
        """How many components are open inside the VEVENT."""
        self.calendars = 0
        self.dropped = 0

    def take(self, line: str) -> None:
        start = line[:6].upper() if line[:1] in _MARKS else ""
        if start == "BEGIN:":
            self._begin(line[6:].strip().upper(), line)
        elif start[:4] == "END:":
            self._end(line[4:].strip().upper(), line)
        elif self.event is not None:
            if not self.inner and line:
                self.event.lines.append(line)
        elif self.timezone is not None:
            self.timezone.append(line)
        elif self.open and self.open[-1] == "VCALENDAR" and (prop := parse_line(line)) is not None:
            self.calendar.properties.setdefault(prop.name, prop.value.strip())

    def finish(self, repaired: int) -> CalendarFile:
        ended = not self.open
        if self.event is not None:
            self.event.cut_off = True
            self._close_event()
        return CalendarFile(self.events, self.calendars, ended, repaired, self.dropped)

    def _begin(self, name: str, line: str) -> None:
        if name in {"VEVENT", "VCALENDAR"}:
            # Whatever was open and can hold neither has lost its END.
            while self.open and self.open[-1] != "VCALENDAR":
                self._pop()
        if len(self.open) >= MAX_NESTING:
            return
        if name == "VCALENDAR":
            self.calendar = Calendar(self.calendar)
            self.calendars += 1
        elif name == "VEVENT":
            self.event = RawEvent(self.calendar, len(self.events) + self.dropped)
            self.inner = 0
        elif self.event is not None:
            self.inner += 1
        elif name == "VTIMEZONE":
            self.timezone = []
        elif self.timezone is not None:
            self.timezone.append(line)
        self.open.append(name)

    def _end(self, name: str, line: str) -> None:
        if self.timezone is not None and name != "VTIMEZONE":
            self.timezone.append(line)
        if name in self.open:
            while self._pop() != name:
                pass

    def _pop(self) -> str:
        name = self.open.pop()
        if name == "VEVENT":
            self._close_event()
        elif self.event is not None:
            self.inner -= 1
        elif name == "VTIMEZONE":
            self._close_timezone()
        elif name == "VCALENDAR" and self.calendar.parent is not None:
            self.calendar = self.calendar.parent
        return name

    def _close_event(self) -> None:
        if self.event is not None:
            if len(self.events) < MAX_EVENTS:
                self.events.append(self.event)
            else:
                self.dropped += 1
        self.event = None
        self.inner = 0

    def _close_timezone(self) -> None:
        lines, self.timezone = self.timezone or [], None
        for line in lines:
            prop = parse_line(line)
            if prop is not None and prop.name == "TZID":
                self.calendar.timezones.setdefault(prop.value.strip(), lines)
                return


def properties(lines: list[str]) -> Iterator[Property | str]:
    """The properties of a component in order; a line that is none comes as it is."""
    for line in lines:
        yield parse_line(line) or line
