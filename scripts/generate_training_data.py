#!/usr/bin/env python
"""Generate realistic training data for CI/CD: hourly load with weather, for anomalies with a 0/1 label."""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from aihub.errors import AIHubError
from aihub.training.synthetic import START, generate
from aihub.types import ModelType


def main(argv: list[str] | None = None) -> int:
    """Write the table (CSV, or Parquet by suffix) and say how many rows it has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-type", required=True, choices=[kind.value for kind in ModelType])
    parser.add_argument("--samples", type=int, default=10000, help="hourly rows (default: 10000)")
    parser.add_argument("--output", required=True, type=Path, help="a .csv or .parquet file")
    parser.add_argument("--seed", type=int, default=42, help="same seed, same rows (default: 42)")
    parser.add_argument(
        "--start", type=datetime.fromisoformat, default=START, help="first stamp (default: 2024-01-01)"
    )
    args = parser.parse_args(argv)
    try:
        data = generate(args.model_type, args.samples, seed=args.seed, start=args.start)
        if args.output.suffix == ".parquet":
            data.write_parquet(args.output)
        else:
            data.write_csv(args.output, datetime_format="%Y-%m-%d %H:%M:%S")
    except (AIHubError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    print(f"Generated {len(data)} samples")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
