"""What stands behind artefacts and data sets: one folder that all machines see, or a bucket and a folder on each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from aihub.errors import ArtifactError
from aihub.registry.artifacts import ArtifactStore, Manifest, pack
from aihub.registry.backing import backing_of
from aihub.settings import from_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Machine = Callable[[str], ArtifactStore]
DATA = pack({"model.json": b"{}"}, Manifest(kind="forecast/1", name="demo"))


@pytest.fixture(params=["folder", "bucket"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """Return what opens the store as a machine of that name does."""
    environ: dict[str, str] = {}
    if request.param == "bucket":
        environ = request.getfixturevalue("bucket").environ()

    def open_at(name: str) -> ArtifactStore:
        home = tmp_path / (name if environ else "shared")
        settings = from_environment(environ, home=home)
        return ArtifactStore(settings.artifacts_dir, backing_of(settings, "artifacts"))

    return open_at


def test_what_one_machine_stores_another_reads(machine: Machine) -> None:
    digest = machine("a").put(DATA)
    other = machine("b")
    assert other.get(digest).files == {"model.json": b"{}"}
    assert other.path(digest).read_bytes() == DATA
    other.verify(digest)
    assert machine("a").put(DATA) == digest


def test_what_nobody_stored_is_missing(machine: Machine) -> None:
    for ask in (machine("a").get, machine("a").verify):
        with pytest.raises(ArtifactError, match=r"does not exist|has no object"):
            ask("0" * 64)


def test_workspace_holds_what_is_given_and_stores_what_is_made(machine: Machine) -> None:
    given = machine("a").put(DATA)
    other = pack({"model.json": b"[]"}, Manifest(kind="forecast/1", name="other"))
    with machine("b").workspace([given, "0" * 64]) as folder:
        inside = ArtifactStore(folder)
        inside.verify(given)
        made = inside.put(other)
    assert machine("c").get(made).manifest.name == "other"
    machine("b").verify(made)


def test_whatever_ends_a_workspace_passes_through(machine: Machine) -> None:
    with pytest.raises(BrokenPipeError), machine("a").workspace([]) as folder:
        raise BrokenPipeError(str(folder))


def test_many_at_once_read_the_same(machine: Machine) -> None:
    digest = machine("a").put(DATA)
    other = machine("b")
    with ThreadPoolExecutor(8) as pool:
        assert {found.digest for found in pool.map(other.get, [digest] * 32)} == {digest}
    assert [path.name for path in other.root.glob("??/*")] == [f"{digest}.aihub"]


def test_store_is_tried_out(machine: Machine) -> None:
    assert machine("a").backing.probe()
