#!/usr/bin/env python
"""Check how models do on a hub (AIHUB_URL, AIHUB_API_KEY): the named ones, or all that serve.

Exit code: 0 nothing wrong, 1 degraded or drift, 2 bad input. SLACK_WEBHOOK_URL is told too, where it is set.
"""

import argparse
import os
from datetime import UTC, datetime, timedelta

import httpx

from aihub import Client
from aihub.cli.following import fail
from aihub.cli.monitor import troubles
from aihub.errors import AIHubError


def check_model_performance(client: Client, model: str, days: int, max_mae: float | None) -> list[str]:
    """Return what is wrong with the model, for people."""
    end = datetime.now(UTC)
    metrics = client.models.performance(model, start_date=end - timedelta(days=days), end_date=end)
    found = troubles(metrics)
    if max_mae is not None and metrics["mae"] is not None and metrics["mae"] > max_mae:
        found.append(f"mae {metrics['mae']:.4g} exceeds {max_mae:g}")
    known = [f"{name} {metrics[name]:.4g}" for name in ("mae", "f1") if metrics.get(name) is not None]
    print(f"{model}: {'; '.join(found) or 'nothing wrong'} ({', '.join(known) or metrics['reason']})")
    return [f"Model {model}: {one}" for one in found]


def send_alert(message: str) -> None:
    """Send an alert to Slack, where its address is known."""
    if url := os.environ.get("SLACK_WEBHOOK_URL"):
        httpx.post(url, json={"text": f"⚠️ {message}"}, timeout=10).raise_for_status()


def main(argv: list[str] | None = None) -> int:
    """Check every model and tell what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="names; none: all that serve")
    parser.add_argument("--days", type=int, default=7, help="days looked back")
    parser.add_argument("--max-mae", type=float, help="alert above this error, whatever was promised")
    args = parser.parse_args(argv)
    try:
        with Client() as client:
            names = args.models or [model.name for model in client.models.list() if model.serving]
            alerts = [
                one
                for name in names
                for one in check_model_performance(client, name, args.days, args.max_mae)
            ]
        for alert in alerts:
            send_alert(alert)
    except AIHubError as error:
        return fail(error)
    return 1 if alerts else 0


if __name__ == "__main__":
    raise SystemExit(main())
