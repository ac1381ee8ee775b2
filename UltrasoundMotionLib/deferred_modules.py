"""Modules of other libraries that a short run never uses, executed on first access instead of at import.

`import torch` executes its tracer, its optimisers and its data loaders, `scipy` NumPy's wrapper of Fortran: a third of
the time before a short run begins. Nothing is lost: a deferred module is there, and executes itself when a name is
taken from it. (`importlib.util.LazyLoader` does the same, but executes it as soon as anyone asks for its file.)

A module can be deferred only if nothing takes a name from it while the library is imported, and if it is not what
breaks a circle of imports: `torch.nested` and `torch.fx.experimental.const_fold` are, and without them at their place
`import torch` fails.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as `typing` has it, whose import would be half of the time before signals are handled
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

DEFERRED = frozenset(
    {
        "numpy.f2py",
        "numpy.testing",
        "scipy._lib.array_api_compat.numpy",
        "scipy.sparse.csgraph",
        "scipy.spatial.transform",
        "scipy.special",
        "torch._meta_registrations",  # of tensors without data; PyTorch's compiler alone uses them
        "torch.ao",
        "torch.distributions",
        "torch.export",
        "torch.masked",
        "torch.nn.intrinsic",
        "torch.nn.qat",
        "torch.nn.quantizable",
        "torch.nn.quantized",
        "torch.optim",
        "torch.profiler",
        "torch.quantization",
        "torch.testing",
        "torch.utils.data",
        "torchgen.model",  # schemas of operators, for PyTorch's compiler
        "unittest.mock",  # with asyncio; PyTorch's compiler patches itself with it
    }
)
"""Full names of the modules; those that a version of a library does not have, or does not import, do not matter."""

_IN_THEIR_ORDER = "torch"
"""A library whose modules rely on the order in which it imports them: its deferred modules are executed together, when
a name is taken from one of them or when another module of the library is imported later.
"""

_SET_BY_THE_IMPORT_SYSTEM = frozenset({"__file__", "__loader__", "__package__", "__path__", "__spec__", "__cached__"})
_NEVER_IN_A_MODULE = frozenset({"__wrapped__"})
"""Names that `inspect` asks every object for; PySide looks at the source of each module that is imported."""


def defer_modules() -> None:
    """Defers the modules of `DEFERRED` in this process; those that are imported already stay as they are."""
    if not any(isinstance(finder, _DeferringFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _DeferringFinder())


def is_deferred(name: str) -> bool:
    """Returns True for the full name of a module that was imported, but not executed so far."""
    return any(isinstance(finder, _DeferringFinder) and name in finder.pending for finder in sys.meta_path)


class _DeferringFinder:
    """Finds the modules of `DEFERRED` where the usual finder of files finds them."""

    def __init__(self) -> None:
        from threading import RLock

        self._lock = RLock()
        self.pending: dict[str, tuple[ModuleType, Loader]] = {}
        self._executes_all = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns the specification of a module that is to be deferred; None for all others."""
        if name not in DEFERRED:
            if name.startswith(f"{_IN_THEIR_ORDER}.") and not _is_being_imported(_IN_THEIR_ORDER):
                self._execute_all(_IN_THEIR_ORDER)
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None and spec.origin is not None:
            spec.loader = _DeferringLoader(self, spec.loader)  # type: ignore[assignment]
        return spec

    def defer(self, module: ModuleType, loader: Loader) -> None:
        """Keeps a module for later, with the loader that can execute it."""
        self.pending[module.__name__] = (module, loader)

    def execute(self, name: str) -> None:
        """Executes a deferred module, with all others where their order matters; other threads wait for it."""
        with self._lock:
            if name.startswith(f"{_IN_THEIR_ORDER}."):
                self._execute_all(_IN_THEIR_ORDER)
            self._execute(name)

    def _execute_all(self, library: str) -> None:
        with self._lock:
            if self._executes_all:
                return
            self._executes_all = True
            try:
                for name in [name for name in self.pending if name.startswith(f"{library}.")]:
                    self._execute(name)
            finally:
                self._executes_all = False

    def _execute(self, name: str) -> None:
        module, loader = self.pending.pop(name, (None, None))
        if module is not None and loader is not None:
            module.__spec__.loader = module.__loader__ = loader  # type: ignore[union-attr]
            loader.exec_module(module)


def _is_being_imported(library: str) -> bool:
    """Returns True until the outermost module of a library has been executed."""
    module = sys.modules.get(library)
    return module is None or getattr(module.__spec__, "_initializing", False)


class _DeferringLoader:
    """Makes a module that is executed on first access."""

    def __init__(self, finder: _DeferringFinder, loader: Loader) -> None:
        self._finder, self._loader = finder, loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns a module that asks the finder to execute it for a name that it does not have yet."""
        from types import ModuleType

        finder = self._finder

        class DeferredModule(ModuleType):
            """A module that is executed when a name is taken from it that it does not have yet."""

            def __getattr__(self, attribute: str) -> Any:
                if attribute in _SET_BY_THE_IMPORT_SYSTEM | _NEVER_IN_A_MODULE:
                    raise AttributeError(f"module {spec.name} has no attribute {attribute}")
                finder.execute(spec.name)
                return ModuleType.__getattribute__(self, attribute)

        return DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leaves the module unexecuted, with the file that is asked for by whoever looks through all modules."""
        module.__file__ = module.__spec__.origin if module.__spec__ else None
        self._finder.defer(module, self._loader)
