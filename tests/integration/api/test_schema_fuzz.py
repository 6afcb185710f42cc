"""Requests made up from the API's own description: whatever comes, the answer is documented and never a 5xx."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

from aihub import asgi
from hubs import give_key, made_hub, register, served

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

EXAMPLES = 6
# These answer for services that are not there in a test, or stream until a job ends.
LEFT_OUT = {"/ready", "/auth/github", "/github/webhooks"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_request_of_the_description_is_a_fault_of_ours(database: Engine, tmp_path: Path) -> None:
    with ExitStack() as stack:
        hub = stack.enter_context(made_hub(database, tmp_path / "home", rate_limit_per_s=0))
        pool = hub.serving_pool()
        pool.start()
        stack.callback(pool.stop)
        url = stack.enter_context(served(asgi.build(hub, pool=pool)))
        register(hub)
        headers = {"Authorization": f"Bearer {give_key(hub, 'fuzz', tenant='*')}"}
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", wait_for_schema=5)
        faults: list[str] = []
        seen = 0
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path in LEFT_OUT:
                continue
            seen += 1
            _fuzz(operation, headers, faults)
        assert seen > 40
        assert "\n".join(faults) == ""


def _fuzz(operation: Any, headers: dict[str, str], faults: list[str]) -> None:
    @seed(20260102)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        try:
            response = case.call(headers=headers, timeout=20)
        except (ValueError, httpx.InvalidURL):
            return  # what no client could send
        documented = {*operation.definition.raw["responses"], "304"}
        what = f"{operation.method.upper()} {operation.path}: {response.status_code}"
        if response.status_code >= 500:
            faults.append(f"{what} {response.text[:300]} {case.as_curl_command()[:500]}")
        elif str(response.status_code) not in documented and response.status_code not in (400, 405, 415):
            faults.append(f"{what} is not documented; {response.text[:200]}")

    run()
