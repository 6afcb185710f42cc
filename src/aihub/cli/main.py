"""`aihub`: the group of commands, and the one border where an error becomes an exit code.

0 the gate passed, 1 the gate failed, 2 bad input, 3 internal.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING

import click

from aihub.errors import AIHubError, UnavailableError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_BAD_INPUT = 2
EXIT_INTERNAL = 3
EXIT_INTERRUPTED = 130

# Name -> (home, first line of the help): listing the commands imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "aihub.cli.demo:demo",
        "Run the main job on sample data, from training to a deployed, answering model.",
    ),
    "init": ("aihub.cli.init:init", "Write the workflows of a model pipeline into a repository."),
    "sample": ("aihub.cli.sample:sample", "Write data to try a pipeline on."),
    "run": ("aihub.cli.run:run", "Train, validate, register and deploy a model from a spec and a data file."),
    "worker": ("aihub.cli.worker:worker", "Take jobs for a hub, on this machine."),
    "predict": ("aihub.cli.predict:predict", "Ask a deployed model, a version or a model file."),
    "validate": ("aihub.cli.validate:validate", "Validate a model file on a table and write its reports."),
    "report": ("aihub.cli.report:report", "Show the verdict of reports, also in GitHub."),
    "profile": ("aihub.cli.profile:profile", "Summarise a table into a small, mergeable profile."),
    "drift": ("aihub.cli.drift:drift", "Compare two tables or profiles, column by column."),
    "monitor": (
        "aihub.cli.monitor:monitor",
        "Show how the models that serve do, and what is wrong with them.",
    ),
    "register": ("aihub.cli.register:register", "Make a model that was trained elsewhere a version."),
    "models": ("aihub.cli.models:models", "List the models and their versions."),
    "deploy": ("aihub.cli.deploy:deploy", "Put a version into production."),
    "rollback": ("aihub.cli.deploy:rollback", "Go back to the previous good version, or to a named one."),
    "rollouts": (
        "aihub.cli.rollouts:rollouts",
        "List canaries and shadows; make one the champion, or end it.",
    ),
    "changelog": ("aihub.cli.papers:changelog", "Write the changelog of a model from lineage and decisions."),
    "bom": ("aihub.cli.papers:bom", "Write the bill of materials of a version (CycloneDX)."),
    "signing": ("aihub.cli.signing:signing", "Sign versions and check signatures."),
    "notify": ("aihub.cli.notify:notify", "Show who is told what, and try a channel."),
    "keys": ("aihub.cli.keys:keys", "Make, list, replace and revoke API keys."),
    "tenants": ("aihub.cli.tenants:tenants", "Make, list and change tenants and their limits."),
    "audit": ("aihub.cli.audit:audit", "Read, verify and export who did what; sign checkpoints."),
    "trust": ("aihub.cli.trust:trust", "Say which workflows of GitHub the hub knows by their own token."),
    "login": (
        "aihub.cli.login:login",
        "Sign in to a hub as a job of GitHub Actions, without a stored secret.",
    ),
    "jobs": ("aihub.cli.jobs:jobs", "Submit training and validating jobs to a hub, watch them, stop them."),
    "approvals": ("aihub.cli.approvals:approvals", "List what waits for a person."),
    "approve": ("aihub.cli.approvals:approve", "Let a version through."),
    "reject": ("aihub.cli.approvals:reject", "Stop a version from being deployed."),
    "schema": ("aihub.cli.schema:schema", "Print the JSON schema of a spec or of a report."),
    "up": ("aihub.cli.up:up", "Run API, worker and scheduler in one process."),
    "serve": ("aihub.cli.up:serve", "Run the API and the serving of models, without a worker."),
    "doctor": ("aihub.cli.doctor:doctor", "Check the installation and say how to mend what is wrong."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of a newcomer's day."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or fail with the nearest name."""
        if cmd_name not in COMMANDS:
            ctx.fail(f"no command {cmd_name!r}.{did_you_mean(cmd_name, COMMANDS)}")
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{name} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aihub", prog_name="aihub")
def cli() -> None:
    """CI/CD for machine-learning models: train, validate, deploy, ask, roll back.

    Exit codes: 0 the gate passed, 1 the gate failed, 2 bad input, 3 internal error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        code = cli.main(args=arguments, prog_name="aihub", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return EXIT_BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        click.echo("aborted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) went away: nobody is left to tell. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERNAL
    except AIHubError as error:
        click.echo(f"error: {error}", err=True)
        if isinstance(error, UnavailableError):
            click.echo("Nothing is lost: try again later.", err=True)
        return error.exit_code
    except Exception:  # noqa: BLE001 - the border of the process: a fault of ours, shown whole
        traceback.print_exc()
        click.echo(
            "error: this is a fault in the hub, not in your input; please report the lines above", err=True
        )
        return EXIT_INTERNAL
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
