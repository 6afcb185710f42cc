"""Telling a 0/1 label from a value that is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aihub.errors import DataError

if TYPE_CHECKING:
    from aihub.training.config import TrainingConfig
    from aihub.types import FloatArray

MIN_POSITIVES = 10
"""Anomalies before the split below which neither a threshold nor a probability can be learned from them."""


def is_labelled(config: TrainingConfig, target: FloatArray) -> bool:
    """Whether `target` is a label: what the config says, else whether it holds nothing but 0 and 1.

    Parameters
    ----------
    target
        Shape (n,); missing is NaN and does not count.

    Raises
    ------
    DataError
        The config says that the target is a label, and it holds something else.
    """
    known = target[~np.isnan(target)]
    is_binary = bool(len(known)) and bool(np.isin(known, (0.0, 1.0)).all())
    if config.labels and not is_binary:
        other = known[~np.isin(known, (0.0, 1.0))]
        found = f"found {other[0]:g}" if len(other) else "found no value at all"
        raise DataError(
            f"labels: true says that the target is 0 or 1, {found}; name the label column, or set labels: false to "
            "have this value watched",
            column=config.target,
        )
    return is_binary if config.labels is None else config.labels


def check_labels(config: TrainingConfig, label: FloatArray) -> None:
    """Refuse labels that nothing can be learned from.

    Raises
    ------
    DataError
        Fewer than `MIN_POSITIVES` ones, or zeros, before the split.
    """
    ones = int(label.sum())
    zeros = len(label) - ones
    if min(ones, zeros) >= MIN_POSITIVES:
        return
    rarer, count = ("anomalies (1)", ones) if ones <= zeros else ("normal rows (0)", zeros)
    raise DataError(
        f"only {count} {rarer} before the split, {MIN_POSITIVES} are needed to learn from labels; send a longer period, "
        "lower validation_split, or name the measured value as target (labels: false) to watch it without labels",
        column=config.target,
    )
