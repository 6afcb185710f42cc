"""HTTP load over raw keep-alive connections: closed loop as fast as it goes, or open loop at a rate. Loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return one request as bytes."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def cpu_s(pid: int) -> float:
    """CPU seconds of a process with all its threads, and of the processes that it has started and that live."""
    total, family = 0.0, {pid}
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda one: int(one.name)):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(folder.name) == pid or int(fields[1]) in family:
            family.add(int(folder.name))
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Result:
    """What came back."""

    done: int = 0
    failed: int = 0
    took_s: float = 0.0
    latency_s: list[float] = field(default_factory=list)

    def quantile_ms(self, share: float) -> float:
        ordered = sorted(self.latency_s)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class _Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self.buffer = b""
        self.waiter: asyncio.Future[int] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, sep, rest = self.buffer.partition(b"\r\n\r\n")
        if not sep:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        size = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) >= size and self.waiter is not None and not self.waiter.done():
            self.buffer = b""
            self.waiter.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(exc or ConnectionError("closed"))

    def ask(self, message: bytes) -> asyncio.Future[int]:
        assert self.transport is not None
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(message)
        return self.waiter


async def _closed(port: int, message: bytes, count: int, connections: int) -> Result:
    result = Result()
    left = count
    loop = asyncio.get_running_loop()

    async def work() -> None:
        nonlocal left
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
        while left > 0:
            left -= 1
            began = time.perf_counter()
            status = await connection.ask(message)
            result.latency_s.append(time.perf_counter() - began)
            result.done += 1
            result.failed += status != 200
        assert connection.transport is not None
        connection.transport.close()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    result.took_s = time.perf_counter() - began
    return result


async def _open(port: int, message: bytes, rate: float, seconds: float, connections: int) -> Result:
    """Send requests at fixed times; latency counts from when a request was due, so that waiting is not hidden."""
    result = Result()
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(connections):
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
        free.put_nowait(connection)

    async def one(due: float) -> None:
        connection = await free.get()
        try:
            status = await connection.ask(message)
            result.failed += status != 200
        except OSError:
            result.failed += 1
        result.done += 1
        result.latency_s.append(time.perf_counter() - due)
        free.put_nowait(connection)

    began = time.perf_counter()
    tasks: set[asyncio.Task[None]] = set()
    number = 0
    while (now := time.perf_counter() - began) < seconds:
        while number < now * rate:
            task = asyncio.create_task(one(began + number / rate))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.sleep(min(0.001, 1 / rate))
    await asyncio.gather(*tasks)
    result.took_s = time.perf_counter() - began
    while not free.empty():
        connection = free.get_nowait()
        with contextlib.suppress(Exception):
            assert connection.transport is not None
            connection.transport.close()
    return result


def closed_loop(port: int, message: bytes, count: int, connections: int = 8) -> Result:
    """Send `count` requests as fast as they are answered."""
    return asyncio.run(_closed(port, message, count, connections))


def open_loop(port: int, message: bytes, rate: float, seconds: float, connections: int = 64) -> Result:
    """Send `rate` requests a second."""
    return asyncio.run(_open(port, message, rate, seconds, connections))


def answered(port: int, message: bytes) -> dict[str, Any]:
    """Send one request on a connection of its own and return the answer."""
    head, _, body = message.partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    found: dict[str, Any] = json.loads(b"".join(parts).partition(b"\r\n\r\n")[2])
    return found


def wait_until_up(port: int, path: str, timeout_s: float) -> None:
    """Wait until something answers."""
    deadline = time.monotonic() + timeout_s
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing answers on port {port}")
        time.sleep(0.1)
