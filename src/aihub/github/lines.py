"""Which line of a spec a finding is about, so that an annotation stands where it can be mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def lines_of(text: str) -> dict[str, int]:
    r"""Line (from 1) of every key of a YAML document by its dotted path; empty where it cannot be read.

    >>> lines_of("name: a\nvalidation:\n  thresholds:\n    mae: {max: 5}\n")["validation.thresholds.mae"]
    4
    """
    try:
        return dict(_walk(yaml.compose(text, Loader=yaml.SafeLoader), ""))
    except (yaml.YAMLError, RecursionError):
        return {}


def _walk(node: yaml.Node | None, path: str) -> Iterator[tuple[str, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            inner = f"{path}.{key.value}".lstrip(".")
            yield inner, key.start_mark.line + 1
            yield from _walk(value, inner)


def line_for(lines: dict[str, int], check: str, subject: str) -> int | None:
    """Line that a finding of `check` about `subject` belongs to: its threshold, its check, the feature, the section."""
    for path in (
        f"validation.thresholds.{subject}",
        f"validation.checks.{check}",
        f"validation.{check}",
        "validation.thresholds" if check == "performance" else "",
        "training.features" if check in {"data_drift", "target_leakage", "suspicious_feature"} else "",
        "validation",
        "training",
    ):
        if path in lines:
            return lines[path]
    return None


def specs_in(folder: Path) -> dict[str, Path]:
    """Spec files below `folder` (or the one file it is) by the name of their model; what is no spec is passed over."""
    files = [folder] if folder.is_file() else sorted([*folder.glob("**/*.yaml"), *folder.glob("**/*.yml")])
    found: dict[str, Path] = {}
    for file in files:
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            continue
        if isinstance(document, dict) and isinstance(document.get("name"), str):
            found[document["name"]] = file
    return found
