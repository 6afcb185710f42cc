"""What can be asked of a training job: the guide's body, and what real deliveries need beside it."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from aihub.errors import ConfigError
from aihub.training.config import TrainingConfig  # noqa: TC001 - pydantic reads the annotation
from aihub.training.spec import ModelName, ModelSpec
from aihub.training.strict import StrictModel, beneath
from aihub.types import ModelType  # noqa: TC001 - as above

TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
QueueName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}$")]
DEFAULT_QUEUE = "default"


class Priority(IntEnum):
    """Order within a tenant; smaller is sooner."""

    HIGH = 10
    NORMAL = 50
    LOW = 90


class DataSource(StrictModel):
    """Where the rows are: exactly one of the three."""

    dataset_id: str | None = Field(
        None, min_length=1, max_length=80, description="Dataset that was uploaded to the hub."
    )
    path: str | None = Field(
        None, min_length=1, max_length=4096, description="File below a folder that the hub allows."
    )
    url: str | None = Field(
        None, min_length=1, max_length=4096, description="https:// or s3:// address that the hub allows."
    )

    def check_agreement(self) -> None:
        """Refuse none and several."""
        given = [name for name in ("dataset_id", "path", "url") if getattr(self, name) is not None]
        if len(given) != 1:
            what = " and ".join(given) if given else "nothing"
            raise ConfigError(f"data names {what}. Give exactly one of dataset_id, path and url.")


class JobRequest(StrictModel):
    """Train a model, judge it, and bring it as far as its policy allows.

    Attributes
    ----------
    data
        May also stand in `config` as ``data`` or ``dataset``, and be a plain text: an address, a path or the id of a
        dataset. Without it the tenant's newest dataset with all the columns is taken.
    environment
        How far the version goes: through the environments before it, in their order.
    """

    tenant_id: TenantName | None = Field(None, description="Tenant; empty: that of the credential.")
    model_type: ModelType = Field(description="What the model answers.")
    config: TrainingConfig = Field(description="What to train.")
    priority: Literal["high", "normal", "low"] = Field("normal", description="Order among the tenant's own.")
    name: ModelName | None = Field(
        None, description="Name of the model; empty: <model_type>_<algorithm>_baseline."
    )
    validation: dict[str, Any] = Field(default_factory=dict, description="Thresholds and checks of the gate.")
    policy: dict[str, Any] = Field(default_factory=dict, description="What happens after the gate.")
    serving: dict[str, Any] = Field(
        default_factory=dict, description="How it answers, and what of a prediction is logged."
    )
    data: DataSource | None = Field(None, description="Where the rows are.")
    environment: Literal["none", "staging", "production"] = Field(
        "production", description="How far it goes when the gate passed; none: it is only registered."
    )
    queue: QueueName = Field(DEFAULT_QUEUE, description="Which workers may take it.")
    git_commit: Commit | None = Field(None, description="Commit that the model is made from.")

    @model_validator(mode="before")
    @classmethod
    def _as_the_guide_writes_it(cls, body: Any) -> Any:
        """Fill the model type of the config, and take the data from where it was written."""
        if not isinstance(body, dict) or "config" not in body:
            return body
        if not isinstance(body["config"], dict):
            raise ConfigError(
                "field 'config' is no object. Send what is to be trained in it.", field="config"
            )
        body, config = dict(body), dict(body["config"])
        for name in ("data", "dataset"):
            found = config.pop(name, None)
            if found is None:
                continue
            if body.get("data") is not None:
                raise ConfigError("the data is named twice. Name it once, as 'data'.", field="data")
            body["data"] = found
        if isinstance(body.get("data"), str):
            body["data"] = _source(body["data"])
        if not isinstance(body.get("data"), dict | None):
            message = "field 'data' is neither a text nor an object. Send {\"dataset_id\": ...}, or a path or an address."
            raise ConfigError(message, field="data")
        if "model_type" in body:
            config.setdefault("model_type", body["model_type"])
        body["config"] = config
        return body

    def check_agreement(self) -> None:
        """Refuse two model types, and what a delivery would refuse later."""
        if self.config.model_type != self.model_type:
            raise ConfigError(
                f"model_type is {self.model_type.value!r}, and {self.config.model_type.value!r} in config. Correct one.",
                field="config.model_type",
            )
        from aihub.delivery import specification

        try:
            specification.check(self.spec)
        except ConfigError as error:
            # What a specification calls training is the config of a request.
            is_training = (error.field or "").startswith("hyperparameters")
            raise (beneath("config", error) if is_training else error) from None

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.name or f"{self.model_type.value}_{self.config.algorithm}_baseline"

    @property
    def rank(self) -> Priority:
        """Priority as a number."""
        return Priority[self.priority.upper()]

    @property
    def spec(self) -> ModelSpec:
        """Return the specification that `aihub run` would be given."""
        return ModelSpec(
            name=self.model,
            description="",
            training=self.config,
            validation=self.validation,
            policy=self.policy,
            serving=self.serving,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, defaults left out; `JobRequest.model_validate` reads it back."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"tenant_id"})


def _source(text: str) -> dict[str, str]:
    if "://" in text:
        return {"url": text}
    return {"path": text} if "/" in text or "\\" in text or "." in text else {"dataset_id": text}
