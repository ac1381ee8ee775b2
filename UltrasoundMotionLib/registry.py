"""Registries of named entries that are found by looking into a package: a new entry is a new file there.

A module that cannot be imported because a package is missing does not hide the others: `Registry.unavailable` says why.
"""

from __future__ import annotations

import pkgutil
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Generic, Protocol, TypeVar

from UltrasoundMotionLib.errors import InputError


class Entry(Protocol):
    """A named entry; `rank` orders lists, the smallest first."""

    @property
    def name(self) -> str: ...

    @property
    def rank(self) -> int: ...


E = TypeVar("E", bound=Entry)


class Registry(Generic[E]):
    """Entries by name. Modules and packages directly in `package` are imported when the entries are first asked for.

    Args:
        noun: of an entry, for messages: "tracker".
        package: full name of the package to look into; its `__path__` may be extended.
    """

    def __init__(self, noun: str, package: str) -> None:
        self._noun, self._package = noun, package
        self._entries: dict[str, E] = {}
        self._former: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._lock = threading.RLock()

    def add(self, entry: E, former_names: Sequence[str] = ()) -> E:
        """Adds an entry.

        Args:
            former_names: names by which `find` finds it as well; no list shows them.

        Raises:
            InputError: a name is taken.
        """
        for name in (entry.name, *former_names):
            if name in self._entries or name in self._former:
                raise InputError(f"a {self._noun} named {name} is registered already")
        self._entries[entry.name] = entry
        self._former.update(dict.fromkeys(former_names, entry.name))
        return entry

    def all(self) -> tuple[E, ...]:
        """All entries by rank, then by name."""
        self._look()
        return tuple(sorted(self._entries.values(), key=lambda entry: (entry.rank, entry.name)))

    def find(self, name: str) -> E:
        """The entry of that name, or of that former name.

        Raises:
            InputError: there is none; the message lists those there are.
        """
        name = self.present_name(name)
        if name not in self._entries:
            names = ", ".join(entry.name for entry in self.all())
            missing = "; ".join(f"{module} needs {why}" for module, why in self.unavailable.items())
            more = f" ({missing})" if missing else ""
            raise InputError(f"there is no {self._noun} named {name}; choose one of {names}{more}")
        return self._entries[name]

    def present_name(self, name: str) -> str:
        """The name of the entry that had this name before; any other name as it is."""
        self._look()
        return self._former.get(name, name)

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Modules of the package that could not be imported, and the package that each of them lacks."""
        return {module: missing for module, missing in self._seen.items() if missing}

    def _look(self) -> None:
        with self._lock:  # a child process preloads on one thread while a job asks on another
            self._import_new_modules()

    def _import_new_modules(self) -> None:
        for module in pkgutil.iter_modules(import_module(self._package).__path__):
            if module.name in self._seen:
                continue
            self._seen[module.name] = ""
            try:
                import_module(f"{self._package}.{module.name}")
            except ModuleNotFoundError as error:
                if error.name is None or error.name.split(".", maxsplit=1)[0] == self._package.split(".")[0]:
                    raise
                self._seen[module.name] = error.name
