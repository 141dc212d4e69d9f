"""The type of every problem is an address that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from api.problems import TITLES
from api.routes.problem_pages import ADVICE
from tests.api.conftest import Calls

API = Path(__file__).parents[2] / "api"


def test_every_type_that_the_code_names_has_a_title_and_advice() -> None:
    named = {
        name
        for path in API.rglob("*.py")
        for name in re.findall(r'name="([a-z]+(?:-[a-z]+)+)"', path.read_text(encoding="utf-8"))
    }
    assert named <= set(TITLES) == set(ADVICE)


def test_every_type_leads_to_its_page(api: Calls) -> None:
    async def look(client: httpx.AsyncClient) -> None:
        listed = (await client.get("/problems")).text
        for name, title in TITLES.items():
            page = await client.get(f"/problems/{name}")
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert f"<h1>{title}</h1>".replace("'", "&#39;") in page.text
            assert f'href="/problems/{name}"' in listed
        problem = (await client.get("/problems/none")).json()
        assert (await client.get(problem["type"])).status_code == 200

    api(look)


@pytest.mark.parametrize("name", ["<script>", "../admin/ingestion", "%2e%2e"])
def test_a_type_that_does_not_exist_is_a_problem_itself(api: Calls, name: str) -> None:
    reply = api.get(f"/problems/{name}")
    assert reply.status_code in {303, 404}
    assert "<script>" not in reply.text
