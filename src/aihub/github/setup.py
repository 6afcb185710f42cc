"""What `aihub init` writes into a repository: workflows, specs, requirements and a section of the README."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from aihub.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATES = Path(__file__).parent / "templates"
MODEL_TYPES = ("forecast", "anomaly")
ALGORITHMS = ("lgbm", "xgboost")
TRAINING, MONITORING = (f".github/workflows/model-{name}.yml" for name in ("training", "monitoring"))
_MARK = "# Written by `aihub init`"
_REQUIREMENTS = re.compile(r"^ *cache-dependency-path: (?:(\S+)/)?requirements\.txt$", re.MULTILINE)
START, END = "<!-- aihub:start -->", "<!-- aihub:end -->"
"""Between these lines the README is ours; everything else is left as it is."""
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*|\.")
MAX_README_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Change:
    """One file as it is (None: missing) and as it is to be. A file that people edit is only made, never changed."""

    path: Path
    before: str | None
    after: str

    @property
    def is_new(self) -> bool:
        """Whether the file does not exist."""
        return self.before is None

    def diff(self, root: Path) -> str:
        """Return what would change, as a unified diff."""
        name = self.path.relative_to(root).as_posix()
        lines = difflib.unified_diff(
            (self.before or "").splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            "/dev/null" if self.before is None else f"a/{name}",
            f"b/{name}",
        )
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def changes(root: Path, folder: str) -> list[Change]:
    """Return what is to be written so that the models under `folder` of the repository `root` have their pipeline.

    Parameters
    ----------
    folder
        Relative to the repository, with slashes; ``.`` where the repository is about models only.

    Returns
    -------
    Files that are already as they should be are left out, and so are specs and requirements that exist: they are the
    user's by then.

    Raises
    ------
    ConfigError
        `folder` is no plain folder below the repository.
    InputError
        A file is there that cannot be read, or leads out of the repository; or the workflows are those of another folder.
    """
    folder = _spelled(folder)
    _refuse_second(root, folder)
    wanted = [
        *((name, text, True) for name, text in _workflows(folder)),
        *((name, text, False) for name, text in _starting_points(folder)),
    ]
    found = []
    for name, text, is_ours in wanted:
        path = _inside(root, name)
        before = _read(path)
        if before is None or (is_ours and before != text):
            found.append(Change(path=path, before=before, after=text))
    readme = _inside(root, _readme(root))
    before = _read(readme)
    after = _with_section(before or "", _render("readme.md.j2", folder))
    return found if before == after else [*found, Change(path=readme, before=before, after=after)]


def write(change: Change) -> None:
    """Write one file whole, or leave it as it was; the line ends stay those that it has."""
    change.path.parent.mkdir(parents=True, exist_ok=True)
    fresh = change.path.with_name(f".{change.path.name}.new")
    try:
        ends = "\r\n" if not change.is_new and b"\r\n" in change.path.read_bytes() else "\n"
        fresh.write_text(change.after, encoding="utf-8", newline=ends)
        if not change.is_new:
            fresh.chmod(change.path.stat().st_mode & 0o777)
        fresh.replace(change.path)
    finally:
        fresh.unlink(missing_ok=True)


def _spelled(folder: str) -> str:
    """Return a folder as it stands in the workflows: without what a shell's completion adds to it.

    >>> _spelled("./teams/load/")
    'teams/load'
    """
    name = folder.removeprefix("./").removesuffix("/") or folder
    if not _FOLDER.fullmatch(name):
        message = (
            f"{folder[:80]!r} is no folder below the repository that a workflow can name; "
            "write it like ai-hub or teams/load, in letters, digits, '.', '_' and '-'"
        )
        raise ConfigError(message, field="path")
    return name


def _refuse_second(root: Path, folder: str) -> None:
    """Refuse to put the pipeline of one folder in the place of another's: a repository has one."""
    text = _read(_inside(root, TRAINING)) or ""
    found = _REQUIREMENTS.search(text) if _MARK in text else None
    if found is None or (found[1] or ".") == folder:
        return
    raise InputError(
        f"the workflows of this repository are those of --path {found[1] or '.'}, and a repository has one pipeline; "
        f"put the specs of {folder} under {_below(found[1] or '.', 'models')}, or, to move it, remove {TRAINING} and "
        f"{MONITORING} first"
    )


def _readme(root: Path) -> str:
    """Name of the README that is there, however it is written: GitHub shows one of them."""
    found = (file.name for file in sorted(root.iterdir()) if file.name.lower() == "readme.md")
    return next(found, "README.md")


def _workflows(folder: str) -> Iterator[tuple[str, str]]:
    for path in (TRAINING, MONITORING):
        yield path, _render(f"{PurePosixPath(path).name}.j2", folder)


def _starting_points(folder: str) -> Iterator[tuple[str, str]]:
    yield _below(folder, "requirements.txt"), f"aihub=={version('aihub')}\n"
    for model_type in MODEL_TYPES:
        for algorithm in ALGORITHMS:
            text = _render("spec.yaml.j2", folder, model_type=model_type, algorithm=algorithm)
            yield _below(folder, f"models/{model_type}_{algorithm}.yaml"), text


def _render(template: str, folder: str, **more: Any) -> str:
    import jinja2

    # The usual braces are GitHub's: in these templates they are text.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML and Markdown, of values that were checked
    )
    values = {
        "folder": folder,
        "glob": "**" if folder == "." else f"{folder}/**",
        "models": _below(folder, "models"),
        "requirements": _below(folder, "requirements.txt"),
    }
    return environment.get_template(template).render(**values, **more)


def _below(folder: str, name: str) -> str:
    return str(PurePosixPath(folder) / name)


def _with_section(text: str, section: str) -> str:
    """Put our section in its place, behind the rest where it has none yet."""
    block = f"{START}\n{section.strip()}\n{END}\n"
    head, start, rest = text.partition(START)
    if not start:
        return f"{text.rstrip()}\n\n{block}".lstrip()
    _, end, tail = rest.partition(END)
    if not end:
        raise InputError(f"README.md has the line {START} and not {END}; mend it, or remove the section")
    return f"{head}{block}{tail.removeprefix(chr(10))}"


def _inside(root: Path, name: str) -> Path:
    """Path of a file in the repository; one that a link leads out of it is refused."""
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{name} leads out of the repository by a link; nothing was written")
    return path


def _read(path: Path) -> str | None:
    try:
        if path.exists() and path.stat().st_size > MAX_README_BYTES:
            raise InputError(f"{path} is larger than {MAX_README_BYTES >> 20} MiB; nothing was written")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}); nothing was written") from error
