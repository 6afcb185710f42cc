"""What a signature binds, and what it does not survive."""

from __future__ import annotations

import base64
import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aihub.errors import ArtifactError, ConfigError
from aihub.registry import signing
from versions import artifact_of, version_of

if TYPE_CHECKING:
    from pathlib import Path

VERSION, ARTIFACT = version_of(), artifact_of()
STATEMENT = signing.statement(VERSION, ARTIFACT, tenant="grid")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[signing.Signer, signing.Trust]:
    private, public = signing.new_key()
    (tmp_path / "key.pem").write_bytes(private)
    (tmp_path / "trusted.pem").write_bytes(signing.new_key()[1] + public)
    return signing.load_signer(tmp_path / "key.pem"), signing.load_trust(tmp_path / "trusted.pem")


def test_a_signature_of_a_trusted_key_counts(keys: tuple[signing.Signer, signing.Trust]) -> None:
    signer, trust = keys
    assert trust.check(signer.sign(STATEMENT), STATEMENT) == signer.key_id


@pytest.mark.parametrize(
    "other",
    [
        signing.statement(VERSION, ARTIFACT, tenant="other"),
        signing.statement(replace(VERSION, model="wind"), ARTIFACT, tenant="grid"),
        signing.statement(replace(VERSION, number=2), ARTIFACT, tenant="grid"),
        signing.statement(replace(VERSION, report_digest="0" * 64), ARTIFACT, tenant="grid"),
        signing.statement(VERSION, artifact_of(b"[]"), tenant="grid"),
    ],
)
def test_it_counts_for_nothing_else(
    keys: tuple[signing.Signer, signing.Trust], other: dict[str, Any]
) -> None:
    signer, trust = keys
    with pytest.raises(ArtifactError, match="of another version or another artefact"):
        trust.check(signer.sign(STATEMENT), other)


@pytest.mark.parametrize(
    "change", ["payload", "signature", "key", "key list", "type", "none", "not base64", "empty"]
)
def test_an_envelope_that_was_touched_is_refused(
    keys: tuple[signing.Signer, signing.Trust], change: str
) -> None:
    signer, trust = keys
    envelope = copy.deepcopy(signer.sign(STATEMENT))
    match change:
        case "payload":
            envelope["payload"] = base64.b64encode(b'{"_type":"x"}').decode()
        case "signature":
            envelope["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
        case "key":
            envelope["signatures"][0]["keyid"] = "f" * 64
        case "key list":
            envelope["signatures"][0]["keyid"] = [signer.key_id]
        case "type":
            envelope["payloadType"] = "text/plain"
        case "none":
            envelope["signatures"] = []
        case "not base64":
            envelope["payload"] = "§§"
        case "empty":
            envelope = {}
    with pytest.raises(ArtifactError):
        trust.check(envelope, STATEMENT)


def test_a_stranger_with_a_key_of_his_own_is_no_trusted_signer(
    keys: tuple[signing.Signer, signing.Trust], tmp_path: Path
) -> None:
    _, trust = keys
    (tmp_path / "stranger.pem").write_bytes(signing.new_key()[0])
    stranger = signing.load_signer(tmp_path / "stranger.pem")
    with pytest.raises(ArtifactError, match="no trusted key"):
        trust.check(stranger.sign(STATEMENT), STATEMENT)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\x00" * 100]
)
def test_files_that_hold_no_key_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    with pytest.raises(ConfigError):
        signing.load_trust(file)
    with pytest.raises(ConfigError):
        signing.load_signer(file)


def test_a_key_does_not_show_itself(keys: tuple[signing.Signer, signing.Trust]) -> None:
    assert "PRIVATE" not in repr(keys[0])
    assert len(repr(keys[0])) < 40
