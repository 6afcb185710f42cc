"""Options that several commands have in common, so that they are called and explained the same everywhere."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
"""A path as it was given; what is wrong with it is said by who reads it, with the next step."""

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document for machines.")
