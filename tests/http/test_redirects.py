from __future__ import annotations

from collections.abc import Callable

import pytest

from resources.errors import PermanentError
from resources.http import HttpStatusError, OutboundClient
from tests.http.server import PUBLIC, Exchange, RawServer, Rerouted, Resolver, Route

Build = Callable[..., OutboundClient]


def to(location: str, status: int = 302) -> Route:
    return lambda exchange: exchange.send(status, b"moved", Location=location)


@pytest.fixture
def web(server: RawServer, build: Build) -> Callable[..., OutboundClient]:
    """A client for which every *.example is the local server."""
    resolver = Resolver({name: [[PUBLIC]] for name in ("a.example", "b.example")})

    def make(**policy: object) -> OutboundClient:
        sockets = Rerouted(server.server_port)
        return build(client={"allow_private": False, "resolve": resolver, "sockets": sockets}, **policy)

    return make


def test_relative_and_absolute_redirects_are_followed(server: RawServer, web: Build) -> None:
    server.routes |= {"/1": to("/2?x=1"), "/2": to("3"), "/3": to("http://b.example/4", 308), "/4": Exchange.send}
    reply = web().get("http://a.example/1")
    assert reply.url == "http://b.example/4"
    assert [seen.target for seen in server.seen] == ["/1", "/2?x=1", "/3", "/4"]


def test_five_redirects_are_followed_and_a_sixth_is_not(server: RawServer, web: Build) -> None:
    server.routes |= {f"/{n}": to(f"/{n + 1}") for n in range(20)} | {"/20": Exchange.send}
    client = web()
    assert client.get("http://a.example/15").status == 200
    with pytest.raises(PermanentError, match="more than 5 redirects"):
        client.get("http://a.example/14")


def test_a_loop_ends(server: RawServer, web: Build) -> None:
    server.routes["/"] = to("/")
    with pytest.raises(PermanentError, match="redirects"):
        web().get("http://a.example/")
    assert len(server.seen) == 6


def test_secrets_do_not_follow_to_another_origin(server: RawServer, web: Build) -> None:
    server.routes |= {"/1": to("/2"), "/2": to("http://b.example/3"), "/3": to("http://b.example:81/4")}
    server.routes["/4"] = Exchange.send
    headers = {"Authorization": "Bearer abcdefgh", "X-Api-Key": "k-abcdefgh", "Cookie": "s=abcdefgh", "X-Lang": "fr"}
    web().get("http://a.example/1", params={"apikey": "canary-abcdef"}, headers=headers)
    for seen in server.seen[:2]:
        assert {"authorization", "x-api-key", "cookie"} <= {name.lower() for name in seen.headers}
    for seen in server.seen[2:]:
        assert not {"authorization", "x-api-key", "cookie"} & {name.lower() for name in seen.headers}
        assert "canary" not in seen.target
        assert seen.headers["x-lang"] == "fr"


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_post_becomes_a_get(server: RawServer, web: Build, status: int) -> None:
    server.routes |= {"/1": to("/2", status), "/2": Exchange.send}
    web().post("http://a.example/1", json={"q": 1})
    assert [(seen.method, seen.body) for seen in server.seen] == [("POST", b'{"q":1}'), ("GET", b"")]
    assert "content-type" not in {name.lower() for name in server.seen[1].headers}


def test_a_body_is_repeated_on_the_same_origin_only(server: RawServer, web: Build) -> None:
    server.routes |= {"/1": to("/2", 307), "/2": to("http://b.example/3", 308), "/3": Exchange.send}
    with pytest.raises(PermanentError, match="body to another host"):
        web().post("http://a.example/1", json={"q": 1})
    assert [(seen.method, seen.body) for seen in server.seen] == [("POST", b'{"q":1}')] * 2


@pytest.mark.parametrize(
    "location", ["http://[::1/", "http://a b c/", "http://a.example:99999/", "http://user:pw@a.example/"]
)
def test_a_redirect_to_nonsense_is_permanent(server: RawServer, web: Build, location: str) -> None:
    server.routes["/"] = to(location)
    with pytest.raises(PermanentError):
        web().get("http://a.example/")
    assert len(server.seen) == 1


def test_a_redirect_without_a_place_is_a_status(server: RawServer, web: Build) -> None:
    server.routes["/"] = lambda exchange: exchange.send(302)
    with pytest.raises(HttpStatusError, match="302"):
        web().get("http://a.example/")


def test_redirects_are_counted_and_inspect_sees_the_last_answer_only(server: RawServer, web: Build) -> None:
    server.routes |= {"/1": to("/2"), "/2": Exchange.send}
    client, seen = web(), []
    client.get("http://a.example/1", inspect=lambda reply: seen.append(reply.status))
    assert (seen, client.stats.requests, client.stats.redirects) == ([200], 2, 1)
