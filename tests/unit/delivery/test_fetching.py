from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from aihub.delivery import datasets, fetching
from aihub.errors import AIHubError, DataError, ForbiddenError, StoppedError
from aihub.registry.backing import SharedFolder
from aihub.settings import Settings, from_environment
from aihub.store.engine import create

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

CSV = b"timestamp,load\n2024-01-01,1\n"


@pytest.fixture
def host() -> Iterator[str]:
    """A source that has one table, one that comes a byte at a time without end, and one that says nothing."""
    ended = threading.Event()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/data.csv")
                self.end_headers()
                return
            self.send_response(404 if self.path == "/nothing" else 200)
            self.end_headers()
            self.wfile.write(CSV)
            if self.path == "/silent":
                ended.wait(60)
            while self.path.startswith("/dripping") and not ended.wait(0.01):
                try:
                    self.wfile.write(b"2")
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        ended.set()
        server.shutdown()


def settings_at(home: Path, **given: Any) -> Settings:
    own = {"data_hosts": "127.0.0.1", "data_private_hosts": "127.0.0.1"}
    return from_environment({}, home=home, **{**own, **given})


def held(settings: Settings, url: str, **given: Any) -> AbstractContextManager[Path]:
    engine = create(f"sqlite:///{settings.home / 'hub.db'}")
    return fetching.held(
        settings, engine, {"url": url}, backing=SharedFolder(), tenant="default", owner="job_1-1", **given
    )


def files(settings: Settings) -> list[str]:
    root = datasets.folder(settings)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_an_allowed_host_is_fetched_from_and_no_other(tmp_path: Path, host: str) -> None:
    settings = settings_at(tmp_path)
    with held(settings, f"{host}/data.csv") as path:
        assert path.read_bytes() == CSV
    for name in ("moved", "nothing"):
        with pytest.raises(DataError, match="answered"), held(settings, f"{host}/{name}"):
            pass
    refused = settings_at(tmp_path, data_hosts="")
    with pytest.raises(ForbiddenError, match="AIHUB_DATA_HOSTS"), held(refused, f"{host}/data.csv"):
        pass
    # Allowed, and not as one of the own network.
    public = settings_at(tmp_path, data_private_hosts="")
    with pytest.raises(AIHubError), held(public, f"{host.replace('http', 'https')}/data.csv"):
        pass


def test_a_fetched_table_is_gone_with_its_run_and_is_nobody_elses(tmp_path: Path, host: str) -> None:
    settings = settings_at(tmp_path)
    with held(settings, f"{host}/data.csv") as one, held(settings, f"{host}/data.csv") as other:
        assert one != other
        assert len(files(settings)) == 2
    assert files(settings) == []
    with pytest.raises(RuntimeError), held(settings, f"{host}/data.csv"):
        raise RuntimeError
    assert files(settings) == []


@pytest.mark.parametrize("name", ["dripping", "silent"])
def test_a_slow_source_keeps_nobody_who_is_to_stop(tmp_path: Path, host: str, name: str) -> None:
    settings, began = settings_at(tmp_path), monotonic()

    def check() -> None:
        if monotonic() - began > 0.3:
            raise StoppedError("stop")

    with pytest.raises(StoppedError), held(settings, f"{host}/{name}", check=check):
        pass
    assert monotonic() - began < 20
    _wait_for_no_file(settings)


def test_a_source_that_takes_too_long_is_given_up(tmp_path: Path, host: str) -> None:
    settings, began = settings_at(tmp_path, fetch_timeout_s=0.3), monotonic()
    with (
        pytest.raises(DataError, match="AIHUB_FETCH_TIMEOUT_S"),
        held(settings, f"{host}/dripping?signature=x"),
    ):
        pass
    assert monotonic() - began < 20
    _wait_for_no_file(settings)


def _wait_for_no_file(settings: Settings) -> None:
    """The thread ends by itself, at once: its connection is closed under it."""
    until = monotonic() + 5
    while files(settings) and monotonic() < until:
        sleep(0.02)
    assert files(settings) == []
