"""The features of a pair and their levels: the vocabulary that measuring, scoring and the weights file share.

Belongs here: names and their order, no measuring and no number.
"""

from __future__ import annotations

# The levels of each feature, by their names in the weights file. The order is that of the codes below.
LEVELS: dict[str, tuple[str, ...]] = {
    "title": ("same", "nearly", "within", "mostly", "half", "little", "one_word", "nothing"),
    "left_over_both": ("none", "light", "one_word", "two_words", "more"),
    "left_over_one": ("none", "light", "one_word", "two_words", "more"),
    "rest": (
        "none",
        "one_side",
        "both_other_language",
        "both",
        "both_one_known",
        "both_same_language",
        "both_same_language_one_known",
        "both_known",
    ),
    "shared_weight": ("none", "light", "one_word", "two_words", "more"),
    "spelling": ("same", "97", "90", "80", "65", "50", "apart"),
    "letters": ("same", "95", "88", "75", "apart"),
    "translated": ("no", "little", "half", "all_perhaps", "all"),
    "shared_words": ("none", "frames_only", "known_only", "names"),
    "proper": ("none", "one_missing", "both_missing"),
    "numbers": ("none", "same", "one_side", "differ"),
    "parts": ("none", "same", "one_side", "day_one_side", "differ"),
    "sessions": ("none", "same", "one_side", "against_clock", "differ"),
    "tribute": ("same", "differ"),
    "addon": ("none", "same", "both_other", "one_side"),
    "umbrella": ("none", "both", "both_with_rest", "one_side", "one_side_with_rest"),
    "kind": ("none", "same", "one_side", "differ"),
    "public": ("none", "same", "one_side", "differ"),
    "support": ("none", "same", "one_side", "differ"),
    "beside": ("none", "same", "one_side", "differ"),
    "place": ("same", "likely", "perhaps", "unknown", "doubtful", "different", "apart"),
    "time": (
        "same",
        "15min",
        "35min",
        "65min",
        "95min",
        "200min",
        "slip_past_midnight",
        "slip_to_evening",
        "slip_by_day",
        "slip_and_doors_past_midnight",
        "half_day",
        "one_dated",
        "both_dated",
        "apart",
    ),
    "end": ("unknown", "same", "differ"),
    "length": ("same", "few_days", "unknown_to_more", "one_day_to_more"),
    "source": ("other", "same"),
    "url": ("unknown", "same", "differ"),
    "people": ("unknown", "shared"),
    "places_of_title": ("one", "two", "many_venue_known", "many_venue_unknown"),
    "alone_in_slot": ("no_slot", "both", "one_side", "neither"),
}

FACTS: dict[str, tuple[str, ...]] = {
    "venue": ("different", "clashing", "weak", "unknown", "partial", "strong", "same"),
    "distance": ("unknown", "100m", "300m", "1km", "5km", "25km", "farther"),
    "address": ("unknown", "same", "differ"),
    "city": ("unknown", "same", "differ"),
    "names": ("neither", "one_side", "both"),
    "languages": ("unknown", "same", "differ", "differ_in_words"),
    "french_name": ("no", "missing"),
    "understood": ("no", "one_side", "both"),
}
"""Measured as well, but not weighed by themselves: other features and the conflicts are made of them."""


def code(name: str, level: str) -> int:
    """The number of a level. ValueError when the feature has no such level."""
    return (LEVELS.get(name) or FACTS[name]).index(level)
