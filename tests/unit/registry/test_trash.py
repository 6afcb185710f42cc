from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from aihub.errors import ConfigError, StoreAwayError
from aihub.registry import objects, trash
from aihub.registry.bucket import Bucket, connect
from aihub.settings import from_environment

if TYPE_CHECKING:
    from pathlib import Path

    from buckets import TrialBucket, Wire

LATER = datetime.now(UTC) + trash.KEPT_FOR + timedelta(days=1)
"""A time at which what is stored now is old."""


def behind(bucket: TrialBucket, endpoint: str | None = None) -> Bucket:
    return connect(from_environment(bucket.environ(endpoint)), "datasets")


def stored(root: Path, backing: Bucket, content: bytes) -> Path:
    digest = hashlib.sha256(content).hexdigest()
    path = root / digest[:2] / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    backing.publish(path, digest)
    return path


def nothing(_: list[str]) -> set[str]:
    return set()


def everything(digests: list[str]) -> set[str]:
    return set(digests)


def key(path: Path, under: str = "") -> str:
    return f"hub/datasets/{under}{path.parent.name}/{path.name}"


def test_orphans_lie_aside_before_they_go_and_what_is_named_or_young_stays(
    bucket: TrialBucket, tmp_path: Path
) -> None:
    backing = behind(bucket)
    named, orphan = (stored(tmp_path, backing, content) for content in (b"named", b"orphan"))
    assert backing.sweep(nothing, datetime.now(UTC)) == 0
    assert bucket.names() == sorted([key(named), key(orphan)])
    assert backing.sweep(lambda _: {named.name}, LATER) == 1
    assert bucket.names() == sorted([key(named), key(orphan, ".trash/")])
    assert backing.sweep(lambda _: {named.name}, datetime.now(UTC)) == 0
    assert backing.sweep(lambda _: {named.name}, LATER) == 1
    assert bucket.names() == [key(named)]
    assert backing.sweep(lambda _: {named.name}, LATER) == 0


def test_what_is_named_while_it_is_put_aside_is_still_had(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    path = stored(tmp_path / "a", backing, b"again")

    def names(_: list[str]) -> set[str]:
        # Somebody stores it again and writes the row when the sweep has looked, and before it deletes.
        backing.publish(path, path.name)
        return set()

    assert backing.sweep(names, LATER) == 1
    other = tmp_path / "b" / path.parent.name / path.name
    backing.bring(other, path.name)
    assert other.read_bytes() == b"again"
    assert backing.sweep(everything, LATER) == 0
    assert bucket.names() == [key(path)]


def test_sweep_brings_back_what_a_row_has_come_to_name(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    path = stored(tmp_path, backing, b"late")
    backing.sweep(nothing, LATER)
    assert bucket.names() == [key(path, ".trash/")]
    assert backing.sweep(everything, LATER) == 0
    assert bucket.read(key(path)) == b"late"
    assert bucket.names() == [key(path)]


def test_what_is_too_large_to_be_put_aside_is_left(
    bucket: TrialBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backing = behind(bucket)
    path = stored(tmp_path, backing, b"large")
    monkeypatch.setattr(trash, "MAX_COPY_BYTES", 4)
    assert backing.sweep(nothing, LATER) == 0
    assert bucket.names() == [key(path)]


def test_probes_of_killed_processes_go(bucket: TrialBucket) -> None:
    bucket.write("hub/datasets/.probe/left", b"x")
    behind(bucket).sweep(nothing, LATER)
    assert bucket.names() == []


def test_sweep_that_is_cut_off_is_made_good_by_the_next(
    bucket: TrialBucket, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "RETRY_FOR_S", 0.3)
    monkeypatch.setattr(objects, "AWAY_S", 0.0)
    backing = behind(bucket, wire.url)
    paths = [stored(tmp_path, backing, content) for content in (b"one", b"two")]

    def names(digests: list[str]) -> set[str]:
        wire.cut()
        return nothing(digests)

    with pytest.raises(StoreAwayError):
        backing.sweep(names, LATER)
    wire.mend()
    monkeypatch.setattr(objects, "RETRY_FOR_S", 30)
    assert behind(bucket, wire.url).sweep(everything, LATER) == 0
    assert bucket.names() == sorted(key(path) for path in paths)


def test_what_no_hub_has_made_is_left(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    path = stored(tmp_path, backing, b"orphan")
    # Such as a hub whose prefix lies below this one's, and the folder that a console makes.
    others = [f"hub/datasets/datasets/{path.parent.name}/{path.name}", "hub/datasets/README.md"]
    for other in others:
        bucket.write(other, b"somebody else's")
    bucket.write_raw("hub/datasets/")
    assert backing.sweep(nothing, LATER) == 1
    assert [bucket.read(other) for other in others] == [b"somebody else's"] * 2


def test_sweep_asks_each_time_whose_the_bucket_is(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    path = stored(tmp_path, backing, b"of the hub that came after")
    bucket.write("hub/datasets/.hub", b"0" * 64)
    with pytest.raises(ConfigError, match="another hub's"):
        backing.sweep(nothing, LATER)
    assert key(path) in bucket.names()
