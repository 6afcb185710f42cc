from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from aihub.registry.backing import SharedFolder

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT = """
import sys
from aihub.errors import ConfigError
from aihub.hub import opened
from aihub.registry.backing import backing_of
from aihub.settings import from_environment
with opened(from_environment({}, home=sys.argv[1], mlflow_tracking_uri="off")) as hub:
    hub.artifacts, hub.dataset_backing
assert "obstore" not in sys.modules
sys.modules["obstore"] = None
try:
    backing_of(from_environment({"AIHUB_ARTIFACTS": "s3://models/hub"}), "artifacts")
except ConfigError as error:
    print(error)
"""


def test_only_a_hub_with_a_bucket_imports_what_talks_to_one_and_says_where_it_is_missing(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", DEFAULT, str(tmp_path)]
    done = subprocess.run(command, check=True, timeout=120, capture_output=True, text=True)
    assert "pip install 'aihub[s3]'" in done.stdout


def test_shared_folder_is_the_file_itself(tmp_path: Path) -> None:
    folder, path = SharedFolder(), tmp_path / "ab" / "abc"
    with folder.held(path, "abc", tmp_path / "name", lambda: None) as held:
        assert held == path
    with folder.workspace(tmp_path, {}, lambda: None) as workspace:
        assert workspace == tmp_path
