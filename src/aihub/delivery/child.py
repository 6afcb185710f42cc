"""The child process of a job: makes the candidate, tells how far it is, and has access to nothing else.

It reads its order from standard input, one line of JSON, and writes one line of JSON per event to standard output; the
last one is the result or the error. It knows no database and no secret: all that it leaves is the artefact and the report's
files, both named by their content, so that it can be killed at any moment and run again.
"""

from __future__ import annotations

import errno
import json
import math
import os
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from aihub.errors import AIHubError, UnavailableError

if TYPE_CHECKING:
    from aihub.delivery.candidate import Incumbent
    from aihub.delivery.progress import Event

PR_SET_PDEATHSIG = 1
SIGKILL = 9
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Ends of room: on the disk, of a quota, of a process."""


def main() -> int:
    """Carry out the order on standard input."""
    parent = os.getppid()
    _end_with(parent)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What native libraries print must not get between the events.
    os.dup2(2, 1)
    _preload()
    order = json.loads(sys.stdin.buffer.readline() or b"null")
    if order is None:
        return 0
    _limit_memory(order["memory_mb"] << 20)
    try:
        _write(events, {"result": _WORK[order["kind"]](order, events)})
    except AIHubError as error:
        # Where the hub keeps a table is nobody's business: it is called as whoever sent it called it.
        message = (
            str(error).replace(order["data"], order["data_name"]).replace(order["artifacts"], "artifacts")
        )
        _write(events, {"error": {"code": error.code, "message": message}})
    except OSError as error:
        if error.errno not in FULL:
            raise
        message = f"there is no room for the model or its report ({error.strerror}); free space in AIHUB_HOME"
        _write(events, {"error": {"code": UnavailableError.code, "message": message}})
    except MemoryError:
        message = f"the job needs more than the {order['memory_mb']} MB it may have; give it less data, or raise AIHUB_JOB_MEMORY_MB"
        _write(events, {"error": {"code": "out_of_memory", "message": message}})
    return 0


def _preload() -> None:
    """Import what every order needs: a process that was started ahead has it ready."""
    import lightgbm  # noqa: F401
    import polars as pl  # noqa: F401

    import aihub.delivery.candidate
    import aihub.registry.artifacts
    import aihub.training.data
    import aihub.training.forecast.training
    import aihub.training.trainer
    import aihub.validation.validator  # noqa: F401


def _end_with(parent: int) -> None:
    """Die when the worker does, at once where the system can do that and within a second elsewhere."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    from aihub.registry.child import end_with

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def _limit_memory(size_bytes: int) -> None:
    if not size_bytes or sys.platform != "linux":
        return
    import resource

    # Not the address space: files that are mapped count there.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))


def _made(order: dict[str, Any], events: IO[str]) -> dict[str, Any]:
    from aihub.delivery.candidate import Task, make
    from aihub.delivery.run import as_json
    from aihub.registry.artifacts import ArtifactStore
    from aihub.registry.versioning import digest_of
    from aihub.training.spec import ModelSpec
    from aihub.validation.report import write_reports

    task = Task(
        spec=ModelSpec.model_validate(order["spec"]),
        data=Path(order["data"]),
        data_name=order["data_name"],
        requested_by=order["requested_by"],
        now=datetime.fromisoformat(order["now"]),
        git=(order["git_commit"], None),
        incumbent=_incumbent(order),
    )
    made = make(task, ArtifactStore(Path(order["artifacts"])), lambda event: _tell(events, event))
    report = as_json(made.report)
    write_reports(made.report, Path(order["reports"]) / digest_of(report))
    return {
        "digest": made.digest,
        "report": report,
        "passed": made.report.passed,
        "lineage": made.lineage.to_dict(),
        "metrics": {name: value for name, value in made.training.metrics.items() if math.isfinite(value)},
        "notes": [*(note.message for note in made.table.notes), *made.training.notes],
    }


def _judged(order: dict[str, Any], events: IO[str]) -> dict[str, Any]:
    from aihub.delivery.judging import Judgement, judge
    from aihub.delivery.run import as_json
    from aihub.registry.artifacts import ArtifactStore
    from aihub.registry.versioning import digest_of
    from aihub.types import ModelType
    from aihub.validation.report import write_reports

    given = {
        **order["version"],
        "model_type": ModelType(order["version"]["model_type"]),
        "data": Path(order["data"]),
        "data_name": order["data_name"],
        "now": datetime.fromisoformat(order["now"]),
        "incumbent": _incumbent(order),
    }
    store = ArtifactStore(Path(order["artifacts"]))
    found = judge(Judgement(**given), store, lambda event: _tell(events, event))
    report = as_json(found)
    write_reports(found, Path(order["reports"]) / digest_of(report))
    measured = report.get("checks", {}).get("performance", {}).get("metrics") or {}
    return {
        "report": report,
        "passed": found.passed,
        "metrics": {
            name: value
            for name, value in measured.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        },
    }


def _incumbent(order: dict[str, Any]) -> Incumbent | None:
    from aihub.delivery.candidate import Incumbent

    found = order["incumbent"]
    return None if found is None else Incumbent(**found)


_WORK = {"train": _made, "validate": _judged}


def _tell(events: IO[str], event: Event) -> None:
    _write(
        events, {"event": type(event).__name__, **{name: getattr(event, name) for name in event.__slots__}}
    )


def _write(events: IO[str], document: dict[str, Any]) -> None:
    events.write(json.dumps(document, ensure_ascii=False) + "\n")
    events.flush()


if __name__ == "__main__":
    sys.exit(main())
