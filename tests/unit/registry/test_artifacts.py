from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.errors import ArtifactError
from aihub.registry import artifacts
from aihub.registry.artifacts import ArtifactStore, Manifest, pack, read, read_bytes, write

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"model.json": b'{"kind": "forecast/1"}', "point.txt": b"tree\n"}
MANIFEST = Manifest(kind="forecast/1", name="load", lineage={"seed": 1}, environment={"numpy": "2"})


def test_what_was_packed_is_read_back() -> None:
    artifact = read_bytes(pack(FILES, MANIFEST))
    assert dict(artifact.files) == FILES
    assert artifact.manifest == MANIFEST
    assert artifact.digest == hashlib.sha256(pack(FILES, MANIFEST)).hexdigest()


def test_the_order_of_files_does_not_matter() -> None:
    assert pack(dict(reversed(FILES.items())), MANIFEST) == pack(FILES, MANIFEST)


def test_it_is_a_zip_that_anybody_can_open() -> None:
    with zipfile.ZipFile(io.BytesIO(pack(FILES, MANIFEST))) as archive:
        assert archive.namelist() == ["manifest.json", "model.json", "point.txt"]
        assert json.loads(archive.read("manifest.json"))["schema"] == artifacts.SCHEMA


@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_is_found(position: int, value: int) -> None:
    data = bytearray(pack(FILES, MANIFEST))
    position %= len(data)
    if data[position] == value:
        return
    data[position] = value
    with pytest.raises(ArtifactError):
        read_bytes(bytes(data))


@given(cut=st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_a_file_cut_off_anywhere_is_found(cut: int) -> None:
    data = pack(FILES, MANIFEST)
    with pytest.raises(ArtifactError):
        read_bytes(data[: cut % len(data)])


def _zip(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")
        archive.comment = comment
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=compression)
    return buffer.getvalue()


def _manifest_of(files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(pack(files, MANIFEST))) as archive:
        return archive.read("manifest.json")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            _zip(("manifest.json", _manifest_of(FILES)), *FILES.items(), compression=zipfile.ZIP_DEFLATED),
            id="compressed",
        ),
        pytest.param(
            _zip(("manifest.json", _manifest_of(FILES)), *FILES.items(), ("more.txt", b"x")),
            id="one file more",
        ),
        pytest.param(
            _zip(("manifest.json", _manifest_of(FILES)), ("model.json", FILES["model.json"])),
            id="one file less",
        ),
        pytest.param(
            _zip(("manifest.json", _manifest_of(FILES)), *FILES.items(), ("point.txt", b"tree\n")), id="twice"
        ),
        pytest.param(
            _zip(("manifest.json", _manifest_of(FILES)), *FILES.items(), ("../x", b"")), id="traversal"
        ),
        pytest.param(
            _zip(("manifest.json", _manifest_of(FILES)), *FILES.items(), comment=b"hello"), id="comment"
        ),
        pytest.param(pack(FILES, MANIFEST) + b"tail", id="tail"),
        pytest.param(b"#!/bin/sh\n" + pack(FILES, MANIFEST), id="prefix"),
        pytest.param(_zip(*FILES.items()), id="no manifest"),
        pytest.param(_zip(("manifest.json", b"[" * 100_000)), id="deep manifest"),
        pytest.param(_zip(("manifest.json", b'{"schema": "aihub.artifact/2"}')), id="newer form"),
        pytest.param(b"", id="empty"),
    ],
)
def test_anything_but_the_one_form_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        read_bytes(data)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a//b", "a\\b", ".hidden", "manifest.json", "a\n", "x" * 300, ""]
)
def test_names_that_lead_elsewhere_are_not_packed(name: str) -> None:
    with pytest.raises(ArtifactError):
        pack({name: b"x"}, MANIFEST)


def test_names_that_differ_in_case_only_are_not_packed() -> None:
    with pytest.raises(ArtifactError, match="same name"):
        pack({"A.txt": b"", "a.txt": b""}, MANIFEST)


def test_not_a_number_does_not_get_into_a_manifest() -> None:
    with pytest.raises(ArtifactError, match="manifest"):
        pack(FILES, Manifest(kind="forecast/1", name="x", lineage={"mae": float("nan")}))


def test_the_store_keeps_by_digest_and_writes_once(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = store.put(pack(FILES, MANIFEST))
    before = store.path(digest).stat().st_mtime_ns
    assert store.put(pack(FILES, MANIFEST)) == digest
    assert store.path(digest).stat().st_mtime_ns == before
    assert list(store.list()) == [digest]
    assert dict(store.get(digest).files) == FILES


def test_the_store_finds_and_mends_a_changed_copy(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = store.put(pack(FILES, MANIFEST))
    store.path(digest).write_bytes(pack({"model.json": b"evil"}, MANIFEST))
    with pytest.raises(ArtifactError, match="changed or damaged"):
        store.get(digest)
    store.put(pack(FILES, MANIFEST))
    store.verify(digest)


def test_the_store_refuses_what_is_not_a_digest(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="digest"):
        ArtifactStore(tmp_path).get("../../etc/passwd")


def test_write_returns_the_digest_of_the_file(tmp_path: Path) -> None:
    digest = write(tmp_path / "model.pkl", pack(FILES, MANIFEST))
    assert hashlib.sha256((tmp_path / "model.pkl").read_bytes()).hexdigest() == digest
    assert read(tmp_path / "model.pkl").digest == digest


def test_storing_removes_what_killed_writers_have_left_beside(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    path = store.path(store.put(pack(FILES, MANIFEST)))
    old, young = path.with_name(".old.tmp"), path.with_name(".young.tmp")
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (0, 0))
    store.put(pack(FILES, MANIFEST))
    assert sorted(path.parent.iterdir()) == [young, path]
