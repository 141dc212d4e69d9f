"""Behind a proxy that ends TLS: who calls and how is what it says, when it is one that is trusted."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from pydantic import ValidationError

from api.dagster_proxy import SIGN_IN, create_proxy
from api.settings import ApiSettings
from ingestion_assets.ledger.tokens import Role
from resources.postgres.database import Database
from tests.api.conftest import LiveServer, settings, token_of

NAME = "ingestion.example.org"
BY_TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
HERE = {"Host": NAME, "Origin": f"https://{NAME}"}
TRUSTED, ELSEWHERE = ("127.0.0.0/8",), ("10.0.0.0/8", "::1")


@pytest.mark.parametrize("proxies", [TRUSTED, ELSEWHERE])
def test_an_administrator_signs_in_and_the_cookie_stays_on_tls(
    serve: Callable[..., LiveServer], database: Database, proxies: tuple[str, ...]
) -> None:
    server = serve(trusted_proxies=proxies, allowed_hosts=(NAME,))
    token = token_of(database, "root", role=Role.ADMIN)
    reply = httpx.post(f"{server.url}/admin/sign-in", data={"token": token}, headers={**HERE, **BY_TLS})
    assert reply.status_code == 303, reply.text
    assert "Secure" in reply.headers["set-cookie"]


@pytest.mark.parametrize("proxies", [TRUSTED, ELSEWHERE])
def test_so_it_is_at_the_guard_of_dagsters_webserver(database: Database, proxies: tuple[str, ...]) -> None:
    chosen = settings(trusted_proxies=proxies, allowed_hosts=(NAME,))
    server = LiveServer(create_proxy(database, chosen), chosen)
    server.start()
    try:
        token = token_of(database, "root", role=Role.ADMIN)
        reply = httpx.post(f"{server.url}{SIGN_IN}", data={"token": token}, headers={**HERE, **BY_TLS})
        assert reply.status_code == 303, reply.text
        assert "Secure" in reply.headers["set-cookie"]
    finally:
        server.stop()


@pytest.mark.parametrize(
    "origin", [f"http://{NAME}", f"https://{NAME}:444", f"https://x{NAME}", "https://", "null", ""]
)
def test_a_page_that_came_without_tls_is_not_the_same_origin(serve: Callable[..., LiveServer], origin: str) -> None:
    server = serve(trusted_proxies=TRUSTED, allowed_hosts=(NAME,))
    headers = {**HERE, **BY_TLS, "Origin": origin}
    reply = httpx.post(f"{server.url}/admin/sign-in", data={"token": "x"}, headers=headers)
    assert reply.json()["type"] == "/problems/cross-site"


@pytest.mark.parametrize(("proxies", "statuses"), [(TRUSTED, [200, 429, 200]), (ELSEWHERE, [200, 429, 429])])
def test_callers_without_a_token_have_a_rate_each_where_the_proxy_is_trusted(
    serve: Callable[..., LiveServer], proxies: tuple[str, ...], statuses: list[int]
) -> None:
    server = serve(trusted_proxies=proxies, requests_per_second=0.01, request_burst=1)
    # What a caller makes up stands on the left; the proxy adds the address that it sees.
    callers = ("198.51.100.1, 203.0.113.7", "198.51.100.2, 203.0.113.7", "203.0.113.8")
    replies = [httpx.get(f"{server.url}/events", headers={"X-Forwarded-For": caller}) for caller in callers]
    assert [reply.status_code for reply in replies] == statuses


@pytest.mark.parametrize("value", ["proxy.example.org", "10.0.0.1/8", "*"])
def test_a_proxy_that_nobody_could_be_is_refused_at_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTION_API_TRUSTED_PROXIES", f"127.0.0.1, {value}")
    with pytest.raises(ValidationError, match="INGESTION_API_TRUSTED_PROXIES"):
        ApiSettings()
