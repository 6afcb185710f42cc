"""The container files, as far as they can be judged without Docker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from aihub.cli.main import COMMANDS
from aihub.settings import from_environment

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "compose.yaml"
RULES = "{extends: default, rules: {line-length: disable, document-start: disable, comments: {min-spaces-from-content: 1}}}"


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return found


@pytest.mark.parametrize(
    "command",
    [("yamllint", "--strict", "-d", RULES), ("check_jsonschema", "--builtin-schema", "vendor.compose-spec")],
    ids=["yamllint", "schema"],
)
def test_the_compose_file_passes_its_linters(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command, str(COMPOSE)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_runs_as_somebody_without_rights_and_says_whether_it_lives() -> None:
    found = instructions()
    stages = [index for index, (name, _) in enumerate(found) if name == "FROM"]
    last = dict(found[stages[-1] :])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert "/health" in last["HEALTHCHECK"]
    assert last["ENTRYPOINT"] == '["aihub"]'
    assert last["CMD"].startswith('["up"')
    assert last["STOPSIGNAL"] == "SIGTERM"
    # After the last USER nothing is installed or changed.
    after = found[max(i for i, (name, _) in enumerate(found) if name == "USER") :]
    assert {"RUN", "COPY", "ADD"}.isdisjoint(name for name, _ in after)


def test_what_the_image_installs_is_pinned() -> None:
    for name, arguments in instructions():
        assert name != "ADD"
        if name == "FROM":
            assert re.match(r"[a-z]+:[0-9][^ ]*", arguments), f"{arguments}: no version"
        if "pip install" in arguments:
            assert "--require-hashes" in arguments or "--no-deps" in arguments
        if "apt-get install" in arguments:
            assert "--no-install-recommends" in arguments
            assert "rm -rf /var/lib/apt/lists" in arguments
    locked = (ROOT / "requirements" / "image.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==", locked, re.MULTILINE | re.IGNORECASE)
    assert {"psycopg", "opentelemetry-sdk", "hatchling", "fastapi"} <= set(pins)
    assert locked.count("--hash=sha256:") >= len(pins)


def test_only_what_the_build_needs_reaches_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {
        part
        for name, text in instructions()
        if name == "COPY" and "--from" not in text
        for part in text.split()[:-1]
    }
    assert all(any(one.startswith(part) for one in allowed) for part in copied)
    assert all((ROOT / one).exists() for one in allowed)


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_service_has_no_more_rights_than_it_needs(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["command"][0] in COMMANDS
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_settings_of_the_services_are_known_and_hold_no_secret(
    services: dict[str, Any], tmp_path: Path
) -> None:
    environment = dict(services["api"]["environment"])
    for name, value in environment.items():
        if name.endswith("_FILE"):
            assert value.startswith("/run/secrets/")
            secret = tmp_path / Path(value).name
            secret.write_text("postgresql://aihub:pass@postgres/aihub")
            environment[name] = str(secret)
    settings = from_environment(environment)
    assert settings.database_url.startswith("postgresql://")
    assert len(settings.read_audit_key()) >= 32
    for name, value in services["postgres"]["environment"].items():
        assert "PASSWORD" not in name or value.startswith("/run/secrets/")


def test_the_database_two_workers_and_an_api(services: dict[str, Any]) -> None:
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["api"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "healthcheck" in services["postgres"]
