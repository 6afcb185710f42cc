"""Every snippet of the documentation runs, in the order of its page, in a folder of its own.

In a fence, `python` is executed (one namespace a page), `console` runs each `$ command` and compares what it prints (`...` stands for anything; what it exports holds on),
a fence with `title="name"` is written to that file, `sh` may only hold make targets that exist. `text` is for show.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
FOR_SHOW = {"text", "toml", "json"}
COMPARE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Snippet:
    line: int
    language: str
    title: str
    body: str


def pages() -> list[Path]:
    return sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def snippets(page: Path) -> list[Snippet]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        indent, language, rest, body = match.groups()
        title = TITLE.search(rest)
        dedented = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        found.append(
            Snippet(text.count("\n", 0, match.start()) + 1, language, title[1] if title else "", dedented)
        )
    return found


def run_console(body: str, folder: Path, environ: dict[str, str]) -> None:
    for chunk in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, expected = chunk.partition("\n")
        while command.endswith("\\"):
            more, _, expected = expected.partition("\n")
            command = command[:-1] + more.strip()
        # What a reader exports holds for the rest of the page.
        keeps = command.startswith("export ")
        done = subprocess.run(
            ["sh", "-c", f"{command} && env -0" if keeps else command],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # in the order in which a reader sees it
            text=True,
            timeout=280,
            check=False,
        )
        printed = done.stdout
        if keeps and done.returncode == 0:
            environ.update(entry.split("=", 1) for entry in printed.split("\0") if "=" in entry)
            printed = ""
        if expected.strip():
            assert doctest.OutputChecker().check_output(expected, printed, COMPARE), f"$ {command}\n{printed}"
        else:
            assert done.returncode == 0, f"$ {command}\n{printed}"


def environ_of_reader(port: int) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "100",
        "AIHUB_MLFLOW_TRACKING_URI": "off",  # two CPU seconds a command; tests/contract has the mirror
        "AIHUB_PORT": str(port),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder; a hub that a page starts in the background, and whose page fails, ends with it."""
    yield tmp_path
    pid = tmp_path / "hub.pid"
    if pid.exists():
        with suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)


def run_make(body: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in re.findall(r"^make ([a-z-]+)", body, re.MULTILINE):
        assert name in targets, f"`make {name}` does not exist"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_snippet_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    # The port that pages name may be taken here.
    port = free_port()
    environ = environ_of_reader(port)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for snippet in snippets(page):
        where = f"{page}:{snippet.line}"
        if snippet.title:
            target = folder / snippet.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(snippet.body, encoding="utf-8")
        elif snippet.language == "python":
            exec(compile("\n" * snippet.line + snippet.body, str(page), "exec"), namespace)  # noqa: S102
        elif snippet.language == "console":
            run_console(snippet.body.replace(":8000", f":{port}"), folder, environ)
        elif snippet.language == "sh":
            run_make(snippet.body)
        else:
            assert snippet.language in FOR_SHOW, f"{where}: say what a {snippet.language!r} snippet is for"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"
