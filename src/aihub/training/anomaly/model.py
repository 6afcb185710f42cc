"""The trained detector as it goes into an artefact: kind ``anomaly/1``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aihub.errors import AIHubError, ArtifactError
from aihub.training.algorithms import ALGORITHMS
from aihub.training.anomaly.classifier import Classifier
from aihub.training.anomaly.surprise import Surprise
from aihub.training.anomaly.table import Rows, read_rows
from aihub.training.config import TrainingConfig
from aihub.training.model import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.training.anomaly.judge import Judge
    from aihub.types import FloatArray

KIND = "anomaly/1"
_JUDGES: dict[str, type[Classifier | Surprise]] = {"labelled": Classifier, "unlabelled": Surprise}


@dataclass(frozen=True)
class Detector:
    """An anomaly model: 0 or 1 per row, and a calibrated score.

    With labels the score is the probability of an anomaly. Without labels it is the share of normal rows that are less
    unusual, so that normal rows score uniformly and the threshold is a stated number of false alarms a day. A row whose
    watched value is missing, or that has no past to be compared with, is not judged: it scores 0.

    Parameters
    ----------
    config
        What it was trained from.
    judge
        What decides.
    past
        Last rows before the split and last rows of the data, per series: the past of the rows that will come.
    """

    kind: ClassVar[str] = KIND
    config: TrainingConfig
    judge: Judge
    past: Rows

    @property
    def mode(self) -> str:
        """``labelled`` or ``unlabelled``."""
        return "labelled" if isinstance(self.judge, Classifier) else "unlabelled"

    @property
    def threshold(self) -> float:
        """Score from which a row is an alarm."""
        return self.judge.threshold

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that a caller must send: timestamp, series id, features, and the watched value where there is one."""
        return self.judge.columns.names

    def score(self, data: Any, *, history: Any | None = None) -> FloatArray:
        """Calibrated score in [0, 1] per row of `data`, shape (n,), in row order; higher is more unusual.

        Parameters
        ----------
        data
            pandas, polars or Arrow; the rows are each other's past.
        history
            Earlier rows with the same columns, where they are newer than what the model carries.

        Raises
        ------
        DataError
            A column is missing or cannot be read.
        """
        rows = read_rows(data, self.judge.columns)
        if self.judge.columns.timestamp is None or not len(rows):
            return self.judge.score(rows, threads=self.config.threads)
        known = self.past
        if history is not None:
            known = known.before(read_rows(history, self.judge.columns, is_history=True))
        all_rows = self._needed(known, rows).before(rows)
        return self.judge.score(all_rows, threads=self.config.threads)[len(all_rows) - len(rows) :]

    def _needed(self, known: Rows, rows: Rows) -> Rows:
        """Return the known rows that a score of `rows` may look at: same series, not later, not too long before."""
        pace = self.judge.pace
        is_needed = np.isin(known.series, np.unique(rows.series)) & (known.times <= rows.times.max())
        if pace.is_regular:
            is_needed &= known.times >= rows.times.min() - pace.reach * pace.step_us
        return known.take(is_needed)

    def predict(self, data: Any, *, history: Any | None = None) -> FloatArray:
        """1.0 for an alarm and 0.0 for none, per row of `data`, shape (n,), in row order; see `score`."""
        return (self.score(data, history=history) >= self.threshold).astype(np.float64)

    def importances(self) -> dict[str, float]:
        """Share of the total gain per feature, largest first."""
        return self.judge.importances()

    def to_files(self) -> dict[str, bytes]:
        """Boosters in their native format and ``model.json`` with everything else; equal models give equal bytes."""
        suffix = ALGORITHMS.get(self.config.algorithm).suffix
        state = {
            "kind": KIND,
            "mode": self.mode,
            "config": self.config.model_dump(mode="json"),
            "judge": self.judge.to_state(),
            "past": self.past.to_state(),
        }
        files = {f"{stem}{suffix}": booster.to_bytes() for stem, booster in self.judge.boosters.items()}
        text = json.dumps(state, sort_keys=True, allow_nan=False, separators=(",", ":"))
        return {MODEL_FILE: text.encode(), **files}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Detector:
        """Read `to_files` back.

        Raises
        ------
        ArtifactError
            A file is missing, or does not hold what it should.
        """
        try:
            state = json.loads(files[MODEL_FILE])
            config = TrainingConfig.model_validate(state["config"])
            algorithm = ALGORITHMS.get(config.algorithm)
            boosters = {
                name.removesuffix(algorithm.suffix): algorithm.load(content)
                for name, content in files.items()
                if name.endswith(algorithm.suffix)
            }
            judge = _JUDGES[state["mode"]].from_state(state["judge"], boosters)
            return cls(config, judge, Rows.from_state(state["past"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(
                f"the files do not hold an anomaly model ({error!r}); train the model again"
            ) from error
        except ArtifactError:
            raise
        except AIHubError as error:
            raise ArtifactError(f"the model's own config is refused: {error}") from error
