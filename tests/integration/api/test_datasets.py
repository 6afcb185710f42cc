from __future__ import annotations

import gzip
import hashlib
import io
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from aihub.delivery import datasets
from aihub.types import OPERATOR_TENANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aihub.hub import Hub
    from hubs import Api

CSV = b"timestamp,load\n" + b"".join(b"2024-01-01T%02d:00:00,%d\n" % (n % 24, n) for n in range(100))


def parquet() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"timestamp": [1, 2], "load": [1.0, 2.0]}).write_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "form", "rows"),
    [(CSV, "csv", 100), (gzip.compress(CSV), "csv.gz", 100), (parquet(), "parquet", 2)],
)
def test_a_table_is_kept_under_its_digest(hub: Hub, api: Api, content: bytes, form: str, rows: int) -> None:
    answer = api.post("/ai/datasets?name=load.csv", content=content)
    assert answer.status_code == 201
    found = answer.json()
    assert (found["format"], found["rows"], found["columns"]) == (form, rows, ["timestamp", "load"])
    assert found["dataset_id"] == hashlib.sha256(content).hexdigest()
    assert api.get(answer.headers["location"]).json() == found
    assert api.post("/ai/datasets?name=again", content=content).json() == found
    assert api.get("/ai/datasets").json()["items"] == [found]
    data = {"dataset_id": found["dataset_id"]}
    assert datasets.resolve(hub.settings, hub.engine, data, tenant="default").path.read_bytes() == content


def test_another_tenant_has_not_what_one_uploaded(hub: Hub, calls: Callable[..., Api]) -> None:
    made = calls().post("/ai/datasets", content=CSV).json()["dataset_id"]
    other = calls("eve", tenant="north")
    assert other.get(f"/ai/datasets/{made}").status_code == 404
    assert other.get("/ai/datasets").json()["items"] == []
    assert other.post("/ai/datasets", content=CSV).json()["created_by"] == "eve"
    assert hub.settings.home


def pieces(content: bytes, count: int) -> Iterator[bytes]:
    yield from (content[start : start + count] for start in range(0, len(content), count))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"), (b"\n\n", "is empty"), (b"a,b\n", "no rows"), (b"a,b\n1,2\n1,2,3\n", "row 2"), (b"a\0b,c\n1,2\n", "binary"),
        (b"PK\x03\x04" + b"x" * 100, "zip"), (b"\x80\x04" + b"x" * 100, "pickle"), (gzip.compress(CSV)[:-9], "middle of the gzip"),
        (b"\x1f\x8b" + b"x" * 100, "damaged gzip"), (parquet()[:-8], "Parquet"), (b"PAR1" + b"x" * 50, "Parquet"),
        (b"x" * 3_000_000, "longer than"), (b'a,b\n"' + b"1\n" * 1_000_000, "longer than"), (b'a,b\n1,"2\n', "does not end"), (b"\xff\xfea\0,\0b\0", "UTF-16"),
        (b"@relation x\n@data\n1\n", "ARFF"), (b",".join(b"c%d" % n for n in range(10_001)) + b"\n1\n", "10001 columns"),
        (gzip.compress(b"a,b\n" + (b"1" * 1000 + b",2\n") * 20_000), "bomb"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_wrong_table_is_refused_and_leaves_nothing(hub: Hub, api: Api, content: bytes, words: str) -> None:
    answer = api.post("/ai/datasets?name=t.csv", content=pieces(content, 65_536))
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]
    assert "t.csv" in answer.json()["detail"]
    assert [path for path in (hub.settings.home / "datasets").rglob("*") if path.is_file()] == []
    assert api.get("/ai/datasets").json()["items"] == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_upload_with_a_key_is_one(api: Api) -> None:
    key = {"Idempotency-Key": "up", "X-Content-SHA256": hashlib.sha256(CSV).hexdigest()}
    first, again = (api.post("/ai/datasets", content=CSV, headers=key) for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert (
        api.post("/ai/datasets", content=CSV + b"1,2\n", headers={"Idempotency-Key": "up"}).status_code == 409
    )
    answer = api.post("/ai/datasets", content=CSV, headers={"X-Content-SHA256": "0" * 64})
    assert (answer.status_code, "arrived" in answer.json()["detail"]) == (422, True)


def unlimited(api: Api, content: Any) -> Any:
    return api.post("/ai/datasets", content=content)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_table_of_several_megabytes_is_no_body_too_large(api: Api) -> None:
    content = b"timestamp,load\n" + b"2024-01-01T00:00:00,1.5\n" * 200_000
    assert unlimited(api, pieces(content, 1 << 20)).json()["rows"] == 200_000


def test_operator_makes_a_tenant_by_sending_a_table_to_it(calls: Callable[..., Api]) -> None:
    operator, header = calls("op", tenant=OPERATOR_TENANT), {"X-AIHub-Tenant": "ci-baseline"}
    assert operator.get("/models", headers=header).status_code == 404
    assert operator.post("/ai/datasets", content=CSV, headers=header).status_code == 201
    assert operator.get("/models", headers=header).status_code == 200
    stranger = {"X-AIHub-Tenant": "of-somebody"}
    assert calls("ann").post("/ai/datasets", content=CSV, headers=stranger).status_code == 404
