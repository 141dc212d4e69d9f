"""The image: linted, made of what is in the repository, locked, and without rights."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.commands import unknown_variables, wrong_in

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "image"
DOCKERFILE = FOLDER / "Dockerfile"
INSTRUCTIONS = [
    (match[1], match[2].strip())
    for match in re.finditer(
        r"(?m)^([A-Z]+) ((?:.*\\\n)*.*)$", re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"))
    )
]


def of(name: str) -> list[str]:
    return [re.sub(r"\\\n\s*", "", text) for instruction, text in INSTRUCTIONS if instruction == name]


def test_the_linter_has_nothing_to_say() -> None:
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [program, "--format", "json", DOCKERFILE], capture_output=True, text=True, check=False, timeout=60
    )
    assert json.loads(done.stdout) == []
    assert done.returncode == 0


def test_the_linter_would_have_found_something() -> None:
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [program, "-"], input="FROM python:latest\nRUN cd /x\n", capture_output=True, text=True, check=False, timeout=60
    )
    assert "DL3007" in done.stdout


def _copied() -> list[str]:
    return [
        source
        for text in of("COPY")
        if "--from=" not in text
        for source in text.split()[:-1]
        if not source.startswith("--")
    ]


@pytest.mark.parametrize("source", _copied())
def test_what_is_copied_is_tracked_and_not_ignored(source: str) -> None:
    tracked = subprocess.run(["git", "ls-files", "--", source], cwd=ROOT, capture_output=True, text=True, check=True)
    assert tracked.stdout.strip(), f"{source} is not in the repository"
    patterns = [line for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"]
    allowed = [pattern[1:] for pattern in patterns]
    assert any(source == pattern or source.startswith(f"{pattern}/") for pattern in allowed)


def test_nothing_comes_into_the_context_unasked() -> None:
    lines = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    asked = [rule[1:] for rule in rules if rule.startswith("!")]
    assert sorted(asked) == sorted({source.rstrip("/") for source in _copied()})
    assert not any(fnmatch(".env", pattern) or fnmatch(".ingestion/postgres", pattern) for pattern in asked)


def test_every_package_of_the_project_is_copied() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= set(_copied())


def test_the_bases_are_one_and_exact() -> None:
    [base] = of("ARG")
    name, _, image = base.partition("=")
    assert re.fullmatch(r"python:3\.1[1-3]\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", image)
    assert [text.split()[0] for text in of("FROM")] == [f"${{{name}}}"] * 2


def test_it_runs_without_rights_and_says_how_it_is() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", of("USER")[-1])
    [check] = of("HEALTHCHECK")
    assert wrong_in(json.loads(check.partition("CMD ")[2])) is None
    [command] = of("CMD")
    assert wrong_in(json.loads(command)) is None


def test_every_variable_is_a_setting() -> None:
    names = re.findall(r"([A-Z_]+)=", " ".join(of("ENV")))
    assert unknown_variables([name for name in names if not name.startswith("PIP_")]) == set()


def test_packages_come_by_hash_and_in_the_versions_of_the_other_lock() -> None:
    text = (FOLDER / "requirements.lock").read_text(encoding="utf-8")
    wanted = dict(re.findall(r"(?m)^([\w.-]+(?:\[[\w,]+\])?)==([\w.]+)", text))
    blocks = re.split(r"(?m)^(?=[\w.-]+(?:\[[\w,]+\])?==)", text)[1:]
    assert len(blocks) > 120
    assert [block.split("==")[0] for block in blocks if "--hash=sha256:" not in block] == []
    base = dict(
        re.findall(r"(?m)^([\w.-]+(?:\[[\w,]+\])?)==([\w.]+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    )
    assert {name: version for name, version in base.items() if wanted.get(name) != version} == {}
    assert {"dagster-celery", "dagster-k8s", "redis"} <= set(wanted)
    assert any("--require-hashes" in text and "requirements.lock" in text for text in of("RUN"))


def test_the_entry_point_gives_dagster_its_environment_and_others_none(tmp_path: Path) -> None:
    for name, body in {
        "ingest": "echo \"export INGESTION_DAGSTER_DIR='a place'\"",
        "dagster": 'echo "$INGESTION_DAGSTER_DIR|$*"',
        "other": 'echo "${INGESTION_DAGSTER_DIR-unset}|$*"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)

    def run(*words: str) -> str:
        environment = {"PATH": f"{tmp_path}:{os.defpath}"}
        done = subprocess.run(
            ["sh", FOLDER / "entrypoint.sh", *words], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert run("dagster", "api", "execute run") == "a place|api execute run"
    assert run("other", "one") == "unset|one"


def test_a_program_of_dagster_does_not_start_without_its_environment(tmp_path: Path) -> None:
    (tmp_path / "ingest").write_text("#!/bin/sh\necho 'no database' >&2\nexit 1\n")
    (tmp_path / "ingest").chmod(0o755)
    done = subprocess.run(
        ["sh", FOLDER / "entrypoint.sh", "dagster", "instance", "migrate"],
        env={"PATH": f"{tmp_path}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (1, "no database")
