"""Seeded damage to model files, as disks, editors and attackers do it."""

from __future__ import annotations

import random

WORDS = [
    b"-1",
    b"0",
    b"1",
    b"2",
    b"99999",
    b"-99999",
    b"nan",
    b"inf",
    b"1e308",
    b"4294967296",
    b"",
    b" ",
    b"\r\n",
    b"\0",
]


def mutate(content: bytes, seed: int) -> bytes:
    """One to three seeded mutations: bytes, words, lines, cuts, copies."""
    rng = random.Random(seed)  # noqa: S311 - a seed is wanted, not a secret
    data = content
    for _ in range(rng.choice([1, 1, 2, 3])):
        data = rng.choice([_byte, _bit, _word, _word, _number, _cut, _drop, _copy, _line])(data, rng) or data
    return data


def _byte(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def _bit(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _word(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.choice(WORDS) + data[at + rng.randrange(4) :]


def _number(data: bytes, rng: random.Random) -> bytes:
    """Replace one number of the text by another."""
    places = [i for i in range(1, len(data)) if data[i : i + 1].isdigit() and data[i - 1 : i] in b" =,[:"]
    if not places:
        return data
    start = rng.choice(places)
    stop = start
    while stop < len(data) and data[stop : stop + 1] in b"0123456789.e-+":
        stop += 1
    return data[:start] + rng.choice(WORDS) + data[stop:]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(1, len(data))]


def _drop(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 64) :]


def _copy(data: bytes, rng: random.Random) -> bytes:
    at, length, to = rng.randrange(len(data)), rng.randrange(1, 64), rng.randrange(len(data))
    return data[:to] + data[at : at + length] + data[to:]


def _line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    other = rng.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)
