"""Lazy imports: the module of a package's public name is imported on first access, so that most uses need no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from UltrasoundMotionLib.quick_import import import_quickly

TYPE_CHECKING = False  # as `typing` has it, whose import would be half of the time before signals are handled
if TYPE_CHECKING:
    from typing import Any


def lazy_attributes(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package.

    Args:
        package: its full name.
        modules: for each public name, the module or subpackage that provides it, relative to the package.
    """

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package} has no attribute {name}")
        return getattr(import_quickly(f"{package}.{modules[name]}"), name)

    return find
