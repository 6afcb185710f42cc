#!/usr/bin/env python
"""Register a model file: on the hub AIHUB_URL, else directly in the store of DATABASE_URL and AIHUB_HOME, as who runs the hub.

A store of one's own is mirrored to MLFLOW_TRACKING_URI. A file that is registered already is not registered again.
"""

import argparse
import os
from getpass import getuser
from pathlib import Path

from aihub import Client
from aihub.cli import asking
from aihub.cli.following import fail
from aihub.cli.options import is_remote
from aihub.cli.remote import outcome
from aihub.cli.tagging import tell_tag
from aihub.client import commit
from aihub.delivery.by_hand import ByHand
from aihub.errors import AIHubError
from aihub.hub import opened

REASON = "registered by register_model.py"
STAGES = {"Production": "production", "Staging": "staging", "None": ""}


def on_hub(path: Path, name: str, environment: str, *, tag: bool) -> str:
    """Let the hub examine and register the file; its policy says who has to approve."""
    with Client() as client:
        version = asking.register(client, name, path)
        if not environment:
            return version.status
        where = {"environment": environment, "reason": REASON, "tag": tag}
        return outcome(asking.deploy(client, name, version.version, **where))


def in_store(path: Path, name: str, environment: str, *, tag: bool) -> str:
    """Examine and register the file here, without asking a hub."""
    with opened() as hub:
        hand = ByHand(hub=hub, tenant=os.environ.get("AIHUB_TENANT") or "default", actor=getuser())
        version = hand.register(path, name, git_commit=commit.current())
        print(f"Registered {version}", flush=True)
        if environment:
            hand.deploy(version, environment, reason=REASON)
            if tag:
                tell_tag(
                    name,
                    str(version.semantic),
                    lambda: version.git_commit,
                    environment=environment,
                    reason=REASON,
                )
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
    parser.add_argument(
        "--no-tag", action="store_true", help="do not tag the version's commit in this checkout"
    )
    args = parser.parse_args(argv)
    try:
        work = on_hub if is_remote() else in_store
        done = work(args.model_path, args.model_name, STAGES[args.stage], tag=not args.no_tag)
        print(f"Stage {args.stage}: {done}")
    except AIHubError as error:
        return fail(error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
