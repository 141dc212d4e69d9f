"""`python -m api`: the service under uvicorn, on the database of DATABASE_URL or the embedded one."""

from __future__ import annotations

import signal
import socket
import sys
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.settings import ApiSettings
from ingestion_assets.logs import setup_logging
from ingestion_assets.program import program
from resources.postgres.migrate import upgrade
from resources.postgres.platform import open_databases
from resources.postgres.urls import sqlalchemy_psycopg

SHUTDOWN_SECONDS = 10
_BACKLOG = 2048
_IDLE_SECONDS = 15
_HEADER_BYTES = 32 * 1024
"""Of a request's first line and headers together, and of what follows a chunked body."""


class Server(uvicorn.Server):
    """One that tells its streams to end before it waits for them."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Part of uvicorn's own shutdown."""
        app = self.config.app
        if isinstance(app, FastAPI):
            app.state.service.hub.close()
        await super().shutdown(sockets)


def end_on_signals() -> None:
    """Let SIGTERM and Ctrl-C end this process as its end would: uvicorn raises the signal again when it has stopped.

    By default that skips every clean-up, and the embedded database server stays up.
    """

    def end(*_: object) -> NoReturn:
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def listening(settings: ApiSettings) -> dict[str, Any]:
    """What uvicorn is told by both services: this one and the guard of Dagster's webserver."""
    return {
        "host": settings.host,
        # uvicorn's faster parser gathers a header for as long as one comes, from anybody, and in ever larger copies.
        "http": "h11",
        "h11_max_incomplete_event_size": _HEADER_BYTES,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "forwarded_allow_ips": list(settings.trusted_proxies),
    }


def main() -> None:
    """Serve until SIGTERM or Ctrl-C. Streams are told to end; their clients come back with Last-Event-ID."""
    setup_logging()
    end_on_signals()
    settings = ApiSettings()
    with open_databases() as databases:
        upgrade(sqlalchemy_psycopg(databases.url))
        app = create_app(databases.database, settings)
        config = uvicorn.Config(
            app,
            **listening(settings),
            port=settings.port,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            backlog=_BACKLOG,
        )
        Server(config).run()


if __name__ == "__main__":
    with program("api"):
        main()
