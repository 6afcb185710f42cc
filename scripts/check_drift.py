#!/usr/bin/env python
"""Check for data drift: of a model on a hub (--model NAME; AIHUB_URL, AIHUB_API_KEY), or of two files.

Exit code: 0 no drift, 1 drift or not enough data to tell, 2 bad input.
"""

import argparse

from aihub.cli.main import run


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
    return run(["drift", "--model", args.model, "--days", str(args.days)])


if __name__ == "__main__":
    raise SystemExit(main())
