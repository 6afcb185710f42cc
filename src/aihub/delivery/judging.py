"""The heavy half of a validating job: a stored artefact on a table that was uploaded, and the gate's report on it.

It reads no database and writes nothing; a job does it in a process of its own that can be killed at any moment. The bytes of
both are checked against their digests first, and the report names them: it is about these two and no others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub.delivery.candidate import baseline_of
from aihub.delivery.progress import Listener, Remark, step
from aihub.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import polars as pl

    from aihub.delivery.candidate import Incumbent
    from aihub.registry.artifacts import ArtifactStore
    from aihub.types import ModelType, Predictor
    from aihub.validation.results import ValidationReport


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is judged, on what, and against whom.

    Attributes
    ----------
    label, digest, lineage
        Of the version.
    data, data_name, dataset
        File of the table, its name for people, and its SHA-256.
    spec, asked
        Sections ``validation`` of the version's specification and of the request; the first wins.
    incumbent
        Champion to compare with; None where none serves, or where it is this very artefact.
    """

    label: str
    digest: str
    lineage: Mapping[str, Any]
    model_type: ModelType
    target: str
    timestamp: str | None
    series_id: str | None
    data: Path
    data_name: str
    dataset: str
    spec: Mapping[str, Any]
    asked: Mapping[str, Any]
    now: datetime
    incumbent: Incumbent | None = None


def judge(wanted: Judgement, artifacts: ArtifactStore, listener: Listener) -> ValidationReport:
    """Read artefact and table, and run the gate.

    Raises
    ------
    ArtifactError, DataError, ValidationError
        One of them is not what it is to be, cannot be read, or the model cannot predict the table.
    """
    from aihub.validation.prediction import load

    with step("read data", listener) as reading:
        artifacts.verify(wanted.digest)
        _verify(wanted)
        model = load(artifacts.path(wanted.digest))
        table, context = table_for(model, wanted.data, wanted.target)
        rows = _with_truth(table, wanted.target)
        context["data"] |= {"file": wanted.data_name, "dataset_sha256": wanted.dataset}
        reading.note = f"{rows.height:,} rows"
    if rows.height < table.height:
        lost = f"{table.height - rows.height:,} of {table.height:,} rows have no {wanted.target!r} and are not judged"
        context["notes"] = [*context["notes"], lost]
    for note in context["notes"]:
        listener(Remark(note["message"] if isinstance(note, dict) else note))
    return _validated(
        wanted, model, rows=rows, table=table, context=context, artifacts=artifacts, listener=listener
    )


def _verify(wanted: Judgement) -> None:
    with wanted.data.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted.dataset:
        raise DataError("is not what was uploaded any more. Upload it again.", file=wanted.data_name)


def _with_truth(table: pl.DataFrame, target: str) -> pl.DataFrame:
    import polars as pl

    rows = table.filter(pl.col(target).is_not_null()) if target in table.columns else table
    if not rows.height:
        raise DataError("has no value at all, so there is nothing to judge by.", column=target)
    return rows


def _validated(
    wanted: Judgement,
    model: Any,
    *,
    rows: pl.DataFrame,
    table: pl.DataFrame,
    context: dict[str, Any],
    artifacts: ArtifactStore,
    listener: Listener,
) -> ValidationReport:
    from aihub.validation.prediction import load
    from aihub.validation.validator import ModelValidator

    champion = wanted.incumbent
    obstacle = None if champion is None else _obstacle(champion, wanted, table, artifacts)
    if champion is not None and obstacle is not None:
        listener(Remark(f"{champion.label} {obstacle}: compared by its metrics only"))
    can_compare = champion is not None and obstacle is None
    given = {
        "model": {
            "name": wanted.label,
            "kind": getattr(model, "kind", ""),
            "algorithm": wanted.lineage["config"].get("algorithm"),
            "sha256": wanted.digest,
        },
        "champion": champion.label if champion else None,
        "lineage": dict(wanted.lineage),
    }
    path = artifacts.path(wanted.digest)

    def loader(found: str, *, trust: bool) -> Predictor:
        return model if Path(found) == path else load(found, trust=trust)

    with step("validate", listener) as validating:
        report = ModelValidator(
            wanted.model_type, spec=wanted.spec, call=wanted.asked, loader=loader
        ).validate_model(
            path,
            rows,
            wanted.target,
            history=table,
            champion=artifacts.path(champion.digest) if champion and can_compare else None,
            baseline_metrics=baseline_of(champion) if champion and not can_compare else None,
            timestamps=wanted.timestamp,
            series=wanted.series_id,
            now=wanted.now,
            context={**context, **given},
        )
        validating.note = "passed" if report.passed else f"FAILED: {report.failures[0]}"
    return report


def _obstacle(
    champion: Incumbent, wanted: Judgement, table: pl.DataFrame, artifacts: ArtifactStore
) -> str | None:
    """Why the champion cannot be asked for the same rows; None where it can."""
    theirs = champion.config
    if theirs.get("target") not in (None, wanted.target) or theirs.get("model_type") not in (
        None,
        wanted.model_type,
    ):
        return "answers something else"
    named = [theirs.get("timestamp"), theirs.get("series_id"), *theirs.get("features", ())]
    lost = [name for name in named if name is not None and name not in table.columns]
    if lost:
        return f"needs a column {lost[0]!r} that the dataset has not"
    try:
        artifacts.verify(champion.digest)
    except ArtifactError as error:
        return f"cannot be read ({error})"
    return None


def table_for(model: Any, data: Path, target: str) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Read the table the way the model was trained where it says how, else as it stands; returns it with facts for the report.

    Judged is what the file says: nothing is corrected, and the training window does not hold.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "model_copy"):
        from aihub.training.data.plain import read_table

        frame, said = read_table(data)
        return frame, {"data": {"file": str(data), "rows": frame.height}, "notes": said}
    from aihub.training.data import load

    asked = config.model_copy(
        update={"training_start": None, "training_end": None, "repair": "off", "target": target}
    )
    prepared = load(data, asked)
    frame = _with_constants(prepared.frame, data, model)
    notes = [note.to_dict() for note in prepared.notes]
    return frame, {"data": {"file": str(data), **prepared.fingerprint.to_dict()}, "notes": notes}


def _with_constants(frame: pl.DataFrame, data: Path, model: Any) -> pl.DataFrame:
    """Give back the columns that are useless to train on (always the same value) and that the model wants all the same."""
    lost = [name for name in model.feature_names if name not in frame.columns]
    if not lost:
        return frame
    import polars as pl

    from aihub.training.data.plain import read_table

    whole, _ = read_table(data, only=lost)
    known = [name for name in lost if name in whole.columns]
    values = {name: whole.get_column(name).drop_nulls() for name in known}
    return frame.with_columns(pl.lit(v[0] if len(v) else None).alias(name) for name, v in values.items())
