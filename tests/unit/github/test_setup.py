from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from aihub.cli.init import init
from aihub.errors import ConfigError, InputError
from aihub.github.setup import END, START, changes
from aihub.training.spec import load_spec
from workflow_expressions import interpolate

ROOT = Path(__file__).parents[3]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    return tmp_path


def run(*arguments: str, answer: str = "") -> Result:
    done = CliRunner().invoke(init, list(arguments), input=answer, standalone_mode=False)
    assert done.exception is None, done.output
    return done


@pytest.mark.parametrize("folder", ["ai-hub", "teams/load", "."])
def test_the_result_passes_the_linters_and_its_specs_can_be_read(repository: Path, folder: str) -> None:
    run("--path", folder)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check_workflows.py", repository],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    specs = sorted((repository / folder / "models").glob("*.yaml"))
    assert [load_spec(spec).name for spec in specs] == [
        "anomaly_lgbm_baseline",
        "anomaly_xgboost_baseline",
        "forecast_lgbm_baseline",
        "forecast_xgboost_baseline",
    ]
    workflow = yaml.safe_load((repository / ".github/workflows/model-training.yml").read_text())
    # YAML 1.1 reads the word `on` as true.
    assert workflow[True]["push"]["paths"][-1] == ("**" if folder == "." else f"{folder}/**")


def test_the_templates_follow_the_workflows_of_this_repository() -> None:
    ours = yaml.safe_load((ROOT / ".github/workflows/model-training.yml").read_text())
    theirs = yaml.safe_load(changes(ROOT, "ai-hub")[0].after)
    assert list(ours["jobs"]) == list(theirs["jobs"])
    for name, job in ours["jobs"].items():
        for field in ("permissions", "needs", "if", "environment", "timeout-minutes"):
            assert job.get(field) == theirs["jobs"][name].get(field), f"{name}.{field}"
    text = changes(ROOT, "ai-hub")[0].after
    used = {line.split("@")[1] for line in text.splitlines() if "uses:" in line}
    known = {
        line.split("@")[1]
        for file in ROOT.glob(".github/**/*.yml")
        for line in file.read_text().splitlines()
        if "uses:" in line and "@" in line
    }
    assert used <= known, "actions of the templates are pinned like our own"


def training_workflows() -> list[dict[str, Any]]:
    own = (ROOT / ".github/workflows/model-training.yml").read_text()
    return [yaml.safe_load(text) for text in (own, changes(ROOT, "ai-hub")[0].after)]


@pytest.mark.parametrize("model_type", ["forecast", "anomaly", "all", None])
def test_a_run_deploys_only_what_it_has_trained(model_type: str | None) -> None:
    for workflow in training_workflows():
        trained, deployed = (
            interpolate(workflow["jobs"][job]["strategy"]["matrix"], {"inputs": {"model_type": model_type}})
            for job in ("train", "deploy")
        )
        kinds = ["forecast", "anomaly"] if model_type in (None, "all") else [model_type]
        assert trained["model_type"] == kinds
        assert [name.replace("-", "_").split("_")[0] for name in deployed["model"]] == kinds


@pytest.mark.parametrize(
    ("ref", "address"),
    [
        ("refs/heads/main", "https://hub"),
        ("refs/heads/develop", ""),
        ("refs/pull/5/merge", ""),
        ("refs/tags/v1", ""),
    ],
)
def test_only_main_which_the_hub_trusts_asks_it(ref: str, address: str) -> None:
    contexts = {"github": {"ref": ref, "event_name": "push"}, "vars": {"AIHUB_URL": "https://hub"}}
    for workflow in training_workflows():
        assert interpolate(workflow["jobs"]["train"]["env"]["AIHUB_URL"], contexts) == address


def test_a_second_time_changes_nothing(repository: Path) -> None:
    run()
    before = {file: file.read_bytes() for file in repository.rglob("*") if file.is_file()}
    assert "everything is as it should be" in run().output
    assert {file: file.read_bytes() for file in repository.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("first", "second"), [("ai-hub", "teams/wind"), (".", "ai-hub"), ("teams/wind", ".")]
)
def test_another_folder_does_not_take_the_place_of_the_first(
    repository: Path, first: str, second: str
) -> None:
    run("--path", first)
    before = {file: file.read_bytes() for file in repository.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=rf"those of --path {first}, .* remove \.github/workflows"):
        changes(repository, second)
    assert {file: file.read_bytes() for file in repository.rglob("*") if file.is_file()} == before
    for name in ("training", "monitoring"):
        (repository / f".github/workflows/model-{name}.yml").unlink()
    assert "new      .github/workflows/model-training.yml" in run("--path", second, "--yes").output


def test_what_differs_is_shown_and_overwritten_only_when_agreed(repository: Path) -> None:
    run()
    workflow = repository / ".github/workflows/model-training.yml"
    ours = workflow.read_text()
    workflow.write_text(ours.replace("timeout-minutes: 60", "timeout-minutes: 90"))
    shown = run(answer="")
    assert "-    timeout-minutes: 90" in shown.output
    assert "kept" in shown.output
    assert "kept" in run(answer="n\n").output
    assert workflow.read_text() != ours
    run("--yes")
    assert workflow.read_text() == ours


def test_specs_and_requirements_are_the_user_s_once_they_exist(repository: Path) -> None:
    run()
    spec = repository / "ai-hub/models/forecast_lgbm.yaml"
    spec.write_text(spec.read_text().replace("max: 50.0", "max: 5.0"))
    assert "everything is as it should be" in run("--yes").output
    assert "max: 5.0" in spec.read_text()


def test_the_readme_keeps_everything_but_our_section(repository: Path) -> None:
    readme = repository / "README.md"
    readme.write_text("# Mine\n\nText.\n")
    run("--yes")
    text = readme.read_text()
    assert text.startswith("# Mine\n\nText.\n\n" + START)
    readme.write_text(text.replace("## Models", "## Old") + "\nMore of mine.\n")
    run("--yes")
    assert readme.read_text() == text + "\nMore of mine.\n"
    readme.write_text(f"# Mine\n{START}\n")
    with pytest.raises(InputError, match=END):
        changes(repository, "ai-hub")


def test_the_readme_has_a_trust_for_each_workflow_that_signs_in(repository: Path) -> None:
    run("--yes")
    trusts = (repository / "README.md").read_text().split("aihub trust add ")[1:]
    for workflow in (repository / ".github/workflows").glob("*.yml"):
        assert "aihub login" in workflow.read_text()
        assert any(workflow.name in trust for trust in trusts)


def test_line_ends_stay_those_of_the_file(repository: Path) -> None:
    readme, workflow = repository / "README.md", repository / ".github/workflows/model-training.yml"
    readme.write_bytes(b"# Mine\r\n\r\nText.\r\n")
    run("--yes")
    assert readme.read_bytes().count(b"\n") == readme.read_bytes().count(b"\r\n") > 3
    text = workflow.read_bytes()
    workflow.write_bytes(text.replace(b"timeout-minutes: 60", b"timeout-minutes: 90").replace(b"\n", b"\r\n"))
    run("--yes")
    assert workflow.read_bytes() == text.replace(b"\n", b"\r\n")
    assert "everything is as it should be" in run().output


def test_a_readme_by_another_spelling_is_the_readme(repository: Path) -> None:
    (repository / "readme.md").write_text("# Mine\n")
    run("--yes")
    assert START in (repository / "readme.md").read_text()
    assert not (repository / "README.md").exists()


@pytest.mark.parametrize("folder", ["teams/load/", "./teams/load", "teams/load"])
def test_a_folder_may_be_written_as_a_shell_completes_it(repository: Path, folder: str) -> None:
    run("--path", folder)
    assert '- "teams/load/**"' in (repository / ".github/workflows/model-training.yml").read_text()
    assert "everything is as it should be" in run("--path", "teams/load").output


@pytest.mark.parametrize(
    "folder",
    ["", "/", "./", "//", "/etc", "..", "../x", "a/../../b", "a b", "-x", "a//b", "a\nb", "${{ x }}", "é"],
)
def test_a_folder_that_is_none_is_refused(repository: Path, folder: str) -> None:
    with pytest.raises(ConfigError):
        changes(repository, folder)


def test_a_link_out_of_the_repository_is_not_followed(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (repository / ".github").symlink_to(outside)
    with pytest.raises(InputError, match="leads out"):
        changes(repository, "ai-hub")
    assert not list(outside.iterdir())


def test_outside_of_a_repository_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(init, [], standalone_mode=False)
    assert isinstance(done.exception, InputError)
    assert not list(tmp_path.iterdir())
