"""With labels: a classifier, calibrated and given its threshold on time that it had not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.training.anomaly.calibration import ProbabilityTable
from aihub.training.anomaly.clock import Clock
from aihub.training.anomaly.expectation import Expected, learn
from aihub.training.anomaly.features import DEVIATIONS, labelled_features, relative_names
from aihub.training.anomaly.folds import Fitter, HeldOut
from aihub.training.anomaly.judge import shares
from aihub.training.anomaly.past import Grid, Pace
from aihub.training.anomaly.table import Columns
from aihub.training.anomaly.thresholds import Threshold, choose_threshold, episodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aihub.training.algorithms.base import Booster
    from aihub.training.anomaly.features import Deviation
    from aihub.training.anomaly.table import Rows
    from aihub.training.config import TrainingConfig
    from aihub.training.progress import Watch
    from aihub.types import FloatArray

_RAW_GAIN = 0.02
"""By how much the held-out average precision must rise before the calendar and plain values are looked at as well."""
_MOST_EXPECTED = 8
"""Numeric columns that get an expectation of their own, in the order of the config: each costs five small fits."""
_FEWEST_EXPECTED = 200
_INTERLEAVED = (
    "the later part of the training time holds too few anomalies: the threshold was chosen on interleaved blocks of "
    "time instead of on later time"
)
_BELOW_FLOORS = (
    "no threshold reached precision 0.80 and recall 0.75 on held-out time; the best F1 has precision {:.2f} and "
    "recall {:.2f}"
)


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A judge that learned from labels; see `aihub.training.anomaly.judge.Judge`."""

    columns: Columns
    pace: Pace
    clock: Clock
    booster: Booster
    expected: tuple[Expected, ...]
    table: ProbabilityTable
    choice: Threshold
    feature_names: tuple[str, ...]

    @property
    def threshold(self) -> float:
        """Score from which a row is an alarm."""
        return self.choice.value

    @property
    def boosters(self) -> Mapping[str, Booster]:
        """The classifier, and what is expected of each numeric column."""
        return {"classifier": self.booster} | {
            f"expectation-{number}": one.booster for number, one in enumerate(self.expected)
        }

    def score(self, rows: Rows, *, threads: int = 1, last: int | None = None) -> FloatArray:
        """Probability that a row is an anomaly, shape (n,); with `last` of the last so many rows, shape (last,)."""
        at = None if last is None else np.arange(len(rows) - last, len(rows))
        near = None if at is None or not self.expected else Grid.of(rows, self.pace).within(at, DEVIATIONS)
        deviations = {
            str(one.columns.watched): one.deviation(
                rows, one.errors(rows, self.pace, self.clock, threads=threads, at=near)
            )
            for one in self.expected
        }
        features = labelled_features(rows, self.columns, self.pace, self.clock, deviations, at=at)
        return self.table(self.booster.predict(features.take(self.feature_names).x, threads=threads))

    def importances(self) -> dict[str, float]:
        """Share of the total gain per feature, largest first."""
        return shares(self.booster.gain, self.feature_names)

    def to_state(self) -> dict[str, Any]:
        """Return everything but the booster."""
        return {
            "columns": self.columns.to_state(),
            "pace": self.pace.to_state(),
            "clock": self.clock.to_state(),
            "expected": [one.to_state() for one in self.expected],
            "table": self.table.to_state(),
            "choice": self.choice.to_state(),
            "feature_names": list(self.feature_names),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], boosters: Mapping[str, Booster]) -> Classifier:
        """Inverse of `to_state`."""
        return cls(
            columns=Columns.from_state(state["columns"]),
            pace=Pace.from_state(state["pace"]),
            clock=Clock.from_state(state["clock"]),
            booster=boosters["classifier"],
            expected=tuple(
                Expected.from_state(one, boosters[f"expectation-{number}"])
                for number, one in enumerate(state["expected"])
            ),
            table=ProbabilityTable.from_state(state["table"]),
            choice=Threshold.from_state(state["choice"]),
            feature_names=tuple(state["feature_names"]),
        )


def fit_classifier(
    config: TrainingConfig,
    rows: Rows,
    label: FloatArray,
    *,
    columns: Columns,
    pace: Pace,
    clock: Clock,
    watch: Watch,
) -> tuple[Classifier, tuple[str, ...]]:
    """Fit on all rows; calibrate and choose the threshold on forward folds.

    The folds are stretches of the training time, each predicted by a model that was fitted to the rows before it, so
    that the calibration sees the errors that new time brings.

    Parameters
    ----------
    rows, label
        Rows before the split and their 0/1 labels, shape (n,).

    Returns
    -------
    tuple[Classifier, tuple[str, ...]]
        The judge, and notes for the report.
    """
    part = watch.part("learning what to expect", 0.0, 0.3)
    expected, deviations = _expectations(
        config, rows, label == 0, columns=columns, pace=pace, clock=clock, watch=part
    )
    features = labelled_features(rows, columns, pace, clock, deviations)
    order = np.lexsort((rows.series, rows.times))
    fits = [
        Fitter(config, features.take(names), label, columns=columns)
        for names in dict.fromkeys((relative_names(features, columns, deviations), features.names))
    ]
    fit, held = _better(fits, order, watch.part("choosing the threshold", 0.3, 0.8))
    table = ProbabilityTable.fit(held.scores, held.label)
    choice = choose_threshold(held.scores, held.label, episodes=episodes(held.label, rows.series[held.rows]))
    notes: tuple[str, ...] = () if held.is_forward else (_INTERLEAVED,)
    if choice.rule == "best_f1":
        notes += (_BELOW_FLOORS.format(choice.precision, choice.recall),)
    booster = fit(np.arange(len(rows)), watch.part("fitting", 0.8, 1.0))
    judge = Classifier(
        columns=columns,
        pace=pace,
        clock=clock,
        booster=booster,
        expected=expected,
        table=table,
        # The table rises strictly, so that the threshold means the same on either side of it.
        choice=replace(choice, value=float(table(np.array([choice.value]))[0])),
        feature_names=fit.features.names,
    )
    return judge, notes


def _better(fits: list[Fitter], order: NDArray[np.int64], watch: Watch) -> tuple[Fitter, HeldOut]:
    """Give the first fitter and what it says of held-out time, or a later one that is clearly better there."""
    best: tuple[Fitter, HeldOut] | None = None
    for number, fit in enumerate(fits):
        part = watch.part(watch.stage, number / len(fits), (number + 1) / len(fits))
        held = fit.held_out(order, part)
        if best is None or held.average_precision() > best[1].average_precision() + _RAW_GAIN:
            best = fit, held
    if best is None:
        raise ValueError("no features to choose from")
    return best


def _expectations(
    config: TrainingConfig,
    rows: Rows,
    is_normal: NDArray[np.bool_],
    *,
    columns: Columns,
    pace: Pace,
    clock: Clock,
    watch: Watch,
) -> tuple[tuple[Expected, ...], dict[str, Deviation]]:
    """Learn from the normal rows what to expect of each numeric column, and how far held-out rows are from it.

    A few anomalies show a classifier little of what anomalies can be; how far a value is from what normal rows let
    expect carries over to kinds, seasons and directions that none of them had.
    """
    expected: list[Expected] = []
    deviations: dict[str, Deviation] = {}
    watched = columns.numeric[:_MOST_EXPECTED] if columns.timestamp is not None else ()
    for number, name in enumerate(watched):
        others = tuple(other for other in columns.numeric if other != name)
        learned = learn(
            config,
            rows,
            columns=replace(columns, watched=name, numeric=others),
            pace=pace,
            clock=clock,
            watch=watch.part(watch.stage, number / len(watched), (number + 1) / len(watched)),
            params={},
            is_normal=is_normal,
            is_slow=True,
            fewest=_FEWEST_EXPECTED,
        )
        if not isinstance(learned, int):
            expected.append(learned[0])
            deviations[name] = learned[0].deviation(rows, learned[1])
    return tuple(expected), deviations
