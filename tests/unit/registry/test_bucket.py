from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import make_server

import pytest

from aihub.errors import ArtifactError, ConfigError, StoppedError, StoreAwayError, UnavailableError
from aihub.registry import bucket as buckets
from aihub.registry import objects
from aihub.registry.backing import SharedFolder, backing_of
from aihub.registry.bucket import Bucket
from aihub.settings import from_environment
from buckets import TrialBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from buckets import Wire

CONTENT = b"a table " * 200_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KEY = f"hub/datasets/{DIGEST[:2]}/{DIGEST}"


def behind(bucket: TrialBucket, endpoint: str | None = None, **more: Any) -> Bucket:
    made = backing_of(from_environment(bucket.environ(endpoint), **more), "datasets")
    assert isinstance(made, Bucket)
    return made


def place(root: Path, digest: str = DIGEST) -> Path:
    return root / digest[:2] / digest


def stored(root: Path, backing: Bucket, content: bytes = CONTENT) -> Path:
    path = place(root, hashlib.sha256(content).hexdigest())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    backing.publish(path, path.name)
    return path


@contextmanager
def wsgi(app: Any) -> Iterator[str]:
    """Serve an application of a few lines on loopback."""
    with make_server("127.0.0.1", 0, app) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "RETRY_FOR_S", 0.3)
    monkeypatch.setattr(objects, "AWAY_S", 0.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bucket]:
    """Open a bucket as a hub does: what is to succeed may take as long as a busy machine needs."""

    def make(bucket: TrialBucket, endpoint: str | None = None) -> Bucket:
        monkeypatch.setattr(objects, "RETRY_FOR_S", 30)
        return behind(bucket, endpoint)

    return make


def test_object_has_its_digest_as_its_name(bucket: TrialBucket, tmp_path: Path) -> None:
    stored(tmp_path, behind(bucket))
    assert bucket.names() == [KEY]


def test_copy_answers_while_the_bucket_is_away(bucket: TrialBucket, wire: Wire, tmp_path: Path) -> None:
    path = stored(tmp_path, behind(bucket, wire.url))
    wire.cut()
    asked = wire.connections
    behind(bucket, wire.url).bring(path, DIGEST)
    assert wire.connections == asked


def test_bucket_that_is_away_is_said_and_leaves_nothing(
    bucket: TrialBucket, wire: Wire, tmp_path: Path, patient: Callable[..., Bucket]
) -> None:
    stored(tmp_path / "a", behind(bucket))
    wire.cut()
    away = behind(bucket, wire.url)
    with pytest.raises(StoreAwayError, match="AIHUB_S3_ENDPOINT"):
        away.bring(place(tmp_path / "b"), DIGEST)
    with pytest.raises(StoreAwayError, match="does not answer"):
        away.publish(place(tmp_path / "a"), DIGEST)
    with pytest.raises(StoreAwayError):
        away.probe()
    assert not list((tmp_path / "b").glob("??/*"))
    wire.mend()
    patient(bucket, wire.url).bring(place(tmp_path / "b"), DIGEST)


def test_answer_that_is_cut_off_is_gone_on_with(
    bucket: TrialBucket, wire: Wire, tmp_path: Path, patient: Callable[..., Bucket]
) -> None:
    stored(tmp_path / "a", behind(bucket))
    wire.answer_bytes = 700_000
    patient(bucket, wire.url).bring(place(tmp_path / "b"), DIGEST)
    assert wire.connections > 1
    assert place(tmp_path / "b").read_bytes() == CONTENT


def test_answers_that_never_get_far_are_no_copy(bucket: TrialBucket, wire: Wire, tmp_path: Path) -> None:
    stored(tmp_path / "a", behind(bucket))
    wire.answer_bytes = 1000
    with pytest.raises(StoreAwayError):
        behind(bucket, wire.url).bring(place(tmp_path / "b"), DIGEST)
    assert not list((tmp_path / "b").glob("??/*"))


def test_other_bytes_under_the_name_are_refused(bucket: TrialBucket, tmp_path: Path) -> None:
    bucket.write(KEY, CONTENT[:-1] + b"X")
    with pytest.raises(ArtifactError, match="other content"):
        behind(bucket).bring(place(tmp_path), DIGEST)
    assert not list(tmp_path.glob("??/*"))
    stored(tmp_path / "a", behind(bucket))
    behind(bucket).bring(place(tmp_path), DIGEST)


def test_damaged_copy_is_made_anew(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    path = stored(tmp_path, backing)
    path.write_bytes(b"rotten")
    backing.bring(path, DIGEST)
    assert path.read_bytes() == CONTENT


def test_file_that_was_changed_is_not_stored(bucket: TrialBucket, tmp_path: Path) -> None:
    path = place(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="changed or damaged"):
        behind(bucket).publish(path, DIGEST)
    assert bucket.names() == []


def test_missing_object_and_missing_bucket_are_told_apart(bucket: TrialBucket, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no object"):
        behind(bucket).bring(place(tmp_path), DIGEST)
    nowhere = behind(bucket, artifacts="s3://not-there")
    path = place(tmp_path)
    path.write_bytes(CONTENT)
    with pytest.raises(StoreAwayError, match="no such bucket"):
        nowhere.publish(path, DIGEST)
    path.unlink()
    with pytest.raises(StoreAwayError, match="no such bucket"):
        nowhere.bring(path, DIGEST)


def test_large_file_goes_in_parts(
    bucket: TrialBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PART_BYTES", 5 << 20)
    content = os.urandom(11 << 20)
    path = stored(tmp_path / "a", behind(bucket), content)
    copy = place(tmp_path / "b", path.name)
    behind(bucket).bring(copy, path.name)
    assert copy.read_bytes() == content


def test_upload_that_is_cut_off_is_no_object(
    bucket: TrialBucket,
    wire: Wire,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patient: Callable[..., Bucket],
) -> None:
    monkeypatch.setattr(objects, "PART_BYTES", 5 << 20)
    for content in (CONTENT, os.urandom(11 << 20)):
        backing = behind(bucket, wire.url)
        backing.owner.claim(backing.objects)
        wire.question_bytes = len(content) // 3
        with pytest.raises(StoreAwayError, match="does not answer"):
            stored(tmp_path, backing, content)
        assert bucket.names() == []
        wire.mend()
    path = stored(tmp_path, patient(bucket, wire.url), content)
    assert bucket.read(f"hub/datasets/{path.parent.name}/{path.name}") == content


def test_copies_are_bounded_but_not_those_in_use(
    bucket: TrialBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "DATASET_GRACE_S", 60.0)
    backing = behind(bucket, cache_mb=2)
    paths = [stored(tmp_path, backing, CONTENT + bytes([n])) for n in range(4)]
    assert all(path.exists() for path in paths)
    for age_s, path in enumerate(paths[:3]):
        os.utime(path, times=(time.time() - 3600 + age_s,) * 2)
    backing.bring(paths[1], paths[1].name)
    last = stored(tmp_path, backing, CONTENT + b"last")
    assert [path.exists() for path in paths] == [False, True, False, True]
    assert last.exists()
    backing.bring(paths[0], paths[0].name)


def test_full_disk_is_said(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    stored(tmp_path / "a", backing)
    (tmp_path / "b").write_bytes(b"a file where the folder should be")
    with pytest.raises(UnavailableError, match="AIHUB_HOME"):
        backing.bring(place(tmp_path / "b"), DIGEST)


def test_who_asks_next_is_not_kept_waiting_for_a_bucket_that_is_away(
    bucket: TrialBucket, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "AWAY_S", 3600.0)
    away = behind(bucket, wire.url)
    wire.cut()
    with pytest.raises(StoreAwayError):
        away.bring(place(tmp_path), DIGEST)
    asked = wire.connections
    with pytest.raises(StoreAwayError, match="does not answer"):
        away.bring(place(tmp_path), DIGEST)
    assert wire.connections == asked


def test_bucket_of_another_hub_is_not_written(bucket: TrialBucket, tmp_path: Path) -> None:
    path = stored(tmp_path, behind(bucket))
    other = behind(bucket, audit_key="o" * 32)
    for ask in (
        lambda: other.publish(path, DIGEST),
        other.probe,
        lambda: other.sweep(lambda _: set(), datetime.max.replace(tzinfo=UTC)),
    ):
        with pytest.raises(ConfigError, match="another hub's"):
            ask()
    assert bucket.names() == [KEY]
    (tmp_path / "older").write_text("k" * 32)
    turned = behind(bucket, audit_key="o" * 32, audit_older_keys_file=tmp_path / "older")
    turned.publish(path, DIGEST)
    other.publish(path, DIGEST)


def test_what_was_made_waits_for_a_bucket_that_is_away(
    bucket: TrialBucket, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "PAUSE_S", 0.01)
    backing, asked = behind(bucket, wire.url), []

    def check() -> None:
        asked.append(bucket.names())
        wire.mend()

    with backing.workspace(tmp_path, {}, check) as folder:
        made = place(folder)
        made.parent.mkdir()
        made.write_bytes(CONTENT)
        wire.cut()
    assert asked[0] == []
    assert bucket.names() == [KEY]
    assert place(tmp_path).read_bytes() == CONTENT


def test_stop_ends_the_wait(bucket: TrialBucket, wire: Wire, tmp_path: Path) -> None:
    backing = behind(bucket, wire.url)

    def check() -> None:
        raise StoppedError("enough")

    def work() -> None:
        with backing.workspace(tmp_path, {}, check) as folder:
            made = place(folder)
            made.parent.mkdir()
            made.write_bytes(CONTENT)
            wire.cut()

    with pytest.raises(StoppedError):
        work()
    assert bucket.names() == []


def test_work_is_not_begun_while_the_bucket_is_away(bucket: TrialBucket, wire: Wire, tmp_path: Path) -> None:
    wire.cut()
    with (
        pytest.raises(StoreAwayError),
        behind(bucket, wire.url).workspace(tmp_path, {}, lambda: None) as folder,
    ):
        pytest.fail(f"begun in {folder}")


def test_held_copy_outlives_the_removal_of_copies(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    path = stored(tmp_path, backing)
    name = tmp_path / "fetched" / "job_1-1.0a"
    with backing.held(path, DIGEST, name, lambda: None) as held:
        path.unlink()
        assert held.read_bytes() == CONTENT
    assert not name.exists()


def test_stop_ends_a_fetch_and_leaves_nothing(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    stored(tmp_path / "a", backing)

    def check() -> None:
        raise StoppedError("enough")

    name = tmp_path / "b" / "fetched" / "job_1-1.0a"
    with pytest.raises(StoppedError), backing.held(place(tmp_path / "b"), DIGEST, name, check):
        pytest.fail("it was fetched")
    assert list((tmp_path / "b").glob("??/*")) == []


def test_kept_copies_count_as_used(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    path = stored(tmp_path, backing)
    os.utime(path, times=(0, 0))
    backing.keep([path, place(tmp_path, "0" * 64)])
    assert path.stat().st_mtime > time.time() - 3600


@pytest.mark.parametrize(
    "wrong", ["bucket", "s3:/x", "s3://", "https://host/x", "s3://Bad_Name", "s3://good/../x", "s3://good/.x"]
)
def test_address_of_another_form_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="AIHUB_ARTIFACTS"):
        from_environment({"AIHUB_ARTIFACTS": wrong})


@pytest.mark.parametrize(
    "endpoint", ["http://minio:9000", "http://10.0.0.1", "http://127.0.0.1.evil.example"]
)
def test_nothing_goes_over_the_network_in_the_clear(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="AIHUB_S3_ENDPOINT"):
        from_environment({"AIHUB_S3_ENDPOINT": endpoint})


@pytest.mark.parametrize("endpoint", ["https://minio:9000", "http://localhost:9000", "http://[::1]:9000", ""])
def test_loopback_and_tls_are_let_through(endpoint: str) -> None:
    assert from_environment({"AIHUB_S3_ENDPOINT": endpoint}).s3_endpoint == endpoint


def test_variables_of_the_library_do_not_weaken_that(
    bucket: TrialBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    environ = {**bucket.environ(), "AIHUB_S3_ENDPOINT": ""}
    backing = backing_of(from_environment(environ), "datasets")
    with pytest.raises(StoreAwayError, match="does not answer"):
        backing.bring(place(tmp_path), DIGEST)


def test_certificate_that_cannot_be_read_is_said(bucket: TrialBucket, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="AIHUB_S3_CA_FILE"):
        behind(bucket, s3_ca_file=tmp_path / "none.pem")


def test_without_a_bucket_nothing_stands_behind_the_folder() -> None:
    assert isinstance(backing_of(from_environment({}), "artifacts"), SharedFolder)


def test_no_secret_is_shown(bucket: TrialBucket) -> None:
    settings = from_environment(bucket.environ())
    secret = bucket.environ()["AIHUB_S3_SECRET_ACCESS_KEY"]
    assert secret not in repr(settings)
    assert secret not in repr(backing_of(settings, "artifacts"))


def test_what_a_store_echoes_is_not_repeated() -> None:
    echo = "status code: 403 Forbidden: <Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>AKIA1</AWSAccessKeyId>"
    assert objects.said(ValueError(echo)) == "403 Forbidden, InvalidAccessKeyId"
    assert objects.said(ValueError("secret=x")) == "ValueError"


def test_a_name_that_no_hub_gives_stops_no_work_and_is_named(bucket: TrialBucket, tmp_path: Path) -> None:
    backing = behind(bucket)
    bucket.write_raw("hub/datasets//x")
    with backing.workspace(tmp_path, {place(tmp_path): DIGEST}, lambda: None) as folder:
        assert not list(folder.iterdir())
    with pytest.raises(ArtifactError, match="no object"):
        backing.bring(place(tmp_path), DIGEST)
    with pytest.raises(StoreAwayError, match="'hub/datasets//x' whose name no hub gives"):
        backing.sweep(set, datetime.now(UTC))
    assert stored(tmp_path, backing).exists()


_LISTED = (
    b"<ListBucketResult><Name>b</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>hub/datasets/00/x</Key>"
    b'<LastModified>+262142-12-31T00:00:00Z</LastModified><ETag>"x"</ETag><Size>5</Size></Contents></ListBucketResult>'
)


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (200, _LISTED, "does not answer"),
        (200, b"<ListBucket", "does not answer"),
        (403, b"<Error><Code>AccessDenied</Code></Error>", "refuses the hub's credentials"),
    ],
)
def test_what_a_store_answers_to_a_listing_is_told_in_our_words(
    status: int, answer: bytes, said: str
) -> None:
    def app(_: Any, start: Any) -> list[bytes]:
        start(f"{status} Said", [("Content-Type", "application/xml"), ("Content-Length", str(len(answer)))])
        return [answer]

    with wsgi(app) as url:
        given = TrialBucket(url, "some-bucket").environ()
        backing = backing_of(from_environment(given), "datasets")
        assert isinstance(backing, Bucket)
        with pytest.raises(StoreAwayError, match=said):
            backing.objects.look()
        with pytest.raises(StoreAwayError, match=said):
            list(backing.objects.list())


def test_no_mark_is_read_without_end(bucket: TrialBucket) -> None:
    bucket.write("hub/datasets/.hub", b"0" * (objects.PIECE_BYTES * 3))
    found = behind(bucket).objects.read(".hub")
    assert found is not None
    assert len(found) == objects.MAX_READ_BYTES
