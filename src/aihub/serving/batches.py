"""From what requests left in the log's queue to batches by column, as monitoring takes them. Runs on the writer's thread."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from aihub.monitoring.predictions import PredictionBatch
from aihub.serving.contract import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aihub.serving.answers import Answer
    from aihub.serving.contract import Rows
    from aihub.serving.log import Channel

    Block: TypeAlias = tuple[Any, Rows, Answer]

MAX_JOINED_ROWS = 50_000
"""Rows of one write at most; more would hold the log's table too long."""


def of_rows(channel: Channel, entries: list[tuple[Any, ...]]) -> PredictionBatch:
    """Turn requests of one row each into a batch."""
    ids, rows, prediction, lower, upper, score, series, target = zip(*entries, strict=True)
    columns = list(zip(*rows, strict=True))
    return _batch(
        channel,
        np.array(ids, dtype=np.int64),
        columns,
        prediction=prediction,
        lower=lower if lower[0] is not None else None,
        upper=upper if upper[0] is not None else None,
        score=score if score[0] is not None else None,
        # A model without time takes them from the request, where some rows may name none.
        series=series if any(one is not None for one in series) else None,
        target=target if all(one is not None for one in target) else None,
    )


def of_blocks(channel: Channel, blocks: Sequence[Block]) -> list[PredictionBatch]:
    """Turn requests of many rows into as few batches as may be: one large write in place of many small ones."""
    found: list[PredictionBatch] = []
    group: list[Block] = []
    size = 0
    for block in blocks:
        if group and (_form(block) != _form(group[0]) or size + len(block[0]) > MAX_JOINED_ROWS):
            found.append(_joined(channel, group))
            group, size = [], 0
        group.append(block)
        size += len(block[0])
    return [*found, _joined(channel, group)] if group else found


def _form(block: Block) -> tuple[bool, ...]:
    """Tell what has to be equal for blocks to be joined."""
    _, rows, answer = block
    parts = (answer.lower, answer.score, answer.series, answer.target_us, rows.dense)
    return (*(part is None for part in parts), rows.count == 0)


def _joined(channel: Channel, group: Sequence[Block]) -> PredictionBatch:
    answers = [answer for _, _, answer in group]
    columns: list[Any]
    if group[0][1].dense is not None:
        dense = np.concatenate([rows.dense for _, rows, _ in group if rows.dense is not None])
        columns = [np.ascontiguousarray(dense[:, at]) for at in range(dense.shape[1])]
    elif group[0][1].count:
        width = range(len(channel.contract.columns))
        columns = [list(chain.from_iterable(rows.column(at) for _, rows, _ in group)) for at in width]
    else:
        columns = []

    def together(name: str) -> Any:
        parts = [getattr(answer, name) for answer in answers]
        if parts[0] is None:
            return None
        if name == "series":
            return list(chain.from_iterable(parts))
        return np.concatenate([np.asarray(part) for part in parts])

    return _batch(
        channel,
        np.concatenate([ids for ids, _, _ in group]),
        columns,
        prediction=together("prediction"),
        lower=together("lower"),
        upper=together("upper"),
        score=together("score"),
        series=together("series"),
        target=together("target_us"),
    )


def _batch(channel: Channel, ids: Any, columns: Sequence[Any], **answer: Any) -> PredictionBatch:
    features = {
        column.name: np.array(values, dtype=np.float64) if column.role is Role.NUMBER else list(values)
        for column, values in zip(channel.contract.columns, columns, strict=len(columns) > 0)
        if column.role in (Role.NUMBER, Role.CATEGORY)
    }
    numbers = {
        name: None if answer[name] is None else np.array(answer[name], dtype=np.float64)
        for name in ("lower", "upper", "score")
    }
    series, target = answer["series"], answer["target"]
    if series is not None:
        series = [str(one) if one is not None else "" for one in series]
        if _is_personal(channel):
            series = [one or "" for one in channel.veil.hashed(series)]
    return PredictionBatch(
        tenant=channel.tenant,
        model=channel.model,
        version=channel.version,
        ids=ids,
        prediction=np.array(answer["prediction"], dtype=np.float64),
        **numbers,
        series=series if series is not None and any(series) else None,
        target=None if target is None else np.array(target, dtype=np.int64).astype("datetime64[us]"),
        features=channel.veil.features(features),
        is_heard=channel.is_heard,
    )


def _is_personal(channel: Channel) -> bool:
    """Whether the series id itself is to be hashed; actuals are then matched by prediction id."""
    names = {column.name for column in channel.contract.columns if column.role is Role.SERIES}
    hidden = {*channel.veil.rules.hash_columns, *channel.veil.rules.leave_out}
    return bool(names & hidden)
