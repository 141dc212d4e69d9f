"""How good the shipped weights are on records that they were not fitted on."""

import pytest

from benchmarks.deduplication import vocabulary
from benchmarks.deduplication.generate import Spec, generate
from benchmarks.deduplication.generate_other import generate_other
from benchmarks.deduplication.generate_third import generate_third
from benchmarks.deduplication.measure import measure
from ingestion_assets.events.deduplication.lexicon import default_lexicon, singular
from ingestion_assets.events.deduplication.text import words


@pytest.fixture(scope="module")
def held_back():
    return measure(generate(Spec(rows=5_000, seed=3_001, crowded=100)))


def test_pairs_on_the_held_back_split(held_back):
    assert held_back.precision >= 0.98, held_back.line()
    assert held_back.f1 >= 0.96, held_back.line()


def test_no_two_dates_of_a_series_are_one_event(held_back):
    assert held_back.series_merges == 0


@pytest.mark.parametrize("topic", vocabulary.TOPIC_OUTSIDE)
def test_the_words_outside_are_neither_known_nor_trained_on(topic):
    lexicon = default_lexicon()
    for word in (singular(word) for phrase in topic for word in words(phrase)):
        assert not lexicon.match([word], 0)
        assert not lexicon.misspelt(word)
    assert topic not in vocabulary.TOPIC_STRANGE


def test_pairs_with_words_outside_the_lexicon():
    quality = measure(generate(Spec(rows=4_000, seed=4_001, outside=True)))
    assert quality.precision >= 0.975, quality.line()
    assert quality.f1 >= 0.93, quality.line()


def test_pairs_of_records_made_by_editors():
    quality = measure(generate_third(3_000, seed=9))
    assert quality.precision >= 0.96, quality.line()
    assert quality.f1 >= 0.945, quality.line()
    assert quality.series_merges == 0


def test_pairs_of_another_generator():
    quality = measure(generate_other(3_000, seed=9))
    assert quality.precision >= 0.98, quality.line()
    assert quality.f1 >= 0.945, quality.line()
