"""Where the hub keeps its things and whom it talks to, read once from the environment.

Nothing here has a secret as its default, and nothing is read from the environment anywhere else.
"""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from aihub import secret_files
from aihub.errors import ConfigError, did_you_mean
from aihub.types import Role  # noqa: TC001 - pydantic reads the annotation when it runs

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "AIHUB_"
ALIASES = {"DATABASE_URL": "database_url", "MLFLOW_TRACKING_URI": "mlflow_tracking_uri"}
"""Names of the outside world that are understood without our prefix; ours win where both are set."""
MLFLOW_OFF = "off"
"""Stands for an MLflow address where there is to be no mirror."""
BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9][A-Za-z0-9._=-]*)*/?")
"""A bucket, and under which names in it the hub's objects begin."""
MIN_FREE_BYTES = 1 << 30
"""Room on the disk of `Settings.home` below which the hub says that it will soon be full."""
DEFAULT_TENANT = "default"
"""Tenant that is meant where none is named."""
AUDIT_KEY_BYTES = 32


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Several names in one variable, separated by commas."""
RESERVED = {
    "AIHUB_URL",
    "AIHUB_API_KEY",
    "AIHUB_API_KEY_FILE",
    "AIHUB_AUDIENCE",
    "AIHUB_TENANT",
    "AIHUB_ALLOW_HTTP",
    "AIHUB_OUTPUT",
    "AIHUB_SHARED_DATA",
}
"""Variables with our prefix that belong to the client and to the tests."""


class Settings(BaseModel):
    """Settings of one hub.

    Attributes
    ----------
    home
        Folder of everything that is kept in files (`AIHUB_HOME`).
    database_url
        Address of the hub's tables; empty means a SQLite file under `home` (`AIHUB_DATABASE_URL`, `DATABASE_URL`).
    mlflow_tracking_uri
        Address of MLflow; empty means an embedded SQLite store under `home`, ``off`` means no mirror
        (`AIHUB_MLFLOW_TRACKING_URI`, `MLFLOW_TRACKING_URI`).
    mlflow_timeout_s
        Longest time that one call to an MLflow server may take (`AIHUB_MLFLOW_TIMEOUT_S`).
    load_timeout_s
        Longest time that loading an unknown model file may take (`AIHUB_LOAD_TIMEOUT_S`).
    sandbox_memory_mb
        Address space of the child process that reads unknown model files (`AIHUB_SANDBOX_MEMORY_MB`).
    sqlite_journal
        ``auto`` uses WAL only where the SQLite library has no WAL-reset fault (`AIHUB_SQLITE_JOURNAL`).
    audit_key, audit_key_file
        Key of the audit log's chain, at least 32 characters, or a file that holds it (`AIHUB_AUDIT_KEY`,
        `AIHUB_AUDIT_KEY_FILE`); without either a random one is kept in ``audit.key`` under `home`. Processes on
        several machines need the same.
    audit_older_keys_file
        Keys that the audit log had before, oldest first, one a line (`AIHUB_AUDIT_OLDER_KEYS_FILE`).
    audit_signing_key, audit_signing_key_file
        64 hexadecimal digits from which the key that signs checkpoints is made, or a file that holds them; without either
        a random one is kept in ``audit.signing.key`` under `home` (`AIHUB_AUDIT_SIGNING_KEY`,
        `AIHUB_AUDIT_SIGNING_KEY_FILE`).
    artifacts
        Bucket that holds artefacts and data sets for a fleet without a shared folder, ``s3://BUCKET/PREFIX``; empty: they
        lie under `home` (`AIHUB_ARTIFACTS`). Needs ``pip install 'aihub[s3]'``.
    s3_endpoint, s3_region
        Address and region of a store that is not Amazon's; empty: what ``AWS_ENDPOINT_URL`` and ``AWS_REGION`` say
        (`AIHUB_S3_ENDPOINT`, `AIHUB_S3_REGION`). ``https://``, and ``http://`` only on loopback.
    s3_access_key_id, s3_secret_access_key
        What the hub signs its requests with; empty: ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, else the role of the
        machine (`AIHUB_S3_ACCESS_KEY_ID`, `AIHUB_S3_SECRET_ACCESS_KEY`).
    s3_ca_file
        PEM file of an authority of your own that vouches for the store (`AIHUB_S3_CA_FILE`).
    cache_mb
        Room that this machine's copies of artefacts may take, and those of data sets once more (`AIHUB_CACHE_MB`). What was
        used of late stays, even beyond it.
    github_audience
        Who GitHub's tokens must be for, such as this hub's own address; empty: no workflow is known by its token
        (`AIHUB_GITHUB_AUDIENCE`).
    github_issuer, github_jwks
        Who signs them, and where its keys are: an https: address or a file: path; empty: the issuer's own
        (`AIHUB_GITHUB_ISSUER`, `AIHUB_GITHUB_JWKS`).
    github_api_url
        Address of GitHub's API, the only one that is called (`AIHUB_GITHUB_API_URL`).
    github_token, github_app_id, github_app_key_file
        What the hub calls it with: a token, or an app and the file of its private key (`AIHUB_GITHUB_TOKEN`,
        `AIHUB_GITHUB_APP_ID`, `AIHUB_GITHUB_APP_KEY_FILE`).
    github_webhook_secret
        Secret that signs GitHub's webhooks; empty: none is taken (`AIHUB_GITHUB_WEBHOOK_SECRET`).
    job_memory_mb
        Memory that the process of one training may have; 0: any (`AIHUB_JOB_MEMORY_MB`). Linux only.
    host, port
        Where the API listens (`AIHUB_HOST`, `AIHUB_PORT`); beyond loopback put a proxy with TLS before it.
    allowed_hosts
        Names under which clients call the API, separated by commas; ``*``: any (`AIHUB_ALLOWED_HOSTS`).
    max_body_kb
        Largest body of a request that is no upload (`AIHUB_MAX_BODY_KB`).
    max_bulk_mb
        Largest body of a request for predictions as NDJSON, Arrow or Parquet (`AIHUB_MAX_BULK_MB`).
    max_dataset_mb
        Largest upload of a data set or a model (`AIHUB_MAX_DATASET_MB`).
    data_roots
        Folders under which a job may name a file of the hub's machine, separated by commas; none: no such job
        (`AIHUB_DATA_ROOTS`).
    data_hosts
        Hosts from which a job may have ``https://`` data fetched, exact names; none: no such job (`AIHUB_DATA_HOSTS`).
    data_private_hosts
        Those of `data_hosts` that may lie in the own network, and be called with plain http (`AIHUB_DATA_PRIVATE_HOSTS`).
    data_buckets
        Buckets from which a job may have ``s3://`` data fetched; none: no such job (`AIHUB_DATA_BUCKETS`).
    fetch_timeout_s
        Longest time that fetching a job's data may take in all (`AIHUB_FETCH_TIMEOUT_S`).
    log_level, log_form
        ``debug`` to ``error``; ``json`` or ``console`` (`AIHUB_LOG_LEVEL`, `AIHUB_LOG_FORM`).
    otel_endpoint
        Address that takes OpenTelemetry traces by OTLP over HTTP; empty: no traces (`AIHUB_OTEL_ENDPOINT`).
    stop_timeout_s
        Longest time that a stop waits for requests and jobs to end (`AIHUB_STOP_TIMEOUT_S`).
    start_timeout_s
        Longest time that `aihub up`, `serve` and `worker` wait at their start for a database that does not answer yet
        (`AIHUB_START_TIMEOUT_S`).
    bootstrap_key
        Key of the first operator, of the form that ``aihub keys generate`` makes; without it the first start makes one and
        shows it once (`AIHUB_BOOTSTRAP_KEY`).
    anonymous_role
        What a caller without a credential may do; only on a hub that this machine alone reaches (`AIHUB_ANONYMOUS_ROLE`).
    rate_limit_per_s, rate_burst
        Requests of one principal that are let through, on the average and at once; 0 means no limit. Predictions are
        not counted (`AIHUB_RATE_LIMIT_PER_S`, `AIHUB_RATE_BURST`).
    max_streams, max_streams_per_caller
        Live logs that one process sends at a time, in all and to one principal; more are refused with 429
        (`AIHUB_MAX_STREAMS`, `AIHUB_MAX_STREAMS_PER_CALLER`).
    signing_key_file, trusted_keys_file
        PEM files of the Ed25519 key that signs every version, and of the public keys whose signatures count
        (`AIHUB_SIGNING_KEY_FILE`, `AIHUB_TRUSTED_KEYS_FILE`).
    require_signature
        Environments into which only signed versions go, separated by commas (`AIHUB_REQUIRE_SIGNATURE`).
    notify_file
        YAML file of channels and routes (`AIHUB_NOTIFY_FILE`).

    A setting that holds a secret, and the two addresses, which may hold a password, can also be read from a file: the
    variable's name with ``_FILE`` behind it (`AIHUB_BOOTSTRAP_KEY_FILE`, `AIHUB_DATABASE_URL_FILE`, ...).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    home: Path = Path(".aihub")
    # Both may hold a password.
    database_url: str = Field(default="", repr=False)
    mlflow_tracking_uri: str = Field(default="", repr=False)
    mlflow_timeout_s: float = Field(default=10.0, gt=0, le=600)
    load_timeout_s: float = Field(default=20.0, gt=0, le=600)
    sandbox_memory_mb: int = Field(default=4096, ge=256, le=1_048_576)
    job_memory_mb: int = Field(default=8192, ge=0, le=16_777_216)
    sqlite_journal: Literal["auto", "wal", "truncate"] = "auto"
    audit_key: SecretStr = SecretStr("")
    audit_key_file: Path | None = None
    audit_older_keys_file: Path | None = None
    audit_signing_key: SecretStr = SecretStr("")
    audit_signing_key_file: Path | None = None
    artifacts: str = Field(default="", max_length=1024)
    s3_endpoint: str = Field(default="", pattern=r"^(https?://[^/@?#\s]+(/[^@?#\s]*)?)?$")
    s3_region: str = Field(default="", max_length=64)
    s3_access_key_id: SecretStr = SecretStr("")
    s3_secret_access_key: SecretStr = SecretStr("")
    s3_ca_file: Path | None = None
    cache_mb: int = Field(default=20_480, ge=1, le=1_073_741_824)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    allowed_hosts: Names = ("localhost", "127.0.0.1", "[::1]")
    max_body_kb: int = Field(default=1024, ge=1, le=1_048_576)
    max_bulk_mb: int = Field(default=64, ge=1, le=1_048_576)
    max_dataset_mb: int = Field(default=2048, ge=1, le=1_048_576)
    data_roots: Names = ()
    data_hosts: Names = ()
    data_private_hosts: Names = ()
    data_buckets: Names = ()
    fetch_timeout_s: float = Field(default=1800.0, gt=0, le=86_400)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_form: Literal["json", "console"] = "json"
    otel_endpoint: str = ""
    stop_timeout_s: float = Field(default=20.0, ge=0, le=3600)
    start_timeout_s: float = Field(default=60.0, ge=0, le=86_400)

    github_audience: str = Field(default="", max_length=512)
    github_issuer: str = "https://token.actions.githubusercontent.com"
    github_jwks: str = ""
    github_api_url: str = "https://api.github.com"
    github_token: SecretStr = SecretStr("")
    github_app_id: str = ""
    github_app_key_file: Path | None = None
    github_webhook_secret: SecretStr = SecretStr("")
    bootstrap_key: SecretStr = SecretStr("")
    anonymous_role: Role | None = None
    rate_limit_per_s: float = Field(default=200.0, ge=0, le=1_000_000)
    rate_burst: int = Field(default=1000, ge=1, le=1_000_000)
    max_streams: int = Field(default=100, ge=1, le=100_000)
    max_streams_per_caller: int = Field(default=20, ge=1, le=100_000)
    signing_key_file: Path | None = None
    trusted_keys_file: Path | None = None
    require_signature: Names = ()
    notify_file: Path | None = None

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        # A relative home would follow a later chdir of the process.
        try:
            return home.expanduser().absolute()
        except RuntimeError as error:  # ~name of a user who is not there
            raise ValueError(f"{str(home)[:80]!r} names a home folder that is not there") from error

    @field_validator("artifacts")
    @classmethod
    def _bucket(cls, artifacts: str) -> str:
        if artifacts and not BUCKET.fullmatch(artifacts):
            raise ValueError("it is not of the form s3://BUCKET or s3://BUCKET/PREFIX")
        return artifacts.rstrip("/")

    @field_validator("s3_endpoint")
    @classmethod
    def _encrypted(cls, endpoint: str) -> str:
        host = urlsplit(endpoint).hostname or ""
        if endpoint.startswith("http://") and not _is_loopback(host):
            raise ValueError(
                "artefacts, data and signatures do not go over the network in the clear; name an https:// address"
            )
        return endpoint

    @property
    def store_url(self) -> str:
        """Address of the hub's tables, never empty."""
        return self.database_url or f"sqlite:///{self.home / 'hub.db'}"

    @property
    def monitoring_url(self) -> str:
        """Address of the tables of monitoring: on SQLite a file beside ``hub.db``, so that neither writer waits."""
        if not self.store_url.startswith("sqlite:"):
            return self.store_url
        return self.store_url.removesuffix("hub.db").removesuffix(".db") + (
            "monitoring.db" if self.store_url.endswith("/hub.db") else "-monitoring.db"
        )

    @property
    def mlflow_uri(self) -> str:
        """Address of MLflow, never empty; ``off`` where there is to be no mirror."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def artifacts_dir(self) -> Path:
        """Folder of the artefacts, by digest."""
        return self._files / "artifacts"

    @property
    def datasets_dir(self) -> Path:
        """Folder of the uploaded tables, by digest."""
        return self._files / "datasets"

    @property
    def _files(self) -> Path:
        # Copies lie apart: a folder with the only ones must never be taken for one that can be emptied.
        return self.home / "cache" if self.artifacts else self.home

    def read_audit_key(self) -> bytes:
        """Return the key of the audit log; makes the file under `home` where no key is configured.

        Raises
        ------
        ConfigError
            The key is too short, or its file cannot be read or made.
        """
        if self.audit_key.get_secret_value():
            key = self.audit_key.get_secret_value().encode()
        else:
            file = self.audit_key_file or self.home / "audit.key"
            key = secret_files.read_or_make(file, field="audit_key_file").encode()
        if len(key) < AUDIT_KEY_BYTES:
            message = (
                f"the audit key has less than {AUDIT_KEY_BYTES} characters; make one: openssl rand -hex 32"
            )
            raise ConfigError(message, field="audit_key")
        return key

    def read_older_audit_keys(self) -> tuple[bytes, ...]:
        """Return the keys that the audit log had before, oldest first.

        Raises
        ------
        ConfigError
            The file cannot be read, or a key is too short.
        """
        if self.audit_older_keys_file is None:
            return ()
        lines = secret_files.read(self.audit_older_keys_file, field="audit_older_keys_file").splitlines()
        keys = tuple(line.strip().encode() for line in lines if line.strip())
        if any(len(key) < AUDIT_KEY_BYTES for key in keys):
            message = f"a line of {self.audit_older_keys_file} is shorter than an audit key; one key a line, oldest first"
            raise ConfigError(message, field="audit_older_keys_file")
        return keys

    def read_audit_signing_seed(self) -> str:
        """Return what the key that signs checkpoints is made from; makes the file under `home` where none is configured.

        Raises
        ------
        ConfigError
            The file cannot be read or made.
        """
        file = self.audit_signing_key_file or self.home / "audit.signing.key"
        return self.audit_signing_key.get_secret_value() or secret_files.read_or_make(
            file, field="audit_signing_key_file"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_secret(field: str) -> bool:
    known = Settings.model_fields.get(field)
    return known is not None and (known.annotation is SecretStr or not known.repr)


def from_environment(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings from `environ` (default: the process's own); `overrides` win.

    Raises
    ------
    ConfigError
        A variable is unknown (the nearest name is offered) or its value cannot be used.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {
        field: environ[name] for name, field in ALIASES.items() if environ.get(name, "").strip()
    }
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name in RESERVED or not value.strip():
            continue
        field = name.removeprefix(PREFIX).lower()
        secret = field.removesuffix("_file")
        if field not in Settings.model_fields and _is_secret(secret):
            if environ.get(name.removesuffix("_FILE"), "").strip():
                raise ConfigError(
                    f"both {name} and the variable without _FILE are set; unset one", field=name
                )
            values[secret] = secret_files.read(Path(value), field=name)
            continue
        if field not in Settings.model_fields:
            known = [PREFIX + known.upper() for known in Settings.model_fields]
            raise ConfigError(f"no setting {name!r}.{did_you_mean(name, known)}", field=name)
        values[field] = value
    try:
        return Settings(**{**values, **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = f"setting {PREFIX}{field.upper()}: {first['msg']}; correct or unset the variable"
        raise ConfigError(message, field=field) from None
