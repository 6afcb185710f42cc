"""An unpickler that knows what it is asked for. Runs in the confined child only.

It is Python's own pure-Python unpickler, because every step has to be looked at: which name is fetched, what is
called, and whose state is set. In examining mode nothing of LightGBM, XGBoost or scikit-learn is made; a `Capture`
keeps the state instead.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict, defaultdict
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from aihub.errors import ArtifactError
from aihub.registry.allowlist import ALLOWED, PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable

TRUST_HINT = "if you know where the file comes from, load it with trust=True; it is read in a confined process then too"


class Capture:
    """Stands for an object of an allowed class; keeps what it was made of and its state."""

    origin: ClassVar[tuple[str, str]] = ("", "")

    def __new__(cls, *_arguments: Any, **_named: Any) -> Self:
        """Make one without looking at the arguments."""
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **_named: Any) -> None:
        self.arguments = arguments
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        """Keep the state as it is."""
        self.state = state if isinstance(state, dict) else {"": state}


class ArrayHolder:
    """Stands for joblib's note that an array lies in the file behind the pickle."""

    shape: tuple[int, ...]
    order: str
    dtype: Any

    def read(self, stream: io.BufferedIOBase, nested: Callable[[io.BufferedIOBase], Any]) -> Any:
        """Read the array; one of objects is a pickle of its own and goes through the same unpickler."""
        dtype = np.dtype(self.dtype)
        if dtype.hasobject:
            return nested(stream)
        padding = getattr(self, "numpy_array_alignment_bytes", None)
        if padding is not None:
            stream.read(int.from_bytes(stream.read(1), "little"))
        count = int(np.prod(self.shape, dtype=np.int64))
        content = stream.read(count * dtype.itemsize)
        array = np.frombuffer(content, dtype=dtype, count=count).copy()
        if self.order == "F":
            return array.reshape(self.shape[::-1]).transpose()
        return array.reshape(self.shape)


def _reconstructor(cls: Any, base: Any, state: Any) -> Any:
    """Make an object as protocols 0 and 1 ask for it; only of plain classes."""
    if base is not object or state is not None or not isinstance(cls, type):
        raise ArtifactError(
            "the pickle makes an object in a way that is not allowed; save it with protocol 4"
        )
    return object.__new__(cls)


def _encode(text: str, codec: str) -> bytes:
    """Bytes as protocols 0 to 2 write them."""
    if codec != "latin1":
        raise ArtifactError(f"the pickle uses codec {codec[:20]!r}, which is not allowed")
    return text.encode("latin1")


_OURS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): ArrayHolder,
    ("_codecs", "encode"): _encode,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copy_reg", "_reconstructor"): _reconstructor,
}


# The typed name is the C unpickler, whose steps cannot be looked at.
_PureUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined,unused-ignore] # noqa: SLF001


class RestrictedUnpickler(_PureUnpickler):  # type: ignore[misc] # see above
    """Unpickles allowed names only.

    Parameters
    ----------
    examine
        Make captures instead of objects of the model libraries.
    trust
        Let every name through.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(_PureUnpickler.dispatch)

    def __init__(self, stream: io.BufferedIOBase, *, examine: bool, trust: bool = False) -> None:
        super().__init__(stream)
        self._stream = stream
        self._examine = examine
        self._trust = trust
        self._known: dict[int, Any] = {}
        self.captures: list[Capture] = []

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name, or refuse it."""
        if not self._trust and ((module, name) not in ALLOWED or "." in name):
            raise ArtifactError(
                f"the pickle names {module[:80]}.{name[:80]}, which is not allowed: {TRUST_HINT}"
            )
        found = self._find(module, name)
        self._known[id(found)] = found
        return found

    def _find(self, module: str, name: str) -> Any:
        if (module, name) in _OURS:
            return _OURS[(module, name)]
        if self._examine and (module, name) not in PLAIN:
            return type(name, (Capture,), {"origin": (module, name)})
        if self._trust:
            return super().find_class(module, name)
        new_module = module.replace("numpy.core", "numpy._core").replace("__builtin__", "builtins")
        return getattr(import_module(new_module), name)

    def persistent_load(self, pid: Any) -> Any:
        """Refuse: nothing that we read has a persistent id."""
        raise ArtifactError(f"the pickle refers to {str(pid)[:40]!r} outside of itself, which is not allowed")

    def get_extension(self, code: int) -> None:
        """Refuse: extension codes are names that cannot be seen in the file."""
        raise ArtifactError(f"the pickle uses extension code {code}, which is not allowed")

    def _check_called(self, called: Any) -> None:
        if not self._trust and id(called) not in self._known:
            raise ArtifactError("the pickle calls something that it did not name, which is not allowed")

    def load_reduce(self) -> None:
        """Call only what was fetched by name."""
        self._check_called(self.stack[-2])
        super().load_reduce()
        self._note()

    def load_newobj(self) -> None:
        """Make objects only of classes that were fetched by name."""
        self._check_called(self.stack[-2])
        super().load_newobj()
        self._note()

    def load_newobj_ex(self) -> None:
        """Make objects only of classes that were fetched by name."""
        self._check_called(self.stack[-3])
        super().load_newobj_ex()
        self._note()

    def _note(self) -> None:
        if isinstance(self.stack[-1], Capture):
            self.captures.append(self.stack[-1])

    def load_build(self) -> None:
        """Set the state of objects only, never of classes or functions, and never special attributes."""
        target, state = self.stack[-2], self.stack[-1]
        if not self._trust:
            if id(target) in self._known or isinstance(target, type) or hasattr(target, "__code__"):
                raise ArtifactError("the pickle sets attributes of a class or function, which is not allowed")
            parts = state if isinstance(state, tuple) else (state,)
            names = [name for part in parts if isinstance(part, dict) for name in part]
            if any(isinstance(name, str) and name.startswith("__") for name in names):
                raise ArtifactError("the pickle sets a special attribute, which is not allowed")
        super().load_build()
        if isinstance(self.stack[-1], ArrayHolder):
            holder = self.stack.pop()
            self.stack.append(holder.read(self._stream, self._nested))

    def _nested(self, stream: io.BufferedIOBase) -> Any:
        inner = RestrictedUnpickler(stream, examine=self._examine, trust=self._trust)
        value = inner.load()
        self.captures += inner.captures
        return value

    def load_inst(self) -> None:
        """Refuse: protocol 0 of Python 1."""
        raise ArtifactError("the pickle uses an outdated step, which is not allowed; save it with protocol 4")

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.INST[0]] = load_inst
    dispatch[pickle.OBJ[0]] = load_inst


def load(content: bytes, *, examine: bool, trust: bool = False) -> tuple[Any, list[Capture]]:
    """Unpickle `content` and return the object and all captures in it.

    Raises
    ------
    ArtifactError
        A name or step is not allowed, or the file is damaged.
    """
    unpickler = RestrictedUnpickler(
        cast("io.BufferedIOBase", io.BytesIO(content)), examine=examine, trust=trust
    )
    try:
        return unpickler.load(), unpickler.captures
    except ArtifactError:
        raise
    except ImportError as error:
        raise ArtifactError(
            f"the pickle needs a package that is missing here: {error}; install it"
        ) from error
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # a hostile or damaged file may raise anything
        text = f"{type(error).__name__}: {error}"[:300]
        raise ArtifactError(f"the pickle is damaged, or of another version of its library: {text}") from error
