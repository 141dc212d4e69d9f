"""`ingest api`: the HTTP service in this process."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Final

import typer

MODULE: Final = ("-P", "-m", "api")
"""How the interpreter starts the service. `-P`: a folder called `api` where the command is called is not it."""


def api(
    host: Annotated[
        str | None, typer.Option(envvar="INGESTION_API_HOST", help="Address to listen on; 127.0.0.1 otherwise.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(envvar="INGESTION_API_PORT", min=0, max=65535, help="Port to listen on; 8080 otherwise."),
    ] = None,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C. Runs are launched by Dagster's webserver at INGESTION_DAGSTER_URL."""
    sys.stdout.flush()
    sys.stderr.flush()
    # The service is the layer above this one, so it is not imported: this process becomes it.
    os.execve(sys.executable, [sys.executable, *MODULE], {**os.environ, **variables(host=host, port=port)})  # noqa: S606 - our own program


def variables(*, host: str | None = None, port: int | None = None, dagster_url: str | None = None) -> dict[str, str]:
    """The environment that says these things to the service; what is None is left to its settings."""
    given = {
        "INGESTION_API_HOST": host,
        "INGESTION_API_PORT": None if port is None else str(port),
        "INGESTION_DAGSTER_URL": dagster_url,
    }
    return {name: value for name, value in given.items() if value is not None}
