"""A second generator, built another way on purpose and used for evaluation only: nothing is fitted or tuned on it.

Where `generate` draws events and lets sources of fixed habits list them, this one keeps a city's season as a list of
bookings and damages each copy with a random chain of operators. Names, templates, rates and kinds are its own.
"""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from benchmarks.deduplication.generate import Labelled
from ingestion_assets.events.deduplication.records import Record

# (name in one language, name in the other, what people call it, street address, rooms)
_PLACES = {
    ("Montréal", "America/Montreal", 45.51, -73.56): (
        ("Théâtre Outremont", "Outremont Theatre", "L'Outremont", "1248 avenue Bernard Ouest"), ("Centre Bell", "Bell Centre", "Bell Centre", "1909 av. des Canadiens"),
        ("La Sala Rossa", "La Sala Rossa", "Sala Rossa", "4848 boul. Saint-Laurent"), ("Bibliothèque de la Petite-Patrie", "Petite-Patrie Library", "Biblio Petite-Patrie", "6707 avenue De Lorimier"),
        ("Maison de la culture Claude-Léveillée", "Maison de la culture Claude-Léveillée", "MC Claude-Léveillée", "911 rue Jean-Talon Est"), ("Bibliothèque de Parc-Extension", "Parc-Extension Library", "Biblio Parc-Ex", "421 rue Saint-Roch"),
        ("Théâtre Rouge du Conservatoire", "Conservatoire Red Theatre", "Théâtre Rouge", "4750 avenue Henri-Julien"), ("Quai des Brumes", "Quai des Brumes", "Le Quai des Brumes", "4481 rue Saint-Denis"),
        ("Église Saint-Jean-Baptiste", "St. Jean Baptiste Church", "Église St-Jean-Baptiste", "309 rue Rachel Est"), ("Parc Jarry", "Jarry Park", "Parc Jarry", "205 rue Gary-Carter"),
        ("Salle Bourgie", "Bourgie Hall", "Bourgie Hall", "1339 rue Sherbrooke Ouest"), ("Bibliothèque Marc-Favreau", "Marc-Favreau Library", "Biblio Marc-Favreau", "500 boul. Rosemont"),
        ("Ausgang Plaza", "Ausgang Plaza", "Ausgang", "6524 rue Saint-Hubert"), ("Cinquième Salle", "Cinquième Salle", "5e Salle", "175 rue Sainte-Catherine Ouest"),
        ("Usine C", "Usine C", "Usine C", "1345 avenue Lalonde"), ("Pavillon La Fontaine", "La Fontaine Pavilion", "Pavillon Lafontaine", "1301 rue Sherbrooke Est"),
    ),
    ("Québec", "America/Toronto", 46.81, -71.22): (
        ("Grand Théâtre de Québec", "Grand Théâtre", "Grand Théâtre", "269 boul. René-Lévesque Est"), ("Palais Montcalm", "Palais Montcalm", "Le Palais Montcalm", "995 place D'Youville"),
        ("Bibliothèque Gabrielle-Roy", "Gabrielle Roy Library", "Gabrielle-Roy", "350 rue Saint-Joseph Est"), ("L'Anti Bar & Spectacles", "L'Anti", "L'Anti", "251 rue Dorchester"),
        ("Le Diamant", "Le Diamant", "Diamant", "966 rue Saint-Jean"), ("Musée de la civilisation", "Museum of Civilization", "Musée de la civilisation", "85 rue Dalhousie"),
        ("Centre Vidéotron", "Videotron Centre", "Centre Vidéotron", "250 boul. Wilfrid-Hamel"), ("Impérial Bell", "Imperial Bell", "Impérial", "252 rue Saint-Joseph Est"),
    ),
    ("Halifax", "America/Halifax", 44.65, -63.58): (
        ("Halifax Central Library", "Bibliothèque centrale de Halifax", "Central Library", "5440 Spring Garden Rd"), ("The Carleton", "The Carleton", "Carleton Music Bar", "1685 Argyle St"),
        ("Rebecca Cohn Auditorium", "Auditorium Rebecca Cohn", "The Cohn", "6101 University Ave"), ("Neptune Theatre", "Théâtre Neptune", "Neptune", "1593 Argyle St"),
        ("Seahorse Tavern", "Seahorse Tavern", "The Seahorse", "2037 Gottingen St"), ("Halifax Public Gardens", "Jardins publics de Halifax", "Public Gardens", "5665 Spring Garden Rd"),
    ),
    ("Lyon", "Europe/Paris", 45.76, 4.84): (
        ("Auditorium Maurice-Ravel", "Maurice Ravel Auditorium", "Auditorium de Lyon", "149 rue Garibaldi"), ("Le Transbordeur", "Transbordeur", "Transbo", "3 boulevard de Stalingrad"),
        ("Médiathèque du Bachut", "Bachut Media Library", "Bachut", "2 place du 11 Novembre"), ("Théâtre des Célestins", "Célestins Theatre", "Les Célestins", "4 rue Charles-Dullin"),
        ("Ninkasi Kao", "Ninkasi Kao", "Kao", "267 rue Marcel-Mérieux"), ("Parc de la Tête d'Or", "Tête d'Or Park", "Tête d'Or", "Place Général-Leclerc"),
    ),
}  # fmt: skip

_SURNAMES = "Okonkwo Tremblay-Hart Vaillancourt Brightwater Szymanski Delacroix Mbeki Fontanelle Harcourt Achterberg Lemaître Quispe Rautio Sandoval Thibodeaux".split()
_GIVEN = "Solange Marguerite Ambrose Ignace Tobias Winifred Ophélie Casimir Leopold Beatrix Anselme Clothilde Hyacinthe Rosalind Percival Odile".split()
_NOUN = (
    "Brass Pigeons;Harmonium;Gris Acier;Tidal Reverie;Bleu Pétrole;Nine Lanterns;Papier Mâché;Les Vilains Garnements;Thunder Cathedral;Mange-Tout;"
    "Sœur Courage;Petrichor;Slow Avalanche;Les Barbares;Kitchen Dynasty;Crépuscule Club;Oblique;Hôtel Univers;Rêve Général;Salt & Cinder;Mirabelle;"
    "Octobre Rouge;Lo-Fi Sisters;La Fièvre;Deer Crossing;Tante Adèle;Sidewalk Prophecy;Ourse Majeure;Vertigo Bloom;Les Insomniaques"
).split(";")
_PRODUCTIONS = (
    ("L'Avare", "The Miser"), ("Le Malade imaginaire", "The Imaginary Invalid"), ("Cyrano de Bergerac", "Cyrano de Bergerac"), ("La Ménagerie de verre", "The Glass Menagerie"),
    ("Douze hommes en colère", "Twelve Angry Men"), ("La Souricière", "The Mousetrap"), ("Les Belles-Sœurs", "Les Belles-Soeurs"), ("Don Giovanni", "Don Giovanni"),
    ("La Traviata", "La Traviata"), ("Carmen", "Carmen"), ("Giselle", "Giselle"), ("Le Petit Prince", "The Little Prince"), ("Pinocchio", "Pinocchio"),
    ("La Reine des neiges", "The Snow Queen"), ("Broue", "Broue"), ("Le Barbier de Séville", "The Barber of Seville"),
)  # fmt: skip
_THEMES = (
    ("le compostage", "composting"), ("les champignons sauvages", "wild mushrooms"), ("la bière artisanale", "craft beer"), ("la photographie de nuit", "night photography"),
    ("le budget familial", "household budgeting"), ("la généalogie", "genealogy"), ("le polar nordique", "Nordic noir"), ("la danse en ligne", "line dancing"),
    ("les énergies renouvelables", "renewable energy"), ("la broderie", "embroidery"), ("la peinture à l'huile", "oil painting"), ("le chant grégorien", "Gregorian chant"),
    ("la cuisine libanaise", "Lebanese cooking"), ("le tai-chi", "tai chi"), ("l'impression 3D", "3D printing"), ("la langue des signes", "sign language"),
    ("la réparation de vélos", "bike repair"), ("les chauves-souris", "bats"), ("le bullet journal", "bullet journaling"), ("la philatélie", "stamp collecting"),
    ("les dinosaures", "dinosaurs"), ("le slam", "slam poetry"), ("l'autodéfense", "self-defence"), ("la voile", "sailing"), ("le pain au levain", "sourdough bread"),
)  # fmt: skip
_FRAMES = (
    ("Découvrir {x}", "Discover {x}"), ("Tout savoir sur {x}", "All About {x}"), ("Atelier pratique : {x}", "Hands-on Workshop: {x}"), ("{x} pour les nuls", "{x} 101"),
    ("Causerie autour de {x}", "A Talk on {x}"), ("Samedi famille — {x}", "Family Saturday: {x}"), ("Club ados : {x}", "Teen Club: {x}"), ("Midi-conférence | {x}", "Lunch & Learn | {x}"),
    ("Les aînés et {x}", "Seniors and {x}"),
)  # fmt: skip
_EVERYWHERE = (
    ("Le matin des tout-petits", "Toddler Morning"), ("Tricot-thé", "Knit & Tea"), ("Contes en pyjama", "Pyjama Stories"), ("Jeudi jeux de société", "Board Game Thursday"),
    ("Clinique d'impôts", "Tax Clinic"), ("Échange de semences", "Seed Swap"), ("Café numérique", "Digital Café"), ("Don de sang", "Blood Drive"),
)  # fmt: skip
_FEEDS = ("billets", "agenda_ville", "whatson", "nightlife", "orgcal", "facebookish")
_ZERO = date(2025, 9, 1)


@dataclass(frozen=True)
class Booking:
    """One true event."""

    names: tuple[str, str]
    start: datetime
    hours: float
    spot: tuple[str, str, str, str]
    city: tuple[str, str, float, float]
    kind: str
    group: str
    until: date | None = None
    tag: tuple[str, str] = ("", "")
    extra: str = ""


class _Season:
    def __init__(self, seed: int, days: int) -> None:
        self.dice = random.Random(seed)
        self.days = days
        self.groups = count()
        self.seed = seed
        self.booked: set[tuple[str, str, date]] = set()

    def pick(self) -> list[Booking]:
        makers: list[tuple[Callable[[], list[Booking]], int]] = [
            (self.concert, 20), (self.talk, 22), (self.run, 8), (self.double_bill, 8), (self.fest, 5), (self.homage, 5), (self.extras, 7),
            (self.everywhere, 5), (self.two_rooms, 7), (self.side_event, 6), (self.course, 7), (self.every_week, 6), (self.expo, 4),
        ]  # fmt: skip
        make = self.dice.choices([maker for maker, _ in makers], [weight for _, weight in makers])[0]
        group = f"o{self.seed}.{next(self.groups)}"
        while True:
            bookings = make()
            # Two runs of one play in one house at once are one run: nothing could tell them apart.
            taken = {(booking.names[0], booking.spot[0], booking.start.date()) for booking in bookings}
            shown = Counter((one.names[0], one.tag, one.spot[0], one.start.date()) for one in bookings)
            twice = max(shown.values()) > 1 and make != self.double_bill
            if not taken & self.booked and not twice:
                self.booked |= taken
                return [replace(booking, group=group) for booking in bookings]

    def where(self) -> tuple[tuple[str, str, str, str], tuple[str, str, float, float]]:
        city = self.dice.choices(list(_PLACES), [5, 3, 2, 2])[0]
        return self.dice.choice(_PLACES[city]), city

    def when(self, hours: tuple[int, ...]) -> datetime:
        day = _ZERO + timedelta(days=self.dice.randrange(self.days))
        return datetime.combine(day, time(self.dice.choice(hours), self.dice.choice((0, 0, 30))))

    def name(self) -> str:
        return (
            self.dice.choice(_NOUN)
            if self.dice.random() < 0.5
            else f"{self.dice.choice(_GIVEN)} {self.dice.choice(_SURNAMES)}"
        )

    def themed(self) -> tuple[str, str]:
        frame, theme = self.dice.choice(_FRAMES), self.dice.choice(_THEMES)
        fr, en = frame[0].format(x=theme[0]), frame[1].format(x=theme[1])
        return fr[0].upper() + fr[1:], en[0].upper() + en[1:]

    def concert(self) -> list[Booking]:
        spot, city = self.where()
        act = self.name()
        extra = self.name() if self.dice.random() < 0.4 else ""
        return [Booking((act, act), self.when((19, 20, 20, 21)), 2.5, spot, city, "concert", "", extra=extra)]

    def talk(self) -> list[Booking]:
        spot, city = self.where()
        return [Booking(self.themed(), self.when((10, 12, 13, 14, 18, 19)), 1.5, spot, city, "talk", "")]

    def run(self) -> list[Booking]:
        spot, city = self.where()
        names, start = self.dice.choice(_PRODUCTIONS), self.when((19, 20))
        return [
            Booking(names, start + timedelta(days=i), 2, spot, city, "run", "") for i in range(self.dice.randint(3, 7))
        ]

    def every_week(self) -> list[Booking]:
        spot, city = self.where()
        names, start = self.themed(), self.when((9, 10, 17, 18))
        return [Booking(names, start + timedelta(days=7 * i), 1, spot, city, "weekly", "") for i in range(3)]

    def double_bill(self) -> list[Booking]:
        spot, city = self.where()
        names, start = self.dice.choice(_PRODUCTIONS), self.when((13, 14))
        tags = (
            (("Matinée", "Matinee"), ("Soirée", "Evening performance"))
            if self.dice.random() < 0.6
            else (("", ""), ("", ""))
        )
        later = start.replace(hour=self.dice.choice((19, 20)))
        return [
            Booking(names, start, 2, spot, city, "matinee", "", tag=tags[0]),
            Booking(names, later, 2, spot, city, "evening", "", tag=tags[1]),
        ]

    def fest(self) -> list[Booking]:
        spot, city = self.where()
        word = self.dice.choice(
            ("Zoofest", "Nuits d'Afrique", "Pop Nord", "Fringe", "Coup de vent", "Marelle", "Grand Large")
        )
        names, start = (f"Festival {word}", f"{word} Festival"), self.when((11,)).replace(hour=11)
        length = self.dice.randint(2, 4)
        rows = [Booking(names, start, 12, spot, city, "umbrella", "", until=start.date() + timedelta(days=length - 1))]
        for i in range(length):
            rows.append(
                Booking(
                    names,
                    start.replace(hour=13) + timedelta(days=i),
                    9,
                    spot,
                    city,
                    "day",
                    "",
                    tag=(f"Jour {i + 1}", f"Day {i + 1}"),
                )
            )
            for _ in range(self.dice.randint(0, 2)):
                act = self.name()
                rows.append(
                    Booking(
                        (f"{act} | Festival {word}", f"{act} at {word} Festival"),
                        start.replace(hour=self.dice.randint(15, 22)) + timedelta(days=i),
                        1,
                        spot,
                        city,
                        "inside",
                        "",
                    )
                )
        return rows

    def homage(self) -> list[Booking]:
        (spot, city), act, band = self.where(), self.name(), self.name()
        start = self.when((20,))
        other = self.dice.choice(_PLACES[city])
        return [
            Booking((act, act), start, 2, spot, city, "original", ""),
            Booking((f"{band} : hommage à {act}", f"{band} – a tribute to {act}"), start, 2, other, city, "homage", ""),
        ]

    def extras(self) -> list[Booking]:
        (spot, city), act = self.where(), self.name()
        start = self.when((19, 20))
        names = self.dice.choice(
            (
                (f"Stationnement : {act}", f"Parking for {act}"),
                (f"{act} – Forfait VIP", f"{act} VIP Upgrade"),
                (f"{act} + souper", f"{act} Dinner Package"),
                (f"Navette {act}", f"Shuttle bus – {act}"),
            )
        )
        return [
            Booking((act, act), start, 2, spot, city, "main", ""),
            Booking(names, start, 2, spot, city, "extra", ""),
        ]

    def everywhere(self) -> list[Booking]:
        _, city = self.where()
        names, start = self.dice.choice(_EVERYWHERE), self.when((10, 13, 18))
        spots = self.dice.sample(_PLACES[city], min(len(_PLACES[city]), self.dice.randint(3, 7)))
        return [Booking(names, start, 1, spot, city, "everywhere", "") for spot in spots]

    def two_rooms(self) -> list[Booking]:
        (spot, city), start = self.where(), self.when((19, 20))
        return [
            Booking(((one, one) if self.dice.random() < 0.5 else self.themed()), start, 2, spot, city, "two_rooms", "")
            for one in (self.name(), self.name())
        ]

    def side_event(self) -> list[Booking]:
        (spot, city), act = self.where(), self.name()
        start = self.when((20,))
        names = self.dice.choice(
            (
                (f"Atelier de maître avec {act}", f"{act}: master class"),
                (f"Causerie avec {act}", f"In conversation with {act}"),
                (f"{act} – séance de signatures", f"{act} – meet the author"),
            )
        )
        return [
            Booking((act, act), start, 2, spot, city, "act", ""),
            Booking(names, start.replace(hour=self.dice.choice((12, 15, 18, 20))), 1, spot, city, "side", ""),
        ]

    def course(self) -> list[Booking]:
        (spot, city), names = self.where(), self.themed()
        start = self.when((9, 10, 13))
        word = self.dice.choice((("Bloc", "Block"), ("Partie", "Part"), ("Séance", "Session"), ("Module", "Module")))
        step = timedelta(hours=2) if self.dice.random() < 0.6 else timedelta(days=1)
        return [
            Booking(
                names, start + i * step, 1.5, spot, city, "course", "", tag=(f"{word[0]} {i + 1}", f"{word[1]} {i + 1}")
            )
            for i in range(self.dice.randint(2, 3))
        ]

    def expo(self) -> list[Booking]:
        (spot, city), names = self.where(), self.themed()
        start = self.when((10,)).replace(hour=10)
        return [
            Booking(
                (f"{names[0]} (exposition)", f"{names[1]} (exhibition)"),
                start,
                8,
                spot,
                city,
                "expo",
                "",
                until=start.date() + timedelta(days=40),
            ),
            Booking(
                (f"Vernissage — {names[0]}", f"{names[1]}: opening"),
                start.replace(hour=17),
                3,
                spot,
                city,
                "opening",
                "",
            ),
        ]


def generate_other(rows: int = 10_000, seed: int = 1, damage: float = 1.0) -> list[Labelled]:
    """About `rows` labelled records."""
    season = _Season(seed, max(30, min(300, rows // 40)))
    dice = season.dice
    result: list[Labelled] = []
    serial = count(1)
    bookings = count(1)
    while len(result) < rows:
        for booking in season.pick():
            event = f"{booking.group}/{next(bookings)}"
            feeds = dice.sample(_FEEDS, dice.choices((1, 2, 3, 4, 5), (42, 25, 17, 10, 6))[0])
            for feed in feeds:
                record = _listed(booking, feed, f"{feed[:3]}_{next(serial)}", dice, damage)
                result.append(Labelled(record, event, booking.kind, booking.group))
    dice.shuffle(result)
    return result


def split(name: str, rows: int) -> list[Labelled]:
    """For the scripts that take a module and a split's name: `other`, `other2`, … are seeds."""
    return generate_other(rows, seed=int("".join(filter(str.isdigit, name)) or 1))


def _listed(booking: Booking, feed: str, identity: str, dice: random.Random, damage: float) -> Record:
    french = (
        dice.random()
        < {"billets": 0.3, "agenda_ville": 1.0, "whatson": 0.05, "nightlife": 0.2, "orgcal": 0.6, "facebookish": 0.5}[
            feed
        ]
    )
    side = 0 if french else 1
    title = booking.names[side]
    if booking.tag[side] and dice.random() < 0.85:
        title = dice.choice(("{t} – {g}", "{t} [{g}]", "{g} : {t}", "{t} ({g})")).format(t=title, g=booking.tag[side])
    if booking.extra and dice.random() < 0.5:
        title += dice.choice((" / {e}", " w. {e}" if not french else " avec {e}", " ft. {e}", " & {e}")).format(
            e=booking.extra
        )
    name, alternative, nick, address = booking.spot
    place: str | None = dice.choices((name if french else alternative, name, nick), (6, 2, 2))[0]
    city, zone, lat, lon = booking.city
    spot = _coordinates(name, lat, lon)
    record = Record(
        source=feed,
        source_id=identity,
        title=title,
        local_date=booking.start.date(),
        local_time=booking.start.time(),
        end_date=booking.until
        or ((booking.start + timedelta(hours=booking.hours)).date() if dice.random() < 0.5 else None),
        zone=zone if feed != "facebookish" else None,
        lang=dice.choice((None, "fr" if french else "en")),
        venue_name=place,
        address=address if dice.random() < 0.6 else None,
        city=city if dice.random() < 0.85 else None,
        lat=round(spot[0] + dice.gauss(0, 0.0003), 5) if dice.random() < 0.55 else None,
        lon=None,
        url=f"https://{feed}.example.org/{'fr' if french else 'en'}/{identity}",
    )
    record = replace(record, lon=round(spot[1] + dice.gauss(0, 0.0003), 5) if record.lat is not None else None)
    if record.end_date is not None and booking.until is None:
        record = replace(record, end_time=(booking.start + timedelta(hours=booking.hours)).time())
    for rate, operator in _OPERATORS:
        factor = 3.0 if feed in ("nightlife", "facebookish") else 0.8
        if dice.random() < rate * factor * damage:
            record = operator(record, dice, french)
    return record


def _coordinates(name: str, lat: float, lon: float) -> tuple[float, float]:
    fixed = random.Random(name)
    return lat + fixed.uniform(-0.04, 0.04), lon + fixed.uniform(-0.05, 0.05)


def _late_clock(record: Record, _: random.Random, __: bool) -> Record:
    """UTC stored as local."""
    if record.local_time is None or record.zone is None:
        return record
    utc = datetime.combine(record.local_date, record.local_time, ZoneInfo(record.zone)).astimezone(ZoneInfo("UTC"))
    return replace(record, local_date=utc.date(), local_time=utc.time())


def _no_clock(record: Record, _: random.Random, __: bool) -> Record:
    return replace(record, local_time=None, end_time=None)


def _doors(record: Record, dice: random.Random, _: bool) -> Record:
    if record.local_time is None or record.local_time.hour < 2:
        return record
    moved = datetime.combine(record.local_date, record.local_time) - timedelta(minutes=dice.choice((15, 30, 60, 60)))
    return replace(record, local_time=moved.time())


def _shout(record: Record, _: random.Random, __: bool) -> Record:
    return replace(record, title=record.title.upper())


def _ascii(record: Record, _: random.Random, __: bool) -> Record:
    return replace(
        record, title=unicodedata.normalize("NFKD", record.title).encode("ascii", "ignore").decode() or record.title
    )


def _status(record: Record, dice: random.Random, french: bool) -> Record:
    words = (
        ("Annulé", "COMPLET!", "Reporté", "Nouvelle date")
        if french
        else ("Canceled", "SOLD OUT!", "Postponed", "New date")
    )
    return replace(
        record,
        title=dice.choice(("{s} {t}", "{s} - {t}", "{t} *{s}*", "({s}) {t}")).format(
            s=dice.choice(words), t=record.title
        ),
    )


def _slip_of_the_finger(record: Record, dice: random.Random, _: bool) -> Record:
    title = record.title
    spot = dice.randrange(len(title))
    return replace(record, title=title[:spot] + dice.choice("aeinrst") + title[spot + 1 :])


def _when_in_title(record: Record, dice: random.Random, french: bool) -> Record:
    if record.local_time is None:
        return record
    clock = (
        f"{record.local_time.hour}h{record.local_time.minute:02d}"
        if french
        else f"{record.local_time.hour % 12 or 12} {'PM' if record.local_time.hour > 11 else 'AM'}"
    )
    return replace(record, title=f"{record.title} {dice.choice(('–', '|', '@'))} {clock}")


def _where_in_title(record: Record, dice: random.Random, french: bool) -> Record:
    if record.venue_name is None:
        return record
    return replace(
        record, title=f"{record.title} {dice.choice(('@', '-', 'au' if french else 'at'))} {record.venue_name}"
    )


def _slogan(record: Record, dice: random.Random, french: bool) -> Record:
    words = (
        ("Lancement d'album", "le spectacle", "dernière chance", "édition 2026")
        if french
        else ("album launch", "live in concert", "one night only", "2026 edition")
    )
    return replace(record, title=f"{record.title}{dice.choice((' - ', ': ', ' | '))}{dice.choice(words)}")


def _no_venue(record: Record, _: random.Random, __: bool) -> Record:
    return replace(record, venue_name=None)


def _city_suffix(record: Record, _: random.Random, __: bool) -> Record:
    return replace(
        record,
        venue_name=f"{record.venue_name} - {record.city}" if record.venue_name and record.city else record.venue_name,
    )


def _entities(record: Record, _: random.Random, __: bool) -> Record:
    return replace(record, title=record.title.replace("&", "&amp;").replace("'", "&#039;").replace("é", "&eacute;"))


def _emoji(record: Record, dice: random.Random, _: bool) -> Record:
    return replace(record, title=f"{dice.choice('🎶🎉🔥✨')} {record.title}")


_OPERATORS: tuple[tuple[float, Callable[[Record, random.Random, bool], Record]], ...] = (
    (0.03, _late_clock), (0.07, _no_clock), (0.07, _doors), (0.06, _shout), (0.08, _ascii), (0.05, _status), (0.03, _slip_of_the_finger),
    (0.03, _when_in_title), (0.06, _where_in_title), (0.05, _slogan), (0.03, _no_venue), (0.05, _city_suffix), (0.04, _entities), (0.03, _emoji),
)  # fmt: skip
