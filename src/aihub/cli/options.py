"""Options that several commands have in common, so that they are called and explained the same everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import click

URL = "AIHUB_URL"
"""Names the hub that commands talk to; without it they work on the files of AIHUB_HOME."""

PATH = click.Path(path_type=Path)
"""A path as it was given; what is wrong with it is said by who reads it, with the next step."""

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document for machines.")


def is_remote() -> bool:
    """Whether the environment names a hub to talk to."""
    return bool(os.environ.get(URL, "").strip())
