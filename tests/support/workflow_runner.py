"""Runs a workflow on this machine: jobs in the order of their needs, matrices expanded, conditions honoured.

Every `run:` is executed as GitHub's runner would; of actions, only check-out and artifacts do something.
"""

from __future__ import annotations

import fnmatch
import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from workflow_expressions import as_text, condition, interpolate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

IGNORED = {"actions/setup-python", "./.github/actions/setup", "slackapi/slack-github-action"}


@dataclass
class Step:
    """What became of a step of a job."""

    job: str
    name: str
    code: int
    output: str


@dataclass
class Runner:
    """A machine for one run.

    Attributes
    ----------
    source
        Repository that `actions/checkout` copies.
    folder
        For work trees, artifacts and files of the run.
    context
        `github`, `vars`, `secrets` and `inputs`.
    environ
        Variables of the machine.
    authorize
        Called with the claims of a job that may have a token; returns the variables by which it gets one.
    """

    source: Path
    folder: Path
    context: dict[str, Any]
    environ: dict[str, str]
    authorize: Callable[[dict[str, Any]], dict[str, str]] = lambda _: {}
    steps: list[Step] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)

    def run(self, workflow: str) -> dict[str, str]:
        """Run the workflow and return the result of each job."""
        document = yaml.safe_load((self.source / ".github/workflows" / workflow).read_text(encoding="utf-8"))
        waiting = dict(document["jobs"])
        self.workflow = workflow
        while waiting:
            name = next(
                n for n, job in waiting.items() if set(_listed(job.get("needs"))) <= set(self.results)
            )
            self.results[name] = self._job(name, waiting.pop(name))
        return self.results

    def summary(self) -> str:
        return "".join(file.read_text() for file in sorted(self.folder.glob("summary-*")))

    def _job(self, name: str, job: dict[str, Any]) -> str:
        needs = {one: {"result": self.results[one]} for one in _listed(job.get("needs"))}
        status = "success" if all(one["result"] == "success" for one in needs.values()) else "failure"
        contexts = {**self.context, "needs": needs, "status": status}
        if not condition(job.get("if"), contexts):
            return "skipped"
        found = [self._entry(name, job, {**contexts, "matrix": entry}) for entry in _matrix(job, contexts)]
        return "success" if all(found) else "failure"

    def _entry(self, name: str, job: dict[str, Any], contexts: dict[str, Any]) -> bool:
        """Run a job for one entry of its matrix on a fresh machine."""
        label = "-".join([name, *map(str, contexts["matrix"].values())])
        work, temp = self.folder / label / "work", self.folder / label / "temp"
        work.mkdir(parents=True)
        temp.mkdir()
        contexts = {**contexts, "runner": {"temp": str(temp)}, "status": "success"}
        environ = {**self._github(contexts["github"], work, temp), **self._token(job, contexts)}
        added: dict[str, str] = {}
        for number, step in enumerate(job["steps"]):
            own = interpolate({**job.get("env", {}), **step.get("env", {})}, contexts)
            env = {key: as_text(value) for key, value in own.items()} | added
            seen = {**contexts, "env": env}
            if not condition(step.get("if"), seen):
                continue
            files = {kind: temp / f"{kind}-{number}" for kind in ("GITHUB_ENV", "GITHUB_OUTPUT")}
            files["GITHUB_STEP_SUMMARY"] = self.folder / f"summary-{label}-{number}"
            for file in files.values():
                file.touch()
            given = {**self.environ, **environ, **env, **{key: str(file) for key, file in files.items()}}
            done = self._step(step, seen, given, work)
            self.steps.append(Step(label, step.get("name", ""), *done))
            added |= dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines())
            if done[0]:
                contexts["status"] = "failure"
        return contexts["status"] == "success"

    def _step(
        self, step: dict[str, Any], contexts: dict[str, Any], environ: dict[str, str], work: Path
    ) -> tuple[int, str]:
        if "run" in step:
            assert "${{" not in step["run"], "nothing is put into a script but by its environment"
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            done = subprocess.run(
                command,
                cwd=work,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=600,
            )
            return done.returncode, done.stdout
        action = step["uses"].partition("@")[0]
        options = interpolate(step.get("with", {}), contexts)
        if action in IGNORED:
            return 0, ""
        work_of = {
            "actions/checkout": self._check_out,
            "actions/upload-artifact": self._upload,
            "actions/download-artifact": self._download,
        }
        return work_of[action](options, work)

    def _check_out(self, _options: Mapping[str, Any], work: Path) -> tuple[int, str]:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=self.source, capture_output=True, text=True, check=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (self.source / name).is_file():
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.source / name, work / name)
        return 0, ""

    def _upload(self, options: Mapping[str, Any], work: Path) -> tuple[int, str]:
        source, target = work / options["path"], self.folder / "artifacts" / options["name"]
        if not source.exists():
            return int(options.get("if-no-files-found") == "error"), f"no file at {options['path']}"
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.mkdir(parents=True)
            shutil.copy2(source, target)
        return 0, ""

    def _download(self, options: Mapping[str, Any], work: Path) -> tuple[int, str]:
        store = self.folder / "artifacts"
        wanted = options.get("pattern") or options["name"]
        found = (
            [one for one in sorted(store.iterdir()) if fnmatch.fnmatch(one.name, wanted)]
            if store.is_dir()
            else []
        )
        is_merged = bool(options.get("merge-multiple")) or "name" in options
        for one in found:
            target = work / options["path"] / ("" if is_merged else one.name)
            shutil.copytree(one, target, dirs_exist_ok=True)
        return int(not found and "name" in options), ""

    def _github(self, github: Mapping[str, Any], work: Path, temp: Path) -> dict[str, str]:
        """Return what the runner sets for every step."""
        named = (
            "repository",
            "sha",
            "ref",
            "event_name",
            "run_id",
            "server_url",
            "api_url",
            "event_path",
            "actor",
        )
        given = {f"GITHUB_{name.upper()}": as_text(github.get(name)) for name in named}
        return {
            **given,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(work),
            "RUNNER_TEMP": str(temp),
        }

    def _token(self, job: dict[str, Any], contexts: Mapping[str, Any]) -> dict[str, str]:
        """Return how the job gets its token; a job without the permission gets none."""
        if job.get("permissions", {}).get("id-token") != "write":
            return {}
        github = contexts["github"]
        where = f"{github['repository']}/.github/workflows/{self.workflow}@{github['ref']}"
        names = ("ref", "sha", "event_name", "run_id")
        return self.authorize(
            {
                **{name: github[name] for name in names},
                "job_workflow_ref": where,
                "environment": job.get("environment"),
            }
        )


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _matrix(job: dict[str, Any], contexts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    axes = interpolate(job.get("strategy", {}).get("matrix", {}), contexts)
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def commit_of(source: Path) -> str:
    """Return the commit that is checked out, or skip: the runner takes its files from git."""
    asked = ["git", "rev-parse", "HEAD"]
    if shutil.which("git") is None:
        pytest.skip("git is not installed; a workflow runs on a checkout")
    done = subprocess.run(asked, cwd=source, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{source} is no checkout of git that may be read: {done.stderr.strip()[:200]}")
    return done.stdout.strip()


def machine() -> dict[str, str]:
    """Variables that a runner of ours has: none of the hub or of GitHub from outside."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("AIHUB_", "GITHUB_", "ACTIONS_"))
    }
