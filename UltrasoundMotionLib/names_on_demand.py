"""Packages whose names are imported when first asked for, so that nothing heavy loads early: an application that shows
a result needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def names_on_demand(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package.

    Args:
        package: its full name.
        modules: for each public name the module inside the package that defines it (or a package that passes it on).
    """

    def find(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package} has no attribute {name}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return find
