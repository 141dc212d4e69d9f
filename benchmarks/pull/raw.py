"""The least that a pull costs: download every page and parse it, with the two libraries that people use for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from benchmarks._measure import measured


def pull(task: dict[str, Any]) -> None:
    """One pass. `task`: client (httpx or urllib3), base_url, token, lists, parameters."""
    import orjson

    get = {"httpx": _httpx, "urllib3": _urllib3}[task["client"]](task["token"])
    events = 0
    with measured() as cost:
        for key in task["lists"]:
            parameters = dict(task["parameters"])
            while True:
                body = orjson.loads(get(f"{task['base_url']}/organizers/{key}/events/", parameters))
                events += len(body["events"])
                following = body["pagination"].get("continuation")
                if following is None:
                    break
                parameters["continuation"] = following
    cost.report(counts=None, events=events)


def _httpx(token: str) -> Callable[[str, dict[str, str]], bytes]:
    import httpx

    client = httpx.Client(headers={"Authorization": f"Bearer {token}"})
    return lambda url, parameters: client.get(url, params=parameters).raise_for_status().content


def _urllib3(token: str) -> Callable[[str, dict[str, str]], bytes]:
    import urllib3

    pool = urllib3.PoolManager(headers={"Authorization": f"Bearer {token}"})
    return lambda url, parameters: pool.request("GET", f"{url}?{urlencode(parameters)}").data


if __name__ == "__main__":
    pull(json.loads(sys.argv[1]))
