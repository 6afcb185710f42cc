#!/usr/bin/env python
"""Say that a version is deployed: on the hub AIHUB_URL, else directly in the store of DATABASE_URL, as who runs the hub.

VERSION is a number, v1.2.3 or a git commit; of several versions of one commit the newest that its gate let through.
"""

import argparse
import os
from getpass import getuser

from aihub import Client
from aihub.cli import asking
from aihub.cli.following import fail
from aihub.cli.options import is_remote
from aihub.cli.remote import outcome
from aihub.cli.tagging import tell_tag
from aihub.delivery.by_hand import ByHand
from aihub.errors import AIHubError
from aihub.hub import opened

ENVIRONMENTS = {"deployed": "production", "production": "production", "staging": "staging"}
REASON = "update_registry.py"


def on_hub(name: str, version: str, environment: str, *, tag: bool) -> str:
    """Ask the hub for the deployment; its policy says who has to approve."""
    with Client() as client:
        found = client.models.find(name, version)
        print(f"Version {version}: {found}", flush=True)
        where = {"environment": environment, "reason": REASON, "tag": tag}
        return outcome(asking.deploy(client, name, found.version, **where))


def in_store(name: str, version: str, environment: str, *, tag: bool) -> str:
    """Deploy without asking a hub."""
    with opened() as hub:
        hand = ByHand(hub=hub, tenant=os.environ.get("AIHUB_TENANT") or "default", actor=getuser())
        found = hand.find(name, version)
        print(f"Version {version}: {found}", flush=True)
        hand.deploy(found, environment, reason=REASON)
        if tag:
            tell_tag(
                name, str(found.semantic), lambda: found.git_commit, environment=environment, reason=REASON
            )
        hand.mirror()
        return f"serves in {environment}"


def main(argv: list[str] | None = None) -> int:
    """Find the version and deploy it; one that is deployed already stays so."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--status", required=True, choices=list(ENVIRONMENTS))
    parser.add_argument(
        "--no-tag", action="store_true", help="do not tag the version's commit in this checkout"
    )
    args = parser.parse_args(argv)
    try:
        work = on_hub if is_remote() else in_store
        done = work(args.model_name, args.version, ENVIRONMENTS[args.status], tag=not args.no_tag)
        print(f"Status {args.status}: {done}")
    except AIHubError as error:
        return fail(error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
