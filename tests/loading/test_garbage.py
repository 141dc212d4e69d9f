"""Garbage collection while records stream."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ingestion_assets.events.garbage import THRESHOLD, rare_collections


@pytest.fixture(autouse=True)
def _usual_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_collections_are_rare_inside_and_as_before_afterwards() -> None:
    with rare_collections():
        assert gc.get_threshold() == (THRESHOLD, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


def test_a_failure_inside_puts_the_thresholds_back() -> None:
    with pytest.raises(ValueError, match="broken"), rare_collections():
        raise ValueError("broken")
    assert gc.get_threshold() == (700, 10, 10)


def test_bodies_that_overlap_end_with_the_last_one() -> None:
    first, second = rare_collections(), rare_collections()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] == THRESHOLD
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [(0, 10, 10), (THRESHOLD * 2, 5, 5)])
def test_a_process_that_collects_more_rarely_still_is_left_alone(chosen: tuple[int, int, int]) -> None:
    gc.set_threshold(*chosen)
    with rare_collections():
        assert gc.get_threshold() == chosen
    assert gc.get_threshold() == chosen


def test_cycles_are_still_found() -> None:
    class Node:
        def __init__(self) -> None:
            self.me = self

    def collected() -> int:
        """In all generations: which one is due depends on what the process did before."""
        return sum(generation["collected"] for generation in gc.get_stats())

    found = collected()
    with rare_collections():
        for _ in range(THRESHOLD):
            Node()
    assert collected() > found
