"""A model's specification: what to train, what it must reach, who may deploy it. One YAML file a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from aihub.errors import ConfigError
from aihub.training.config import TrainingConfig  # noqa: TC001 - pydantic reads the annotation
from aihub.training.strict import StrictModel
from aihub.training.yaml_text import MAX_BYTES, parse_yaml

SCHEMA_NAME = "model-spec.schema.json"
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class ModelSpec(StrictModel):
    """What `aihub run SPEC` and a training job need to know.

    Attributes
    ----------
    validation
        ``thresholds`` and ``checks`` of the gate; checked by `aihub.validation`.
    policy
        What happens after the gate (approval, rollback); checked by `aihub.delivery`.
    serving
        How it answers and what is logged; checked by `aihub.serving.rules`.
    """

    name: ModelName = Field(description="Lower case letters, digits, dot, dash and underscore; 64 at most.")
    description: str = Field("", max_length=2000, description="One line for people.")
    training: TrainingConfig = Field(description="What to train.")
    validation: dict[str, Any] = Field(default_factory=dict, description="Thresholds and checks of the gate.")
    policy: dict[str, Any] = Field(default_factory=dict, description="What happens after the gate.")
    serving: dict[str, Any] = Field(
        default_factory=dict,
        description="How it answers: unseen categories, and what of a prediction is logged.",
    )

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as JSON-able values, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


def load_spec(path: Path | str) -> ModelSpec:
    """Read a specification from a YAML (or JSON) file.

    Raises
    ------
    ConfigError
        The file cannot be read, or a field is wrong; the message names file, line and field.

    >>> load_spec("no-such-file.yaml")
    Traceback (most recent call last):
        ...
    aihub.errors.ConfigError: no-such-file.yaml: there is no such file. Check the path.
    """
    file = Path(path)
    try:
        if file.exists() and not file.is_file():
            # A pipe or a device has no size to be judged by, and may never end.
            raise ConfigError(f"{file}: is not a file. Name a YAML file.")
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{file}: is larger than {MAX_BYTES // 1024} KiB. A specification is a page.")
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file. Check the path.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text. Save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{file}: cannot be read ({reason}). Check the path and its rights.") from None
    return parse_spec(text, label=str(file))


def parse_spec(text: str, *, label: str = "specification") -> ModelSpec:
    """Read a specification from YAML text.

    Raises
    ------
    ConfigError
        A field is wrong; the message names `label`, the line and the field.
    """
    document, lines = parse_yaml(text, label=label)
    if not isinstance(document, dict):
        raise ConfigError(f"{label}: holds no fields. Begin with 'name:' and 'training:'.")
    try:
        return ModelSpec.model_validate(document)
    except ConfigError as error:
        path = error.field or ""
        line = _line_of(path, lines, is_inside="training" in document)
        where = f"{label}, line {line}: " if line else f"{label}: "
        raise ConfigError(f"{where}{error}", field=error.field) from None


def _line_of(path: str, lines: dict[str, int], *, is_inside: bool) -> int | None:
    """Line of the field, or of the nearest one around it; a field of the training section may come without its prefix."""
    for start in (path, f"training.{path}" if is_inside else path):
        if start in lines and start:
            return lines[start]
    for start in (f"training.{path}", path):
        parts = start.split(".")
        for size in range(len(parts) - 1, 0, -1):
            if ".".join(parts[:size]) in lines:
                return lines[".".join(parts[:size])]
    return None


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a specification, its policy left open: `aihub.delivery.specification` has the whole."""
    schema = ModelSpec.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
