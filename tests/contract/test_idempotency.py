from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from aihub.errors import ConflictError
from aihub.store import models
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.idempotency import KEPT, Answer, Claim, answer, claim, sweep

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = Claim(tenant="a", principal="ann", key="k1", request_sha256="1" * 64)
GIVEN = Answer(status=201, headers={"Location": "/x"}, body='{"ä": 1}')


def _once(database: Engine, asked: Claim = ASKED) -> Answer | None:
    with write(database, tenant=asked.tenant) as connection:
        known = claim(connection, asked, now=NOW)
        if known is None:
            answer(connection, asked, GIVEN)
        return known


def test_the_same_request_gets_the_same_answer(database: Engine) -> None:
    assert _once(database) is None
    assert _once(database) == GIVEN
    assert _once(database) == GIVEN


def test_a_key_is_for_one_request_of_one_caller(database: Engine) -> None:
    _once(database)
    with pytest.raises(ConflictError, match="another request"):
        _once(database, replace(ASKED, request_sha256="2" * 64))
    for other in (replace(ASKED, principal="ben"), replace(ASKED, tenant="b"), replace(ASKED, key="k2")):
        assert _once(database, other) is None


def test_a_request_that_failed_has_left_nothing(database: Engine) -> None:
    with pytest.raises(RuntimeError), write(database, tenant="a") as connection:  # noqa: PT012 - the block is tested
        claim(connection, ASKED, now=NOW)
        raise RuntimeError
    assert _once(database, replace(ASKED, request_sha256="2" * 64)) is None


def test_of_requests_at_once_one_does_the_work(database: Engine) -> None:
    found: list[Answer | None] = []

    def ask() -> None:
        with write(database, tenant="a") as connection:
            known = claim(connection, ASKED, now=NOW)
            if known is None:
                time.sleep(0.1)
                models.ensure_model(connection, tenant="a", name=f"m{len(found)}", now=NOW)
                answer(connection, ASKED, GIVEN)
        found.append(known)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=str) == [GIVEN, GIVEN, GIVEN, None]
    with read(database, tenant="a") as connection:
        assert len(models.list_models(connection, tenant="a")) == 1


def test_old_answers_are_forgotten(database: Engine) -> None:
    _once(database)
    _once(database, replace(ASKED, tenant="b"))
    with write(database, tenant=EVERY_TENANT) as connection:
        assert sweep(connection, now=NOW + KEPT) == 0
        assert sweep(connection, now=NOW + KEPT + timedelta(seconds=1)) == 2
    assert _once(database) is None
