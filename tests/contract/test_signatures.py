"""Environments into which only signed versions go, on every database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.errors import ArtifactError, ConfigError
from aihub.registry.artifacts import ArtifactStore, Manifest, pack
from aihub.registry.lineage import collect
from aihub.registry.registry import Registry
from aihub.registry.signing import UNSIGNED, load_signing, new_key
from aihub.store.audit import AuditLog
from aihub.store.engine import write

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BY: dict[str, Any] = {"actor": "ann", "reason": "because", "now": NOW}


@pytest.fixture
def strict(database: Engine, tmp_path: Path) -> Registry:
    """A registry that signs, and asks for signatures in production."""
    file = tmp_path / "key.pem"
    file.write_bytes(new_key()[0])
    signing = load_signing(file, None, frozenset({"production"}))
    return Registry(database, ArtifactStore(tmp_path / "artifacts"), AuditLog(b"k" * 32), signing=signing)


def register(registry: Registry) -> None:
    digest = registry.artifacts.put(pack({"model.json": b"1"}, Manifest(kind="forecast/1", name="load")))
    lineage = collect({"seed": 0}, {"sha256": "0" * 64}, requested_by="ann", now=NOW)
    registry.register_version("load", digest, lineage, status="candidate", actor="ann", now=NOW)


def test_a_signed_version_goes_where_signatures_are_asked_for(strict: Registry) -> None:
    register(strict)
    assert strict.deploy("load", 1, **BY).is_champion
    assert strict.check_signature(strict.version("load", 1)) == [strict.signing.signer.key_id]  # type: ignore[union-attr]


def test_an_unsigned_one_goes_only_elsewhere_until_it_is_signed(strict: Registry) -> None:
    register(replace(strict, signing=UNSIGNED))
    assert strict.deploy("load", 1, environment="staging", **BY).is_champion
    with pytest.raises(ArtifactError, match="not signed"):
        strict.deploy("load", 1, **BY)
    strict.sign("load", 1, actor="ann", now=NOW)
    strict.sign("load", 1, actor="ann", now=NOW)
    assert strict.deploy("load", 1, **BY).is_champion


def test_a_signature_does_not_follow_a_changed_row(strict: Registry) -> None:
    register(strict)
    with write(strict.engine, tenant=strict.tenant) as connection:
        connection.execute(sa.text("UPDATE versions SET git_commit = 'f00'"))
    with pytest.raises(ArtifactError, match="of another version"):
        strict.deploy("load", 1, **BY)


def test_a_hub_without_a_key_signs_nothing_and_says_how_to(strict: Registry) -> None:
    register(replace(strict, signing=UNSIGNED))
    with pytest.raises(ConfigError, match="AIHUB_SIGNING_KEY_FILE"):
        replace(strict, signing=UNSIGNED).sign("load", 1, actor="ann", now=NOW)
    with pytest.raises(ConfigError, match="AIHUB_TRUSTED_KEYS_FILE"):
        load_signing(None, None, frozenset({"production"}))
