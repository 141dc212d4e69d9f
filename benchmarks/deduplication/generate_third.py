"""A third generator: records made by editors, not by channels of noise. Evaluation and cross-checks only.

Each source is an editorial desk with a house style: it decides how a title is composed (parts in some order, some left
out), which of several names a place has, and what it does where it knows no time. The same desk makes the same choice
for the same event; slips are rarer and on top. So errors come in families, as they do in feeds.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from benchmarks.deduplication.generate import Labelled
from ingestion_assets.events.deduplication.records import Record

# (city, other spellings, zone, latitude, longitude) -> places: (names people use, street, sort of programme)
_CITIES = {
    ("Montréal", ("Montreal", "Ville-Marie (Montréal)", "Montréal (QC)"), "America/Montreal", 45.51, -73.57): (
        (("Gesù", "Le Gesù", "Gesù – Centre de créativité"), "1200 rue de Bleury"), (("Théâtre Maisonneuve", "Place des Arts - Théâtre Maisonneuve", "Maisonneuve Theatre"), "175 Ste-Catherine O."),
        (("Bibliothèque Frontenac", "Frontenac Library", "Biblio Frontenac"), "2550 rue Ontario Est"), (("Bibliothèque Saul-Bellow", "Saul Bellow Library", "Bibliothèque Saul Bellow (Lachine)"), "3100 rue Saint-Antoine"),
        (("Maison de la culture Rosemont", "Maison de la culture de Rosemont", "MC Rosemont"), "6707 av. De Lorimier"), (("Foufounes Électriques", "Les Foufounes Électriques", "Foufs"), "87 rue Sainte-Catherine Est"),
        (("Théâtre St-Denis", "Théâtre Saint-Denis", "St. Denis Theatre"), "1594 rue Saint-Denis"), (("Stade olympique", "Olympic Stadium", "Stade Olympique (Parc olympique)"), "4545 av. Pierre-De Coubertin"),
        (("Bibliothèque du Mile End", "Mile End Library", "Bibliothèque Mordecai-Richler"), "5434 av. du Parc"), (("Cinéma du Parc", "Cinema du Parc", "Cinéma du Parc inc."), "3575 av. du Parc"),
    ),
    ("Gatineau", ("Hull", "Gatineau, QC"), "America/Toronto", 45.48, -75.70): (
        (("Salle Odyssée", "Odyssée", "Maison de la culture de Gatineau – Salle Odyssée"), "855 boul. de la Gappe"), (("Bibliothèque Lucien-Lalonde", "Lucien-Lalonde Library", "Lucien-Lalonde"), "225 rue Bellehumeur"),
        (("Minotaure", "Le Minotaure", "Bar Le Minotaure"), "3 rue Kent"), (("Théâtre de l'Île", "Theatre de l'Ile", "Théâtre de l’Île"), "1 rue Wellington"),
    ),
    ("Calgary", ("Calgary, AB", "YYC"), "America/Edmonton", 51.05, -114.07): (
        (("Jack Singer Concert Hall", "Arts Commons - Jack Singer Concert Hall", "Jack Singer Hall"), "205 8 Ave SE"), (("Palace Theatre", "The Palace", "The Palace Theatre"), "219 8 Ave SW"),
        (("Central Library", "Calgary Central Library", "Calgary Public Library - Central"), "800 3 St SE"), (("Memorial Park Library", "Memorial Park Branch", "Memorial Park Library"), "1221 2 St SW"),
    ),
    ("Bruxelles", ("Brussels", "Ixelles", "Bruxelles-Ville"), "Europe/Brussels", 50.85, 4.35): (
        (("Ancienne Belgique", "AB", "Ancienne Belgique (AB)"), "Boulevard Anspach 110"), (("Flagey", "Flagey Studio 4", "Espace Flagey"), "Place Sainte-Croix"),
        (("Bibliothèque Sésame", "Sésame", "Bibliothèque communale Sésame"), "Boulevard Lambermont 200"), (("Théâtre National", "Théâtre National Wallonie-Bruxelles", "Theatre National"), "Boulevard Emile Jacqmain 111"),
    ),
}  # fmt: skip
_ACTS = (
    "Plumes & Tonnerre;The Ottoman Kites;Gisèle Marchetti;Fanfare Pourpour Nord;DJ Kéfir;Hazel Dupont-Ross;Grizzly Velours;Orchestre Métro-Nome;Tamsin Bly;"
    "Les Sœurs Belliveau;Karim Ouldali;Low Tide Cinema;Nova Scotia Sound Machine;Moineau;Trio Bravada;Pierre-Luc Sanscartier;Cassandre Wu;Bass Cathedral;Ruelle 9;"
    "Blizzard Motel;Ernestine;Polatouche;Salomé & the Rivets;Quasar Quartet;Monsieur Tempête;Brume;Kid Carbone;Mira Solheim;The Understudies;Vieux Loup;Chœur Arioso;"
    "Wendell Pryce;Antoine Bellavance;Ondine Leroux;Sarabande;Ghost Ferry;Marcel et son Orgue;Big Sky Ramblers;Les Cowboys Tranquilles;Nuala Devlin;Zéro Absolu;Sunday Saints"
).split(";")
_PLAYS = (
    ("Antigone", "Antigone"), ("Roméo et Juliette", "Romeo and Juliet"), ("Le Violon sur le toit", "Fiddler on the Roof"), ("La Mélodie du bonheur", "The Sound of Music"), ("En attendant Godot", "Waiting for Godot"),
    ("La Cerisaie", "The Cherry Orchard"), ("Tartuffe", "Tartuffe"), ("Le Fantôme de l'Opéra", "The Phantom of the Opera"), ("Peter Pan", "Peter Pan"), ("Les Misérables", "Les Misérables"), ("Rhinocéros", "Rhinoceros"),
    ("Un air de famille", "Family Resemblances"), ("La Belle et la Bête", "Beauty and the Beast"), ("Maison de poupée", "A Doll's House"),
)  # fmt: skip
_THINGS = (
    ("Heure du conte : {t}", "Storytime: {t}", (("les pirates", "pirates"), ("les abeilles", "bees"), ("la lune", "the moon"), ("les ours polaires", "polar bears"), ("l'hiver", "winter"))),
    ("Atelier {t}", "{t} workshop", (("zéro déchet", "zero waste"), ("haïku", "haiku"), ("de percussions", "drumming"), ("de linogravure", "linocut"), ("de macramé", "macramé"), ("de crochet", "crochet"))),
    ("Conférence : {t}", "Lecture: {t}", (("les volcans d'Islande", "the volcanoes of Iceland"), ("Louis Riel", "Louis Riel"), ("la ménopause", "menopause"), ("les trous noirs", "black holes"), ("investir à la retraite", "investing in retirement"))),
    ("Projection du film {t}", "Film screening: {t}", (("Les Glaneuses", "The Gleaners"), ("Nanouk", "Nanook"), ("La Nuit américaine", "Day for Night"))),
    ("Exposition {t}", "Exhibition: {t}", (("Horizons brodés", "Stitched Horizons"), ("Mémoire d'usines", "Factory Memories"), ("Portraits du Nord", "Portraits of the North"))),
    ("Cours d'essai : {t}", "Trial class: {t}", (("capoeira", "capoeira"), ("swing", "swing dance"), ("qi gong", "qigong"), ("aquarelle", "watercolour"))),
)  # fmt: skip
_EVERYWHERE = (
    ("Bébés lecteurs", "Baby Book Club"),
    ("Café-rencontre", "Coffee Meetup"),
    ("Contes et comptines", "Rhyme Time"),
    ("Clinique de vaccination", "Vaccination Clinic"),
    ("Aide informatique", "Computer Help"),
)
_FEASTS = (
    ("Festival Présence", "Présence Festival"),
    ("Les Francos du Nord", "Northern Francos"),
    ("Festival Haute Fréquence", "High Frequency Festival"),
    ("Foire du vinyle", "Record Fair"),
    ("Festival Soir de lune", "Moonlit Festival"),
)
_AUDIENCES = (
    ("(6-12 ans)", "(ages 6-12)"),
    ("pour adultes", "for adults"),
    ("- ados", "- teens"),
    ("parent-enfant", "for parents and kids"),
)
_FIRST_DAY = date(2026, 2, 2)


@dataclass(slots=True)
class _True:
    """An event as it happens."""

    fr: str
    en: str
    start: datetime
    place: tuple[tuple[str, ...], str]
    city: tuple[str, tuple[str, ...], str, float, float]
    kind: str
    group: str
    extra: str = ""
    label: tuple[str, str] = ("", "")
    until: date | None = None
    last: timedelta = timedelta(hours=2)
    doors: bool = False


@dataclass(frozen=True, slots=True)
class _Desk:
    """A source's house style. Rates are of events; where a style is chosen, it is chosen once an event."""

    name: str
    share: float
    french: float
    style: str
    """How a title is composed: full, short, tail, shout, bilingual."""
    place: int
    """Which of a place's names it prefers."""
    no_time: float = 0.03
    midnight: bool = False
    """Writes 00:00 where it knows no time."""
    utc: float = 0.0
    doors: float = 0.0
    """Of events with doors, it lists the doors."""
    zone: bool = True
    map_: float = 0.7
    street: float = 0.7
    city: float = 0.95
    label: float = 0.9
    extra: float = 0.6
    typo: float = 0.01


_DESKS = (
    _Desk("ticketdesk", 0.45, 0.3, "full", 0, doors=0.05, extra=0.9, label=0.97),
    _Desk("citydata", 0.35, 1.0, "short", 0, no_time=0.3, midnight=True, map_=1.0, label=0.85),
    _Desk("agenda", 0.4, 0.9, "full", 2, no_time=0.1, street=0.4, map_=0.2),
    _Desk("allaround", 0.4, 0.2, "tail", 1, utc=0.08, typo=0.04, map_=0.8, label=0.8),
    _Desk("houseics", 0.3, 0.7, "short", 0, utc=0.02, zone=False, city=0.4, map_=0.0, street=0.3),
    _Desk("meetings", 0.15, 0.1, "full", 1, doors=0.3, street=0.9),
    _Desk("weekly", 0.3, 0.6, "shout", 2, no_time=0.06, doors=0.5, map_=0.1, extra=0.3, label=0.75),
    _Desk("bilingua", 0.12, 0.5, "bilingual", 1),
)  # fmt: skip


@dataclass(slots=True)
class _Editors:
    seed: int
    days: int
    dice: random.Random = field(init=False)
    serial: int = 0
    scene_number: int = 0
    booked: set[tuple[str, str, date]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"third {self.seed}")

    # What happens

    def scene(self) -> list[_True]:
        self.scene_number += 1
        chosen = self.dice.choices(
            (self.concert, self.thing, self.run, self.twice, self.feast, self.homage, self.sold_beside, self.everywhere, self.rooms, self.around, self.numbered, self.weekly, self.publics, self.late_show),
            (22, 22, 8, 9, 5, 5, 6, 5, 6, 6, 6, 5, 4, 4),
        )[0]  # fmt: skip
        while True:
            events = chosen()
            # Two runs of one play in one house at once are one run: nothing could tell them apart.
            taken = {(one.fr, one.place[0][0], one.start.date()) for one in events}
            shown = Counter((one.fr, one.label, one.place[0][0], one.start.date()) for one in events)
            twice = max(shown.values()) > 1 and chosen not in (self.twice, self.late_show)
            if not taken & self.booked and not twice:
                self.booked |= taken
                return [replace(one, group=f"t{self.seed}.{self.scene_number}") for one in events]

    def where(self) -> tuple[tuple[str, tuple[str, ...], str, float, float], tuple[tuple[str, ...], str]]:
        city = self.dice.choices(list(_CITIES), (5, 2, 2, 2))[0]
        return city, self.dice.choice(_CITIES[city])

    def at(self, *hours: int) -> datetime:
        day = _FIRST_DAY + timedelta(days=self.dice.randrange(self.days))
        return datetime.combine(day, time(self.dice.choice(hours), self.dice.choice((0, 0, 0, 30, 30, 15))))

    def act(self) -> str:
        return self.dice.choice(_ACTS)

    def some_thing(self) -> tuple[str, str]:
        fr, en, topics = self.dice.choice(_THINGS)
        topic = self.dice.choice(topics)
        english = en.format(t=topic[1])
        return fr.format(t=topic[0]), english[0].upper() + english[1:]

    def concert(self) -> list[_True]:
        (city, place), act = self.where(), self.act()
        extra = (
            self.act()
            if self.dice.random() < 0.4
            else self.dice.choice(("", "Tournée Boréale", "Album Release", "20 ans"))
        )
        return [_True(act, act, self.at(19, 20, 20, 21), place, city, "concert", "", extra, doors=True)]

    def thing(self) -> list[_True]:
        city, place = self.where()
        return [
            _True(
                *self.some_thing(), self.at(10, 11, 13, 14, 18, 19), place, city, "thing", "", last=timedelta(hours=1)
            )
        ]

    def run(self) -> list[_True]:
        (city, place), play, start = self.where(), self.dice.choice(_PLAYS), self.at(19, 20)
        return [_True(*play, start + timedelta(days=i), place, city, "run", "") for i in range(self.dice.randint(2, 6))]

    def weekly(self) -> list[_True]:
        (city, place), start, thing = self.where(), self.at(10, 14, 18), self.some_thing()
        return [_True(*thing, start + timedelta(weeks=i), place, city, "weekly", "") for i in range(3)]

    def twice(self) -> list[_True]:
        (city, place), play, start = self.where(), self.dice.choice(_PLAYS), self.at(13, 14, 15)
        said = self.dice.random() < 0.4
        later = start.replace(hour=self.dice.choice((19, 19, 20)), minute=self.dice.choice((0, 30)))
        labels = (("matinée", "matinee"), ("soirée", "evening")) if said else (("", ""), ("", ""))
        return [
            _True(*play, start, place, city, "matinee", "", label=labels[0]),
            _True(*play, later, place, city, "evening", "", label=labels[1]),
        ]

    def late_show(self) -> list[_True]:
        (city, place), act, start = self.where(), self.act(), self.at(19)
        later = start + timedelta(minutes=self.dice.choice((120, 150, 180)))
        return [
            _True(act, act, start, place, city, "early", "", label=("19 h", "early show")),
            _True(act, act, later, place, city, "late", "", label=("deuxième représentation", "late show")),
        ]

    def feast(self) -> list[_True]:
        (city, place), (fr, en), start = self.where(), self.dice.choice(_FEASTS), self.at(11).replace(minute=0)
        days = self.dice.randint(2, 4)
        out = [_True(fr, en, start, place, city, "feast", "", until=start.date() + timedelta(days=days - 1))]
        for i in range(days):
            when = start.replace(hour=12) + timedelta(days=i)
            out.append(
                _True(
                    fr,
                    en,
                    when,
                    place,
                    city,
                    "feast_day",
                    "",
                    label=(f"jour {i + 1}", f"day {i + 1}"),
                    last=timedelta(hours=9),
                )
            )
            for _ in range(self.dice.randint(0, 2)):
                act, clock = self.act(), when.replace(hour=self.dice.randint(14, 22))
                form = self.dice.choice(("{a} ({f})", "{f} – {a}", "{f} présente {a}", "{a}"))
                out.append(
                    _True(
                        form.format(a=act, f=fr),
                        form.format(a=act, f=en).replace("présente", "presents"),
                        clock,
                        place,
                        city,
                        "feast_show",
                        "",
                    )
                )
        return out

    def homage(self) -> list[_True]:
        (city, place), act, band, start = self.where(), self.act(), self.act(), self.at(20)
        fr, en = self.dice.choice((
            (f"Hommage à {act}", f"Tribute to {act}"), (f"{band} – la musique de {act}", f"{band} – the music of {act}"), (f"{act} Experience", f"The {act} Experience"), (f"Les chansons de {act} par {band}", f"The songs of {act} by {band}"),
        ))  # fmt: skip
        elsewhere = place if self.dice.random() < 0.25 else self.dice.choice(_CITIES[city])
        return [
            _True(act, act, start, place, city, "original", ""),
            _True(fr, en, start, elsewhere, city, "homage", ""),
        ]

    def sold_beside(self) -> list[_True]:
        (city, place), act, start = self.where(), self.act(), self.at(19, 20)
        fr, en = self.dice.choice((
            (f"STATIONNEMENT - {act}", f"PARKING - {act}"), (f"{act} – forfait VIP", f"{act} – VIP package"), (f"{act} + souper 3 services", f"{act} + three-course dinner"), (f"{act} : expérience VIP", f"{act}: VIP Experience"),
            (f"Rencontre avec les artistes – {act}", f"Meet & greet – {act}"),
        ))  # fmt: skip
        return [
            _True(act, act, start, place, city, "act_with_extra", ""),
            _True(fr, en, start, place, city, "beside", ""),
        ]

    def everywhere(self) -> list[_True]:
        (city, _), thing, start = self.where(), self.dice.choice(_EVERYWHERE), self.at(10, 13, 18)
        places = self.dice.sample(_CITIES[city], min(len(_CITIES[city]), self.dice.randint(3, 6)))
        return [_True(*thing, start, place, city, "everywhere", "") for place in places]

    def rooms(self) -> list[_True]:
        (city, place), start = self.where(), self.at(18, 19)
        return [
            _True(
                *(self.some_thing() if self.dice.random() < 0.6 else (self.act(),) * 2), start, place, city, "rooms", ""
            )
            for _ in range(2)
        ]

    def around(self) -> list[_True]:
        (city, place), act, start = self.where(), self.act(), self.at(20)
        fr, en = self.dice.choice(
            (
                (f"Classe de maître avec {act}", f"Master class with {act}"),
                (f"Discussion avec {act}", f"Discussion with {act}"),
                (f"Lancement : {act}", f"Launch: {act}"),
                (f"{act} : causerie d'avant-concert", f"{act}: pre-concert talk"),
            )
        )
        return [
            _True(act, act, start, place, city, "main", ""),
            _True(fr, en, start - timedelta(hours=self.dice.choice((1, 3, 6))), place, city, "around", ""),
        ]

    def numbered(self) -> list[_True]:
        (city, place), thing, start = self.where(), self.some_thing(), self.at(9, 10, 13)
        fr, en = self.dice.choice(
            (("partie", "part"), ("groupe", "group"), ("séance", "session"), ("volet", "chapter"), ("niveau", "level"))
        )
        gap = self.dice.choice((timedelta(0), timedelta(hours=2), timedelta(days=1)))
        return [
            _True(*thing, start + gap * i, place, city, "numbered", "", label=(f"{fr} {i + 1}", f"{en} {i + 1}"))
            for i in range(2)
        ]

    def publics(self) -> list[_True]:
        (city, place), thing, start = self.where(), self.some_thing(), self.at(10, 13)
        (fr, en), later = self.dice.choice(_AUDIENCES), start + timedelta(hours=self.dice.choice((0, 2, 4)))
        return [
            _True(*thing, start, place, city, "public", ""),
            _True(f"{thing[0]} {fr}", f"{thing[1]} {en}", later, place, city, "public", ""),
        ]

    # How it is listed

    def listings(self, one: _True) -> Iterator[Record]:
        busy = self.dice.choice((0.4, 1.3))
        desks = [desk for desk in _DESKS if self.dice.random() < desk.share * busy] or [self.dice.choice(_DESKS)]
        for desk in desks:
            self.serial += 1
            yield self.listed(one, desk)

    def title(self, one: _True, desk: _Desk, french: bool) -> str:
        text = one.fr if french else one.en
        label = one.label[0 if french else 1]
        if one.extra and self.dice.random() < desk.extra:
            text += {"full": " avec " if french else " with ", "tail": " - ", "shout": ", ", "short": " : "}.get(
                desk.style, " + "
            ) + one.extra
        if label and self.dice.random() < desk.label:
            text = {"full": f"{text} ({label})", "tail": f"{text} | {label}", "shout": f"{text}, {label}"}.get(
                desk.style, f"{text} – {label}"
            )
        if desk.style == "bilingual" and one.fr != one.en:
            text = f"{one.fr} / {one.en}" + (f" ({label})" if label else "")
        if desk.style == "tail" and self.dice.random() < 0.4:
            text += self.dice.choice((f" in {one.city[0]}", f" at {one.place[0][0]}", " Tickets", f" {one.start.year}"))
        if desk.style == "shout" and self.dice.random() < 0.3:
            text = text.upper()
        if self.dice.random() < 0.05:
            text = self.dice.choice(("COMPLET – {}", "Annulé : {}", "{} [Reporté]")) .format(text) if french else self.dice.choice(("SOLD OUT – {}", "Cancelled: {}", "{} [Postponed]")).format(text)  # fmt: skip
        if desk.style == "short" and len(text) > 48:
            text = text[:45].rstrip() + "…"
        if self.dice.random() < desk.typo:
            spot = self.dice.randrange(1, len(text))
            text = text[: spot - 1] + text[spot:]
        return text

    def listed(self, one: _True, desk: _Desk) -> Record:
        dice = self.dice
        french = dice.random() < desk.french
        start = one.start
        if one.doors and dice.random() < desk.doors:
            start -= timedelta(minutes=dice.choice((30, 60, 60)))
        city, others, zone, lat, lon = one.city
        if dice.random() < desk.utc:
            start = start.replace(tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
        clock: time | None = start.time()
        if dice.random() < desk.no_time:
            start = datetime.combine(one.start.date(), time(0))
            clock = time(0) if desk.midnight else None
        names, street = one.place
        own = random.Random(street)
        located = dice.random() < desk.map_
        over = one.start + one.last
        return Record(
            source=desk.name,
            source_id=f"{self.serial}",
            title=self.title(one, desk, french),
            local_date=start.date(),
            local_time=clock,
            end_date=one.until or (over.date() if dice.random() < 0.4 else None),
            zone=zone if desk.zone else None,
            lang=("fr" if french else "en") if dice.random() < 0.5 else None,
            venue_name=None if dice.random() < 0.02 else names[desk.place] if dice.random() < 0.8 else dice.choice(names),
            address=street if dice.random() < desk.street else None,
            city=(city if dice.random() < 0.8 else dice.choice(others)) if dice.random() < desk.city else None,
            lat=round(lat + own.uniform(-0.05, 0.05) + dice.gauss(0, 0.0004), 5) if located else None,
            lon=round(lon + own.uniform(-0.06, 0.06) + random.Random(f"{self.serial}").gauss(0, 0.0004), 5) if located else None,
            url=f"https://{desk.name}.example/e/{self.serial}",
        )  # fmt: skip


def generate_third(rows: int = 10_000, seed: int = 1) -> list[Labelled]:
    """About `rows` labelled records, shuffled."""
    editors = _Editors(seed, max(30, min(330, rows // 40)))
    result: list[Labelled] = []
    event = 0
    while len(result) < rows:
        for one in editors.scene():
            event += 1
            result += [
                Labelled(record, f"{one.group}/{event}", one.kind, one.group) for record in editors.listings(one)
            ]
    editors.dice.shuffle(result)
    return result
