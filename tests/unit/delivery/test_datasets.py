from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aihub.delivery import datasets, fetching
from aihub.errors import AIHubError, ConfigError, ForbiddenError, InputError, UnavailableError
from aihub.registry.backing import SharedFolder
from aihub.settings import from_environment
from databases import sqlite_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

CSV = b"timestamp,load\n2024-01-01,1\n"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = sqlite_at(tmp_path / "hub.db")
    yield found
    found.dispose()


def resolve(
    engine: Engine, home: Path, data: dict[str, Any], tenant: str = "default", **settings: Any
) -> Path:
    found = from_environment({}, home=home, **settings)
    with fetching.held(found, engine, data, backing=SharedFolder(), tenant=tenant, owner="test") as path:
        return path


def test_only_files_below_an_allowed_folder_are_read(engine: Engine, tmp_path: Path) -> None:
    root, home = tmp_path / "root", tmp_path / "home"
    (root / "north").mkdir(parents=True)
    (root / "north" / "a.csv").write_bytes(CSV)
    (tmp_path / "secret.csv").write_bytes(CSV)
    (root / "north" / "link.csv").symlink_to(tmp_path / "secret.csv")
    (root / "inside.csv").symlink_to(root / "north" / "a.csv")
    allowed = {"data_roots": str(root)}
    for good in ("north/a.csv", "inside.csv", "north/../north/a.csv"):
        assert resolve(engine, home, {"path": f"{root}/{good}"}, **allowed) == root / "north" / "a.csv"
    for bad in ("north/link.csv", "../secret.csv", "north", "nothing.csv", "north/a.csv/x"):
        with pytest.raises(ForbiddenError, match="AIHUB_DATA_ROOTS"):
            resolve(engine, home, {"path": f"{root}/{bad}"}, **allowed)
    with pytest.raises(ForbiddenError):
        resolve(engine, home, {"path": str(root / "north" / "a.csv")})
    own = {"data_roots": f"{root}/{{tenant}}"}
    assert resolve(engine, home, {"path": f"{root}/north/a.csv"}, tenant="north", **own)
    with pytest.raises(ForbiddenError):
        resolve(engine, home, {"path": f"{root}/north/a.csv"}, tenant="south", **own)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({}, ConfigError), ({"path": "a", "url": "b"}, ConfigError), ({"path": 3}, ConfigError), ({"path": "a\0b"}, ConfigError),
        ({"path": ""}, ConfigError), ({"url": "ftp://h/x"}, InputError), ({"url": "file:///etc/passwd"}, InputError),
        ({"url": "https://me:secret@good/x"}, InputError), ({"url": "s3://bucket/x?endpoint_override=evil"}, InputError),
        ({"url": "s3://other/x"}, ForbiddenError), ({"url": "https://evil/x"}, ForbiddenError), ({"url": "https://[::1"}, InputError),
        ({"url": "https://good:99999/x"}, InputError), ({"url": "https://good/x\r\nHost: evil"}, InputError),
        ({"url": "https://good.evil/x"}, ForbiddenError), ({"dataset_id": "0" * 64}, InputError),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_without_a_call(
    engine: Engine, tmp_path: Path, data: dict[str, Any], error: type[AIHubError]
) -> None:
    settings = {"data_hosts": "good", "data_buckets": "bucket"}
    with pytest.raises(error) as caught:
        resolve(engine, tmp_path, data, **settings)
    assert "secret" not in str(caught.value)
    with engine.connect() as connection, pytest.raises(error):
        datasets.check(from_environment({}, home=tmp_path, **settings), connection, data, tenant="default")


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    settings = from_environment({}, home=tmp_path / "file" / "below")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match="free space"), datasets.Intake(settings, "t.csv"):
        pass
