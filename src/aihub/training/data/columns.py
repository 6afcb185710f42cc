"""Columns that hold nothing to learn from: all missing, or always the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub.errors import DataError
from aihub.training.data.table import DataNote
from aihub.types import ModelType

if TYPE_CHECKING:
    import polars as pl

    from aihub.training.config import TrainingConfig


def drop_useless(
    frame: pl.DataFrame, config: TrainingConfig, *, label: str
) -> tuple[pl.DataFrame, tuple[str, ...], tuple[DataNote, ...]]:
    """Return the frame without useless features, the features that are left, and what was found.

    Raises
    ------
    DataError
        The target is missing everywhere, or never changes.
    """
    notes = []
    target = frame.get_column(config.target)
    if not target.count():
        raise DataError(
            "has no usable value: all are missing, no numbers, infinite or beyond 1e15. Correct it or name another target.",
            file=label,
            column=config.target,
        )
    if target.n_unique() - (1 if target.null_count() else 0) == 1:
        what = "is always the same" if config.model_type is ModelType.FORECAST else "never changes"
        raise DataError(
            f"{what} ({target.drop_nulls()[0]:g}), so there is nothing to learn. Name another target.",
            file=label,
            column=config.target,
        )
    if target.null_count():
        notes.append(_missing_note(target, frame.height))
    features = []
    for name in config.features:
        column = frame.get_column(name)
        known = column.count()
        if not known or column.drop_nulls().n_unique() == 1:
            what = "has no value at all" if not known else f"is always {column.drop_nulls()[0]}"
            notes.append(
                DataNote(
                    code="useless_feature",
                    message=f"Feature {name!r} {what} and is not used.",
                    column=name,
                    rows=frame.height,
                )
            )
            frame = frame.drop(name)
            continue
        features.append(name)
        if column.null_count():
            notes.append(_missing_note(column, frame.height))
    return frame, tuple(features), tuple(notes)


def _missing_note(column: pl.Series, height: int) -> DataNote:
    missing = column.null_count()
    return DataNote(
        code="missing_values",
        message=f"{missing} of {height} values of {column.name!r} are missing ({missing / height:.2%}); they stay missing.",
        column=column.name,
        rows=missing,
        repaired=False,
    )
