import json
import os
from pathlib import Path

import jsonschema
import pytest
import yaml

from aihub.errors import ConfigError
from aihub.training.spec import ModelSpec, json_schema, load_spec, parse_spec

ROOT = Path(__file__).parents[3]
SPECS = sorted([*ROOT.glob("models/*.yaml"), *ROOT.glob("examples/*.yaml")])
SMALL = "name: demo\ntraining:\n  target: load\n  features: [temperature]\n"


def test_a_small_specification_is_read() -> None:
    spec = parse_spec(SMALL + "validation:\n  thresholds: {mae: {max: 40}}\npolicy: {approve: auto}\n")
    assert spec.name == "demo"
    assert spec.training.features == ["temperature"]
    assert spec.validation == {"thresholds": {"mae": {"max": 40}}}
    assert spec.policy == {"approve": "auto"}
    assert ModelSpec.model_validate(spec.to_dict()) == spec


def test_there_are_specifications_to_check() -> None:
    assert len(SPECS) >= 20


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_committed_specification_is_valid_and_names_its_schema(path: Path) -> None:
    assert path.read_text().startswith("# yaml-language-server: $schema=../schemas/model-spec.schema.json\n")
    load_spec(path)
    jsonschema.validate(json.loads(json.dumps(yaml.safe_load(path.read_text()), default=str)), json_schema())


def test_names_are_not_used_twice() -> None:
    names = [load_spec(path).name for path in SPECS]
    assert len(set(names)) == len(names)


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "a", "training": {"target": "x", "horizn": 3}}, json_schema())


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("name: a\ntraining:\n  target: load\n  featurs: [t]\n", 4, "Did you mean 'features'"),
        ("name: a\ntraining:\n  target: load\n  horizon: 0\n", 4, "greater than or equal"),
        ("name: A b\ntraining:\n  target: load\n", 1, "pattern"),
        ("name: a\ntraining: {}\n", 2, "'training.target' is missing"),
        ("name: a\ntraining:\n  target: load\n  hyperparameters:\n    n: .nan\n", 5, "must be finite"),
        ("name: a\nname: b\n", 2, "written twice"),
        ("name: a\ntraining:\n  target: x\n  target: y\n", 4, "written twice"),
        ("a: &x [1]\nb: *x\n", 2, "aliases"),
        ("name: [a\n", 2, "no valid YAML"),
        ("name: a\ntraining:\n\ttarget: x\n", 3, "no valid YAML"),
        ("name: !!python/name:os.system x\n", 1, "cannot be read"),
        ("name: 2024-13-45\n", 1, "month must be"),
        ("? [a]\n: b\n", 1, "plain word"),
    ],
)
def test_an_error_names_file_and_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_spec(text, label="models/a.yaml")
    assert f"models/a.yaml, line {line}" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- 1\n", "just words", "null"])
def test_a_document_without_fields_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="holds no fields"):
        parse_spec(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [" + "1, " * 50_000 + "1]", "values"),
        ("x: " + "y" * 2_000_000, "larger than"),
        ("[" * 60 + "]" * 60, "too deep"),
        ("[" * 50_000, "too deep"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n", "aliases"),
    ],
    ids=["many", "large", "deep", "very deep", "bomb"],
)
def test_a_hostile_document_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_spec(text)


def test_a_file_is_read_and_a_missing_one_named(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(SMALL)
    assert load_spec(path).name == "demo"
    with pytest.raises(ConfigError, match=r"b\.yaml: there is no such file"):
        load_spec(tmp_path / "b.yaml")
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_spec(path)
    with pytest.raises(ConfigError, match="is not a file"):
        load_spec(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match="is not a file"):
        load_spec(tmp_path / "pipe.yaml")


def test_a_control_character_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_spec(SMALL + 'description: "a\x07b"\n')
    assert len(str(caught.value).splitlines()) == 1


def test_a_number_of_a_thousand_digits_is_refused() -> None:
    text = "name: demo\ntraining:\n  target: load\n  hyperparameters: {n_estimators: " + "9" * 1000 + "}\n"
    with pytest.raises(ConfigError, match=r"hyperparameters\.n_estimators"):
        parse_spec(text)
