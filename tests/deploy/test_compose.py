"""The Compose files: valid by the specification's schema, and tight in what they leave to defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from api.settings import ApiSettings
from tests.deploy.commands import unknown_variables, wrong_in

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
FILES = ("compose.yaml", "compose.celery.yaml")
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text(encoding="utf-8"))
OTHERS = ("postgres", "redis")
"""Services of images that are not ours."""


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return loaded


def services() -> dict[str, dict[str, Any]]:
    """Of both files together, as Compose merges them: mappings by key, everything else replaced."""
    merged = read(FILES[0])["services"]
    for name, override in read(FILES[1])["services"].items():
        base = override.get("extends", {"file": FILES[0], "service": name})
        assert base["file"] == FILES[0]
        merged[name] = _merge(merged.get(base["service"], {}), override)
    return dict(merged)


def _merge(base: Any, override: Any) -> Any:
    if isinstance(base, dict) and isinstance(override, dict):
        return {**base, **{key: _merge(base.get(key), value) for key, value in override.items()}}
    return override


ALL = services()
OURS = {name: service for name, service in ALL.items() if name not in OTHERS}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_valid(name: str) -> None:
    jsonschema.validate(read(name), SCHEMA)


def test_what_the_specification_does_not_know_is_found() -> None:
    broken = read(FILES[0])
    broken["services"]["api"]["restrat"] = "always"
    with pytest.raises(jsonschema.ValidationError, match="restrat"):
        jsonschema.validate(broken, SCHEMA)


def test_every_part_of_the_platform_is_there() -> None:
    assert set(OURS) == {
        *("migrate", "migrate-dagster", "code", "webserver", "dagster-proxy", "daemon", "api", "worker", "run-worker")
    }


@pytest.mark.parametrize("name", OURS)
def test_a_command_can_be_carried_out(name: str) -> None:
    assert wrong_in([str(word) for word in ALL[name]["command"]]) is None


def test_a_command_that_does_not_exist_is_found() -> None:
    assert wrong_in(["ingest", "wroker"]) is not None
    assert wrong_in(["ingest", "worker", "--speed=9"]) == "worker has no option --speed"
    assert wrong_in(["dagster", "code-server", "start", "--prot", "1"]) == "start has no option --prot"
    assert wrong_in(["python", "-m", "api.nothing"]) == "there is no module api.nothing"
    assert wrong_in(["dagster-daemon-is-alive"]) is not None


@pytest.mark.parametrize("name", OURS)
def test_a_health_check_can_be_carried_out(name: str) -> None:
    check = ALL[name].get("healthcheck", {})
    if "test" in check:
        assert check["test"][0] == "CMD"
        assert wrong_in(check["test"][1:]) is None


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    assert unknown_variables(ALL[name]["environment"]) == set()


def _example() -> Iterator[str]:
    for line in (FOLDER / "env.example").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line.partition("=")[0]


def test_the_example_of_the_secrets_names_settings_and_holds_none() -> None:
    named = set(_example())
    assert unknown_variables(sorted(named)) == {"POSTGRES_PASSWORD"}
    values = [
        line for line in (FOLDER / "env.example").read_text().splitlines() if re.match(r".*(KEY|TOKEN|PASS\w*)=", line)
    ]
    assert len(values) > 5
    assert all(line.endswith("=") for line in values)


def test_what_the_files_replace_is_in_the_example_and_has_no_default() -> None:
    for name in FILES:
        text = (FOLDER / name).read_text(encoding="utf-8")
        used = re.findall(r"\$\{(\w+)(:\?[^}]+)?\}", text)
        assert {variable for variable, _ in used} <= set(_example())
        assert all(message for _, message in used)


@pytest.mark.parametrize("name", ALL)
def test_a_port_is_open_on_loopback_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in ALL[name].get("ports", []))


def test_a_proxy_in_front_is_trusted_wherever_it_comes_in() -> None:
    [network] = read(FILES[0])["networks"]["default"]["ipam"]["config"]
    for name, service in OURS.items():
        trusted = service["environment"].get("INGESTION_API_TRUSTED_PROXIES")
        assert trusted == (network["subnet"] if "ports" in service else None), name
        assert trusted is None or ApiSettings(INGESTION_API_TRUSTED_PROXIES=trusted).trusted_proxies == (trusted,)


def test_dagsters_webserver_and_the_database_have_no_port_outside() -> None:
    assert {name for name, service in ALL.items() if "ports" in service} == {"api", "dagster-proxy"}


@pytest.mark.parametrize("name", ALL)
def test_an_image_is_pinned(name: str) -> None:
    image = ALL[name]["image"]
    assert re.fullmatch(r"[\w./-]+:(\d+\.[\w.-]+)(@sha256:[0-9a-f]{64})?", image), image


def test_the_image_has_the_version_of_the_project() -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {service["image"] for service in OURS.values()} == {f"ingestion:{version}"}


@pytest.mark.parametrize("name", ALL)
def test_a_service_is_bounded_restarted_and_watched(name: str) -> None:
    service = ALL[name]
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory"} <= set(limits)
    once = name.startswith("migrate")
    assert service["restart"] == ("no" if once else "unless-stopped")
    # The image's own check is of the HTTP service.
    if name not in ("api", "migrate", "migrate-dagster"):
        assert service["healthcheck"]


@pytest.mark.parametrize("name", OURS)
def test_our_services_may_do_as_little_as_they_need(name: str) -> None:
    service = ALL[name]
    assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True)
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["env_file"] == [{"path": ".env", "required": True}]
    assert "privileged" not in service
    assert "user" not in service


def test_what_is_waited_for_exists_and_can_say_that_it_is_ready() -> None:
    for name, service in ALL.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in ALL[other]["healthcheck"] or other == "api", f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert ALL[other]["restart"] == "no"


def test_nothing_of_ours_starts_before_the_schema_is_there() -> None:
    def waits_for(name: str) -> set[str]:
        direct = set(ALL[name].get("depends_on", {}))
        return direct.union(*map(waits_for, direct))

    for name in OURS:
        if name != "migrate":
            assert "migrate" in waits_for(name)
    assert "postgres" in waits_for("migrate")


def test_all_parts_that_launch_or_execute_runs_agree_where_runs_go() -> None:
    celery = {name for name, service in ALL.items() if "INGESTION_CELERY_BROKER_URL" in service.get("environment", {})}
    assert celery == {"code", "webserver", "daemon", "run-worker"}
    assert {ALL[name]["environment"]["DAGSTER_HOME"] for name in celery} == {"/opt/ingestion/deploy/celery"}
    # Merged, not replaced: the database is still named.
    assert all("DATABASE_URL" in ALL[name]["environment"] for name in celery)


def test_the_workspace_names_the_code_server_of_the_file() -> None:
    [entry] = yaml.safe_load((FOLDER / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    server, command = entry["grpc_server"], ALL["code"]["command"]
    assert server["host"] in ALL
    assert f"--port={server['port']}" in command
    assert f"--location-name={server['location_name']}" in command
    used = [str(word) for name in ("webserver", "daemon") for word in ALL[name]["command"]]
    assert sum("deploy/compose/workspace.yaml" in word for word in used) == 2


def test_there_is_one_daemon() -> None:
    assert ALL["daemon"]["deploy"].get("replicas", 1) == 1
