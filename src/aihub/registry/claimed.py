"""What an artefact from elsewhere says of where it comes from, checked before it becomes the lineage of a version.

Whoever made the file has chosen every character of it, and the lineage is read wherever the version is shown or judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints, ValidationError

from aihub.errors import ArtifactError
from aihub.types import ModelType  # noqa: TC001 - pydantic reads the annotation

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 16
"""Levels of a document of ours are four; each costs whoever shows it a frame of the stack."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, StringConstraints(max_length=256)]


class _Config(BaseModel):
    """The fields of a configuration that the hub acts on; the others are only shown."""

    model_config = ConfigDict(extra="allow")

    model_type: ModelType | None = None
    algorithm: Text | None = None
    target: Name | None = None
    timestamp: Name | None = None
    series_id: Name | None = None
    features: Annotated[list[Name], Field(max_length=10_000)] = []


class _Lineage(BaseModel):
    model_config = ConfigDict(extra="forbid")

    config: _Config
    data: dict[str, Any]
    seed: Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)] | None
    requested_by: Text = ""
    created_at: Text = ""
    git_commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}$")] | None = None
    git_dirty: StrictBool | None = None
    packages: Annotated[dict[Text, Text], Field(max_length=1000)] = {}
    config_hash: Text = ""


def check(lineage: Mapping[str, Any]) -> None:
    """Refuse a lineage that no hub has written.

    Raises
    ------
    ArtifactError
        With the field.
    """
    field = ""
    if not _is_flat(lineage):
        field = f": it is more than {MAX_DEPTH} levels deep"
    else:
        try:
            _Lineage.model_validate(dict(lineage))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = f": {'.'.join(map(str, first['loc']))[:100]!r}: {first['msg'][:200]}"
        else:
            return
    raise ArtifactError(
        f"the artefact's lineage is none that a hub writes{field}; register the model in its library's own form"
    )


def _is_flat(document: Mapping[str, Any]) -> bool:
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return not level
