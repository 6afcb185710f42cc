#!/usr/bin/env python
"""Create a training job on a hub (AIHUB_URL, AIHUB_API_KEY); with --wait, --output or --report stay until its gate has spoken.

In GitHub Actions two runs for one commit are one job. Exit code when waiting, as of `aihub run`: 0 the gate passed, 1 it failed, 2 bad input, 3 internal.
"""

import argparse
import os
from pathlib import Path

from aihub import Client
from aihub.cli import asking
from aihub.cli.following import exit_code, fail, folder_or_file, keep, request_of, tell_end, watch
from aihub.errors import AIHubError
from aihub.training.spec import load_spec
from aihub.types import ModelType

HYPERPARAMETERS = {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7}
COLUMNS = {
    "forecast": {"features": ["temperature", "humidity"], "target": "load"},
    "anomaly": {"features": ["load", "temperature", "humidity"], "target": "is_anomaly"},
}
"""Of the tables that generate_training_data.py writes; for your own, write a spec."""


def main(argv: list[str] | None = None) -> int:
    """Upload the data, submit the job, and wait for it where that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenant-id", required=True)
    parser.add_argument("--model-type", required=True, choices=[kind.value for kind in ModelType])
    parser.add_argument("--algorithm", required=True, help="lgbm, xgboost or the name of a plugin")
    parser.add_argument("--data-path", required=True, type=Path, help="CSV or Parquet; it is uploaded")
    parser.add_argument("--priority", default="normal", choices=["high", "normal", "low"])
    parser.add_argument("--spec", type=Path, help="YAML with what else there is to say about the model")
    parser.add_argument("--wait", action="store_true", help="stay until the gate has spoken")
    output_help = "file for the model, or folder for model and report (default: AIHUB_OUTPUT)"
    parser.add_argument("--output", default=os.environ.get("AIHUB_OUTPUT"), help=output_help)
    parser.add_argument("--report", type=Path, help="folder for the report (default: that of the model)")
    args = parser.parse_args(argv)
    try:
        with Client(tenant=args.tenant_id) as client:
            request = request_of(load_spec(args.spec)) if args.spec else {"config": COLUMNS[args.model_type]}
            request["config"].setdefault("hyperparameters", HYPERPARAMETERS)
            request["config"] |= {"model_type": args.model_type, "algorithm": args.algorithm}
            request |= {"tenant_id": args.tenant_id, "model_type": args.model_type}
            job = asking.submit(client, request | {"priority": args.priority}, args.data_path)
            if not (args.wait or args.output or args.report):
                return 0
            job = watch(client, job.job_id)
            if (args.output or args.report) and job.gate_passed is not None:
                keep(client, job, output=args.output and folder_or_file(args.output), reports=args.report)
            tell_end(job)
            return exit_code(job)
    except AIHubError as error:
        return fail(error)


if __name__ == "__main__":
    raise SystemExit(main())
