"""Changelog, bill of materials, signatures and channels from the command line."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from aihub.cli.main import run
from aihub.hub import opened
from aihub.registry.artifacts import Manifest, pack
from aihub.registry.lineage import collect
from scripted_hub import Answer, serving

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A registered version of `load` in a hub of its own."""
    monkeypatch.setenv("AIHUB_HOME", str(tmp_path / "home"))
    with opened() as hub:
        digest = hub.artifacts.put(pack({"model.json": b"1"}, Manifest(kind="forecast/1", name="load")))
        lineage = collect({"seed": 0}, {"sha256": "0" * 64, "rows": 5}, requested_by="ann", now=NOW)
        hub.registry.register_version("load", digest, lineage, status="candidate", actor="ann", now=NOW)
    return "load"


def test_changelog_and_bill_are_written(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["changelog", model]) == 0
    assert "## v1.0.0 - 2026-01-02" in capsys.readouterr().out
    file = tmp_path / "out" / "bom.json"
    assert run(["bom", model, "v1.0.0", "--output", str(file)]) == 0
    assert json.loads(file.read_text())["bomFormat"] == "CycloneDX"
    assert run(["changelog", "laod"]) == 2
    assert "Did you mean 'load'" in capsys.readouterr().err


def test_a_version_is_signed_and_verified(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "keys" / "hub.pem"
    assert run(["signing", "new-key", str(key)]) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert run(["signing", "new-key", str(key)]) == 2, "a key is never overwritten"
    monkeypatch.setenv("AIHUB_SIGNING_KEY_FILE", str(key))
    monkeypatch.setenv("AIHUB_TRUSTED_KEYS_FILE", f"{key}.pub")
    assert run(["signing", "verify", model, "1"]) == 2
    assert "not signed" in capsys.readouterr().err
    assert run(["signing", "sign", model, "1"]) == 0
    assert run(["signing", "verify", model, "1"]) == 0
    assert "signature holds" in capsys.readouterr().out


def test_papers_of_a_hub_are_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as hub:
        monkeypatch.setenv("AIHUB_URL", hub.url)
        monkeypatch.setenv("AIHUB_HOME", str(tmp_path / "nothing"))
        said = {"holds": False, "keys": [], "reason": "load v1.0.0 is not signed; sign it"}
        hub.answers = [
            Answer(200, b"# Changelog of load\n", {"Content-Type": "text/markdown"}),
            Answer(200, {"bomFormat": "CycloneDX"}),
            Answer(200, said),
            Answer(200, {**said, "holds": True, "keys": ["k" * 64]}),
        ]
        assert run(["changelog", "load"]) == 0
        assert capsys.readouterr().out == "# Changelog of load\n"
        assert run(["bom", "load", "v1.0.0"]) == 0
        assert json.loads(capsys.readouterr().out)["bomFormat"] == "CycloneDX"
        assert run(["signing", "verify", "load", "v1.0.0"]) == 2
        assert "not signed" in capsys.readouterr().err
        assert run(["signing", "verify", "load", "v1.0.0"]) == 0
        assert "signature holds, by kkkk" in capsys.readouterr().out
        assert [asked.path for asked in hub.asked] == [
            "/models/load/changelog",
            "/models/load/versions/v1.0.0/bom",
            *["/models/load/versions/v1.0.0/signatures"] * 2,
        ]
    assert not (tmp_path / "nothing").exists()


def test_channels_are_shown_and_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text(
        "channels:\n  box: {kind: email, host: 127.0.0.1, port: 1, tls: none, sender: a@b.c, to: [d@e.f]}\n"
        "routes:\n  - {channels: [box], severity: warning, digest_minutes: 60}\n"
    )
    monkeypatch.setenv("AIHUB_NOTIFY_FILE", str(file))
    assert run(["notify", "routes"]) == 0
    assert "every 60 min" in capsys.readouterr().out
    assert run(["notify", "test"]) == 1
    assert "does not answer" in capsys.readouterr().out
    assert run(["notify", "test", "bx"]) == 2
    assert "Did you mean 'box'" in capsys.readouterr().err
    file.write_text("channels: {}\n")
    assert run(["notify", "test"]) == 2
    assert "There is no channel; set SLACK_WEBHOOK_URL" in capsys.readouterr().err
