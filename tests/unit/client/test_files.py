from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from aihub.client import Client, Patience
from aihub.errors import ArtifactError, InputError, UnavailableError
from scripted_hub import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from scripted_hub import StandIn

CONTENT = b"timestamp,load\n" + b"2024-01-01,1\n" * 20_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(retries=3, first_s=0.01)
UNKNOWN = Answer(404, {"code": "not_found", "detail": "no dataset"})
VERSION = {"model": "load", "version": 2, "semantic": "v1.1.0", "status": "candidate", "digest": DIGEST}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "load.csv"
    file.write_bytes(CONTENT)
    return file


def test_upload_is_streamed_named_by_its_digest_and_whole_at_every_try(
    stand_in: StandIn, table: Path
) -> None:
    stand_in.answers = [UNKNOWN, None, Answer(503, {}), Answer(201, {"dataset_id": DIGEST, "rows": 20_000})]
    with Client(stand_in.url, api_key="", patience=QUICK) as client:
        assert client.datasets.upload(table).rows == 20_000
    sent = stand_in.asked[1:]
    assert [asked.body for asked in sent] == [CONTENT] * 3
    assert {asked.headers["content-length"] for asked in sent} == {str(len(CONTENT))}
    assert {asked.headers["x-content-sha256"] for asked in sent} == {DIGEST}
    assert len({asked.headers["idempotency-key"] for asked in sent}) == 1


def test_file_that_is_there_is_not_sent_again(stand_in: StandIn, table: Path) -> None:
    stand_in.answers = [Answer(200, {"dataset_id": DIGEST})]
    with Client(stand_in.url, api_key="") as client:
        assert client.datasets.upload(table).dataset_id == DIGEST
    assert [asked.method for asked in stand_in.asked] == ["GET"]


def test_file_that_cannot_be_read_is_named(stand_in: StandIn, tmp_path: Path) -> None:
    with Client(stand_in.url, api_key="") as client:
        with pytest.raises(InputError, match=r"nowhere\.csv"):
            client.datasets.upload(tmp_path / "nowhere.csv")
        with pytest.raises(InputError, match="folder"):
            client.datasets.upload(tmp_path)
    assert not stand_in.asked


def test_download_is_checked_and_taken_up_after_it_broke(stand_in: StandIn, tmp_path: Path) -> None:
    whole = Answer(200, CONTENT, {"Content-Type": "application/zip"})
    broken = Answer(200, CONTENT, {"Content-Type": "application/zip"}, cut=1000)
    stand_in.answers = [Answer(200, VERSION), broken, whole]
    target = tmp_path / "new" / "model.pkl"
    with Client(stand_in.url, api_key="", patience=QUICK) as client:
        assert str(client.models.download("load", "v1.1.0", target)) == "load v1.1.0 (version 2)"
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["model.pkl"]


def test_download_that_was_changed_leaves_what_was_there(stand_in: StandIn, tmp_path: Path) -> None:
    target = tmp_path / "model.pkl"
    target.write_bytes(b"the old one")
    stand_in.answers = [Answer(200, VERSION), Answer(200, CONTENT[:-1] + b"!")]
    with (
        Client(stand_in.url, api_key="", patience=QUICK) as client,
        pytest.raises(ArtifactError, match="changed on the way"),
    ):
        client.models.download("load", 2, target)
    assert target.read_bytes() == b"the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["model.pkl"]


def test_download_that_breaks_every_time_is_told(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.answers = [Answer(200, VERSION), *[Answer(200, CONTENT, cut=10)] * 3]
    with Client(stand_in.url, api_key="", patience=QUICK) as client, pytest.raises(UnavailableError):
        client.models.download("load", 2, tmp_path / "model.pkl")
    assert not list(tmp_path.iterdir())
