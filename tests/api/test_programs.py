"""The service and the guard of Dagster's webserver as a supervisor starts them: their settings, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT

MODULES = ("api", "api.dagster_proxy")


def _end_of(module: str, **settings: str) -> str:
    """The last words of a program whose `.env` names a server that is not there."""
    program = (
        "import os, runpy, sys, dotenv\n"
        "dotenv.load_dotenv = lambda path: os.environ.setdefault('DATABASE_URL', 'postgresql://nobody@127.0.0.1:1/none')\n"
        "runpy.run_module(sys.argv[1], run_name='__main__', alter_sys=True)"
    )
    environment = {"PATH": os.environ["PATH"], **settings}
    done = subprocess.run(
        [sys.executable, "-c", program, module],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_a_database_that_is_down_is_a_sentence(module: str) -> None:
    said = _end_of(module, DATABASE_URL="postgresql://me:canary@127.0.0.1:1/none")
    assert said.startswith(f"{module.removeprefix('api.')}: PostgreSQL does not answer")
    assert said.count("\n") == 1
    assert "canary" not in said


@pytest.mark.parametrize("module", MODULES)
def test_the_database_of_the_env_file_is_the_one_that_is_asked(module: str) -> None:
    assert "PostgreSQL does not answer" in _end_of(module)


@pytest.mark.parametrize("module", MODULES)
def test_a_setting_that_cannot_be_used_is_named(module: str) -> None:
    said = _end_of(module, INGESTION_API_STREAMS="none")
    assert "a setting cannot be used. INGESTION_API_STREAMS: " in said
    assert said.count("\n") == 1
