#!/usr/bin/env python
"""Roll a model back where its error is more than 20 % worse than promised, on a hub (AIHUB_URL, AIHUB_API_KEY).

The hub's own watch does this better, every six hours (docs/how-to/monitor.md); this script is for those who decide outside.
Exit code: 0 nothing to do, 1 rolled back or left to a person, 2 bad input.
"""

import argparse
from typing import Any

from aihub import Client
from aihub.cli.following import fail
from aihub.errors import AIHubError, ConflictError

MIN_ACTUALS = 48


def should_rollback(
    current_metrics: dict[str, Any], baseline_metrics: dict[str, Any], limit: float = 0.20
) -> tuple[bool, str | None]:
    """Determine if rollback is needed: never where a figure is missing."""
    current, baseline = current_metrics.get("mae"), baseline_metrics.get("mae")
    if not baseline or current is None:
        return False, None
    degradation = (current - baseline) / baseline
    if degradation > limit:
        return True, f"Performance degraded by {degradation * 100:.1f}%"
    return False, None


def main(argv: list[str] | None = None) -> int:
    """Look at one model and go back where that is called for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--target-version", help="default: the last good one")
    parser.add_argument("--threshold", type=float, default=0.20, help="0.2 is 20 %%")
    args = parser.parse_args(argv)
    try:
        with Client() as client:
            found = client.models.performance(args.model)
            needed, reason = should_rollback(found, found["promised"], args.threshold)
            if not needed or reason is None or found["actuals"] < MIN_ACTUALS:
                print(f"{args.model}: no rollback ({found['actuals']} actuals)")
                return 0
            if found["faults"] or found["data_drift_detected"]:
                print(f"{args.model}: {reason}, but the data changed: a person has to look")
                return 1
            done = client.models.rollback(args.model, args.target_version, reason=reason)
            print(f"✓ Rolled back {args.model} to {done.semantic}: {reason}")
            return 1
    except ConflictError as error:
        print(f"✗ Rollback failed for {args.model}: {error}")
        return 1
    except AIHubError as error:
        return fail(error)


if __name__ == "__main__":
    raise SystemExit(main())
