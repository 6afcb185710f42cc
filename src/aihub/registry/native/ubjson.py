"""The part of UBJSON that XGBoost writes, read strictly and written in one form.

Typed lists become numpy arrays in native byte order; all else becomes what JSON has. Every size is held against the
bytes that are left before anything is allocated.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sized

    from numpy.typing import NDArray

MAX_DEPTH = 32
_DTYPES = {b"U": ">u1", b"i": ">i1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_CODES = {np.dtype(dtype).newbyteorder("=").str[1:]: code for code, dtype in _DTYPES.items()}


def decode(data: bytes) -> dict[str, Any]:
    """Read a UBJSON object that fills `data` to the last byte.

    Raises
    ------
    ArtifactError
        The data is cut off, has something behind it, or uses what XGBoost does not.
    """
    reader = _Reader(data)
    value = reader.value(0)
    if not isinstance(value, dict) or reader.position != len(data):
        raise ArtifactError("XGBoost model: the file is not one UBJSON object; save the model again")
    return value


@dataclass
class _Reader:
    data: bytes
    position: int = 0

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.position:
            raise ArtifactError(
                f"XGBoost model: the file is cut off at byte {len(self.data)}; save the model again"
            )
        self.position += count
        return self.data[self.position - count : self.position]

    def value(self, depth: int) -> Any:
        return self.typed(self.take(1), depth)

    def typed(self, code: bytes, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ArtifactError("XGBoost model: the file is nested too deeply")
        match code:
            case b"{":
                return self.object(depth)
            case b"[":
                return self.array(depth)
            case b"S":
                return self.text()
            case b"T" | b"F":
                return code == b"T"
            case b"Z":
                return None
        if code in _DTYPES:
            dtype = np.dtype(_DTYPES[code])
            return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()
        raise ArtifactError(f"XGBoost model: unknown type {code!r} at byte {self.position - 1}")

    def size(self) -> int:
        code = self.take(1)
        if code not in (b"U", b"i", b"I", b"l", b"L"):
            raise ArtifactError(f"XGBoost model: a size was expected at byte {self.position - 1}")
        return int(self.typed(code, 0))

    def text(self) -> str:
        try:
            return self.take(self.size()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ArtifactError(f"XGBoost model: a name near byte {self.position} is not text") from error

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.data[self.position : self.position + 1] != b"}":
            name = self.text()
            if name in found:
                raise ArtifactError(f"XGBoost model: field {name[:60]!r} is there twice")
            found[name] = self.value(depth + 1)
        self.take(1)
        return found

    def array(self, depth: int) -> list[Any] | NDArray[Any]:
        mark = self.take(1)
        if mark == b"$":
            dtype = np.dtype(_DTYPES.get(self.take(1), ">V1"))
            if dtype.kind == "V" or self.take(1) != b"#":
                raise ArtifactError(f"XGBoost model: a list of unknown type at byte {self.position}")
            raw = self.take(self.size() * dtype.itemsize)
            return np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="))
        if mark == b"#":
            count = self.size()
            # Each entry takes at least one byte.
            if not 0 <= count <= len(self.data) - self.position:
                raise ArtifactError("XGBoost model: a list is longer than the file")
            return [self.value(depth + 1) for _ in range(count)]
        self.position -= 1
        items = []
        while self.data[self.position : self.position + 1] != b"]":
            items.append(self.value(depth + 1))
        self.take(1)
        return items


def encode(value: Any) -> bytes:
    """Write `value` as XGBoost does: sized lists, typed where they are arrays, objects without a size."""
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: Any, parts: list[bytes]) -> None:
    match value:
        case dict():
            parts.append(b"{")
            for name, item in value.items():
                _write_text(name, parts)
                _write(item, parts)
            parts.append(b"}")
        case np.ndarray():
            code = _CODES[value.dtype.str[1:]]
            parts += [b"[$", code, b"#", _length(value), value.astype(_DTYPES[code]).tobytes()]
        case list():
            parts += [b"[#", _length(value)]
            for item in value:
                _write(item, parts)
        case str():
            parts.append(b"S")
            _write_text(value, parts)
        case _:
            parts += _scalar(value)


def _length(value: Sized) -> bytes:
    return b"L" + struct.pack(">q", len(value))


def _scalar(value: object) -> list[bytes]:
    match value:
        case None:
            return [b"Z"]
        case bool():
            return [b"T" if value else b"F"]
        case int():
            return _whole(value)
        case float() if value == np.float32(value):
            return [b"d", struct.pack(">f", value)]
        case float():
            return [b"D", struct.pack(">d", value)]
        case _:
            raise TypeError(f"cannot write {type(value).__name__}")


def _write_text(text: str, parts: list[bytes]) -> None:
    raw = text.encode()
    parts += [_length(raw), raw]


def _whole(value: int) -> list[bytes]:
    for code, form, bits in ((b"i", ">b", 7), (b"I", ">h", 15), (b"l", ">i", 31), (b"L", ">q", 63)):
        if -(1 << bits) <= value < 1 << bits:
            return [code, struct.pack(form, value)]
    raise ArtifactError(f"XGBoost model: the number {value} is too large")
