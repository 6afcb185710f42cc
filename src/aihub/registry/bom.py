"""The bill of materials of a version: CycloneDX 1.6 with a model card, from the lineage and the artefact."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.registry.artifacts import Artifact
    from aihub.registry.records import Version

SPEC_VERSION = "1.6"
MEDIA_TYPE = "application/vnd.cyclonedx+json; version=1.6"
_TASKS = {"forecast": "time-series-forecasting", "anomaly": "anomaly-detection"}


def bill_of_materials(
    version: Version, artifact: Artifact, *, tenant: str, hub_version: str
) -> dict[str, Any]:
    """Return the bill of a version: model with card, training data, libraries. The same version gives the same bill."""
    root = f"model:{version.uid}"
    data = _data(version)
    libraries = [_library(name, number) for name, number in sorted(version.lineage.packages.items())]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'aihub:{tenant}:{version.uid}')}",
        "version": 1,
        "metadata": {
            "timestamp": version.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "aihub", "version": hub_version}]},
            "component": _model(version, artifact, root),
        },
        "components": [data, *libraries],
        "dependencies": [
            {"ref": root, "dependsOn": [data["bom-ref"], *(library["bom-ref"] for library in libraries)]}
        ],
    }


def _model(version: Version, artifact: Artifact, root: str) -> dict[str, Any]:
    config = version.lineage.config
    inputs = [
        *config.get("features", ()),
        *(name for name in (config.get("timestamp"), config.get("series_id")) if name),
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": root,
        "name": version.model,
        "version": str(version.semantic),
        "hashes": [{"alg": "SHA-256", "content": version.digest}],
        "components": [
            {
                "type": "file",
                "bom-ref": f"{root}:{name}",
                "name": name,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
            }
            for name, content in sorted(artifact.files.items())
        ],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": _TASKS.get(str(config.get("model_type")), str(config.get("model_type", "unknown"))),
                "architectureFamily": "gradient-boosted decision trees",
                "modelArchitecture": str(config.get("algorithm", version.kind)),
                "datasets": [{"ref": f"data:{version.uid}"}],
                "inputs": [{"format": str(name)} for name in inputs],
                "outputs": [{"format": str(config.get("target", "prediction"))}],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [
                    {"type": name, "value": f"{value:.6g}", "slice": "holdout"}
                    for name, value in sorted(version.metrics.items())
                ]
            },
        },
        "properties": _properties(
            {
                "aihub:number": version.number,
                "aihub:status": version.status.value,
                "aihub:report_sha256": version.report_digest,
                "aihub:config_sha256": version.lineage.config_hash,
                "aihub:git_commit": version.git_commit,
                "aihub:git_dirty": version.lineage.git_dirty,
                "aihub:seed": version.lineage.seed,
                "aihub:created_by": version.created_by,
            }
        ),
    }


def _data(version: Version) -> dict[str, Any]:
    data = version.lineage.data
    digest = data.get("sha256")
    return {
        "type": "data",
        "bom-ref": f"data:{version.uid}",
        "name": f"training data of {version.model}",
        **({"hashes": [{"alg": "SHA-256", "content": digest}]} if isinstance(digest, str) else {}),
        "data": [{"type": "dataset", "name": f"training data of {version.model}"}],
        "properties": _properties({f"aihub:{name}": data.get(name) for name in ("rows", "start", "end")}),
    }


def _library(name: str, number: str) -> dict[str, Any]:
    if name == "python":
        return {"type": "platform", "bom-ref": "platform:python", "name": name, "version": number}
    # A local version (2.1+cpu) has a sign that a package URL would read otherwise.
    purl = f"pkg:pypi/{quote(name, safe='')}@{quote(number, safe='')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": number, "purl": purl}


def _properties(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in values.items() if value is not None]
