"""Keep MLflow up to date beside the work, never in its way."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.delivery.progress import Listener, step
from aihub.settings import DEFAULT_TENANT

if TYPE_CHECKING:
    from aihub.settings import Settings

WAIT_S = 30.0
"""Longest wait for the mirror at the end; after it the mirror goes on by itself."""


@dataclass(frozen=True)
class Mirror:
    """A process that has MLflow ready by the time there is something to tell it; None where the mirror is off."""

    process: subprocess.Popen[bytes] | None

    @classmethod
    def start(cls, settings: Settings, *, tenant: str = DEFAULT_TENANT) -> Mirror:
        """Start to get MLflow ready. Should the caller end early, the process brings MLflow up to date by itself."""
        from aihub.registry import mlflow

        return cls(mlflow.start(settings, tenant=tenant))

    def finish(self, listener: Listener) -> None:
        """Bring MLflow up to date. Never raises because MLflow is away: the next run catches up."""
        if self.process is not None:
            with step("mirror to MLflow", listener) as mirroring:
                mirroring.note = _outcome(self.process)


def _outcome(process: subprocess.Popen[bytes]) -> str:
    """Let the process go to work, wait for it, and say in a few words how it went."""
    try:
        answer, _ = process.communicate(timeout=WAIT_S)
        result = json.loads(answer)
    except subprocess.TimeoutExpired:
        return f"not done within {WAIT_S:.0f} s; it goes on in the background"
    except ValueError:
        return "it ended without an answer; the next run catches up"
    if result["error"]:
        changes = f"{result['pending']} change{' waits' if result['pending'] == 1 else 's wait'}"
        return f"{changes} for the next run, MLflow is away: {str(result['error'])[:160]}"
    return f"{result['done']} change{'' if result['done'] == 1 else 's'} written"
