"""Labelled records: made-up events of every hard kind, as several sources of different habits would list them.

`generate(Spec(...))` is deterministic for a seed. The truth of a record is the id of the event it was made from.
Corruption rates are choices, not measurements of feeds: vary them (`Spec.noise`) before believing a figure.

Splits: `train`, `development` and `heldout` differ in seed; `outside` also takes its topics from words that the
shipped lexicon does not hold. Weights are fitted on `train` and looked at on `development` only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from benchmarks.deduplication import vocabulary as words
from ingestion_assets.events.deduplication.records import Record

SEEDS = {"train": 1_000, "development": 2_000, "heldout": 3_000, "outside": 4_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    rows: int = 10_000
    seed: int = 0
    outside: bool = False
    """Topics from outside the lexicon."""
    hard: float = 1.0
    """Multiplies how often two things happen at one place and time."""
    strange: float = 0.0
    """Share of titles whose words, frames included, neither the lexicon nor the evaluation splits hold."""
    vary: bool = False
    """Draw every source's habits anew, each rate up to three times lower or higher: no two corpora are alike."""
    noise: float = 1.0
    """Multiplies every corruption rate."""
    days: int | None = None
    """Length of the calendar; by default such that a day has about 60 records."""
    crowded: int = 0
    """Events of one crowded day in the first city."""
    first_day: date = date(2026, 1, 5)


def split(name: str, rows: int, *, noise: float = 1.0, crowded: int | None = None) -> list[Labelled]:
    """The records of a named split."""
    busy = min(rows // 40, 2_500) if crowded is None else crowded
    return generate(Spec(rows=rows, seed=SEEDS[name], outside=name == "outside", noise=noise, crowded=busy))


@dataclass(frozen=True, slots=True)
class Labelled:
    record: Record
    event: str
    kind: str
    series: str
    """Events of one series, day or programme share it: the merges that must never happen are inside."""


@dataclass(slots=True)
class Venue:
    fr: str
    en: str
    short: str
    alias: str | None
    sort: str
    city: int
    lat: float
    lon: float
    address: str
    address_en: str
    rooms: bool


@dataclass(slots=True)
class Real:
    """An event as it will happen, before anyone lists it."""

    fr: str
    en: str
    day: date
    clock: time
    venue: Venue
    kind: str
    series: str
    minutes: int = 120
    last_day: date | None = None
    support: str = ""
    tour: str = ""
    presenter: str = ""
    people: tuple[str, ...] = ()
    label_fr: str = ""
    label_en: str = ""
    label_rate: float = 0.75
    """How often a source writes the session, day or part."""
    id: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class Habits:
    """How one source lists events."""

    name: str
    share: float
    lang: str
    both: float = 0.1
    """Other language this often."""
    date_only: float = 0.05
    utc_slip: float = 0.02
    doors: float = 0.08
    upper: float = 0.05
    status: float = 0.06
    presenter: float = 0.1
    tail: float = 0.1
    support: float = 0.5
    tour: float = 0.5
    typo: float = 0.04
    entity: float = 0.03
    coordinates: float = 0.7
    jitter: float = 0.0005
    centre: float = 0.0
    address: float = 0.7
    city_missing: float = 0.05
    city_forms: float = 0.2
    venue_missing: float = 0.03
    venue_style: tuple[float, float, float, float] = (0.7, 0.15, 0.1, 0.05)
    """Own language, short, with room or city, alias."""
    ends: float = 0.4
    people: float = 0.3
    lang_given: float = 0.5
    duplicate: float = 0.005


SOURCES = (
    Habits("ticketmaster", 0.42, "en", tour=0.8, support=0.7, utc_slip=0.005, date_only=0.01, coordinates=0.9, address=0.9, people=0.6, presenter=0.2),
    Habits("meetup", 0.10, "en", both=0.2, ends=0.9, address=0.8, people=0.5, typo=0.02),
    Habits("eventbrite", 0.30, "en", both=0.4, presenter=0.2, tail=0.15, ends=0.95, address=0.95, upper=0.1),
    Habits("allevents", 0.38, "en", both=0.3, utc_slip=0.08, tail=0.25, entity=0.12, typo=0.06, jitter=0.002, centre=0.08, city_forms=0.4, duplicate=0.02),
    Habits("lavitrine", 0.40, "fr", both=0.02, date_only=0.12, support=0.3, tour=0.3, coordinates=0.4, address=0.5, venue_style=(0.75, 0.15, 0.08, 0.02)),
    Habits("open_data_montreal", 0.30, "fr", both=0.0, date_only=0.3, coordinates=0.9, support=0.2, tour=0.2, ends=0.2, venue_style=(0.85, 0.1, 0.05, 0.0)),
    Habits("ics", 0.25, "fr", both=0.4, utc_slip=0.06, coordinates=0.05, address=0.4, city_missing=0.35, venue_missing=0.08, status=0.1, ends=0.9),
)  # fmt: skip


def generate(spec: Spec) -> list[Labelled]:
    """About `spec.rows` labelled records, in a shuffled order."""
    maker = _Maker(spec)
    rows: list[Labelled] = []
    while len(rows) < spec.rows:
        for real in maker.scene():
            rows += maker.sightings(real)
    for real in maker.crowd(spec.crowded):
        rows += maker.sightings(real)
    maker.random.shuffle(rows)
    return rows


@dataclass(slots=True)
class _Maker:
    spec: Spec
    random: random.Random = field(init=False)
    venues: list[Venue] = field(init=False)
    days: int = field(init=False)
    serial: int = 0
    sources: tuple[Habits, ...] = SOURCES
    scenes: list[tuple[Callable[[], Iterator[Real]], float]] = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.spec.seed)
        if self.spec.vary:
            self.sources = tuple(self._other_habits(habits) for habits in SOURCES)
        self.days = self.spec.days or max(21, min(365, self.spec.rows // 60))
        self.venues = [self._venue(i) for i in range(max(60, min(3_000, self.spec.rows // 40)))]
        self.scenes = [
            (self.gig, 22), (self.activity, 22), (self.play_run, 8), (self.two_shows, 9), (self.early_late, 4), (self.festival, 5),
            (self.tribute, 6), (self.addon, 8), (self.chain, 5), (self.same_slot, 7), (self.workshop, 7), (self.parts, 7),
            (self.weekly, 6), (self.exhibition, 4), (self.similar_topics, 4), (self.namesakes, 4), (self.sequels, 3), (self.contest, 3), (self.evenings_with, 4), (self.audiences, 3), (self.stages, 3),
        ]  # fmt: skip

    @property
    def hard(self) -> tuple[Callable[[], Iterator[Real]], ...]:
        return (
            self.same_slot, self.similar_topics, self.namesakes, self.workshop, self.addon, self.sequels, self.contest,
            self.evenings_with, self.audiences, self.stages,
        )  # fmt: skip

    # What happens

    def scene(self) -> Iterator[Real]:
        weights = [weight * self.spec.hard if scene in self.hard else weight for scene, weight in self.scenes]
        chosen = self.random.choices([scene for scene, _ in self.scenes], weights)[0]
        self.serial += 1
        for index, real in enumerate(chosen()):
            real.id = f"{self.spec.seed}-{self.serial}-{index}"
            real.series = f"{self.spec.seed}-{self.serial}"
            real.page = real.page or real.id
            yield real

    def crowd(self, count: int) -> Iterator[Real]:
        """One day in one city with `count` events."""
        here = [venue for venue in self.venues if venue.city == 0]
        day = self.spec.first_day + timedelta(days=self.days // 2)
        for _ in range(count):
            maker = self.random.choice((self.gig, self.activity, self.activity))
            self.serial += 1
            for real in maker():
                real.venue, real.day, real.last_day = self.random.choice(here), day, None
                real.id = real.series = real.page = f"{self.spec.seed}-c{self.serial}"
                real.kind = "crowd"
                yield real

    def gig(self) -> Iterator[Real]:
        act = self.act()
        yield Real(
            act, act, self.day(), self.evening(), self.venue(), "gig", "", support=self.act() if self.chance(0.4) else "",
            tour=self.random.choice(words.TOUR) if self.chance(0.35) else "", presenter=self.random.choice(("Evenko", "Productions Rouges", "Greenlight")) if self.chance(0.3) else "", people=(act,),
        )  # fmt: skip

    def activity(self) -> Iterator[Real]:
        fr, en = self.topic_title()
        yield Real(
            fr,
            en,
            self.day(),
            self.daytime(),
            self.venue(),
            "activity",
            "",
            90,
            people=(self.person(),) if self.chance(0.3) else (),
        )

    def play_run(self) -> Iterator[Real]:
        fr, en = self.play()
        venue, clock, start = self.venue(), self.evening(), self.day()
        page = f"run{self.serial}"
        for offset in range(self.random.randint(2, 6)):
            yield Real(fr, en, start + timedelta(days=offset), clock, venue, "series", "", page=page)

    def weekly(self) -> Iterator[Real]:
        fr, en = self.topic_title()
        venue, clock, start = self.venue(), self.daytime(), self.day()
        for offset in range(self.random.randint(2, 4)):
            yield Real(fr, en, start + timedelta(days=7 * offset), clock, venue, "series", "", 60)

    def two_shows(self) -> Iterator[Real]:
        fr, en = self.play() if self.chance(0.7) else (self.act(),) * 2
        venue, day = self.venue(), self.day()
        labels = self.chance(0.5)
        yield Real(
            fr,
            en,
            day,
            time(self.random.choice((13, 14, 15)), self.random.choice((0, 0, 30))),
            venue,
            "matinee",
            "",
            label_fr="matinée" if labels else "",
            label_en="Matinee" if labels else "",
            page=f"two{self.serial}",
        )
        yield Real(
            fr,
            en,
            day,
            time(self.random.choice((19, 20)), self.random.choice((0, 0, 30))),
            venue,
            "evening",
            "",
            label_fr="en soirée" if labels else "",
            label_en="Evening Show" if labels else "",
            page=f"two{self.serial}",
        )

    def early_late(self) -> Iterator[Real]:
        act, venue, day = self.act(), self.venue(), self.day()
        yield Real(
            act,
            act,
            day,
            time(19, 0),
            venue,
            "early_late",
            "",
            75,
            label_fr="1re représentation",
            label_en="Early Show",
            people=(act,),
        )
        yield Real(
            act,
            act,
            day,
            time(self.random.choice((21, 22)), self.random.choice((0, 30))),
            venue,
            "early_late",
            "",
            75,
            label_fr="2e représentation",
            label_en="Late Show",
            people=(act,),
        )

    def festival(self) -> Iterator[Real]:
        fr, en = self.random.choice(words.FESTIVAL)
        venue = self.venue()
        city = words.CITIES[venue.city][0]
        proper = self.random.choice(words.BAND_B)
        fr, en = (text.format(c=city, C=city, p=proper, P=proper) for text in (fr, en))
        start, length = self.day(), self.random.randint(2, 4)
        yield Real(fr, en, start, time(10, 0), venue, "festival", "", 720, last_day=start + timedelta(days=length - 1))
        for offset in range(length):
            day = start + timedelta(days=offset)
            yield Real(
                fr,
                en,
                day,
                time(self.random.choice((11, 12)), 0),
                venue,
                "festival_day",
                "",
                600,
                label_fr=f"jour {offset + 1}",
                label_en=f"Day {offset + 1}",
                label_rate=1.0,
            )
            for _ in range(self.random.randint(0, 3)):
                act = self.act()
                styled = self.random.choice(("{f} : {a}", "{a} - {f}", "{a} ({f})", "{a}"))
                clock = time(self.random.randint(14, 22), self.random.choice((0, 30)))
                yield Real(
                    styled.format(f=fr, a=act),
                    styled.format(f=en, a=act),
                    day,
                    clock,
                    venue,
                    "festival_show",
                    "",
                    60,
                    people=(act,),
                )

    def tribute(self) -> Iterator[Real]:
        act, day, clock = self.act(), self.day(), self.evening()
        venue = self.venue()
        yield Real(act, act, day, clock, venue, "tributed", "", people=(act,))
        other = venue if self.chance(0.3) else self.venue(venue.city)
        band = self.act()
        fr = self.random.choice(
            ("Hommage à {a}", "{b} joue {a}", "{a} : le spectacle hommage", "Hommage à {a} par {b}")
        )
        en = self.random.choice(("Tribute to {a}", "{b} plays {a}", "{a} Tribute Show", "A Tribute to {a} by {b}"))
        yield Real(
            fr.format(a=act, b=band),
            en.format(a=act, b=band),
            day,
            clock if self.chance(0.5) else self.evening(),
            other,
            "tribute",
            "",
        )

    def addon(self) -> Iterator[Real]:
        act, day, clock, venue = self.act(), self.day(), self.evening(), self.venue()
        yield Real(
            act,
            act,
            day,
            clock,
            venue,
            "with_addon",
            "",
            tour=self.random.choice(words.TOUR) if self.chance(0.3) else "",
            people=(act,),
        )
        fr, en = self.random.choice((
            ("Stationnement - {a}", "Parking: {a}"), ("Forfait VIP : {a}", "{a} - VIP Package"), ("{a} - Souper-spectacle", "Dinner Package: {a}"),
            ("Navette - {a}", "{a} Shuttle"), ("{a} (Meet & Greet)", "{a} Meet & Greet"),
        ))  # fmt: skip
        yield Real(fr.format(a=act), en.format(a=act), day, clock, venue, "addon", "")

    def chain(self) -> Iterator[Real]:
        fr, en = self.random.choice(words.CHAIN_STRANGE if self.chance(self.spec.strange) else words.CHAIN)
        if self.spec.outside and self.chance(0.5):
            fr, en = self.topic_title()
        city = self.city()
        day, clock = self.day(), self.daytime()
        inside = [venue for venue in self.venues if venue.city == city]
        for venue in self.random.sample(inside, min(len(inside), self.random.randint(3, 9))):
            yield Real(fr, en, day, clock if self.chance(0.7) else self.daytime(), venue, "chain", "", 60)

    def same_slot(self) -> Iterator[Real]:
        venue, day, clock = self.venue(), self.day(), self.evening()
        for _ in range(2):
            fr, en = self.topic_title() if self.chance(0.5) else (self.act(),) * 2
            yield Real(fr, en, day, clock, venue, "same_slot", "")

    def workshop(self) -> Iterator[Real]:
        act, day, venue = self.person(), self.day(), self.venue()
        clock = self.evening()
        yield Real(act, act, day, clock, venue, "with_workshop", "", people=(act,))
        fr, en = self.random.choice(
            (
                ("Atelier avec {a}", "Workshop with {a}"),
                ("Rencontre avec {a}", "Talk with {a}"),
                ("Classe de maître : {a}", "{a} Masterclass"),
                ("{a} : séance de dédicace", "{a} Book Signing"),
            )
        )
        yield Real(
            fr.format(a=act),
            en.format(a=act),
            day,
            self.daytime(),  # nobody talks to people during a show of their own
            venue,
            "workshop",
            "",
            90,
        )

    def parts(self) -> Iterator[Real]:
        fr, en = self.topic_title()
        venue, day, clock = self.venue(), self.day(), self.daytime()
        same_day = self.chance(0.6)
        word_fr, word_en = self.random.choice(
            (
                ("partie", "Part"),
                ("séance", "Session"),
                ("module", "Module"),
                ("épisode", "Episode"),
                ("groupe", "Group"),
            )
        )
        for number in range(1, self.random.randint(3, 4)):
            when = day if same_day else day + timedelta(days=number - 1)
            shift = time(min(clock.hour + (2 * (number - 1) if same_day and self.chance(0.8) else 0), 23), clock.minute)
            yield Real(
                fr,
                en,
                when,
                shift,
                venue,
                "part",
                "",
                75,
                label_fr=f"{word_fr} {number}",
                label_en=f"{word_en} {number}",
                label_rate=0.95,
            )

    def exhibition(self) -> Iterator[Real]:
        fr, en = self.topic_title()
        venue, day = self.venue(), self.day()
        yield Real(
            fr,
            en,
            day,
            time(10, 0),
            venue,
            "exhibition",
            "",
            480,
            last_day=day + timedelta(days=self.random.randint(10, 90)),
        )
        if self.chance(0.6):
            yield Real(f"Vernissage : {fr}", f"{en} - Opening Reception", day, time(17, 0), venue, "opening", "")

    def similar_topics(self) -> Iterator[Real]:
        venue, day, clock = self.venue(), self.day(), self.daytime()
        template = self.random.choice(words.ACTIVITY)
        for pair in self.random.sample(self.topics(), 2):
            fr, en = self.fill(template, pair)
            yield Real(fr, en, day, clock if self.chance(0.5) else self.daytime(), venue, "similar", "", 90)

    def namesakes(self) -> Iterator[Real]:
        """Two acts that share a name or a word, in one house or at one time."""
        if self.chance(0.6):
            last = self.random.choice(words.LAST)
            one, two = (f"{first} {last}" for first in self.random.sample(words.FIRST, 2))
        else:
            noun = self.random.choice(words.BAND_B)
            one, two = (f"{word} {noun}" for word in self.random.sample(words.BAND_A, 2))
        venue, day, clock = self.venue(), self.day(), self.evening()
        yield Real(one, one, day, clock, venue, "namesake", "", people=(one,))
        other = venue if self.chance(0.6) else self.venue(venue.city)
        yield Real(two, two, day, clock if self.chance(0.6) else self.evening(), other, "namesake", "", people=(two,))

    def sequels(self) -> Iterator[Real]:
        """Films and shows told apart by a number alone."""
        fr, en = self.play()
        venue, day = self.venue(), self.day()
        first = self.random.randint(1, 3)
        clock = self.evening()
        for number in (first, first + 1):
            mark = self.random.choice((f" {number}", f" {'I' * number}"))
            yield Real(fr + mark, en + mark, day, clock if self.chance(0.5) else self.evening(), venue, "sequel", "")

    def contest(self) -> Iterator[Real]:
        """Matches of one league in one hall."""
        teams = self.random.sample(words.BAND_B, 4)
        venue, day, clock = self.venue(), self.day(), self.evening()
        joiner = self.random.choice((" vs ", " vs. ", " contre ", " @ ", " - "))
        yield Real(teams[0] + joiner + teams[1], teams[0] + joiner + teams[1], day, clock, venue, "match", "")
        one = teams[0] if self.chance(0.4) else teams[2]
        when = clock if self.chance(0.4) else self.daytime()
        yield Real(one + joiner + teams[3], one + joiner + teams[3], day, when, venue, "match", "")

    def evenings_with(self) -> Iterator[Real]:
        """One frame, another guest: in the same house at the same time, or in two houses."""
        fr, en = self.random.choice(words.FRAMES_WITH)
        venue, day, clock = self.venue(), self.day(), self.evening()
        for _ in range(2):
            act = self.act()
            yield Real(
                fr.format(a=act),
                en.format(a=act),
                day,
                clock if self.chance(0.7) else self.evening(),
                venue,
                "frame",
                "",
                people=(act,),
            )
            venue = venue if self.chance(0.7) else self.venue(venue.city)

    def audiences(self) -> Iterator[Real]:
        """One activity for two publics."""
        fr, en = self.topic_title()
        while "enfants" in fr or "famille" in fr:  # `for kids for kids` is nobody's title
            fr, en = self.topic_title()
        venue, day, clock = self.venue(), self.day(), self.daytime()
        yield Real(fr, en, day, clock, venue, "audience", "", 60)
        fr_for, en_for = self.random.choice(words.PUBLIC)
        yield Real(
            f"{fr} {fr_for}",
            f"{en} {en_for}",
            day,
            clock if self.chance(0.5) else self.daytime(),
            venue,
            "audience",
            "",
            60,
        )

    def stages(self) -> Iterator[Real]:
        """Acts of one festival at one time on several stages."""
        fr, en = self.random.choice(words.FESTIVAL)
        venue, day = self.venue(), self.day()
        city, proper = words.CITIES[venue.city][0], self.random.choice(words.BAND_B)
        fr, en = (text.format(c=city, C=city, p=proper, P=proper) for text in (fr, en))
        styled = self.random.choice(("{f} : {a}", "{a} - {f}", "{a} ({f})"))
        clock = self.evening()
        for _ in range(self.random.randint(2, 3)):
            act = self.act()
            yield Real(
                styled.format(f=fr, a=act),
                styled.format(f=en, a=act),
                day,
                clock,
                venue,
                "stage",
                "",
                60,
                people=(act,),
            )

    # Ingredients

    def _other_habits(self, habits: Habits) -> Habits:
        """The same source with other habits. Rates stay below one half, so that a source still says what it lists."""
        drawn = {
            name: min(getattr(habits, name) * 3 ** self.random.uniform(-1, 1), 0.5)
            for name in (
                "both", "date_only", "utc_slip", "doors", "upper", "status", "presenter", "tail", "typo", "entity", "centre",
                "city_missing", "city_forms", "venue_missing", "duplicate",
            )
        }  # fmt: skip
        shares = {
            name: self.random.uniform(0.1, 0.9)
            for name in ("support", "tour", "coordinates", "address", "ends", "people", "lang_given")
        }
        styles = [share * 3 ** self.random.uniform(-1, 1) for share in habits.venue_style]
        return replace(
            habits, **drawn, **shares, lang=self.random.choice(("fr", "en", habits.lang)), venue_style=tuple(styles)
        )  # type: ignore[arg-type]

    def chance(self, rate: float) -> bool:
        return self.random.random() < rate

    def day(self) -> date:
        return self.spec.first_day + timedelta(days=self.random.randrange(self.days))

    def evening(self) -> time:
        return self.random.choices(
            [time(19), time(19, 30), time(20), time(20, 30), time(21), time(22), time(18)], [4, 4, 7, 2, 3, 1, 1]
        )[0]

    def daytime(self) -> time:
        return time(
            self.random.choice((9, 10, 10, 11, 13, 14, 15, 17, 18, 18, 19)), self.random.choice((0, 0, 0, 15, 30, 30))
        )

    def person(self) -> str:
        return f"{self.random.choice(words.FIRST)} {self.random.choice(words.LAST)}"

    def act(self) -> str:
        style = self.random.random()
        if style < 0.45:
            return self.person()
        if style < 0.6:
            return self.random.choice(words.BAND_FR)
        name = f"{self.random.choice(words.BAND_A)} {self.random.choice(words.BAND_B)}"
        return f"The {name}" if style < 0.75 else name

    def play(self) -> tuple[str, str]:
        if self.chance(self.spec.strange):
            return self.random.choice(words.PLAY_STRANGE)
        if self.chance(0.3):
            return self.random.choice(words.PLAY)
        (fr, en), (fr_tail, en_tail) = self.random.choice(words.PLAY_HEAD), self.random.choice(words.PLAY_TAIL)
        return f"{fr} {fr_tail}", f"{en} {en_tail}"

    def topics(self) -> tuple[tuple[str, str], ...]:
        if self.chance(self.spec.strange):
            return words.TOPIC_STRANGE
        return words.TOPIC_OUTSIDE if self.spec.outside else words.TOPIC_KNOWN

    def topic_title(self) -> tuple[str, str]:
        frames = words.FRAME_STRANGE if self.chance(self.spec.strange) else words.ACTIVITY
        return self.fill(self.random.choice(frames), self.random.choice(self.topics()))

    def fill(self, template: tuple[str, str], pair: tuple[str, str]) -> tuple[str, str]:
        fr, en = (
            text.format(x=topic, X=topic[:1].upper() + topic[1:]) for text, topic in zip(template, pair, strict=True)
        )
        return fr, en

    def city(self) -> int:
        return self.random.choices(range(len(words.CITIES)), [city[5] for city in words.CITIES])[0]

    def venue(self, city: int | None = None) -> Venue:
        if city is None:
            return self.random.choice(self.venues)
        return self.random.choice([venue for venue in self.venues if venue.city == city])

    def _venue(self, index: int) -> Venue:
        fr_sort, en_sort, sort = self.random.choice(words.VENUE_SORT)
        name = self.random.choice(words.VENUE_NAME)
        if index >= len(words.VENUE_NAME):
            name = f"{name}-{self.random.choice(words.LAST)}"
        city = index % len(words.CITIES) if index < 2 * len(words.CITIES) else self.city()
        _, _, _, lat, lon, _ = words.CITIES[city]
        joiner = "" if name.startswith(("d", "L'")) else " "
        number, street = self.random.randint(10, 9_000), self.random.choice(words.STREET)
        short = name.removeprefix("des ").removeprefix("du ").removeprefix("de la ")
        alias = (
            self.random.choice(("Le Repaire", "Espace Nord", "La Station", "Le Hangar")) + f" {index}"
            if self.chance(0.05)
            else None
        )
        return Venue(
            f"{fr_sort} {name}", f"{short} {en_sort}" if joiner else f"{name} {en_sort}", short, alias, sort, city,
            lat + self.random.gauss(0, 0.03), lon + self.random.gauss(0, 0.04),
            f"{number}, rue {street}" + self.random.choice((" Est", " Ouest", "")), f"{number} {street} Street", self.chance(0.2),
        )  # fmt: skip

    # How it is listed

    def sightings(self, real: Real) -> list[Labelled]:
        many = 0.45 if self.chance(0.45) else 1.35
        chosen = [habits for habits in self.sources if self.chance(habits.share * many)] or [
            self.random.choice(self.sources)
        ]
        rows = []
        for habits in chosen:
            for _ in range(2 if self.chance(habits.duplicate) else 1):
                self.serial += 1
                rows.append(Labelled(self.listing(real, habits), real.id, real.kind, real.series))
        return rows

    def listing(self, real: Real, habits: Habits) -> Record:
        noise = self.spec.noise
        other = "en" if habits.lang == "fr" else "fr"
        lang = other if self.chance(habits.both) else habits.lang
        zone = words.CITIES[real.venue.city][2]
        day, clock = real.day, real.clock
        if self.chance(habits.doors * noise):
            start = datetime.combine(day, clock) - timedelta(
                minutes=self.random.choice((10, 15, 30, 30, 45, 60, 60, 90))
            )
            day, clock = start.date(), start.time()
        if self.chance(habits.utc_slip * noise):
            utc = datetime.combine(day, clock, ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
            day, clock = utc.date(), utc.time()
        shown: time | None = None if self.chance(habits.date_only * noise) else clock
        end = datetime.combine(real.last_day or day, clock) + timedelta(minutes=real.minutes)
        if real.last_day:
            end = datetime.combine(real.last_day, time(22, 0))
        with_end = self.chance(habits.ends)
        located = self.chance(habits.coordinates)
        city, forms, _, lat, lon, _ = words.CITIES[real.venue.city]
        if located and self.chance(habits.centre * noise):
            spot = (lat, lon)
        else:
            spot = (
                real.venue.lat + self.random.gauss(0, habits.jitter),
                real.venue.lon + self.random.gauss(0, habits.jitter),
            )
        return Record(
            source=habits.name,
            source_id=f"{habits.name[:2]}{self.spec.seed}-{self.serial}",
            title=self.title(real, habits, lang, city),
            lang=lang if self.chance(habits.lang_given) else None,
            local_date=day,
            local_time=shown,
            end_date=real.last_day if real.last_day and (with_end or self.chance(0.7)) else end.date() if with_end and shown else None,
            end_time=end.time() if with_end and shown else None,
            zone=zone,
            venue_name=self.venue_name(real.venue, habits, lang, city),
            address=(real.venue.address if lang == "fr" or self.chance(0.4) else real.venue.address_en) if self.chance(habits.address) else None,
            city=None if self.chance(habits.city_missing * noise) else self.random.choice(forms) if self.chance(habits.city_forms) else city,
            lat=round(spot[0], 5) if located else None,
            lon=round(spot[1], 5) if located else None,
            url=f"https://{habits.name}.example/{lang}/e/{self.serial}" if self.chance(0.8) else f"https://venue.example/{real.page}" if self.chance(0.5) else None,
            status=None,
            organizer=real.presenter or None if self.chance(habits.people) else None,
            performers=real.people if self.chance(habits.people) else (),
        )  # fmt: skip

    def title(self, real: Real, habits: Habits, lang: str, city: str) -> str:
        noise = self.spec.noise
        text = real.fr if lang == "fr" else real.en
        if real.support and self.chance(habits.support):
            text += self.random.choice((" avec {s}", " + {s}", " et invités : {s}", ", {s}") if lang == "fr" else (" with {s}", " w/ {s}", " + {s}", " feat. {s}", ", {s}")).format(s=real.support)  # fmt: skip
        if real.tour and self.chance(habits.tour):
            text += self.random.choice((" - {t}", " : {t}", " ({t})", ", {t}")).format(t=real.tour)
        label = real.label_fr if lang == "fr" else real.label_en
        if label and self.chance(real.label_rate):
            text = self.random.choice(("{t} - {l}", "{t} ({l})", "{t}, {l}", "{t} : {l}")).format(t=text, l=label)
        if real.presenter and self.chance(habits.presenter):
            text = f"{real.presenter} {'présente' if lang == 'fr' else 'presents'} {':' if self.chance(0.3) else ''} {text}".replace(
                "  ", " "
            )
        if self.chance(habits.tail):
            place = real.venue.fr if lang == "fr" else real.venue.en
            text += self.random.choice(
                (" @ {v}", " | {v}", " - {c}", " à {c}" if lang == "fr" else " in {c}", " ({c})")
            ).format(v=place, c=city)
        if self.chance(habits.status * noise):
            text = self.random.choice(words.STATUS[lang]).format(t=text)
        if self.chance(habits.typo * noise):
            text = self.typo(text)
        if self.chance(habits.upper):
            text = text.upper()
        if self.chance(0.12):
            text = text.translate(str.maketrans("éèêàâôîûçÉ", "eeeaaoiucE"))
        if self.chance(habits.entity * noise):
            text = text.replace("&", "&amp;").replace("'", "&#8217;").replace("é", "&eacute;")
        return text

    def typo(self, text: str) -> str:
        place = self.random.randrange(len(text))
        style = self.random.randrange(3)
        if style == 0:
            return text[:place] + text[place + 1 :] or text
        if style == 1:
            return text[:place] + text[place : place + 2][::-1] + text[place + 2 :]
        return text[:place] + text[place : place + 1] * 2 + text[place + 1 :]

    def venue_name(self, venue: Venue, habits: Habits, lang: str, city: str) -> str | None:
        if self.chance(habits.venue_missing * self.spec.noise):
            return None
        own = venue.fr if lang == "fr" or self.chance(0.35) else venue.en
        style = self.random.choices(range(4), habits.venue_style)[0]
        name = own
        if style == 1:
            name = venue.short
        elif style == 2:
            name = self.random.choice(
                (
                    f"{own} - {self.random.choice(words.ROOM)}" if venue.rooms else f"{own}, {city}",
                    f"{own}, {city}",
                    f"{own} ({city})",
                )
            )
        elif style == 3 and venue.alias:
            name = venue.alias
        return self.typo(name) if self.chance(habits.typo * self.spec.noise * 0.5) else name
