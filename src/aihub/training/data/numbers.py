"""Columns of numbers: text that is a number, text that is not, and values that are not finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from aihub.errors import DataError
from aihub.training.data.raw import MISSING_WORDS, ROW
from aihub.training.data.table import DataNote

if TYPE_CHECKING:
    from aihub.training.config import TrainingConfig

MOST_TEXT_SHARE = 0.05
"""Up to this share of words in a column of numbers is a fault of single cells; above it the column is not numeric."""
_CATEGORY_SHARE = 0.5
_MOST_CATEGORIES = 1000
_HUGE = 1e15
"""No meter, price or temperature is larger; beyond it sums of squares lose all digits."""
_TRUE_WORDS = ("true", "yes", "on", "t", "y")
_FALSE_WORDS = ("false", "no", "off", "f", "n")
_SHOWN = 3


def typed(
    frame: pl.DataFrame, config: TrainingConfig, *, label: str
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Make the target and the features Float64 (or String for categories); missing is null, never NaN or infinite.

    Raises
    ------
    DataError
        The target is not numeric, or a feature is half number, half text.
    """
    notes: list[DataNote] = []
    for name in (config.target, *config.features):
        column = frame.get_column(name)
        if name == config.target and config.positive_label is not None:
            column = _as_label(column, config.positive_label, label)
        else:
            column, note = _as_numbers(column, frame.get_column(ROW), label, is_target=name == config.target)
            notes.extend(note)
        if column.dtype == pl.Float64:
            column, note = _finite(column, frame.get_column(ROW))
            notes.extend(note)
        frame = frame.with_columns(column.alias(name))
    return frame, tuple(notes)


def _as_label(column: pl.Series, positive: str, label: str) -> pl.Series:
    words = column.cast(pl.String).str.strip_chars()
    if not (words == positive).any():
        seen = ", ".join(repr(word) for word in words.drop_nulls().unique().sort().head(5))
        raise DataError(
            f"never holds positive_label {positive!r} (it holds {seen}). Correct positive_label.",
            file=label,
            column=column.name,
        )
    return (words == positive).cast(pl.Float64)


def _as_numbers(
    column: pl.Series, rows: pl.Series, label: str, *, is_target: bool
) -> tuple[pl.Series, tuple[DataNote, ...]]:
    if column.dtype.is_numeric() or column.dtype in {pl.Boolean, pl.Null}:
        return column.cast(pl.Float64), ()
    if column.dtype.is_temporal():
        raise DataError(
            "holds times, not numbers. Remove it from the configuration, or turn it into a number.",
            file=label,
            column=column.name,
        )
    words = _stripped(column)
    numbers = words.cast(pl.Float64, strict=False)
    is_text = words.is_not_null() & numbers.is_null()
    if not is_text.any():
        return numbers, ()
    known = max(1, len(words) - words.null_count())
    share = int(is_text.sum()) / known
    if share > MOST_TEXT_SHARE:
        for reading in (_with_decimal_comma, _with_thousands, _with_truth):
            other = reading(words)
            left = int((words.is_not_null() & other.is_null()).sum()) / known
            if left <= MOST_TEXT_SHARE:
                numbers, is_text, share = other, words.is_not_null() & other.is_null(), left
                break
    if share > MOST_TEXT_SHARE:
        return _as_categories(words, is_text, rows, share, label, is_target=is_target), ()
    return numbers, _text_note(words, is_text, rows) if is_text.any() else ()


def _stripped(column: pl.Series) -> pl.Series:
    words = column.cast(pl.String).str.strip_chars()
    return words.set(words.is_in(list(MISSING_WORDS)), None)


def _with_decimal_comma(words: pl.Series) -> pl.Series:
    return (
        words.str.replace_all(r"[.\s'](\d{3})", "$1")
        .str.replace(",", ".", literal=True)
        .cast(pl.Float64, strict=False)
    )


def _with_thousands(words: pl.Series) -> pl.Series:
    return words.str.replace_all(r"[,\s'](\d{3})", "$1").cast(pl.Float64, strict=False)


def _with_truth(words: pl.Series) -> pl.Series:
    lowered = words.str.to_lowercase()
    return (
        pl.DataFrame({"w": lowered})
        .select(
            pl.when(pl.col("w").is_in(_TRUE_WORDS))
            .then(1.0)
            .when(pl.col("w").is_in(_FALSE_WORDS))
            .then(0.0)
            .otherwise(pl.col("w").cast(pl.Float64, strict=False))
        )
        .to_series()
    )


def _as_categories(
    words: pl.Series, is_text: pl.Series, rows: pl.Series, share: float, label: str, *, is_target: bool
) -> pl.Series:
    first = is_text.arg_max() or 0
    where = {"file": label, "column": words.name, "row": int(rows[first])}
    if is_target:
        raise DataError(
            f"{share:.0%} of the values are no numbers, such as {words[first][:40]!r}. Correct the column, or name "
            "the word that means 1 as positive_label.",
            **where,  # type: ignore[arg-type] # mypy joins the values to object
        )
    if share < _CATEGORY_SHARE:
        raise DataError(
            f"{share:.0%} of the values are no numbers, such as {words[first][:40]!r}, the others are. "
            "Correct them or remove the feature.",
            **where,  # type: ignore[arg-type]
        )
    kinds = words.n_unique()
    if kinds > _MOST_CATEGORIES:
        raise DataError(
            f"holds {kinds} different words, too many for categories. Remove the feature.",
            file=label,
            column=words.name,
        )
    return words


def _text_note(words: pl.Series, is_text: pl.Series, rows: pl.Series) -> tuple[DataNote, ...]:
    where = is_text.arg_true()
    shown = ", ".join(f"{words[i][:20]!r} (row {rows[i]})" for i in where.head(_SHOWN))
    note = DataNote(
        code="text_in_numbers",
        message=f"{len(where)} values of {words.name!r} are no numbers and count as missing: {shown}.",
        column=words.name,
        rows=len(where),
        first_row=int(rows[where[0]]),
    )
    return (note,)


def _finite(column: pl.Series, rows: pl.Series) -> tuple[pl.Series, tuple[DataNote, ...]]:
    is_bad = (column.is_infinite() | (column.abs() > _HUGE)).fill_null(
        value=False
    ) & ~column.is_nan().fill_null(value=False)
    column = column.fill_nan(None)
    if not is_bad.any():
        return column, ()
    where = is_bad.arg_true()
    note = DataNote(
        code="not_finite",
        message=f"{len(where)} values of {column.name!r} are infinite or beyond 1e15 and count as missing (first in row "
        f"{rows[where[0]]}).",
        column=column.name,
        rows=len(where),
        first_row=int(rows[where[0]]),
    )
    return column.set(is_bad, None), (note,)
