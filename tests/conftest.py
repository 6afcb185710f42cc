"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["databases", "buckets"]

os.environ.setdefault("TZ", "UTC")
# The commands of this environment are on the path for what tests start, however pytest itself was called.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
# Two cores are shared by the parallel test processes: libraries that start a thread per core only get in the way.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

# Hundreds of databases are written and synced: in memory that costs nothing, and no test is about the disk.
_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# Properties are about values: how long one example takes says more about the machine's other work than about the code.
_profile = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# Continuous integration judges a change by the same examples every time; new ones are looked for everywhere else.
_profile["derandomize"] = bool(os.environ.get("CI"))
if not os.access(Path.cwd(), os.W_OK):
    # Failed examples cannot be kept in a checkout of somebody else.
    _profile["database"] = None
settings.register_profile("aihub", **_profile)
settings.load_profile("aihub")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared real data sets, or a visible skip."""
    root = Path(os.environ.get("AIHUB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"the shared data sets are not at {root}; set AIHUB_SHARED_DATA")
    return root
