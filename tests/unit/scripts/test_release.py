"""What a release proves about itself, as its workflow says it."""

from __future__ import annotations

from pathlib import Path

import yaml

RELEASE = Path(__file__).parents[3] / ".github/workflows/release.yml"


def test_what_is_published_is_attested_before_with_its_bill_of_materials() -> None:
    jobs = yaml.safe_load(RELEASE.read_text())["jobs"]
    publish = jobs["publish"]
    assert publish["permissions"]["attestations"] == publish["permissions"]["id-token"] == "write"
    assert "id-token" not in jobs["build"]["permissions"], "what builds cannot sign"
    steps = publish["steps"]
    actions = [step.get("uses", "").partition("@")[0] for step in steps]
    provenance = actions.index("actions/attest-build-provenance")
    bill = actions.index("actions/attest")
    published = next(number for number, step in enumerate(steps) if "uv publish" in step.get("run", ""))
    assert max(provenance, bill) < published
    assert steps[provenance]["with"]["subject-path"].split() == [
        "dist/*.whl",
        "dist/*.tar.gz",
        "sbom.cdx.json",
    ]
    assert steps[bill]["with"]["sbom-path"] == "sbom.cdx.json"
