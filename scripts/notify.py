#!/usr/bin/env python
"""Tell the configured channels how a pipeline went: SLACK_WEBHOOK_URL, or the routes of AIHUB_NOTIFY_FILE."""

import argparse
import os
import sys
from datetime import UTC, datetime

from aihub.errors import AIHubError
from aihub.notify.channels import send
from aihub.notify.config import load
from aihub.notify.message import Link, Notice, Severity
from aihub.notify.routing import deliveries
from aihub.settings import DEFAULT_TENANT, from_environment

RUN_URL = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}"
SEVERITY = {"success": Severity.INFO, "failure": Severity.CRITICAL}


def main(argv: list[str] | None = None) -> int:
    """Send one notice to every channel whose route fits; exit code 1 where one did not take it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--title", default="Model Training Pipeline")
    parser.add_argument("--status", required=True, help="success, failure, cancelled, skipped")
    parser.add_argument("--model-name", default="")
    parser.add_argument("--tenant-id", default=DEFAULT_TENANT)
    parser.add_argument("--fact", action="append", default=[], metavar="LABEL=VALUE")
    args = parser.parse_args(argv)
    now, run = datetime.now(UTC), os.environ.get("GITHUB_RUN_ID", "")
    notice = Notice(
        key=f"pipeline-{run or f'{now:%Y%m%dT%H%M%S}'}-{args.status}",
        tenant=args.tenant_id,
        event="pipeline.finished",
        severity=SEVERITY.get(args.status, Severity.WARNING),
        title=f"{args.title}: {args.status}",
        at=now,
        model=args.model_name,
        facts=[tuple(fact.partition("=")[::2]) for fact in args.fact],
        links=[Link(label="Open the run", url=RUN_URL.format_map(os.environ))] if run else [],
    )
    failed = False
    try:
        config = load(from_environment().notify_file)
        chosen = deliveries(notice, config.routes, now)
        for delivery in chosen:
            try:
                send(config.channels[delivery.channel], notice)
                print(f"Told {delivery.channel}")
            except AIHubError as error:
                failed = True
                sys.stderr.write(f"error: {delivery.channel}: {error}\n")
    except AIHubError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if not chosen:
        print("Nobody to tell: set SLACK_WEBHOOK_URL or AIHUB_NOTIFY_FILE")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
