"""The least that a pull costs: download every page and parse it, as people do (httpx and json) and as fast as it goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from benchmarks._measure import measured


def pull(task: dict[str, Any]) -> None:
    """One pass. `task`: client (httpx or urllib3), parser (json or orjson), base_url, token, lists, parameters."""
    import orjson

    loads = {"json": json.loads, "orjson": orjson.loads}[task["parser"]]
    get = {"httpx": _httpx, "urllib3": _urllib3}[task["client"]](task["token"])
    events = 0
    with measured() as cost:
        for key in task["lists"]:
            parameters = dict(task["parameters"])
            while True:
                body = loads(get(f"{task['base_url']}/organizers/{key}/events/", parameters))
                events += len(body["events"])
                following = body["pagination"].get("continuation")
                if following is None:
                    break
                parameters["continuation"] = following
    cost.report(counts=None, events=events)


def _httpx(token: str) -> Callable[[str, dict[str, str]], bytes]:
    import httpx

    client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=120)  # the service shares the machine
    return lambda url, parameters: client.get(url, params=parameters).raise_for_status().content


def _urllib3(token: str) -> Callable[[str, dict[str, str]], bytes]:
    import urllib3

    pool = urllib3.PoolManager(headers={"Authorization": f"Bearer {token}"})
    return lambda url, parameters: pool.request("GET", f"{url}?{urlencode(parameters)}").data


if __name__ == "__main__":
    pull(json.loads(sys.argv[1]))
