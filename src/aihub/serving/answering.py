"""One question to one route: choose the version, check, predict, log, write. What runs per request, and nothing else."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from aihub.errors import InputError
from aihub.monitoring.predictions import id_text
from aihub.serving import protocol
from aihub.serving.contract import Rows
from aihub.serving.forecasts import CompiledForecast

if TYPE_CHECKING:
    from aihub.serving.answers import Answer
    from aihub.serving.pool import ServingPool
    from aihub.serving.protocol import Question
    from aihub.serving.routes import Loaded, Route


class NotAtOnce(Exception):  # noqa: N818 - no error: the same question is asked again on a thread
    """The answer takes longer than others should wait for."""


def is_quick(route: Route, question: Question) -> bool:
    """Whether the answer may take so little that handing it to a thread would cost more."""
    records = question.records
    if records is not None:
        return len(records) <= route.quick_rows
    if question.is_horizon:
        return False
    return len(next(iter((question.columns or {}).values()), ())) <= route.quick_rows


def answer_question(
    pool: ServingPool,
    route: Route,
    question: Question,
    subject: str = "",
    *,
    is_arrow: bool = False,
    is_hurried: bool = False,
) -> bytes:
    """Answer and count; the answer is in the log's queue when this returns.

    Parameters
    ----------
    subject
        Name of the request, which a canary without series is chosen by.
    is_hurried
        Others wait meanwhile: only what lies ready is answered.

    Raises
    ------
    NotAtOnce
        `is_hurried`, and it would take long; nothing was counted or logged.
    InputError
        The rows do not fit the version's contract, or the model cannot answer the question.
    UnavailableError
        The log takes nothing more.
    """
    pool.log.admit(1)
    first = pool.log.ids.one()
    loaded = route.champion
    if route.challenger is not None:
        loaded = route.choose(_subject(route, question) or subject or str(first))
    rows, answer = _ask(pool, loaded, question, is_hurried=is_hurried)
    if len(answer) == 1:
        ids: Any = [id_text(first)]
        pool.log.one(loaded.channel, first, rows.first(), answer)
    else:
        numbers = pool.log.ids.take(len(answer))
        ids = protocol.id_texts(numbers) if is_arrow else protocol.id_list(numbers)
        pool.log.many(loaded.channel, numbers, rows, answer)
    route.usage.rows += len(answer)
    if route.shadow is not None:
        pool.shadows.put(partial(_shadow, pool, route.shadow, question))
    if is_arrow:
        return protocol.write_arrow(loaded, answer, ids)
    return protocol.write(route.key[1], loaded, answer, ids)


def _ask(
    pool: ServingPool, loaded: Loaded, question: Question, *, is_hurried: bool = False
) -> tuple[Rows, Answer]:
    model = loaded.model
    if question.is_horizon:
        return _forecast(pool, loaded, question)
    rows = protocol.checked(question, model.contract)
    mark = pool.box.mark
    mark.value = loaded.slot
    try:
        if is_hurried and isinstance(model, CompiledForecast):
            ready = model.prepared(rows, level=question.level)
            if ready is None:
                raise NotAtOnce
            answer = ready
        else:
            answer = model.predict(rows, level=question.level)
    finally:
        mark.value = 0
    if question.series is not None or question.timestamp is not None:
        protocol.annotate(answer, question)
    return rows, answer


def _forecast(pool: ServingPool, loaded: Loaded, question: Question) -> tuple[Rows, Answer]:
    model = loaded.model
    if not isinstance(model, CompiledForecast):
        raise InputError("only forecast models answer a horizon; send records or columns")
    if question.level is not None:
        raise InputError("a horizon is answered at the model's own level; leave 'level' out, or send records")
    future = protocol.future_table(question.future, model.contract, model.model.config.stamp_zone)
    pool.box.mark.value = loaded.slot
    try:
        answer = model.forecast(question.horizon, future=future, series=question.series)
    finally:
        pool.box.mark.value = 0
    # The features of these rows were not sent: the log has the answers alone.
    return Rows(0, by_column=[]), answer


def _shadow(pool: ServingPool, loaded: Loaded, question: Question) -> None:
    """Ask a version whose answer is logged and not sent."""
    pool.log.admit(1)
    rows, answer = _ask(pool, loaded, question)
    pool.log.many(loaded.shadow_channel, pool.log.ids.take(len(answer)), rows, answer)


def _subject(route: Route, question: Question) -> str:
    """Return the series that all rows speak of, empty where they speak of none or of several."""
    if question.series:
        found = set(question.series)
    else:
        name = next(
            (column.name for column in route.champion.model.contract.columns if column.role == "series"), None
        )
        if name is None or question.is_horizon:
            return ""
        if question.records is not None:
            found = {str(row.get(name)) for row in question.records if isinstance(row, dict)}
        else:
            values = (question.columns or {}).get(name)
            found = {str(one) for one in values} if isinstance(values, list) else set()
    return found.pop() if len(found) == 1 else ""
