#!/usr/bin/env python
"""Check for data drift: of a model on a hub (--model NAME; AIHUB_URL, AIHUB_API_KEY), or of two files.

Exit code: 0 no drift, 1 drift or not enough data to tell, 2 bad input.
"""

import argparse
from datetime import UTC, datetime, timedelta

from aihub import Client
from aihub.cli.following import fail
from aihub.cli.main import run
from aihub.errors import AIHubError


def main(argv: list[str] | None = None) -> int:
    """Say which features drifted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="REFERENCE CURRENT", help="tables or profiles")
    parser.add_argument("--model", help="name of a model on the hub")
    parser.add_argument("--days", type=int, default=7, help="days looked back, with --model")
    parser.add_argument("--timestamp", help="column of time stamps, with files")
    args = parser.parse_args(argv)
    if args.model is None:
        if len(args.files) != 2:  # noqa: PLR2004 - a reference and what is compared
            parser.error("give --model NAME, or two files")
        return run(["drift", *args.files, *(["--timestamp", args.timestamp] if args.timestamp else [])])
    end = datetime.now(UTC)
    try:
        with Client() as client:
            found = client.models.performance(
                args.model, start_date=end - timedelta(days=args.days), end_date=end
            )
    except AIHubError as error:
        return fail(error)
    drift = found["data_drift"]
    for one in drift["features"]:
        print(f"{one['feature']}: {one['test']}, effect {one['effect']} {one['unit']}. {one['note']}")
    said = {True: "drift", False: "no drift", None: f"not known: {drift['reason']}"}
    print(f"{args.model}: {said[found['data_drift_detected']]}")
    return 0 if found["data_drift_detected"] is False else 1


if __name__ == "__main__":
    raise SystemExit(main())
