"""Changelog, bill of materials and signatures through the API, on each database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from aihub.registry.signing import new_key
from aihub.store.engine import write
from hubs import Api, made_hub, register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub


@pytest.fixture
def hub(database: Engine, tmp_path: Path) -> Iterator[Hub]:
    """A hub that signs what it registers."""
    file = tmp_path / "key.pem"
    file.write_bytes(new_key()[0])
    with made_hub(database, tmp_path / "home", signing_key_file=file) as hub:
        yield hub


def test_papers_are_read_by_who_may_read_models(hub: Hub, calls: Callable[..., Api]) -> None:
    register(hub)
    register(hub, content=b"2", config={"seed": 1})
    api = calls()
    changelog = api.get("/models/load/changelog")
    assert changelog.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "- configuration: seed 0 -> 1" in changelog.text
    again = api.get("/models/load/changelog", headers={"If-None-Match": changelog.headers["etag"]})
    assert again.status_code == 304
    bill = api.get("/models/load/versions/2/bom")
    assert bill.headers["content-type"] == "application/vnd.cyclonedx+json; version=1.6"
    assert bill.json()["metadata"]["component"]["version"] == "v1.1.0"
    stranger = calls(tenant="other")
    for path in ("changelog", "versions/2/bom", "versions/2/signatures"):
        assert api.get(f"/models/laod/{path}").status_code == 404
        assert stranger.get(f"/models/load/{path}").status_code == 404


def test_a_signature_that_no_longer_holds_says_why(hub: Hub, api: Api) -> None:
    version = register(hub)
    signer = hub.signing.signer
    assert signer is not None
    found = api.get("/models/load/versions/1/signatures").json()
    assert (found["holds"], found["keys"]) == (True, [signer.key_id])
    assert found["signatures"][0]["signed_by"] == version.created_by
    with write(hub.engine, tenant="default") as connection:
        connection.execute(sa.text("UPDATE versions SET git_commit = 'f00'"))
    found = api.get("/models/load/versions/1/signatures").json()
    assert found["holds"] is False
    assert "of another version" in found["reason"]


def test_an_unsigned_version_has_no_signature(hub: Hub, api: Api) -> None:
    unsigned = replace(hub, signing=replace(hub.signing, signer=None))
    register(unsigned)
    found = api.get("/models/load/versions/1/signatures").json()
    assert (found["holds"], found["signatures"]) == (False, [])
    assert "not signed" in found["reason"]
    hub.registry.sign("load", 1, actor="ann", now=datetime.now(UTC))
    assert api.get("/models/load/versions/1/signatures").json()["holds"] is True
