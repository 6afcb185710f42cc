"""Requests in, answers out: JSON, NDJSON, Arrow IPC and Parquet, as values and bytes. Knows no HTTP."""

from __future__ import annotations

import re
from binascii import hexlify
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from aihub.errors import DataError, InputError, did_you_mean
from aihub.serving import tables
from aihub.serving.contract import Role
from aihub.serving.stamps import micros, micros_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.serving.answers import Answer
    from aihub.serving.contract import Contract, Rows
    from aihub.serving.routes import Loaded

JSON = "application/json"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"
BULK = frozenset((NDJSON, "application/ndjson", "application/jsonl", ARROW, ARROW_FILE, PARQUET))  # fmt: skip
FIELDS = frozenset(("records", "columns", "horizon", "future", "level", "series", "timestamp"))
_NOT_FINITE = re.compile(r"-?(?:nan|inf|\d{3}|\d[\d.]*e)", re.IGNORECASE)
_INSIDE = re.compile(r"\s*:[\s\[\d.,eE+\-nul]*")
"""What may stand between a column's name and one of its numbers, in records as in columns."""
_ID_FORM = np.frombuffer(b'"p_0123456789abcdef",', np.uint8)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Question:
    """What a request asks.

    Attributes
    ----------
    may_hold_flags
        See `aihub.serving.contract.Contract.records`.
    records, columns
        Rows, in one of both forms; None where a horizon is asked for.
    series, timestamp
        What the rows of a model speak of that has no such columns itself; for the log. Beside a horizon: the series to forecast.
    """

    records: list[Any] | None = None
    columns: Mapping[str, Any] | None = None
    horizon: int | None = None
    is_horizon: bool = False
    future: Any = None
    level: float | None = None
    series: list[str] | None = None
    timestamp: list[str] | None = None
    may_hold_flags: bool = True


def read(body: bytes, content_type: str) -> Question:
    """Read a request.

    Raises
    ------
    InputError
        The body is not what the content type says, or has no rows and no horizon.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("", JSON):
        question = _json(body)
        question.may_hold_flags = b"true" in body or b"false" in body
        return question
    if kind in (NDJSON, "application/ndjson", "application/jsonl"):
        return Question(
            records=[_line(line, at) for at, line in enumerate(body.splitlines(), 1) if line.strip()]
        )
    if kind in BULK:
        return Question(columns=_arrow(body, kind))
    known = f"{JSON}, {NDJSON}, {ARROW}, {ARROW_FILE}, {PARQUET}"
    raise InputError(f"content type {kind[:80]!r} is not one that predictions take; send {known}")


def _json(body: bytes) -> Question:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _no_json(error) from None
    if isinstance(document, list):
        return Question(records=document)
    if not isinstance(document, dict):
        raise InputError('the body is no object; send {"records": [{...}]}')
    if len(document) == 1 and "records" in document:
        records = document["records"]
        if isinstance(records, list):
            return Question(records=records)
    return _envelope(document)


def _no_json(error: orjson.JSONDecodeError, row: int | None = None) -> InputError:
    """Say why a text is not JSON; NaN, Infinity and numbers beyond measure are told as the column that they stand in."""
    column = _column_at(error.doc, error.pos)
    if column is None:
        where = "the body" if row is None else f"row {row}"
        return InputError(f"{where} is not JSON ({error}); NaN and Infinity are none either, send null")
    return DataError(
        "is not a finite number; send a number, or null where none is known", column=column, row=row
    )


def _column_at(text: str, at: int) -> str | None:
    """Name of the column whose value at a place of a JSON text is no finite number; None where it is another fault."""
    end = text.rfind('"', 0, at)
    is_number = _NOT_FINITE.match(text, at) and _INSIDE.fullmatch(text, end + 1, at)
    return text[text.rfind('"', 0, end) + 1 : end][:80] if end > 0 and is_number else None


def _envelope(document: dict[str, Any]) -> Question:
    unknown = [name for name in document if name not in FIELDS]
    if unknown:
        name = str(unknown[0])[:80]
        raise DataError(f"is no field of a request.{did_you_mean(name, FIELDS)} Leave it out.", column=name)
    asked = [name for name in ("records", "columns", "horizon") if name in document]
    if len(asked) != 1:
        raise InputError("send exactly one of 'records', 'columns' and 'horizon'")
    question = Question(level=_level(document.get("level")))
    if asked[0] == "horizon":
        horizon = document["horizon"]
        if horizon is not None and (type(horizon) is not int or horizon < 1):
            raise DataError("is no number of steps; send 1 or more, or null", column="horizon")
        question.horizon, question.is_horizon, question.future = horizon, True, document.get("future")
        question.series = _texts(document, "series")
        return question
    rows = document[asked[0]]
    if asked[0] == "records":
        if not isinstance(rows, list):
            raise DataError("is no list; send one object a row", column="records")
        question.records = rows
    else:
        if not isinstance(rows, dict):
            raise DataError("is no object; send one list of values a column", column="columns")
        question.columns = rows
    question.series = _texts(document, "series")
    question.timestamp = _texts(document, "timestamp")
    return question


def _level(level: Any) -> float | None:
    if level is None:
        return None
    if type(level) not in (int, float) or not 0 < level < 1:
        raise DataError("is no share between 0 and 1, such as 0.9", column="level")
    return float(level)


def _texts(document: Mapping[str, Any], name: str) -> list[str] | None:
    values = document.get(name)
    if values is None:
        return None
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, list) or any(type(value) is not str for value in values):
        raise DataError("is no list of texts; send one a row", column=name)
    return values


def _line(line: bytes, at: int) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _no_json(error, at) from None


def _arrow(body: bytes, kind: str) -> dict[str, Any]:
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s that only bulk requests pay

    try:
        table = (
            tables.read_parquet(body) if kind == PARQUET else tables.read_arrow(body, is_file=kind != ARROW)
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"the body cannot be read as {kind} ({str(error)[:200]}); write it again") from None
    names = table.column_names
    if len(set(names)) < len(names):
        doubled, _ = Counter(names).most_common(1)[0]
        raise DataError("two columns have this name; send one of them", column=doubled)
    return {name: _values(name, table.column(name)) for name in names}


def _values(name: str, column: Any) -> Any:
    """One column as the contract checks it: an array of numbers or times, else a list."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    # Of the last two one value may stand for many: a list of them would have no limit.
    refused = (
        pa.types.is_boolean, pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary,
        pa.types.is_fixed_size_binary, pa.types.is_dictionary, pa.types.is_run_end_encoded, pa.types.is_string_view,
        pa.types.is_binary_view, pa.types.is_duration, pa.types.is_time, pa.types.is_interval,
    )  # fmt: skip
    if any(check(kind) for check in refused):
        raise DataError(f"holds {kind} where the model takes numbers or text; convert it", column=name)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return tables.texts_of(column)
    column = column.cast(kind)
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    if pa.types.is_timestamp(column.type):
        if column.null_count:
            row = int(pc.index(column.is_null(), value=True).as_py()) + 1
            raise DataError("is empty where the model takes a time stamp", column=name, row=row)
        moments = micros_of(column.cast(pa.int64()).to_numpy(), column.type.unit, column=name)
        return moments if column.type.tz else [stamp.isoformat() for stamp in moments.tolist()]
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        if pa.types.is_floating(kind):
            odd = pc.invert(pc.is_finite(column)).fill_null(False)  # noqa: FBT003 - Arrow's own signature
            if pc.any(odd).as_py():
                row = int(pc.index(odd, value=True).as_py()) + 1
                raise DataError(
                    "is not a finite number; leave it empty (null) where none is known", column=name, row=row
                )
        # Whole numbers beyond 2 ** 53 lose their last digits, as they do in JSON.
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return column.to_pylist()


def checked(question: Question, contract: Contract) -> Rows:
    """Check the rows of a question.

    Raises
    ------
    DataError
        A row does not fit the contract.
    InputError
        There is no row, or there are too many.
    """
    rows = None
    if question.records:
        rows = contract.records(question.records, may_hold_flags=question.may_hold_flags)
    elif question.columns is not None:
        rows = contract.by_column(question.columns, may_hold_flags=question.may_hold_flags)
    if rows is None or rows.count == 0:
        raise InputError("there is no row; send one or more")
    if rows.count > tables.MAX_ROWS:
        raise InputError(f"more than {tables.MAX_ROWS:,} rows; send them in several requests")
    return rows


def annotate(answer: Answer, question: Question) -> None:
    """Write what the request says about its rows into the answer of a model that knows neither series nor time.

    Raises
    ------
    DataError
        There is not one a row, or a text is no time stamp.
    """
    for name in ("series", "timestamp"):
        values = getattr(question, name)
        if values is not None and len(values) != len(answer):
            raise DataError(f"has {len(values)} entries for {len(answer)} rows; send one a row", column=name)
    if answer.series is None:
        answer.series = question.series
    if answer.target_us is None and question.timestamp is not None:
        answer.target_us = micros(question.timestamp, "UTC", column="timestamp").tolist()


def write(model: str, loaded: Loaded, answer: Answer, ids: list[str] | orjson.Fragment) -> bytes:
    """Return an answer as JSON: one list a field, one entry a row; `ids` as texts, or as `id_list` writes them."""
    document: dict[str, Any] = {
        "model": model,
        "version": loaded.number,
        "semantic": loaded.semantic,
        "ids": ids,
        "prediction": answer.prediction,
    }
    if answer.lower is not None:
        document["lower"], document["upper"], document["level"] = answer.lower, answer.upper, answer.level
    if answer.score is not None:
        document["anomaly"] = [flag > 0 for flag in answer.prediction]
        document["score"] = answer.score
    if answer.target_us is not None:
        document["timestamp"] = stamps(answer.target_us)
        if answer.series is not None and any(answer.series):
            document["series"] = answer.series
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def id_texts(numbers: Any) -> list[str]:
    """Return `aihub.monitoring.predictions.id_text` of many ids, at a fifth of the cost.

    >>> id_texts(np.array([1, 255]))
    ['p_0000000000000001', 'p_00000000000000ff']
    """
    digits = numbers.astype(">i8").tobytes().hex()
    return [f"p_{digits[at : at + 16]}" for at in range(0, len(digits), 16)]


def id_list(numbers: Any) -> orjson.Fragment:
    """Write `id_texts` as the JSON list that it becomes, without a Python text each.

    >>> orjson.dumps(id_list(np.array([1, 255])))
    b'["p_0000000000000001","p_00000000000000ff"]'
    """
    digits = np.frombuffer(hexlify(numbers.astype(">i8").tobytes()), np.uint8).reshape(len(numbers), 16)
    text = np.empty((len(numbers), len(_ID_FORM)), np.uint8)
    text[:] = _ID_FORM
    text[:, 3:19] = digits
    return orjson.Fragment(b"[" + text.tobytes()[:-1] + b"]")


def stamps(target_us: Any) -> list[str]:
    """Return microseconds since 1970 as ISO 8601 in UTC."""
    return [(_EPOCH + timedelta(microseconds=one)).isoformat().replace("+00:00", "Z") for one in target_us]


def write_arrow(loaded: Loaded, answer: Answer, ids: list[str]) -> bytes:
    """Return an answer as an Arrow IPC stream: one row a row; model version in the schema's metadata."""
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s that only bulk requests pay

    columns: dict[str, Any] = {"id": ids, "prediction": np.asarray(answer.prediction, dtype=np.float64)}
    for name in ("lower", "upper", "score"):
        values = getattr(answer, name)
        if values is not None:
            columns[name] = np.asarray(values, dtype=np.float64)
    if answer.target_us is not None:
        columns["timestamp"] = pa.array(answer.target_us, pa.int64()).cast(pa.timestamp("us", "UTC"))
    if answer.series is not None:
        columns["series"] = list(answer.series)
    table = pa.table(columns).replace_schema_metadata({"version": str(loaded.number)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def future_table(future: Any, contract: Contract, zone: str) -> Any:
    """Return the covariates of the hours to come as a table; None where none were sent.

    Stamps are read as those of rows are: without an offset they are wall clock of `zone`.

    Raises
    ------
    DataError
        They are neither records nor columns, lack the time or the series, have a column that the model does not know,
        a value of another type than the model takes, or a stamp cannot be read.
    """
    if future is None:
        return None
    import polars as pl  # noqa: PLC0415 - only whole horizons need tables

    numbers = {column.name for column in contract.columns if column.role is Role.NUMBER}
    time, known = contract.columns[0].name, [one.name for one in contract.columns if one.role is Role.SERIES]
    table = _future_columns(future, [column.name for column in contract.columns], [time, *known])
    contract.by_column(table)
    frame = pl.DataFrame(
        {
            name: pl.Series(values, dtype=pl.Float64 if name in numbers else pl.String)
            for name, values in table.items()
        }
    )
    series = frame.get_column(known[0]).to_list() if known else [""] * frame.height
    stamps_us = micros(frame.get_column(time).to_list(), zone, column=time, series=series)
    return frame.with_columns(pl.Series(time, stamps_us).cast(pl.Datetime("us", "UTC")))


def _future_columns(future: Any, names: list[str], needed: list[str]) -> dict[str, list[Any]]:
    """Return the covariates by column; what a model may do without and nobody sent is missing in every row."""
    if isinstance(future, list) and all(isinstance(row, dict) for row in future):
        given = {name for row in future for name in row}
        table = {name: [row.get(name) for row in future] for name in names}
    elif isinstance(future, dict) and all(isinstance(values, list) for values in future.values()):
        given = set(future)
        rows = max(map(len, future.values()), default=0)
        table = {name: future.get(name, [None] * rows) for name in names}
    else:
        raise DataError("is neither a list of rows nor lists by column", column="future")
    unknown = sorted(given.difference(names))
    if unknown:
        hint = did_you_mean(str(unknown[0]), names)
        raise DataError(
            f"has a column {str(unknown[0])[:80]!r} that the model does not know.{hint}", column="future"
        )
    missing = [name for name in needed if name not in given]
    if missing and given:
        raise DataError(
            f"lacks the column {missing[0]!r}; say with it what each row is about", column="future"
        )
    return table
