"""Whether a command line of deploy/ can be carried out, and which variables exist: asked of the programs themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import click
import typer.main

from ingestion_assets.cli.app import app
from tests.docs.test_docs import NO_SETTINGS, _all_variables

IMAGE_VARIABLES = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}


def unknown_variables(names: Iterator[str] | Sequence[str]) -> set[str]:
    """Those that neither a settings class nor Dagster reads."""
    return set(names) - set(_all_variables()) - set(NO_SETTINGS) - IMAGE_VARIABLES


def wrong_in(words: Sequence[str]) -> str | None:
    """Why a command of the image cannot be carried out; None when its program, commands and options exist."""
    program, *rest = words
    if program == "entrypoint":
        return wrong_in(rest)
    if program == "python":
        if rest[0] == "-c":
            compile(rest[1], "-c", "exec")
            return None
        return None if rest[0] == "-m" and find_spec(rest[1]) is not None else f"there is no module {rest[-1]}"
    found = _programs().get(program)
    if found is None:
        return f"there is no program {program} in the image"
    return _wrong_options(found, rest)


def _programs() -> dict[str, Any]:
    from dagster._cli import create_dagster_cli
    from dagster._daemon.cli import create_dagster_daemon_cli
    from dagster_webserver.cli import dagster_webserver

    return {
        "ingest": typer.main.get_command(app),
        "dagster": create_dagster_cli(),
        "dagster-daemon": create_dagster_daemon_cli(),
        "dagster-webserver": dagster_webserver,
    }


def _wrong_options(command: Any, words: Sequence[str]) -> str | None:
    """Let click read the words; it knows options, their values, and what is missing."""
    context = click.Context(command)
    rest = list(words)
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            return f"{command.name} has no command {rest[:1]}"
        command = command.commands[rest.pop(0)]
        context = click.Context(command, parent=context)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = [word.partition("=")[0] for word in rest if word.startswith("-")]
    wrong = [option for option in options if option not in known]
    return f"{command.name} has no option {', '.join(wrong)}" if wrong else None
