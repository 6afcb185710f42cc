"""The confined child's side: reads requests, answers, and has no way to do anything else. See `aihub.registry.sandbox`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from aihub.errors import AIHubError
from aihub.registry import frames
from aihub.registry.confinement import confine, limit_resources, readable_paths, refuse_processes

PARENT_CHECK_S = 1.0
"""How often the child looks whether its parent is still there."""

Answer = tuple[dict[str, Any], bytes]
Operation = Callable[[dict[str, Any], dict[str, Any], bytes], Answer]


def main(arguments: dict[str, Any]) -> None:
    """Confine this process and serve requests until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    requests = os.fdopen(os.dup(0), "rb")
    # Native libraries print warnings to standard output; they must not get between the frames.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    limit_resources(memory_bytes=arguments["memory_bytes"], cpu_s=arguments["cpu_s"])
    parent = os.getppid()
    layers = confine(readable_paths(arguments["path"]))
    # After the confinement: a thread from before it would not be confined.
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    if "seccomp" not in layers:
        refuse_processes()
    sys.setrecursionlimit(3000)
    state: dict[str, Any] = {"layers": layers}
    while (frame := frames.read(requests)) is not None:
        header, blob = answer(state, *frame)
        answers.write(frames.encode(header, blob))
        answers.flush()


def end_with(parent: int) -> None:
    """End this process once `parent` has: a native call that hangs would never see the pipe close."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)


def answer(state: dict[str, Any], request: dict[str, Any], blob: bytes) -> Answer:
    """Carry out one request; whatever goes wrong becomes a text."""
    try:
        header, content = _operation(str(request.get("op")))(state, request, blob)
    except AIHubError as error:
        return {"ok": False, "error": str(error)}, b""
    except MemoryError:
        return {"ok": False, "error": "the model file needs more memory than it may have"}, b""
    except RecursionError:
        return {"ok": False, "error": "the model file is nested too deeply"}, b""
    except BaseException as error:  # noqa: BLE001 - the file decides what is raised here, even SystemExit
        text = f"{type(error).__name__}: {error}"
        return {"ok": False, "error": text[:2000].encode(errors="replace").decode()}, b""
    return {"ok": True, **header}, content


def _operation(name: str) -> Operation:
    if name == "trial":
        from aihub.registry.native.trial import run_trial  # noqa: PLC0415 - each operation loads only what it needs

        return run_trial
    if name == "layers":
        return lambda state, _request, _blob: ({"layers": state["layers"]}, b"")
    from aihub.registry import unpickling  # noqa: PLC0415 - as above

    operations: dict[str, Operation] = {
        "examine": unpickling.examine,
        "prepare": unpickling.prepare,
        "load": unpickling.load,
        "predict": unpickling.predict,
    }
    return operations[name]
