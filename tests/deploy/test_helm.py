"""Values for Dagster's chart: valid by its schema, the instance that dagster.yaml describes, and pods without rights."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from api.settings import ApiSettings
from tests.deploy.commands import unknown_variables, wrong_in
from tests.docs.test_docs import _all_variables

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "helm"
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "dagster-values.schema.json").read_text(encoding="utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
MANIFESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "services.yaml").read_text(encoding="utf-8"))[
    "extraManifests"
]
[DEPLOYMENT] = VALUES["dagster-user-deployments"]["deployments"]


def _problems(values: dict[str, Any]) -> list[str]:
    """What the schema says of values alone: what the chart's defaults fill in may be missing."""
    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(values)
    return [error.message for error in _leaves(found) if error.validator != "required"]


def _leaves(errors: Iterator[Any]) -> Iterator[Any]:
    for error in errors:
        if error.validator in ("anyOf", "oneOf") and error.context:
            # The branch that it was meant to be: the one with the fewest complaints other than of missing keys.
            branches: dict[Any, list[Any]] = {}
            for one in _leaves(iter(error.context)):
                branches.setdefault(one.schema_path[0] if one.schema_path else None, []).append(one)
            serious = [[one for one in branch if one.validator != "required"] for branch in branches.values()]
            yield from min(serious, key=len, default=[])
        else:
            yield error


def test_the_values_are_valid() -> None:
    assert _problems(VALUES) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("runLauncher", "type"), "K8sLauncher"),
        (("dagsterDaemon", "runRetries", "maxRetries"), "often"),
        (("concurrency", "pools", "granularity"), ["op"]),
        (("postgresql", "enabled"), "no"),
    ],
)
def test_a_wrong_value_is_found(path: tuple[str, ...], value: object) -> None:
    broken = copy.deepcopy(VALUES)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert _problems(broken) != []


def _schema_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema behind references and `or null`."""
    if "$ref" in schema:
        return _schema_of(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    branches = [branch for branch in schema.get("anyOf", []) if branch.get("type") != "null"]
    return _schema_of(branches[0]) if branches else schema


def _unknown(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    schema = _schema_of(schema)
    properties = schema.get("properties")
    if isinstance(value, dict) and properties:
        yield from (f"{path}.{key}" for key in value if key not in properties)
        for key in value.keys() & properties.keys():
            yield from _unknown(value[key], properties[key], f"{path}.{key}")
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            yield from _unknown(item, schema["items"], f"{path}[]")


def test_every_key_is_one_that_the_chart_knows() -> None:
    """The schema lets unknown keys pass in most places; the chart would read nothing of them."""
    assert list(_unknown(VALUES, SCHEMA)) == []
    broken = copy.deepcopy(VALUES)
    broken["dagsterDaemon"]["runRetries"]["maxRetreis"] = 3
    assert list(_unknown(broken, SCHEMA)) == [".dagsterDaemon.runRetries.maxRetreis"]


def test_the_instance_is_the_one_of_dagster_yaml() -> None:
    ours = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    daemon, retention = VALUES["dagsterDaemon"], VALUES["retention"]
    monitoring, retries = daemon["runMonitoring"], daemon["runRetries"]
    assert {
        "enabled": monitoring["enabled"],
        "poll_interval_seconds": monitoring["pollIntervalSeconds"],
        "start_timeout_seconds": monitoring["startTimeoutSeconds"],
        "cancel_timeout_seconds": monitoring["cancelTimeoutSeconds"],
        "max_runtime_seconds": monitoring["maxRuntimeSeconds"],
        "free_slots_after_run_end_seconds": monitoring["freeSlotsAfterRunEndSeconds"],
    } == ours["run_monitoring"]
    assert {
        "enabled": retries["enabled"],
        "max_retries": retries["maxRetries"],
        "retry_on_asset_or_op_failure": retries["retryOnAssetOrOpFailure"],
    } == ours["run_retries"]
    for name in ("sensors", "schedules"):
        theirs = daemon[name]
        assert {"use_threads": theirs["useThreads"], "num_workers": theirs["numWorkers"]} == ours[name]
    concurrency = VALUES["concurrency"]
    assert concurrency["enabled"] is True
    assert {
        "runs": {
            "max_concurrent_runs": concurrency["runs"]["maxConcurrentRuns"],
            "tag_concurrency_limits": concurrency["runs"]["tagConcurrencyLimits"],
        },
        "pools": {
            "default_limit": concurrency["pools"]["defaultLimit"],
            "granularity": concurrency["pools"]["granularity"],
        },
    } == ours["concurrency"]
    assert retention["enabled"] is True
    for key, theirs_key in (("sensor", "sensor"), ("schedule", "schedule"), ("auto_materialize", "autoMaterialize")):
        assert {"purge_after_days": retention[theirs_key]["purgeAfterDays"]} == ours["retention"][key]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert {"dequeue_interval_seconds": queue["dequeueIntervalSeconds"]} == ours["run_coordinator"]["config"]
    assert VALUES["telemetry"] == ours["telemetry"]
    assert VALUES["additionalInstanceConfig"] == {"nux": ours["nux"]}
    # Everything of dagster.yaml is accounted for; these are the chart's own business.
    elsewhere = {"storage", "local_artifact_storage", "compute_logs"}
    compared = {"run_monitoring", "run_retries", "sensors", "schedules", "concurrency", "retention", "run_coordinator"}
    assert set(ours) == elsewhere | compared | {"telemetry", "nux"}


def test_dagsters_storage_is_read_by_the_driver_that_it_was_written_for() -> None:
    assert VALUES["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"


def test_the_code_server_loads_our_definitions() -> None:
    arguments = DEPLOYMENT["codeServerArgs"]
    assert wrong_in(["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", *arguments]) is None
    assert find_spec(arguments[arguments.index("--module-name") + 1]) is not None


def _pods() -> dict[str, dict[str, Any]]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in MANIFESTS
        if one["kind"] in ("Deployment", "Job")
    }


def test_commands_and_variables_of_the_pods_exist() -> None:
    assert set(_pods()) == {"ingestion-migrate", "ingestion-api", "ingestion-dagster-proxy", "ingestion-worker"}
    for pod in _pods().values():
        [container] = pod["containers"]
        assert wrong_in(container["args"]) is None
        assert "command" not in container  # it would replace the entry point of the image
        assert unknown_variables([variable["name"] for variable in container.get("env", [])]) == set()
    assert unknown_variables([variable["name"] for variable in DEPLOYMENT["env"]]) == set()


def test_what_is_reached_through_a_proxy_trusts_the_same_one() -> None:
    named = {}
    for name, pod in _pods().items():
        environment = {one["name"]: one["value"] for one in pod["containers"][0].get("env", [])}
        if "INGESTION_API_HOST" in environment:
            named[name] = ApiSettings(
                INGESTION_API_TRUSTED_PROXIES=environment["INGESTION_API_TRUSTED_PROXIES"]
            ).trusted_proxies
    assert set(named) == {"ingestion-api", "ingestion-dagster-proxy"}
    assert len(set(named.values())) == 1


def test_pods_may_do_as_little_as_they_need_and_are_bounded() -> None:
    for pod in _pods().values():
        [container] = pod["containers"]
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == DEPLOYMENT["securityContext"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"requests", "limits"} <= set(container["resources"])
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/var/lib/ingestion", "/tmp"}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert DEPLOYMENT["podSecurityContext"]["runAsUser"] == 10001


def test_no_service_sets_a_setting_by_its_name() -> None:
    """Kubernetes sets `<SERVICE>_PORT` and the like in every pod that does not refuse: `ingestion-api` would be ours."""
    services = [one["metadata"]["name"] for one in MANIFESTS if one["kind"] == "Service"]
    linked = {
        f"{name.upper().replace('-', '_')}_{end}"
        for name in services
        for end in ("PORT", "SERVICE_HOST", "SERVICE_PORT")
    }
    assert linked & set(_all_variables())  # so the refusal below is needed
    assert all(pod["enableServiceLinks"] is False for pod in _pods().values())


def test_services_lead_to_ports_that_pods_open() -> None:
    by_label = {
        one["spec"]["template"]["metadata"]["labels"]["app"]: one["spec"]["template"]["spec"]["containers"][0]
        for one in MANIFESTS
        if one["kind"] == "Deployment"
    }
    for service in [one for one in MANIFESTS if one["kind"] == "Service"]:
        container = by_label[service["spec"]["selector"]["app"]]
        names = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_one_image_everywhere() -> None:
    image = f"{DEPLOYMENT['image']['repository']}:{DEPLOYMENT['image']['tag']}"
    assert {pod["containers"][0]["image"] for pod in _pods().values()} == {image}
