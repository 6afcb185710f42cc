"""A trained forecast: boosters, calibration, and the tail of the history that they look back to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError, ConfigError, DataError, did_you_mean
from aihub.training.algorithms import ALGORITHMS
from aihub.training.forecast.adaptation import stretches
from aihub.training.forecast.codec import SAID, Codec
from aihub.training.forecast.conformal import Band, Calibration
from aihub.training.forecast.ensemble import POINT, QUANTILES, Ensemble
from aihub.training.forecast.features import TARGET, FeatureSpec
from aihub.training.forecast.history import history_from_json, history_to_json, tail_steps
from aihub.training.forecast.layout import Layout
from aihub.training.forecast.origins import Issue
from aihub.training.forecast.panel import Table, panel_of
from aihub.training.forecast.path import Path, known_ends
from aihub.training.frequency import MAX_HORIZON_STEPS
from aihub.training.model import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import polars as pl

    from aihub.training.config import TrainingConfig
    from aihub.training.forecast.panel import IntArray
    from aihub.training.forecast.path import Answer
    from aihub.types import FloatArray

KIND = "forecast/1"
_RESTS = 0.01


@dataclass(frozen=True)
class Forecaster:
    """Forecasts every row from what was known at its origin; see `aihub.training.forecast.origins` for which that is.

    Attributes
    ----------
    config
        What it was trained from.
    codec, layout, spec
        How tables become numbers, which seasons they have, which columns become features.
    scale
        Mean absolute target of each series in training, float64 ``(s,)``; the boosters work in its units.
    least
        Value below which each series cannot fall, float64 ``(s,)``: 0 or minus infinity, see `least_value`.
    issues
        When forecasts of each series are issued.
    ensemble, calibration
        The boosters and the stretch of their intervals.
    history
        Known rows: from some weeks before the split to the end of the data.
    trained_until
        Last step that the boosters were fitted to.
    end_factors
        By origin, the factor that the errors in the model's own history put on intervals of rows right after its end
        (see `adaptation.stretches`): tomorrow's interval needs no forecast of the weeks before. Empty: not computed.
    """

    config: TrainingConfig
    codec: Codec
    layout: Layout
    spec: FeatureSpec
    scale: FloatArray
    least: FloatArray
    issues: tuple[Issue, ...]
    ensemble: Ensemble
    calibration: Calibration
    history: Table
    trained_until: int
    end_factors: Mapping[int, float] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Format of `to_files`."""
        return KIND

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that a caller must send: timestamp, series id (where there is one), features."""
        ids = () if self.config.series_id is None else (self.config.series_id,)
        return (self.config.timestamp, *ids, *self.codec.columns)

    def predict(self, data: Any, *, history: Any | None = None) -> FloatArray:
        """Forecast each row of `data`, in row order.

        Parameters
        ----------
        data
            Table with `feature_names`; more columns (the target among them) are ignored. Rows in any order.
        history
            Timestamp, series id and target (features too, where they are smoothed over the past) of newer rows; goes over
            the model's own history. Values after a row's origin do not reach the row.

        Returns
        -------
        ndarray of float64, shape ``(n,)``

        Raises
        ------
        DataError
            A column is missing or unreadable, a series is unknown, or nothing is known before any row.
        """
        _, answer, scale = self._answer(data, history)
        return answer.point * scale

    def predict_interval(
        self, data: Any, *, history: Any | None = None, level: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Bounds that hold each row's actual with probability `level` (default: the config's); see `predict`.

        Raises
        ------
        ConfigError
            `level` is not between 0 and 1.
        DataError
            As `predict`.
        """
        _, lower, upper = self.predict_with_interval(data, history=history, level=level)
        return lower, upper

    def predict_with_interval(
        self, data: Any, *, history: Any | None = None, level: float | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Prediction, lower and upper bound in one pass; see `predict` and `predict_interval`."""
        wanted = self._level(level)
        path, answer, scale = self._answer(data, history)
        lower, upper = self.interval_of(path, answer, wanted, is_own=history is None)
        return answer.point * scale, lower * scale, upper * scale

    def leads(self, data: Any, *, history: Any | None = None) -> IntArray:
        """Return the steps from each row's origin to the row, in row order; see `predict`."""
        query, newer, extra = self._read(data, history)
        if not len(query):
            return np.empty(0, dtype=np.int64)
        return self.path_to(query, newer, extra)[0].rows(query.series, query.step).lead

    def forecast(
        self,
        horizon: int | None = None,
        *,
        history: Any | None = None,
        future: Any | None = None,
        series: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """Forecast the next steps of every series after its last known target.

        Parameters
        ----------
        horizon
            Steps; default: the config's.
        history
            As in `predict`.
        future
            The features that are known ahead, with timestamp and series id, for those steps. Not needed where the model
            has none, or where the data it was trained on (or `history`) already has them with an empty target.
        series
            Ids of the series to forecast; default: all. Only those need features.

        Returns
        -------
        polars.DataFrame
            Timestamp (UTC), series id (where there is one), ``prediction``, ``lower``, ``upper`` at the config's level.

        Raises
        ------
        DataError
            A known-ahead feature is missing for a step, or a series is unknown.
        """
        import polars as pl  # noqa: PLC0415 - 0.1 s that only training and prediction pay

        steps = self.layout.horizon if horizon is None else horizon
        if steps < 1:
            raise ConfigError(f"horizon is {steps}; ask for one step or more.", field="horizon")
        most = max(MAX_HORIZON_STEPS, self.layout.horizon)
        if steps > most:
            raise ConfigError(
                f"horizon is {steps}; at most {most} steps can be asked for at once.", field="horizon"
            )
        extra = () if history is None else self.codec.new_series(history, what="history")
        newer = [self._read_history(history, extra)] if history is not None else []
        ahead = (
            [self.codec.table(future, what="future", extra=extra, target=False)] if future is not None else []
        )
        said = [self.codec.said(future, table, what="future") for table in ahead]
        count = len(self.codec.series) + len(extra)
        known = panel_of([self.history, *newer], count, (TARGET,))
        ends = known_ends(known)
        names = np.array([*self.codec.series, *extra])
        members = np.flatnonzero(known.length > 0)
        if series is not None:
            members = self._chosen(series, members, names.tolist())
        number = np.repeat(members, steps)
        step = np.repeat(ends[members], steps) + np.tile(np.arange(1, steps + 1), len(members))
        query = self._with_features(number, step, [self.history, *newer, *ahead, *said], count)
        path, answer, scale = self.answer_rows(query, [*newer, *ahead], extra)
        lower, upper = self.interval_of(path, answer, self.config.interval_level, is_own=history is None)
        columns: dict[str, Any] = {self.config.timestamp: self.codec.stamps(step)}
        if self.config.series_id is not None:
            columns[self.config.series_id] = names[number].tolist()
        return pl.DataFrame(
            {**columns, "prediction": answer.point * scale, "lower": lower * scale, "upper": upper * scale}
        )

    def with_end_factors(self) -> Forecaster:
        """Return the same model with `end_factors` computed: one forecast of its last weeks."""
        known = panel_of([self.history], len(self.codec.series), (TARGET,))
        members = np.flatnonzero(known.length > 0)
        step = known_ends(known)[members] + 1
        nothing = np.full(len(step), np.nan)
        query = Table(members, step, dict.fromkeys(self.spec.columns, nothing))
        path, answer, _ = self.answer_rows(query, [], ())
        origin, first = np.unique(answer.rows.origin, return_index=True)
        factors = self.factors_of(path, answer)[first]
        return replace(self, end_factors=dict(zip(origin.tolist(), factors.tolist(), strict=True)))

    def to_files(self) -> dict[str, bytes]:
        """Everything that `from_files` needs: one native file per booster, and ``model.json``."""
        algorithm = ALGORITHMS.get(self.config.algorithm)
        files = {
            f"{name}{algorithm.suffix}": b.to_bytes() for name, b in sorted(self.ensemble.boosters.items())
        }
        content = {
            "kind": KIND,
            "config": self.config.model_dump(mode="json"),
            "layout": self.layout.to_json(),
            "spec": self.spec.to_json(),
            "offset_s": self.codec.offset_s,
            "series": list(self.codec.series),
            "words": {name: list(words) for name, words in self.codec.words.items()},
            "numbers": list(self.codec.numbers),
            "zone": self.codec.zone,
            "clock": self.codec.clock,
            "scale": self.scale.tolist(),
            "never_negative": np.isfinite(self.least).tolist(),
            "issues": [issue.to_json() for issue in self.issues],
            "change_share": self.ensemble.change_share,
            "calibration": self.calibration.to_json(),
            "history": history_to_json(self.history),
            "trained_until": self.trained_until,
            "end_factors": [list(item) for item in self.end_factors.items()],
        }
        files[MODEL_FILE] = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        return files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Forecaster:
        """Read `to_files` back.

        Raises
        ------
        ArtifactError
            A file or a field is missing or cannot be read.
        """
        from aihub.training.config import TrainingConfig  # noqa: PLC0415 - pydantic is not needed to predict in process

        try:
            content = json.loads(files[MODEL_FILE])
            if content["kind"] != KIND:
                raise ArtifactError(
                    f"a forecast of kind {content['kind']!r}, not {KIND!r}; train the model again"
                )
            config = TrainingConfig.model_validate(content["config"])
            algorithm = ALGORITHMS.get(config.algorithm)
            boosters = {n: algorithm.load(files[f"{n}{algorithm.suffix}"]) for n in (*POINT, *QUANTILES)}
            layout = Layout.from_json(content["layout"])
            return cls(
                config=config,
                codec=Codec(
                    config,
                    layout.step_s,
                    int(content["offset_s"]),
                    tuple(content["series"]),
                    {name: tuple(words) for name, words in content["words"].items()},
                    tuple(content["numbers"]),
                    str(content["zone"]),
                    str(content.get("clock", "UTC")),
                ),
                layout=layout,
                spec=FeatureSpec.from_json(content["spec"]),
                scale=np.asarray(content["scale"], dtype=np.float64),
                least=np.where(content.get("never_negative", [False] * len(content["scale"])), 0.0, -np.inf),
                issues=tuple(Issue.from_json(fields) for fields in content["issues"]),
                ensemble=Ensemble(boosters, float(content["change_share"])),
                calibration=Calibration.from_json(content["calibration"]),
                history=history_from_json(content["history"]),
                trained_until=int(content["trained_until"]),
                end_factors={int(origin): float(f) for origin, f in content.get("end_factors", [])},
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ArtifactError(
                f"the model's files do not fit together ({error!r}); train the model again"
            ) from error

    def _level(self, level: float | None) -> float:
        wanted = self.config.interval_level if level is None else level
        if not 0 < wanted < 1:
            raise ConfigError(
                f"level is {wanted!r}; give a share between 0 and 1, such as 0.9.", field="level"
            )
        return wanted

    def interval_of(
        self, path: Path, answer: Answer, level: float, *, is_own: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Bounds in units of the scale, adapted to the errors that were known at each row's origin.

        `is_own`: nothing was added to the model's own history.
        """
        origin = answer.rows.origin.tolist()
        if is_own and self.end_factors.keys() >= set(origin):
            factor = np.array([self.end_factors[one] for one in origin], dtype=np.float64)
        else:
            factor = self.factors_of(path, answer)
        lower, upper = self.calibration.interval(answer.point, answer.band, level)
        least = self.least_of(answer.rows.series)
        return (
            np.maximum(answer.point + factor * (lower - answer.point), least),
            np.maximum(answer.point + factor * (upper - answer.point), least),
        )

    def least_of(self, series: IntArray) -> FloatArray:
        """Least value of each row; series that were not there in training have none."""
        is_known = series < len(self.least)
        return np.where(is_known, self.least[np.where(is_known, series, 0)], -np.inf)

    def factors_of(self, path: Path, answer: Answer) -> FloatArray:
        """Return how far the errors known at each row's origin stretch its interval."""
        return stretches(
            path,
            self.ensemble,
            self.calibration,
            answer.rows,
            trained_until=self.trained_until,
            # One level speaks for all: with a factor of its own for each, a wider level could end up inside.
            level=self.config.interval_level,
            threads=self.config.threads,
        )

    def _answer(self, data: Any, history: Any | None) -> tuple[Path, Answer, FloatArray]:
        return self.answer_rows(*self._read(data, history))

    def _read(self, data: Any, history: Any | None) -> tuple[Table, list[Table], tuple[str, ...]]:
        """Rows to forecast, newer history, and the series that only the history knows."""
        extra = () if history is None else self.codec.new_series(history, what="history")
        query = self.codec.table(data, what="data", extra=extra, target=False)
        return query, [] if history is None else [self._read_history(history, extra)], extra

    def _read_history(self, history: Any, extra: tuple[str, ...]) -> Table:
        return self.codec.table(history, what="history", extra=extra, target=True, features=False)

    def answer_rows(
        self, query: Table, newer: list[Table], extra: tuple[str, ...]
    ) -> tuple[Path, Answer, FloatArray]:
        """Forecast rows in units of their scale; `query` has no target.

        Raises
        ------
        DataError
            Nothing is known before any row.
        """
        path, scale = self.path_to(query, newer, extra)
        if not len(query):
            none = np.empty(0)
            return path, _nothing(none), none
        if not np.isfinite(path.panel.columns[TARGET]).any():
            raise DataError(
                "nothing is known before the rows to forecast. Pass history, or rows nearer to the training data."
            )
        answer = path.forecast(query.series, query.step, self.ensemble, threads=self.config.threads)
        point = np.maximum(answer.point, self.least_of(query.series))
        return path, replace(answer, point=point), scale[query.series]

    def path_to(self, query: Table, newer: list[Table], extra: tuple[str, ...]) -> tuple[Path, FloatArray]:
        """Everything that is known for `query`, in units of the scale of each series, and that scale."""
        count = len(self.codec.series) + len(extra)
        known = [_without_old(table, query, self.layout, count) for table in (self.history, *newer)]
        until = np.full(count, np.iinfo(np.int64).min // 4)
        np.maximum.at(until, query.series, query.step)
        panel = panel_of([*known, query], count, (TARGET, *self.spec.columns), until=until)
        scale = self._scale(panel.columns[TARGET], panel.base, panel.length)
        panel.columns[TARGET] = panel.columns[TARGET] / np.repeat(scale, panel.length)
        usual = max(set(self.issues), key=self.issues.count)
        path = Path(
            panel,
            self.layout,
            self.spec,
            (*self.issues, *(usual for _ in extra)),
            self.codec.offset_s,
            self.codec.step_zone,
            self.config.calendar,
        )
        return path, scale

    def _scale(self, target: FloatArray, base: IntArray, length: IntArray) -> FloatArray:
        """Scale of each series; of one that was not there in training, from its history."""
        scale = np.ones(len(length))
        scale[: len(self.scale)] = self.scale
        for at in range(len(self.scale), len(length)):
            scale[at] = typical_size(target[base[at] : base[at] + length[at]])
        return scale

    def _chosen(self, wanted: Collection[str], members: IntArray, names: list[str]) -> IntArray:
        """Those of `members` whose series are wanted."""
        name = self.config.series_id
        if name is None:
            raise DataError("the model has no series; leave it out.", column="series")
        known = [names[at] for at in members.tolist()]
        unknown = sorted(set(wanted).difference(known))
        if unknown or not wanted:
            what = f"{unknown[0]!r} is a series that the model has not seen" if unknown else "it names none"
            hint = did_you_mean(unknown[0], known) if unknown else ""
            raise DataError(
                f"{what}.{hint} Send one that it knows, or leave it out for all.", column="series"
            )
        return members[[one in wanted for one in known]]

    def _with_features(self, series: IntArray, step: IntArray, tables: list[Table], count: int) -> Table:
        """Rows to forecast with the features that are known for them."""
        until = np.full(count, np.iinfo(np.int64).min // 4)
        np.maximum.at(until, series, step)
        names = (*self.spec.known, *self.spec.categories)
        marks = tuple(SAID + name for name in self.spec.categories)
        panel = panel_of(tables, count, (*names, *marks), until=until)
        columns = {name: panel.gather(panel.columns[name], series, step) for name in (*names, *marks)}
        # A word that training did not know is missing to the model, and was said all the same.
        said = {name: np.isfinite(columns.pop(SAID + name)) for name in self.spec.categories}
        for name in names:
            absent = ~np.isfinite(columns[name]) & ~said.get(name, np.False_)
            if absent.any():
                first = self.codec.stamps(step[absent][:1])[0]
                raise DataError(
                    f"the forecast needs it for {int(absent.sum())} rows to come, from {first:%Y-%m-%d %H:%M} UTC on. "
                    "Pass them as future (in Python and in a request), on the command line with --data.",
                    column=name,
                )
        return Table(series, step, columns)


def typical_size(target: FloatArray) -> float:
    """Mean absolute value; 1 where nothing is known or all is zero."""
    known = np.abs(target[np.isfinite(target)])
    size = float(known.mean()) if len(known) else 0.0
    return size if size > 0 else 1.0


def least_value(target: FloatArray) -> float:
    """0 where a series is never negative and rests at exactly 0 in one row of a hundred (solar at night); else -infinity.

    >>> least_value(np.array([0.0, 3.0, np.nan])), least_value(np.array([1.0, 3.0])), least_value(np.array([0.0, -3.0]))
    (0.0, -inf, -inf)
    """
    known = target[np.isfinite(target)]
    rests = len(known) and known.min() == 0 and np.mean(known == 0) >= _RESTS
    return 0.0 if rests else -np.inf


def _without_old(table: Table, query: Table, layout: Layout, count: int) -> Table:
    """Leave out rows that no feature of `query` can reach, but keep the end of each series to step ahead from."""
    if not len(table) or not len(query):
        return table
    first = np.full(count, np.iinfo(np.int64).max // 4)
    np.minimum.at(first, query.series, query.step)
    last = np.full(count, np.iinfo(np.int64).min // 4)
    known = np.isfinite(table.columns[TARGET]) if TARGET in table.columns else np.ones(len(table), dtype=bool)
    np.maximum.at(last, table.series[known], table.step[known])
    keep = table.step >= (np.minimum(first, last) - tail_steps(layout))[table.series]
    return Table(table.series[keep], table.step[keep], {n: v[keep] for n, v in table.columns.items()})


def _nothing(none: FloatArray) -> Answer:
    from aihub.training.forecast.features import Rows  # noqa: PLC0415 - only an empty table needs it
    from aihub.training.forecast.path import Answer  # noqa: PLC0415 - as above

    empty = np.empty(0, dtype=np.int64)
    return Answer(none, Band(none, none), Rows(empty, empty, empty))
