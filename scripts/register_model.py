#!/usr/bin/env python
"""Register a model file: on the hub AIHUB_URL, else directly in the store of DATABASE_URL and AIHUB_HOME, as who runs the hub.

A store of one's own is mirrored to MLFLOW_TRACKING_URI. A file that is registered already is not registered again.
"""

import argparse
import os
from getpass import getuser
from pathlib import Path

from aihub import Client
from aihub.cli.following import fail
from aihub.cli.options import is_remote
from aihub.cli.remote import outcome
from aihub.client import commit
from aihub.delivery.by_hand import ByHand
from aihub.errors import AIHubError
from aihub.hub import opened

STAGES = {"Production": "production", "Staging": "staging", "None": ""}


def on_hub(path: Path, name: str, environment: str) -> str:
    """Let the hub examine and register the file; its policy says who has to approve."""
    with Client() as client:
        version = client.models.register(name, path)
        print(f"Registered {version}", flush=True)
        if not environment:
            return version.status
        reason = "registered by register_model.py"
        return outcome(client.models.deploy(name, version.version, reason=reason, environment=environment))


def in_store(path: Path, name: str, environment: str) -> str:
    """Examine and register the file here, without asking a hub."""
    with opened() as hub:
        hand = ByHand(hub=hub, tenant=os.environ.get("AIHUB_TENANT") or "default", actor=getuser())
        version = hand.register(path, name, git_commit=commit.current())
        print(f"Registered {version}", flush=True)
        if environment:
            hand.deploy(version, environment, reason="registered by register_model.py")
        hand.mirror()
        return f"serves in {environment}" if environment else version.status


def main(argv: list[str] | None = None) -> int:
    """Register, and bring the version to the stage that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model-path", required=True, type=Path)
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--stage", default="None", type=str.capitalize, choices=list(STAGES))
    args = parser.parse_args(argv)
    try:
        work = on_hub if is_remote() else in_store
        print(f"Stage {args.stage}: {work(args.model_path, args.model_name, STAGES[args.stage])}")
    except AIHubError as error:
        return fail(error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
