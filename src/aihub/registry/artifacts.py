"""One file per artefact: a zip without compression that has exactly one form for its content.

The first member is ``manifest.json`` (canonical JSON), the others are the model's files in sorted order. Reading packs
what was read again and compares the bytes, so a file with anything else in it (a second member of the same name, a
prefix, a comment, other times, compression) is refused. Nothing in it is executable and nothing is a pickle.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import time
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aihub.errors import ArtifactError, InputError
from aihub.registry.backing import SharedFolder
from aihub.registry.files import read_regular, sweep, write_atomically
from aihub.registry.versioning import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from aihub.registry.backing import Backing

SCHEMA = "aihub.artifact/1"
"""Changes when a reader of the old form could misunderstand the new one."""
MANIFEST = "manifest.json"
SUFFIX = ".aihub"
MAGIC = b"PK\x03\x04"
MAX_ARTIFACT_BYTES = 1 << 30
MAX_MANIFEST_BYTES = 8 << 20
MAX_FILES = 256
LEFTOVER_AGE_S = 86_400.0
"""A temporary file older than this has no writer any more."""
MEMBER = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,99}/){0,3}[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
KIND = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}/[1-9][0-9]{0,3}")
DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"schema", "kind", "name", "files", "lineage", "environment"}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an artefact says about itself.

    Attributes
    ----------
    kind
        What reads it, with the version of its form: ``forecast/1``, ``anomaly/1``.
    name
        Name for people; a version's identity is its digest.
    lineage
        `aihub.registry.lineage.Lineage.to_dict`, or empty.
    environment
        Versions of the packages that wrote it.
    """

    kind: str
    name: str
    lineage: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An artefact that was read and found whole."""

    manifest: Manifest
    files: Mapping[str, bytes]
    digest: str
    size_bytes: int


def pack(files: Mapping[str, bytes], manifest: Manifest) -> bytes:
    """Return the one file for `files` and `manifest`; the same input gives the same bytes.

    Raises
    ------
    ArtifactError
        A name, a size or the manifest is not allowed.

    Examples
    --------
    >>> data = pack({"model.json": b"{}"}, Manifest(kind="forecast/1", name="demo"))
    >>> read_bytes(data).files["model.json"]
    b'{}'
    """
    described = _describe(files, manifest)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name, content in ((MANIFEST, described), *sorted(files.items())):
            # Times, modes and the system are fixed, else the digest would depend on where and when.
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o100600 << 16
            archive.writestr(member, content)
    return buffer.getvalue()


def _describe(files: Mapping[str, bytes], manifest: Manifest) -> bytes:
    if not 0 < len(files) <= MAX_FILES:
        raise ArtifactError(f"an artefact has 1 to {MAX_FILES} files, not {len(files)}")
    folded = {name.lower() for name in files}
    if len(folded) < len(files) or MANIFEST in folded:
        raise ArtifactError("two files of the artefact have the same name; rename one")
    for name in files:
        if not MEMBER.fullmatch(name):
            raise ArtifactError(
                f"file name {name[:120]!r} is not allowed in an artefact; use letters, digits, '._-'"
            )
    if sum(len(content) for content in files.values()) > MAX_ARTIFACT_BYTES - MAX_MANIFEST_BYTES:
        raise ArtifactError(
            f"the model's files are larger than {MAX_ARTIFACT_BYTES:,} bytes; train a smaller model"
        )
    if not KIND.fullmatch(manifest.kind):
        raise ArtifactError(f"kind {manifest.kind[:80]!r} is not of the form 'forecast/1'")
    try:
        text = canonical_json(
            {
                "schema": SCHEMA,
                "kind": manifest.kind,
                "name": manifest.name,
                "lineage": dict(manifest.lineage),
                "environment": dict(manifest.environment),
                "files": {
                    name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
                    for name, content in files.items()
                },
            }
        )
    except (InputError, UnicodeEncodeError) as error:
        raise ArtifactError(f"the manifest cannot be written: {error}") from error
    if len(text) > MAX_MANIFEST_BYTES:
        raise ArtifactError(f"the manifest is larger than {MAX_MANIFEST_BYTES:,} bytes; shorten the lineage")
    return text


def write(path: Path, data: bytes) -> str:
    """Write a packed artefact atomically and return its digest; what cannot be read back is not written."""
    digest = read_bytes(data, source=str(path)).digest
    write_atomically(path, data)
    return digest


def read(path: Path) -> Artifact:
    """Read and check an artefact.

    Raises
    ------
    ArtifactError
        The file is missing, damaged, was changed, or is not an artefact of ours.
    """
    return read_bytes(read_regular(path, limit=MAX_ARTIFACT_BYTES), source=str(path))


def read_bytes(data: bytes, *, source: str = "artefact") -> Artifact:
    """Check a packed artefact and return what is in it.

    Raises
    ------
    ArtifactError
        Any byte is not as `pack` would have written it.
    """
    members = _members(data, source)
    manifest = _manifest(members.pop(MANIFEST, b""), source)
    try:
        canonical = pack(members, manifest)
    except ArtifactError as error:
        raise ArtifactError(f"{source}: {error}") from error
    if canonical != data:
        raise ArtifactError(
            f"{source} was changed or damaged: it is not what its manifest says; fetch it again"
        )
    return Artifact(
        manifest=manifest, files=members, digest=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
    )


def _members(data: bytes, source: str) -> dict[str, bytes]:
    if len(data) > MAX_ARTIFACT_BYTES:
        raise ArtifactError(f"{source} is larger than {MAX_ARTIFACT_BYTES:,} bytes")
    if not data.startswith(MAGIC):
        raise ArtifactError(f"{source} is not an artefact of the hub")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > MAX_FILES + 1:
                raise ArtifactError(f"{source} has more than {MAX_FILES} files")
            for info in infos:
                # A stored member cannot be larger than the file that holds it: no zip bomb gets beyond here.
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data):
                    raise ArtifactError(
                        f"{source}: member {info.filename[:120]!r} is compressed or has a false size"
                    )
            return {info.filename: archive.read(info) for info in infos}
    except (
        zipfile.BadZipFile,
        ValueError,
        RuntimeError,
        NotImplementedError,
        EOFError,
        OSError,
        OverflowError,
        LookupError,
        struct.error,
    ) as error:
        raise ArtifactError(f"{source} is damaged: {error}; fetch or train it again") from error


def _manifest(text: bytes, source: str) -> Manifest:
    if len(text) > MAX_MANIFEST_BYTES:
        raise ArtifactError(f"{source}: the manifest is larger than {MAX_MANIFEST_BYTES:,} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{source} has no readable {MANIFEST}; it is not an artefact of the hub"
        ) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        message = (
            f"{source} has manifest form {str(found)[:80]!r}, this hub reads {SCHEMA!r}; use a hub that fits"
        )
        raise ArtifactError(message)
    kind, name = document.get("kind"), document.get("name")
    lineage, environment = document.get("lineage"), document.get("environment")
    if (
        set(document) != _FIELDS
        or not (isinstance(kind, str) and isinstance(name, str))
        or not (isinstance(lineage, dict) and isinstance(environment, dict))
    ):
        raise ArtifactError(f"{source}: fields of the manifest are missing, unknown or of another type")
    return Manifest(kind=kind, name=name, lineage=lineage, environment=environment)


@dataclass(frozen=True)
class ArtifactStore:
    """Artefacts by digest under `root`; writing twice is writing once.

    Attributes
    ----------
    backing
        What makes other machines see them, and this machine those of others.
    """

    root: Path
    backing: Backing = field(default_factory=SharedFolder)

    @property
    def is_shared_folder(self) -> bool:
        """Whether all machines see the same files, so that nothing has to be fetched."""
        return isinstance(self.backing, SharedFolder)

    def path(self, digest: str) -> Path:
        """Return the file of this machine with the artefact `digest`; whether it is whole says `verify`.

        Raises
        ------
        ArtifactError
            It is no digest, or no machine of the fleet has stored this artefact.
        UnavailableError
            The bucket does not answer.
        """
        path = self._place(digest)
        self.backing.bring(path, digest)
        return path

    def put(self, data: bytes) -> str:
        """Store a packed artefact and return its digest. Idempotent; mends a damaged copy.

        Also removes what writers that were killed have left beside it.

        Raises
        ------
        ArtifactError
            It is no artefact.
        UnavailableError
            It could not be stored where all machines find it.
        """
        digest = read_bytes(data).digest
        path = self._place(digest)
        try:
            _content(path, digest)
        except ArtifactError:
            write_atomically(path, data)
        sweep(path.parent, older_than_s=LEFTOVER_AGE_S, now_s=time.time())
        self.backing.publish(path, digest)
        return digest

    def get(self, digest: str) -> Artifact:
        """Read an artefact and check it against its digest.

        Raises
        ------
        ArtifactError
            It is missing or is not what was stored.
        UnavailableError
            The bucket does not answer.
        """
        return read_bytes(_content(self.path(digest), digest), source=f"artefact {digest[:12]}")

    def verify(self, digest: str) -> None:
        """Check that the artefact is there and unchanged, without parsing it.

        Raises
        ------
        ArtifactError
            It is missing or is not what was stored.
        UnavailableError
            The bucket does not answer.
        """
        _content(self.path(digest), digest)

    def workspace(
        self, digests: Sequence[str], *, check: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Path]:
        """Return a folder for a process that talks to nobody: these artefacts are in it, those that it leaves there are stored.

        Open an `ArtifactStore` on it. What of `digests` cannot be had is not in it. They are stored when the block ends well;
        while the bucket is away that waits for some minutes, until `check` raises.

        Raises
        ------
        UnavailableError
            The bucket does not answer.
        """
        return self.backing.workspace(self.root, {self._place(digest): digest for digest in digests}, check)

    def keep(self, digests: Iterable[str]) -> None:
        """Let this machine keep its copies of these artefacts: they are in use."""
        self.backing.keep([self._place(digest) for digest in digests])

    def list(self) -> Iterator[str]:
        """Digests of what lies here, sorted."""
        for path in sorted(self.root.glob(f"??/*{SUFFIX}")):
            if DIGEST.fullmatch(path.stem):
                yield path.stem

    def _place(self, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):
            raise ArtifactError(f"{digest[:80]!r} is not a SHA-256 digest")
        return self.root / digest[:2] / f"{digest}{SUFFIX}"


def _content(path: Path, digest: str) -> bytes:
    content = read_regular(path, limit=MAX_ARTIFACT_BYTES)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ArtifactError(f"artefact {digest[:12]} was changed or damaged on disk; restore it from a copy")
    return content
