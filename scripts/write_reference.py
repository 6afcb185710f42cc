#!/usr/bin/env python
"""Write the reference pages that the code itself knows best: commands, specification, checks, settings.

``docs/reference/{cli,spec,checks}.md`` are rewritten; the tests fail while a page is not what this would write.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.testing import CliRunner
from pydantic import SecretStr

from aihub.cli.main import COMMANDS, cli
from aihub.delivery.specification import json_schema
from aihub.settings import Settings
from aihub.training.algorithms import ALGORITHMS
from aihub.types import ModelType, Severity
from aihub.validation.checks import plugins
from aihub.validation.checks.performance import LIMITS
from aihub.validation.settings import DEFAULT_THRESHOLDS, METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aihub.validation.checks.base import Check

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
WIDTH = 100


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Draw a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def cli_page() -> str:
    """Commands, exit codes and environment variables."""
    parts = [_CLI_HEAD, _help([])]
    for name in COMMANDS:
        parts.append(f"## aihub {name}\n\n{_help([name])}")
        command = cli.get_command(click.Context(cli), name)
        inner = command.commands if isinstance(command, click.Group) else ()
        parts += [f"### aihub {name} {one}\n\n{_help([name, one])}" for one in inner]
    client = _CLIENT_HEAD + table(["variable", "default", "meaning"], _CLIENT)
    return "\n\n".join([*parts, client, _SETTINGS_HEAD + _settings()]) + "\n"


def _help(command: list[str]) -> str:
    done = CliRunner().invoke(cli, [*command, "--help"], prog_name="aihub", terminal_width=WIDTH)
    return f"```text\n{done.output.rstrip()}\n```"


def _settings() -> str:
    meanings = {
        name: text for names, text in _documented(Settings.__doc__ or "") for name in names.split(", ")
    }
    rows = [
        (f"`AIHUB_{name.upper()}`", _default(field.default), meanings[name])
        for name, field in Settings.model_fields.items()
    ]
    return table(["variable", "default", "meaning"], rows)


def _documented(docstring: str) -> Iterable[tuple[str, str]]:
    """Name and text of every entry under "Attributes" of a numpydoc docstring."""
    name, text = "", []
    for line in docstring.partition("----------")[2].splitlines():
        if line.startswith("    ") and line[4:5].strip():
            if name:
                yield name, " ".join(text)
            name, text = line.strip(), []
        elif line.strip():
            text.append(re.sub(r" \(`AIHUB_[^)]*\)", "", line.strip().replace("``", "`")))
    if name:
        yield name, " ".join(text)


_SECTIONS = (
    "DeliveryPolicy",
    "EnvironmentRule",
    "ApprovalRule",
    "Strategy",
    "RolloutStep",
    "RolloutLimits",
    "FreezeWindow",
    "WatchPolicy",
    "ServingRules",
    "LogRules",
    "WatchRule",
)


def spec_page() -> str:
    """Every field of a specification, from its JSON schema."""
    schema = json_schema()
    definitions = schema["$defs"]
    thresholds = [
        (kind, f"`{metric}`", _limits(DEFAULT_THRESHOLDS[kind].get(metric, {})))
        for kind in ModelType
        for metric in METRICS[kind]
    ]
    algorithms = [
        (f"`{name}`", ", ".join(f"`{key}`" for key in sorted(ALGORITHMS.get(name).hyperparameters)))
        for name in ("lgbm", "xgboost")
    ]
    head = _SPEC_HEAD
    for name in _SECTIONS:
        head = head.replace(f"@{name}@", _fields(definitions[name], definitions))
    return (
        head.replace("@FIELDS@", _fields(schema, definitions))
        .replace("@TRAINING@", _fields(definitions["TrainingConfig"], definitions))
        .replace("@ALGORITHMS@", table(["algorithm", "hyperparameters"], algorithms))
        .replace("@LIMITS@", ", ".join(f"`{limit}`" for limit in LIMITS))
        .replace("@THRESHOLDS@", table(["model type", "metric", "default"], thresholds))
    )


def _limits(limits: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {limit:g}" for name, limit in limits.items()) or "none"


def _fields(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (
            f"`{name}`",
            _type(field, definitions),
            "**required**" if name in required else _default(field.get("default", {})),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
    ]
    return table(["field", "type", "default", "meaning"], rows)


def _type(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in field:
        named = field["$ref"].rpartition("/")[2]
        return _type(definitions[named], definitions) if "enum" in definitions[named] else "see below"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    for union in ("anyOf", "allOf"):
        if union in field:
            return " or ".join(
                dict.fromkeys(t for f in field[union] if (t := _type(f, definitions)) != "empty")
            )
    words = {
        "string": "text",
        "array": "list",
        "object": "mapping",
        "boolean": "true or false",
        "null": "empty",
    }
    word = words.get(field.get("type", ""), field.get("type", "any"))
    return ("time" if field.get("format") == "date-time" else word) + _range(field)


def _range(field: Mapping[str, Any]) -> str:
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum", field.get("exclusiveMaximum"))
    if low is None or high is None:
        return ""
    return f" {'above' if 'exclusiveMinimum' in field else 'from'} {low} {'to below' if 'exclusiveMaximum' in field else 'to'} {high}"


def _default(value: Any) -> str:
    if value in (None, "", {}, [], ()) or (isinstance(value, SecretStr) and not value.get_secret_value()):
        return "empty"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value}`" if not isinstance(value, bool) else f"`{str(value).lower()}`"


def checks_page() -> str:
    """Every check that is installed, in the order of a report."""
    checks = list(plugins().all())
    summary = table(
        ["check", "runs", "severity", "why it exists"],
        [
            (
                f"[`{c.name}`](#{c.name})",
                "by default" if c.is_default else "when named",
                _severity(c),
                _sentence(c.reason),
            )
            for c in checks
        ],
    )
    details = "\n\n".join(
        f"## {c.name}\n\n{_sentence(c.reason)}\n\n{table(['parameter', 'default'], rows)}"
        if (rows := [(f"`{name}`", _parameter(name, value)) for name, value in c.parameters.items()])
        else f"## {c.name}\n\n{_sentence(c.reason)}\n\nNo parameters."
        for c in checks
    )
    return _CHECKS_HEAD.replace("@SUMMARY@", summary) + details + "\n"


def _parameter(name: str, value: Any) -> str:
    if name == "thresholds":
        return "from [`validation.thresholds`](spec.md#thresholds)"
    return _default(value)


def _severity(check: Check) -> str:
    if isinstance(check.severity, Severity):
        return check.severity.value
    return ", ".join(f"{kind.value}: {severity.value}" for kind, severity in check.severity.items())


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


_GENERATED = "<!-- Written by scripts/write_reference.py; change the code, then run it. -->\n\n"

_CLI_HEAD = (
    "# The commands\n\n"
    + _GENERATED
    + """`aihub COMMAND --help` prints what stands here.

| exit code | meaning |
| --- | --- |
| 0 | done; where there is a gate, it passed |
| 1 | the gate failed, drift was found, or `aihub doctor` found something broken |
| 2 | bad input: the message names file, column and row, or the field |
| 3 | an error of ours, or a service that is away |
| 130 | stopped with Ctrl-C |

A terminal gets a progress display and drawn tables, a pipe gets plain lines, `--json` gives one JSON document and nothing else
on standard output. Messages about errors go to standard error."""
)

_CLIENT_HEAD = """## Environment variables of a client

What the commands that talk to a hub, the scripts and `aihub.Client` read.

"""
_CLIENT = [
    (
        "`AIHUB_URL`",
        "`http://localhost:8000`",
        "The hub. Without it `models`, `deploy`, `rollback`, `changelog`, `bom` and `signing verify` work on `AIHUB_HOME`.",
    ),
    ("`AIHUB_API_KEY`", "", "The key."),
    ("`AIHUB_API_KEY_FILE`", "", "A file that holds the key."),
    ("`AIHUB_TENANT`", "", "Tenant to act in, for the keys of those who run the hub."),
    ("`AIHUB_ALLOW_HTTP`", "", "`1`: a key may go over plain http to another machine."),
    ("`AIHUB_AUDIENCE`", "`AIHUB_URL`", "Whom GitHub's token is for that `aihub login` asks for."),
    (
        "`SLACK_WEBHOOK_URL`",
        "",
        "Where `notify.py` and the watching scripts say something, where `AIHUB_NOTIFY_FILE` names no channel.",
    ),
    (
        "`GITHUB_SHA`, `GITHUB_RUN_ID`, ...",
        "",
        "Set by GitHub Actions: the commit of a version, and what makes requests of one commit one.",
    ),
    ("`AIHUB_OUTPUT`", "", "What `--output` of `create_training_job.py` is where it is not given."),
]

_SETTINGS_HEAD = """## Environment variables of a hub

Read once, at the start. An unknown name that begins with `AIHUB_` is refused, so that a typing error cannot pass unseen.
`DATABASE_URL` and `MLFLOW_TRACKING_URI` are understood too; the names below win.

"""

_SPEC_HEAD = (
    "# The specification of a model\n\n"
    + _GENERATED
    + """One YAML file a model. `aihub schema spec` prints its JSON schema; an editor completes and checks fields when the file begins with

```text
# yaml-language-server: $schema=https://.../schemas/model-spec.schema.json
```

(or a relative path to `schemas/model-spec.schema.json` of a checkout). An unknown field is refused with the nearest name, file and line.

@FIELDS@

## training

Only `target` is needed.

@TRAINING@

### hyperparameters

Ranges are checked before training; whatever is not named here is refused. The libraries' own aliases (`eta`, `feature_fraction`, ...) are understood.

@ALGORITHMS@

## validation

```yaml title="example.yaml"
name: example
training:
  target: load
validation:
  thresholds:
    mae: {max: 40.0, max_vs_champion: 1.02, max_vs_naive: 0.9}
    rmse: null          # removes a default
  checks:
    prediction_stability: false
    data_drift: {severity: warn, alpha: 0.01}
    multivariate_drift: true
```

Precedence is spec, then what a call gives, then the tenant, then the defaults of the model type; the report says for every value where it came from.

### thresholds

A metric's limits replace that metric's default as a whole; `null` removes it. Limits are @LIMITS@: `max` and `min` in the metric's own
unit, `max_vs_champion` and `min_vs_champion` as a factor of the champion's, `max_vs_naive` as a factor of the seasonal naive forecast's error.

@THRESHOLDS@

### checks

A mapping from the name of a [check](checks.md) to `false` (off), `true` (on) or a mapping with `severity` (`fail`, `warn`, `info`), `enabled` and the check's own parameters.

## policy

What happens after the gate. It is kept with each version, and the rules of the tenant are a floor below it: a policy can be stricter than them, never laxer. [Approve and deploy](../how-to/approve-and-deploy.md) shows it at work.

@DeliveryPolicy@

### environments

`staging` and `production`; one that is left out does not exist for the model. Production takes only what has been in staging, unless there is no staging.

@EnvironmentRule@

### approval

@ApprovalRule@

### strategy

Of the policy: for production. An environment may have its own.

@Strategy@

A step of a canary:

@RolloutStep@

The limits:

@RolloutLimits@

### freeze

@FreezeWindow@

### watch

@WatchPolicy@

A rule fires when all of its conditions hold:

@WatchRule@

## serving

How the model answers, and what of a prediction is written down. [Ask a model](../how-to/serve.md) shows it at work.

@ServingRules@

### log

@LogRules@
"""
)

_CHECKS_HEAD = (
    "# The checks\n\n"
    + _GENERATED
    + """In the order of a report. A check that lacks what it compares with is *skipped* and says so. At severity `fail` anything but
*passed* or *skipped* stops the gate; `warn` and `info` never do. [What the gate tests and why](../explanation/gate.md) explains when each one runs.

Severity and parameters are set under [`validation.checks`](spec.md#checks).

@SUMMARY@

"""
)

PAGES = {"cli.md": cli_page, "spec.md": spec_page, "checks.md": checks_page}


def main() -> int:
    """Write every page into the folder named on the command line, by default that of the documentation."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
