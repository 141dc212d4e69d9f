"""Asking Dagster's webserver for runs, from what `run_launches` says. Rules and states are there; here is the wire."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from api.database import ApiDatabase
from api.problems import Problem
from api.settings import ApiSettings
from api.tasks import end
from ingestion_assets.ledger import run_launches
from ingestion_assets.ledger.run_launches import LAUNCH_TAG, Launch
from resources.redaction import redact

log = logging.getLogger(__name__)

REQUEST_SECONDS = 20.0
"""A launch answers in a quarter of a second, also while runs are queued; more is a webserver that is starting."""
_SWEEP_SECONDS = 10.0
REPOSITORY = "__repository__"
"""The name that Dagster gives to the one repository of a `Definitions`."""

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_FIND = """
query Find($tag: String!, $value: String!) {
  runsOrError(filter: {tags: [{key: $tag, value: $value}]}, limit: 1) {
    __typename
    ... on Runs { results { runId } }
    ... on Error { message }
  }
}
"""
_FINAL = frozenset({"RunConfigValidationInvalid", "InvalidSubsetError", "UnauthorizedError", "NoModeProvidedError"})
"""Refusals that will be the same next time. A job that is not found may be in a location that is loading."""


class Refusal(Exception):  # noqa: N818 - it is what happened, not an error of ours
    """Dagster answered with something else than a run; `final` when it will do so next time, too."""

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.message = message
        self.final = final


class Launcher:
    """Launches what is pending: at once when asked, and every few seconds for what was left over."""

    def __init__(self, database: ApiDatabase, settings: ApiSettings) -> None:
        self._database = database
        self._settings = settings
        self._wake = asyncio.Event()
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Launch in the background while the context lasts."""
        headers = {}
        if self._settings.dagster_token is not None:
            headers["Authorization"] = f"Bearer {self._settings.dagster_token.get_secret_value()}"
        async with httpx.AsyncClient(
            base_url=self._settings.dagster_url,
            headers=headers,
            timeout=httpx.Timeout(REQUEST_SECONDS, connect=3),
            trust_env=False,
        ) as client:
            self._client = client
            task = asyncio.create_task(self._loop(), name="launch runs")
            try:
                yield
            finally:
                await end(task)

    def wake(self) -> None:
        """Something was committed that wants a run."""
        self._wake.set()

    async def _loop(self) -> None:
        while True:
            # Before looking: who wakes us from here on is not forgotten.
            self._wake.clear()
            try:
                while await self.launch_pending():
                    pass
            except Exception as error:  # noqa: BLE001 - the loop outlives whatever went wrong in one round
                # The database is away (a Problem) or something unforeseen; either way the rows are still there.
                level = logging.WARNING if isinstance(error, Problem) else logging.ERROR
                log.log(level, "launching will be tried again: %s", redact(str(error) or type(error).__name__))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _SWEEP_SECONDS)

    async def launch_pending(self) -> int:
        """Try every launch whose time has come. How many were tried."""
        due = await self._database.run(run_launches.claim)
        for launch in due:
            await self._launch(launch)
        return len(due)

    async def _launch(self, launch: Launch) -> None:
        try:
            run_id = await self._find(launch) if launch.unsure else None
            if run_id is None:
                if not await self._database.run(lambda c: run_launches.about_to_send(c, launch)):
                    return
                run_id = await self._send(launch)
        except httpx.ConnectError as error:
            text = f"Dagster does not answer: {type(error).__name__}"
            await self._database.run(lambda c: run_launches.unreachable(c, launch, text))
        except (httpx.HTTPError, ValueError, KeyError) as error:
            text = f"The answer of Dagster was lost: {type(error).__name__}"
            await self._database.run(lambda c: run_launches.answer_lost(c, launch, text))
        except Refusal as error:
            refusal = error
            await self._database.run(
                lambda c: run_launches.refused(c, launch, redact(refusal.message), final=refusal.final)
            )
        else:
            made = run_id
            await self._database.run(lambda c: run_launches.launched(c, launch.id, made))
            log.info("launched %s as run %s", launch.job_name, made)

    async def _send(self, launch: Launch) -> str:
        tags = {**launch.tags, LAUNCH_TAG: str(launch.id)}
        answer = await self._ask(
            _LAUNCH,
            {
                "params": {
                    "selector": {
                        "repositoryLocationName": self._settings.dagster_location,
                        "repositoryName": REPOSITORY,
                        "pipelineName": launch.job_name,
                    },
                    "mode": "default",
                    "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
                }
            },
        )
        result = answer["launchRun"]
        if result["__typename"] == "LaunchRunSuccess":
            return str(result["run"]["runId"])
        message = result.get("message") or "; ".join(error["message"] for error in result.get("errors", ()))
        raise Refusal(f"{result['__typename']}: {message}"[:1000], final=result["__typename"] in _FINAL)

    async def _find(self, launch: Launch) -> str | None:
        answer = await self._ask(_FIND, {"tag": LAUNCH_TAG, "value": str(launch.id)})
        found = answer["runsOrError"]
        if found["__typename"] != "Runs":
            raise Refusal(f"{found['__typename']}: {found.get('message', '')}"[:1000], final=False)
        return str(found["results"][0]["runId"]) if found["results"] else None

    async def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        assert self._client is not None, "launches happen while the launcher runs"  # noqa: S101
        reply = await self._client.post("/graphql", json={"query": query, "variables": variables})
        if reply.status_code >= 500 or reply.status_code in {401, 403, 404, 429}:
            # Nobody executes a mutation and then answers so: a proxy without its webserver, or the wrong address.
            raise Refusal(f"{self._settings.dagster_url} answered {reply.status_code}", final=False)
        body = reply.json()
        if body.get("errors") and not body.get("data"):
            raise Refusal("; ".join(str(error.get("message")) for error in body["errors"])[:1000], final=False)
        return dict(body["data"])
