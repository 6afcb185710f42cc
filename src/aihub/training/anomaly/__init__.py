"""Anomaly detection: a classifier where there are labels, a watched expectation where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub.training.anomaly.model import Detector
from aihub.training.anomaly.training import fit_detector, train_anomaly

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Detector", "fit_detector", "load_anomaly", "train_anomaly"]


def load_anomaly(files: Mapping[str, bytes]) -> Detector:
    """Read a detector back; see `Detector.from_files`."""
    return Detector.from_files(files)
