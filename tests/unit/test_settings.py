from __future__ import annotations

from pathlib import Path

import pytest

from aihub.errors import ConfigError
from aihub.settings import Settings, from_environment


def test_without_anything_all_lies_under_the_home() -> None:
    settings = from_environment({})
    assert settings.home == Path.cwd() / ".aihub"
    assert settings.store_url == f"sqlite:///{settings.home}/hub.db"
    assert settings.mlflow_uri == f"sqlite:///{settings.home}/mlflow.db"
    assert settings.artifacts_dir == settings.home / "artifacts"


def test_our_names_win_over_those_of_others() -> None:
    environment = {
        "DATABASE_URL": "postgresql://a/b",
        "MLFLOW_TRACKING_URI": "http://m",
        "AIHUB_DATABASE_URL": "sqlite:///x",
    }
    settings = from_environment(environment)
    assert settings.store_url == "sqlite:///x"
    assert settings.mlflow_uri == "http://m"


def test_overrides_win_over_the_environment(tmp_path: Path) -> None:
    assert from_environment({"AIHUB_HOME": "/elsewhere"}, home=tmp_path).home == tmp_path


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="AIHUB_DATABASE_URL"):
        from_environment({"AIHUB_DATABSE_URL": "x"})


def test_the_clients_names_are_left_alone() -> None:
    assert from_environment({"AIHUB_URL": "http://hub", "AIHUB_API_KEY": "k"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOAD_TIMEOUT_S", "-1"),
        ("LOAD_TIMEOUT_S", "nan"),
        ("SANDBOX_MEMORY_MB", "lots"),
        ("SQLITE_JOURNAL", "off"),
        ("HOME", "~nobody-of-this-name/hub"),
    ],
)
def test_a_value_that_cannot_be_used_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"AIHUB_{name}"):
        from_environment({f"AIHUB_{name}": value})


def test_secrets_may_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("  hub_0123456789abcdef_x\n")
    found = from_environment({"AIHUB_BOOTSTRAP_KEY_FILE": str(file), "AIHUB_DATABASE_URL_FILE": str(file)})
    assert found.bootstrap_key.get_secret_value() == "hub_0123456789abcdef_x"
    assert found.database_url == "hub_0123456789abcdef_x"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"AIHUB_BOOTSTRAP_KEY_FILE": "/nowhere/x"}, "cannot be read"),
        ({"AIHUB_BOOTSTRAP_KEY_FILE": "/nowhere/x", "AIHUB_BOOTSTRAP_KEY": "k"}, "unset one"),
        ({"AIHUB_HOME_FILE": "/nowhere/x"}, "no setting 'AIHUB_HOME_FILE'"),
    ],
)
def test_files_of_secrets_that_cannot_be_used(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_environment(environ)


def test_no_secret_is_shown() -> None:
    environ = {
        "AIHUB_BOOTSTRAP_KEY": "s3cret-a",
        "AIHUB_AUDIT_KEY": "s3cret-b" * 5,
        "AIHUB_DATABASE_URL": "postgresql://u:s3cret-c@h/x",
        "AIHUB_MLFLOW_TRACKING_URI": "http://u:s3cret-d@h",
    }
    found = from_environment(environ)
    assert "s3cret" not in f"{found!r} {found}"
    with pytest.raises(ConfigError) as caught:
        from_environment({**environ, "AIHUB_RATE_BURST": "s3cret-e"})
    assert "s3cret" not in str(caught.value)
