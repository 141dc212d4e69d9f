"""What README and docs promise exists: commands, options, targets, variables, links, settings, configuration files."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg
import pytest
import typer.main
import yaml
from pydantic_settings import BaseSettings

from ingestion_assets.cli.app import app
from ingestion_assets.cli.settings import Variable, groups, markdown, reference, variables
from resources.postgres.database import Database

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])

NO_SETTINGS = {
    "DAGSTER_HOME": "Dagster's own",
    "INGESTION_DAGSTER_STORAGE_URL": "made by `ingest env` for dagster.yaml",
    "INGESTION_DAGSTER_DIR": "made by `ingest env` for dagster.yaml",
    "HTTPS_PROXY": "named because it is not read",
    "PYTHONWARNINGS": "Python's own",
    "SSL_CERT_FILE": "OpenSSL's own",
    "TMPDIR": "the operating system's",
    "TEST_DATABASE_URL": "read by tests/conftest.py",
}
"""Variables that pages may name although no settings class reads them, each with its reason."""
PLACEHOLDERS = {"SOURCE_ID", "_REGISTRY", "EXAMPLE_", "EXAMPLE_API_KEY"}
"""What a reader replaces, and what is code."""


def _ids(paths: Sequence[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


# Markdown


def split_code(page: str) -> tuple[list[tuple[str, str]], str]:
    """(language, code) of each fenced block, and the text around them."""
    blocks: list[tuple[str, str]] = []
    prose: list[str] = []
    fence: tuple[str, str, list[str]] | None = None
    for line in page.splitlines():
        mark = line.strip()
        if fence is None and (opened := re.fullmatch(r"\s*(```+)(\w*)", line)):
            fence = (opened[1], opened[2], [])
        elif fence is None:
            prose.append(line)
        elif mark == fence[0]:
            blocks.append((fence[1], "\n".join(fence[2])))
            fence = None
        else:
            fence[2].append(line)
    assert fence is None, "a block of code is not closed"
    return blocks, "\n".join(prose)


def code_of(page: str) -> Iterator[str]:
    """Lines of code blocks, and code within lines."""
    blocks, prose = split_code(page)
    for _, block in blocks:
        yield from re.sub(r"\\\n", " ", block).splitlines()
    yield from inline_code_of(prose)


def inline_code_of(prose: str) -> Iterator[str]:
    """What stands between backticks, also over the end of a line."""
    for paragraph in re.split(r"\n\s*\n|\n(?=[|#])", prose):
        yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", paragraph))


# Commands


def _tree(command: Any, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield name, command
    for sub, below in getattr(command, "commands", {}).items():
        yield from _tree(below, (*name, sub))


COMMANDS: dict[tuple[str, ...], Any] = dict(_tree(typer.main.get_command(app)))
_CALL = re.compile(r"(?:\.venv/bin/|(?<![\w/.-]))ingest (?=[a-z-])")


def calls_of(text: str) -> Iterator[list[str]]:
    """The words after each `ingest` on a line of code, without what a shell or a reader adds around them."""
    for match in _CALL.finditer(text):
        rest = re.split(r"\s#|[|;&)]|(?<!\\)\"\s*$|>", text[match.end() :])[0]
        rest = re.sub(r"[\[\]\\\"]", " ", rest)
        yield rest.replace("'", " ").split()


def wrong_in(words: list[str]) -> str | None:
    """Why a call cannot be made; None when its command and options exist."""
    name: tuple[str, ...] = ()
    while words and (*name, words[0]) in COMMANDS:
        name = (*name, words.pop(0))
    if not name:
        return f"there is no command {words[0]!r}"
    command = COMMANDS[name]
    if hasattr(command, "commands") and words and words[0][0] != "-":
        return f"{' '.join(name)} has no command {words[0]!r}"
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("-") and option not in {*known, "--help"} and not re.fullmatch(r"-\d+|-+", option):
            return f"{' '.join(name)} has no option {option}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = [
        f"{' '.join(words)}: {why}" for line in code_of(text) for words in calls_of(line) if (why := wrong_in([*words]))
    ]
    assert not wrong


def test_the_pages_show_commands_at_all() -> None:
    shown = [words for page in PAGES for line in code_of(page.read_text(encoding="utf-8")) for words in calls_of(line)]
    assert {tuple(words[:2]) for words in shown} >= {("db", "upgrade"), ("dedup", "explain")}
    assert len(shown) > 40


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ingest frobnicate", "no command"),
        (".venv/bin/ingest run --sauce ics", "no option --sauce"),
        ("ingest db downgrade", "no command 'downgrade'"),
        ('psql "$(ingest db url --dagstre)"', "no option --dagstre"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, why: str) -> None:
    [words] = calls_of(line)
    assert why in (wrong_in(words) or "")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name], ids=" ".join)
def test_every_command_and_option_has_help(name: tuple[str, ...]) -> None:
    command = COMMANDS[name]
    assert (command.help or "").strip()
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert (parameter.help or "").strip(), f"{' '.join(name)} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name], ids=" ".join)
def test_every_command_is_in_the_table_of_the_readme(name: tuple[str, ...]) -> None:
    rows = [
        line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `ingest ")
    ]
    listed = [words for row in rows for words in calls_of(row.replace("`", " ; "))]
    wanted = [*name]
    assert any(words[: len(wanted)] == wanted for words in listed), f"README names no `ingest {' '.join(name)}`"


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_every_make_target_of_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {
        target
        for line in code_of(page.read_text(encoding="utf-8"))
        for target in re.findall(r"(?:^|&& |; |run: )make ([a-z]+)\b", line.strip())
    }
    assert named <= targets


def test_every_make_target_has_help_and_is_phony() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    helped = set(re.findall(r"^([a-z]+):.*## ", makefile, flags=re.MULTILINE))
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert set(phony.split()) == helped


# SQL


def sql_of(page: str) -> Iterator[str]:
    """The statements of a page, in blocks and within lines; those for Dagster's database say so in a comment."""
    blocks, prose = split_code(page)
    for _, block in [found for found in blocks if found[0] == "sql"]:
        yield from (found for part in block.split(";") if (found := re.sub(r"(?m)^\s*--.*$", "", part).strip()))
    yield from (code for code in inline_code_of(prose) if re.match(r"(SELECT|UPDATE|DELETE|INSERT) .* ", code))


def test_every_statement_of_the_pages_runs_on_the_newest_schema(database: Database) -> None:
    statements = {statement: page.name for page in PAGES for statement in sql_of(page.read_text(encoding="utf-8"))}
    assert len(statements) > 6
    with database.connect(role="docs") as connection:
        for statement, page in statements.items():
            with connection.transaction(force_rollback=True):
                try:
                    connection.execute(statement.encode())
                except psycopg.Error as error:
                    pytest.fail(f"{page}: {statement}: {error}")


# Settings


def _all_variables() -> dict[str, Variable]:
    """By name, from every room that reads settings."""
    found = [variable for _, listed in groups() for variable in listed]
    for _, _, kind in _settings_elsewhere():
        found += variables(kind)
    return {variable.name: variable for variable in found}


def _named_variables(text: str) -> set[str]:
    """Names in capitals with an underscore, within code. `_MODEL` after `OPENAI_BASE_URL` is left to readers."""
    shell = [
        word
        for line in code_of(text)
        for word in re.findall(r"(?<![\w*<])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w*])", line)
    ]
    return set(shell) - PLACEHOLDERS


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_every_variable_of_a_page_is_a_setting(page: Path) -> None:
    unknown = _named_variables(page.read_text(encoding="utf-8")) - set(_all_variables()) - set(NO_SETTINGS)
    assert not unknown


def test_a_variable_that_does_not_exist_is_found() -> None:
    assert _named_variables("Set `INGESTION_FROBNICATE=1`.") == {"INGESTION_FROBNICATE"}
    assert "INGESTION_FROBNICATE" not in _all_variables()


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, variable in _all_variables().items() if not variable.text] == []


def test_no_two_settings_classes_read_one_variable() -> None:
    names = [variable.name for _, listed in groups() for variable in listed]
    assert sorted(names) == sorted(set(names))


def test_the_reference_is_what_the_command_prints() -> None:
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == markdown(), (
        "run: .venv/bin/ingest settings --markdown > docs/configuration.md"
    )


def _settings_elsewhere() -> list[tuple[str, str, type[BaseSettings]]]:
    """Page, title and class of the settings that `ingest settings`, below these rooms, cannot list."""
    from api.settings import ApiSettings
    from sensors.settings import SensorSettings

    return [("docs/operations.md", "Thresholds", SensorSettings), ("docs/api.md", "Settings", ApiSettings)]


@pytest.mark.parametrize(("page", "title", "kind"), _settings_elsewhere(), ids=str)
def test_the_settings_of_the_rooms_above_are_in_a_table(page: str, title: str, kind: type[BaseSettings]) -> None:
    _, _, text = (ROOT / page).read_text(encoding="utf-8").partition(f"## {title}\n")
    assert "\n".join(reference(variables(kind))) in text


def test_every_settings_class_is_documented() -> None:
    """A class that no page lists is a setting that nobody finds."""
    sources = [
        path for room in ("api", "ingestion_assets", "resources", "sensors") for path in (ROOT / room).rglob("*.py")
    ]
    aliases = {
        alias
        for path in sources
        for alias in re.findall(r'validation_alias="([A-Z0-9_]+)"', path.read_text(encoding="utf-8"))
    }
    assert aliases <= set(_all_variables())


# The HTTP API


def _paths() -> dict[str, set[str]]:
    """Methods by path, with every parameter written as {}."""
    from fastapi.routing import iter_route_contexts

    from api.app import create_app

    found: dict[str, set[str]] = {}
    for route in iter_route_contexts(create_app(Database("postgresql://nowhere")).routes):
        found.setdefault(re.sub(r"{\w+}", "{}", str(route.path)), set()).update(route.methods or ())
    return found


def test_every_address_of_the_page_about_the_api_exists() -> None:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    paths = _paths()
    called = re.findall(r"http://127\.0\.0\.1:8080(/[^\s\"?`]+)", page)
    assert len(called) > 7
    for path in called:
        assert re.sub(r"/ID\b", "/{}", path) in paths, path
    named = re.findall(r"`(GET|POST) (/[^`?]+)`", page)
    assert len(named) > 10
    for method, path in named:
        assert method in paths[re.sub(r"{\w+}", "{}", path)], (method, path)


def test_the_page_about_the_api_names_every_kind_of_job_with_its_arguments() -> None:
    from ingestion_assets.job_kinds import job_kinds

    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    for kind in job_kinds().values():
        assert kind.arguments is not None
        arguments = ", ".join(f"`{name}`" for name in kind.arguments.model_fields)
        assert f"| `{kind.name}` | {arguments} |" in page


# Links


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, without punctuation, a dash for each blank."""
    _, text = split_code(page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    _, text = split_code(page.read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            broken.append(target)
    assert not broken


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, queue = set(), [ROOT / "README.md"]
    while queue:
        page = queue.pop()
        if page in reached or not page.exists():
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s:]+\.md)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        queue += [(page.parent / link).resolve() for link in links]
    assert set(PAGES) - reached <= {ROOT / "CHANGELOG.md"}


# Configuration files


def _yaml_files() -> list[Path]:
    workflows = sorted((ROOT / ".github").rglob("*.y*ml*"))
    return [*workflows, ROOT / "dagster.yaml", ROOT / "workspace.yaml"]


@pytest.mark.parametrize("path", _yaml_files(), ids=_ids(_yaml_files()))
def test_a_configuration_file_is_valid_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize("path", [p for p in _yaml_files() if ".github" in p.parts], ids=lambda p: p.name)
def test_a_workflow_pins_its_actions_and_asks_for_little(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
    assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+", use) for use in re.findall(r"uses: (.*)", text))


@pytest.mark.parametrize("path", [p for p in _yaml_files() if ".github" in p.parts], ids=lambda p: p.name)
def test_no_step_of_a_workflow_hides_a_failure_in_a_pipe(path: Path) -> None:
    """Without `shell: bash` its runner sets no pipefail: the gate on checks ended as `tee` did, and let all through."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"] if "|" in step.get("run", "")]
    assert [step["run"] for step in steps if step.get("shell") != "bash"] == []


def test_dagster_accepts_the_instance_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Checked against Dagster's schemas, the storage's too. Nothing connects before a storage is asked for."""
    from dagster._config import process_config, resolve_to_config_type
    from dagster._core.instance import InstanceRef
    from dagster_postgres import DagsterPostgresStorage

    monkeypatch.setenv("INGESTION_DAGSTER_STORAGE_URL", "postgresql+psycopg2://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("INGESTION_DAGSTER_DIR", str(tmp_path))
    ref = InstanceRef.from_dir(str(ROOT))
    assert ref.settings["run_monitoring"]["enabled"] is True
    assert ref.settings["concurrency"]["pools"]["default_limit"] == 1
    assert type(ref.run_coordinator).__name__ == "QueuedRunCoordinator"
    assert ref.custom_instance_class_data is None
    storage = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))["storage"]["postgres"]
    checked = process_config(resolve_to_config_type(DagsterPostgresStorage.config_type()), storage)
    assert checked.success, checked.errors
    assert checked.value == {
        "postgres_url": "postgresql+psycopg2://nobody@127.0.0.1:1/nothing",
        "should_autocreate_tables": True,
    }


def test_the_workspace_loads_our_definitions() -> None:
    [entry] = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    assert find_spec(entry["python_module"]["module_name"]) is not None


# The repository


_MACHINE = re.compile(r"(?<![\w.-])/(?:work|home/[a-z]+|Users/[A-Za-z]+)/[\w.]|(?<![\w.-])/tmp/[a-z]+/[\w.]")


def test_no_tracked_file_names_a_path_of_somebodys_machine() -> None:
    found = []
    for path in _tracked():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:  # text, as git decides it
            text = content.decode("utf-8", "replace")
            found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in _MACHINE.finditer(text)]
    assert not found


def test_shell_lines_of_the_pages_can_be_read_by_a_shell() -> None:
    for page in PAGES:
        blocks, _ = split_code(page.read_text(encoding="utf-8"))
        for block in [code for language, code in blocks if language == "sh"]:
            assert subprocess.run(["bash", "-n", "-c", block], check=False).returncode == 0, f"{page.name}: {block}"
