"""The closed list of tags, and the words for them in French and English.

The values are enums, so that a type checker and the answer schema know them; the words are data (`taxonomy.toml`),
so that a label can be corrected without touching code. Loading refuses a file that does not name exactly these values.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files


class EventType(StrEnum):
    """What kind of occasion it is. Exactly one an event."""

    CONCERT = "concert"
    FESTIVAL = "festival"
    THEATRE = "theatre"
    DANCE = "dance"
    COMEDY = "comedy"
    CIRCUS = "circus"
    FILM = "film"
    EXHIBITION = "exhibition"
    WORKSHOP = "workshop"
    COURSE = "course"
    TALK = "talk"
    READING = "reading"
    GAME = "game"
    SPORT = "sport"
    MARKET = "market"
    TASTING = "tasting"
    PARTY = "party"
    NETWORKING = "networking"
    COMMUNITY = "community"
    TOUR = "tour"
    OUTDOOR = "outdoor"
    CELEBRATION = "celebration"
    CAMP = "camp"
    OTHER = "other"


class Genre(StrEnum):
    """What it is about or what is played. Several may hold."""

    ROCK = "rock"
    POP = "pop"
    METAL_PUNK = "metal_punk"
    JAZZ = "jazz"
    BLUES = "blues"
    FOLK = "folk"
    COUNTRY = "country"
    TRAD = "trad"
    CHANSON = "chanson"
    CLASSICAL = "classical"
    OPERA = "opera"
    CHORAL = "choral"
    HIP_HOP = "hip_hop"
    SOUL = "soul"
    ELECTRONIC = "electronic"
    REGGAE = "reggae"
    LATIN = "latin"
    WORLD = "world"
    EXPERIMENTAL = "experimental"
    DRAMA = "drama"
    MUSICAL = "musical"
    PUPPETRY = "puppetry"
    STAND_UP = "stand_up"
    IMPROV = "improv"
    MAGIC = "magic"
    DRAG_BURLESQUE = "drag_burlesque"
    BALLET = "ballet"
    CONTEMPORARY_DANCE = "contemporary_dance"
    SOCIAL_DANCE = "social_dance"
    DOCUMENTARY = "documentary"
    ANIMATION = "animation"
    SHORT_FILM = "short_film"
    VISUAL_ARTS = "visual_arts"
    PHOTOGRAPHY = "photography"
    DIGITAL_ARTS = "digital_arts"
    CRAFTS = "crafts"
    CERAMICS = "ceramics"
    TEXTILE = "textile"
    LITERATURE = "literature"
    POETRY = "poetry"
    STORYTELLING = "storytelling"
    COMICS = "comics"
    HISTORY_HERITAGE = "history_heritage"
    SCIENCE = "science"
    TECHNOLOGY = "technology"
    ENVIRONMENT = "environment"
    NATURE = "nature"
    HEALTH = "health"
    BUSINESS = "business"
    SOCIETY = "society"
    LANGUAGES = "languages"
    SPIRITUALITY = "spirituality"
    BOARD_GAMES = "board_games"
    VIDEO_GAMES = "video_games"
    QUIZ_BINGO = "quiz_bingo"
    HOCKEY = "hockey"
    BALL_SPORTS = "ball_sports"
    RUNNING = "running"
    CYCLING = "cycling"
    WINTER_SPORTS = "winter_sports"
    WATER_SPORTS = "water_sports"
    YOGA = "yoga"
    FITNESS = "fitness"
    MARTIAL_ARTS = "martial_arts"
    HIKING = "hiking"
    COOKING = "cooking"
    BEER = "beer"
    WINE_SPIRITS = "wine_spirits"
    SEASONAL = "seasonal"
    NATIONAL = "national"
    PRIDE = "pride"
    INDIGENOUS = "indigenous"
    BLACK_CULTURES = "black_cultures"


class Ambiance(StrEnum):
    """How it feels to be there. Several may hold."""

    FESTIVE = "festive"
    RELAXED = "relaxed"
    INTIMATE = "intimate"
    ROMANTIC = "romantic"
    ENERGETIC = "energetic"
    EDUCATIONAL = "educational"
    CREATIVE = "creative"
    CONTEMPLATIVE = "contemplative"
    IMMERSIVE = "immersive"
    CONVIVIAL = "convivial"
    COMPETITIVE = "competitive"
    PLAYFUL = "playful"
    SPOOKY = "spooky"
    NOSTALGIC = "nostalgic"
    OPEN_AIR = "open_air"


class Audience(StrEnum):
    """Whom it is made for. Several may hold."""

    EVERYONE = "everyone"
    FAMILIES = "families"
    TODDLERS = "toddlers"
    CHILDREN = "children"
    TEENS = "teens"
    ADULTS = "adults"
    SENIORS = "seniors"
    STUDENTS = "students"
    PARENTS = "parents"
    NEWCOMERS = "newcomers"
    PROFESSIONALS = "professionals"
    LGBTQ = "lgbtq"
    WOMEN = "women"
    DISABILITIES = "disabilities"


AXES: dict[str, type[StrEnum]] = {"type": EventType, "genres": Genre, "ambiance": Ambiance, "audience": Audience}
"""The four axes in the order in which they are shown, each with its closed list of values."""


@dataclass(frozen=True, slots=True)
class Label:
    """The words for one value, and for whom a word is not enough, a line about what it covers."""

    fr: str
    en: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """All values with their labels, in the order of the file."""

    version: str
    """Part of the key of every stored answer: an answer given under another version is asked again."""
    labels: dict[str, dict[str, Label]]
    """axis -> value -> label"""

    def label(self, axis: str, value: str, language: str = "fr") -> str:
        """The word for `value` on `axis` in `fr` or `en`. An unknown axis or value is a KeyError."""
        found = self.labels[axis][value]
        return found.fr if language == "fr" else found.en


def parse_taxonomy(text: str) -> Taxonomy:
    """Read a taxonomy from TOML. Raises ValueError, naming the values, when it does not fit the enums exactly."""
    raw = tomllib.loads(text)
    version = raw.pop("version", None)
    if not isinstance(version, str) or not version:
        raise ValueError('the taxonomy names no version: add `version = "1"` at the top')
    if set(raw) != set(AXES):
        raise ValueError(f"the taxonomy must have the axes {sorted(AXES)}, it has {sorted(raw)}")
    labels: dict[str, dict[str, Label]] = {}
    for axis, values in AXES.items():
        expected, found = {str(value) for value in values}, set(raw[axis])
        if expected != found:
            raise ValueError(
                f"axis {axis}: the file lacks {sorted(expected - found)} and has {sorted(found - expected)} too much"
            )
        labels[axis] = {value: Label(**label) for value, label in raw[axis].items()}
    return Taxonomy(version=version, labels=labels)


@cache
def taxonomy() -> Taxonomy:
    """The taxonomy of this package, read once."""
    return parse_taxonomy(files(__package__).joinpath("taxonomy.toml").read_text(encoding="utf-8"))
