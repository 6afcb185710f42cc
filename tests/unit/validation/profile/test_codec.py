from __future__ import annotations

import datetime as dt
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.errors import ArtifactError
from aihub.validation.profile import Profile, ProfileSpec
from aihub.validation.profile.codec import _FRAME, MAGIC, VERSION, _digest


@pytest.fixture(scope="module")
def profile() -> Profile:
    rng = np.random.default_rng(0)
    n = 2000
    table = {f"x{i}": rng.normal(i, 1, n) for i in range(3)}
    table |= {
        "site": rng.choice(["a", "🌞"], n),
        "load": rng.normal(size=n),
        "prediction": rng.normal(size=n),
    }
    table["timestamp"] = np.datetime64("2024-01-01T00", "us") + np.arange(n) * np.timedelta64(1, "h")
    return Profile.of(table, ProfileSpec(target="load", prediction="prediction", timestamp="timestamp"))


def framed(body: bytes, *, version: int = VERSION, length: int | None = None) -> bytes:
    """Bytes with a right digest around any body."""
    packed = zlib.compress(body)
    size = len(body) if length is None else length
    return MAGIC + _FRAME.pack(version, size, _digest(version, size, packed)) + packed


def opened(data: bytes) -> tuple[dict, bytes]:
    body = zlib.decompress(data[len(MAGIC) + _FRAME.size :])
    size = struct.unpack_from(">I", body)[0]
    return json.loads(body[4 : 4 + size]), body[4 + size :]


def closed(header: dict, arrays: bytes) -> bytes:
    text = json.dumps(header).encode()
    return framed(struct.pack(">I", len(text)) + text + arrays)


def test_round_trip_gives_equal_bytes(profile: Any) -> None:
    data = profile.to_bytes()
    again = Profile.from_bytes(data)
    assert again.to_bytes() == data
    assert again.metrics() == profile.metrics()
    assert again.spec == profile.spec


def test_23_columns_stay_under_200_kilobytes() -> None:
    rng = np.random.default_rng(0)
    n = 50_000
    table = {f"x{i}": rng.normal(i, 1 + i, n) for i in range(20)}
    table |= {f"c{i}": rng.choice([f"k{j}" for j in range(40)], n) for i in range(3)}
    table["timestamp"] = np.datetime64("2019-01-01T00", "us") + np.arange(n) * np.timedelta64(1, "h")
    assert len(Profile.of(table, ProfileSpec(timestamp="timestamp")).to_bytes()) < 200_000


@settings(max_examples=60)
@given(data=st.data())
def test_one_changed_byte_is_found(profile: Any, data: Any) -> None:
    original = profile.to_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = bytearray(original)
    changed[at] ^= flip
    with pytest.raises(ArtifactError):
        Profile.from_bytes(bytes(changed))


@pytest.mark.parametrize("cut", [0, 5, len(MAGIC), len(MAGIC) + 20, -1])
def test_a_cut_file_is_found(profile: Any, cut: Any) -> None:
    with pytest.raises(ArtifactError, match="aihub profile"):
        Profile.from_bytes(profile.to_bytes()[:cut])


def test_another_version_says_so(profile: Any) -> None:
    header, arrays = opened(profile.to_bytes())
    text = json.dumps(header).encode()
    data = framed(struct.pack(">I", len(text)) + text + arrays, version=VERSION + 1)
    with pytest.raises(ArtifactError, match="version 2, this program reads version 1"):
        Profile.from_bytes(data)


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(ArtifactError, match="claims"):
        Profile.from_bytes(framed(b"\0" * 1000, length=1 << 40))
    with pytest.raises(ArtifactError, match="damaged"):
        Profile.from_bytes(framed(b"\0" * 100_000_000, length=100))


def _set(*path: Any) -> Any:
    *keys, last, value = path

    def change(header: Any) -> None:
        at = header
        for key in keys:
            at = at[key]
        at[last] = value

    return change


FORGED = {
    "huge counts": _set("columns", 0, 1, "rows", 1 << 70),
    "negative rows": _set("rows", -1),
    "text for rows": _set("rows", "many"),
    "true for rows": _set("rows", True),  # noqa: FBT003
    "more missing than rows": _set("columns", 0, 1, "missing", 10**9),
    "unknown kind": _set("columns", 0, 1, "kind", "image"),
    "bad shift": _set("columns", 0, 1, "histogram", "shift", 64),
    "first bin beyond the numbers": _set("columns", 0, 1, "histogram", "first", 1 << 62),
    "an array beyond the body": _set("columns", 0, 1, "histogram", "counts", ["u8", 1000]),
    "a huge array": _set("columns", 0, 1, "histogram", "counts", ["u8", 1 << 50]),
    "an array of objects": _set("columns", 0, 1, "histogram", "counts", ["O", 1]),
    "mean outside the extremes": _set("columns", 0, 1, "moments", "mean", 1e9),
    "NaN mean": _set("columns", 0, 1, "moments", "mean", float("nan")),
    "negative variance": _set("columns", 0, 1, "moments", "m2", -1.0),
    "names and counts differ": _set("columns", 3, 1, "names", ["a"]),
    "names that are no text": _set("columns", 3, 1, "names", [1, 2]),
    "no columns": _set("columns", None),
    "unknown spec": _set("spec", {"columns": None, "nonsense": 1}),
    "start that is no number": _set("start", []),
    "cells of another size": _set("cells", 0, 1, ["u1", 3]),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_a_forged_profile_is_an_error_and_nothing_worse(profile: Any, change: Any) -> None:
    header, arrays = opened(profile.to_bytes())
    change(header)
    with pytest.raises(ArtifactError):
        Profile.from_bytes(closed(header, arrays))


def test_reading_what_was_opened_and_closed_works(profile: Any) -> None:
    assert Profile.from_bytes(closed(*opened(profile.to_bytes()))).rows == profile.rows


def test_a_day_zone_spec_survives() -> None:
    spec = ProfileSpec(timestamp="t", time_zone="Europe/Berlin", columns=("x", "t"))
    table = {"t": [dt.datetime(2024, 5, 1, tzinfo=dt.UTC)], "x": [1.0], "y": [2.0]}
    again = Profile.from_bytes(Profile.of(table, spec).to_bytes())
    assert again.spec == spec
    assert list(again.columns) == ["x", "t"]


@pytest.mark.parametrize("values", [[-3.0, -2.5, -1.0], [-5.0], [-1e300, -1e-300], [-2.0, 0.0], [-1.0, 7.0]])
def test_a_column_of_negative_values_survives(values: list[float]) -> None:
    profile = Profile.of({"export": np.array(values * 50)})
    assert Profile.from_bytes(profile.to_bytes()).to_bytes() == profile.to_bytes()
