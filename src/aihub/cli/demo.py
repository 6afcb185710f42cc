"""`aihub demo`: the whole story on sample data, in under a minute."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING, Any

import click

from aihub.cli.console import shown_progress, table
from aihub.cli.options import PATH
from aihub.cli.run import HTML
from aihub.delivery.progress import step

if TYPE_CHECKING:
    from pathlib import Path

    from aihub.delivery.progress import Listener
    from aihub.delivery.run import Delivery
    from aihub.hub import Hub

FORECAST = {
    "model_type": "forecast",
    "features": ["temperature", "humidity"],
    "target": "load",
    "calendar": "DE",
    "hyperparameters": {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7},
}
ANOMALY = {
    **FORECAST,
    "model_type": "anomaly",
    "features": ["temperature", "humidity", "load"],
    "target": "is_anomaly",
}
SAMPLE_HOURS = 13_008  # whole days, so that tomorrow begins at midnight
TOMORROW_HOURS = 24
TOMORROW = "tomorrow.csv"
LOAD_MODEL = "demo-load"
ANOMALY_MODEL = "demo-anomaly"


@dataclass
class Story:
    """What happened, line by line, for the table at the end."""

    hub: Hub
    folder: Path
    now: datetime
    lines: list[tuple[str, ...]] = field(default_factory=list)

    def deliver(
        self,
        name: str,
        training: dict[str, Any],
        data: Path,
        listener: Listener,
        *,
        validation: dict[str, Any] | None = None,
    ) -> Delivery:
        """Deliver one model without deploying it, and remember how it went."""
        from aihub.delivery.run import Order, deliver
        from aihub.training.spec import ModelSpec

        spec = ModelSpec.model_validate({"name": name, "training": training, "validation": validation or {}})
        order = Order(
            spec=spec, data=data, actor=getuser(), now=self.now, reports=self.folder / "reports", deploy=False
        )
        done = deliver(order, self.hub.registry, listener)
        figure = "mae" if training["model_type"] == "forecast" else "f1_score"
        self.lines.append(
            (
                name,
                str(done.version.semantic),
                spec.training.algorithm,
                f"{figure} {done.version.metrics[figure]:.3g}",
                "passed" if done.passed else "FAILED",
                str(done.version.status),
            )
        )
        return done


@click.command()
@click.option("--home", type=PATH, help="Folder for everything; default .aihub, or AIHUB_HOME.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Seed of the sample data."
)
def demo(home: Path | None, seed: int) -> int:
    """Train, validate, reject, register, deploy, ask, watch and roll back: the main job on sample data."""
    from aihub.cli.demo_weeks import live_through
    from aihub.delivery.mirror import Mirror
    from aihub.hub import opened
    from aihub.settings import from_environment

    settings = from_environment(home=home) if home else from_environment()
    with opened(settings) as hub:
        mirror = Mirror.start(settings)
        story = Story(hub, settings.home / "demo", datetime.now(UTC))
        code = _tell(story, seed)
        if code == 0 and not live_through(story, seed):
            code = 1
        with shown_progress() as listener:
            mirror.finish(listener)
    return code


def _tell(story: Story, seed: int) -> int:
    with shown_progress() as listener:
        load, anomaly = _sample(story.folder, seed, listener)
        click.echo("LightGBM against XGBoost on the same year and a half of hourly load:")
        contenders = [
            story.deliver(LOAD_MODEL, {**FORECAST, "algorithm": algorithm}, load, listener)
            for algorithm in ("lgbm", "xgboost")
        ]
    winner = min((c for c in contenders if c.passed), key=lambda c: c.version.metrics["mae"], default=None)
    click.echo(f"\n{(winner or contenders[0]).report}\n")
    with shown_progress() as listener:
        click.echo("A model that must fail (three trees, no weather but humidity):")
        poor = {**FORECAST, "features": ["humidity"], "hyperparameters": {"n_estimators": 3}}
        refused = story.deliver(LOAD_MODEL, poor, load, listener)
        click.echo("An anomaly detector:")
        detector = story.deliver(ANOMALY_MODEL, ANOMALY, anomaly, listener)
    return _end(story, winner, refused, detector)


def _sample(folder: Path, seed: int, listener: Listener) -> tuple[Path, Path]:
    from aihub.training.synthetic import generate_anomaly_data, generate_forecast_data

    folder.mkdir(parents=True, exist_ok=True)
    load, anomaly = folder / "load.csv", folder / "anomaly.csv"
    with step("make sample data", listener) as making:
        rows = generate_forecast_data(SAMPLE_HOURS + TOMORROW_HOURS, seed=seed)
        rows.head(SAMPLE_HOURS).write_csv(load)
        rows.tail(TOMORROW_HOURS).drop("load").write_csv(folder / TOMORROW)
        generate_anomaly_data(SAMPLE_HOURS, seed=seed).write_csv(anomaly)
        making.note = f"{SAMPLE_HOURS:,} hours in {load}"
    return load, anomaly


def _end(story: Story, winner: Delivery | None, refused: Delivery, detector: Delivery) -> int:
    """Deploy the winner, ask it for tomorrow, and sum up; exit code 0 where all went as it should."""
    if winner is None:
        click.echo("No contender passed its gate, so nothing is deployed.", err=True)
        return 1
    registry = story.hub.registry
    for delivery, reason in ((winner, "smallest error of the contenders"), (detector, "the gate passed")):
        if delivery.passed:
            registry.deploy(
                delivery.version.model, delivery.version.number, actor=getuser(), reason=reason, now=story.now
            )
    _ask_for_tomorrow(story.hub, winner, story.folder)
    serving = {(c.model, str(c.semantic)) for c in map(registry.champion, registry.models()) if c}
    rows = [(*line, "serves" if line[:2] in serving else "") for line in story.lines]
    table(
        ["model", "version", "algorithm", "error", "gate", "status", "production"],
        rows,
        title="What happened",
    )
    click.echo(f"\nReport of the winner: {winner.report_files[HTML]}")
    click.echo(f"Report of the refused: {refused.report_files[HTML]}")
    click.echo("Next: aihub models, aihub predict demo-load --data FILE, aihub run SPEC --data FILE")
    return 0 if detector.passed and not refused.passed else 1


def _ask_for_tomorrow(hub: Hub, winner: Delivery, folder: Path) -> None:
    from aihub.delivery.answers import answer

    answered = answer(hub.registry.artifact_path(winner.version), data=folder / TOMORROW)
    title = f"\nTomorrow, asked of {winner.version.model} {winner.version.semantic}: 24 hours with a 90 % interval"
    table(answered.columns, answered.rows(), title=title)
    click.echo("")
