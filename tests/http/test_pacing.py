from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from resources.errors import TransientError
from resources.http import BudgetSpent, MemoryBudget, MemoryPacer, OutboundClient, OutboundFailure, OutboundPolicy
from tests.http.server import Exchange, FakeTime, RawServer

Build = Callable[..., OutboundClient]


def test_requests_keep_the_sustained_rate(server: RawServer, build: Build, fake_time: FakeTime) -> None:
    server.routes["/"] = Exchange.send
    client = build(requests_per_second=2)
    for _ in range(9):
        client.get(server.url("/"))
    gaps = [b.at - a.at for a, b in zip(server.seen, server.seen[1:], strict=False)]
    assert gaps == pytest.approx([0.5] * 8)
    assert client.stats.waited_seconds == pytest.approx(4.0)


def test_retries_and_redirects_keep_the_rate_too(server: RawServer, build: Build) -> None:
    server.routes["/"] = [lambda it: it.send(503, Retry_After="0"), lambda it: it.send(302, Location="/x")]
    server.routes["/x"] = Exchange.send
    build(requests_per_second=0.1).get(server.url("/"))
    gaps = [b.at - a.at for a, b in zip(server.seen, server.seen[1:], strict=False)]
    assert min(gaps) >= 9.999


def test_threads_and_clients_share_one_pace() -> None:
    pacer = MemoryPacer(lambda: 50.0)
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: pacer.reserve("a", interval=0.25, max_wait=1000), range(200)))
    assert sorted(waits) == pytest.approx([n * 0.25 for n in range(200)])


def test_a_turn_that_is_not_taken_is_not_lost() -> None:
    pacer = MemoryPacer(lambda: 0.0)
    assert [pacer.reserve("a", interval=10, max_wait=15) for _ in range(4)] == [0, 10, 20, 20]
    assert pacer.reserve("b", interval=10, max_wait=15) == 0


def test_a_turn_too_far_away_ends_the_call(server: RawServer, build: Build, fake_time: FakeTime) -> None:
    server.routes["/"] = Exchange.send
    client = build(requests_per_second=0.01, total_timeout=50)
    client.get(server.url("/"))
    with pytest.raises(OutboundFailure, match="next turn is 100 s away") as caught:
        client.get(server.url("/"))
    assert (caught.value.retry_after, fake_time.sleeps) == (100, [])


def test_a_spent_budget_ends_the_call_and_says_for_how_long(
    server: RawServer, build: Build, fake_time: FakeTime
) -> None:
    server.routes["/"] = Exchange.send
    client = build(requests_per_hour=3, requests_per_day=5)
    for _ in range(3):
        client.get(server.url("/"))
        fake_time.now += 60
    with pytest.raises(BudgetSpent) as caught:
        client.get(server.url("/"))
    assert isinstance(caught.value, TransientError)
    assert caught.value.retry_after == 3600 - 180
    fake_time.now += 3600
    for _ in range(2):
        client.get(server.url("/"))
    with pytest.raises(BudgetSpent) as caught:
        client.get(server.url("/"))
    assert caught.value.retry_after == 86_400 - 3600 - 180
    assert (len(server.seen), fake_time.sleeps) == (5, [])


def test_retries_spend_too(server: RawServer, build: Build) -> None:
    server.routes["/"] = lambda exchange: exchange.send(503)
    with pytest.raises(BudgetSpent):
        build(requests_per_day=3).get(server.url("/"))
    assert len(server.seen) == 3


def test_a_budget_of_ones_own_is_asked_by_name(server: RawServer, build: Build) -> None:
    class Shared:
        asked: list[tuple[str, int | None, int | None]] = []  # noqa: RUF012

        def spend(self, name: str, *, per_hour: int | None, per_day: int | None) -> float | None:
            self.asked.append((name, per_hour, per_day))
            return 42.0

    with pytest.raises(BudgetSpent) as caught:
        build(client={"budget": Shared()}, requests_per_day=7).get(server.url("/"))
    assert (caught.value.retry_after, Shared.asked, server.seen) == (42.0, [("test", None, 7)], [])


def test_no_window_ever_holds_more_than_the_budget() -> None:
    now = 0.0
    budget = MemoryBudget(lambda: now)
    granted = []
    for step in range(20_000):
        now = step * 0.9
        if budget.spend("a", per_hour=100, per_day=None) is None:
            granted.append(now)
    assert all(b - a >= 3600 for a, b in zip(granted, granted[100:], strict=False))
    assert len(granted) == 500


def test_clients_of_one_process_share_pace_and_budget_by_name(server: RawServer) -> None:
    server.routes["/"] = Exchange.send
    policy = OutboundPolicy(name="shared by process", requests_per_day=2)
    for _ in range(2):
        with OutboundClient(policy, allow_private=True) as client:
            client.get(server.url("/"))
    with OutboundClient(policy, allow_private=True) as client, pytest.raises(BudgetSpent):
        client.get(server.url("/"))


def test_threads_share_a_client(server: RawServer, build: Build) -> None:
    server.routes["/"] = lambda exchange: exchange.send(200, exchange.path.encode())
    client = build()
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda n: client.get(server.url("/"), params={"n": n}).body, range(200)))
    assert bodies == [f"/?n={n}".encode() for n in range(200)]
    assert client.stats.requests == client.stats.by_status[200] == 200


@pytest.mark.parametrize(
    "half", [{"attempts": 0}, {"total_timeout": 0}, {"requests_per_second": 0}, {"requests_per_day": -1}]
)
def test_a_policy_that_lets_nothing_through_is_refused(half: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(half))):
        OutboundPolicy(name="x", **half)
