"""Optional packages of the figures, and texts in them as they are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import ParamSpec, TypeVar

from UltrasoundMotionLib.errors import MissingPackageError


def require_plot_packages(what: str = "pictures") -> None:
    """Checks that matplotlib and Pillow are installed, without importing them.

    Raises:
        MissingPackageError: one is missing; the message has `what` needs it and the extra that installs it.
    """
    for module, name in (("matplotlib", "matplotlib"), ("PIL", "Pillow")):
        if find_spec(module) is None:
            raise MissingPackageError(
                f"{what} need{'' if what.endswith('s') else 's'} {name}: pip install matplotlib pillow"
            )


_P = ParamSpec("_P")
_T = TypeVar("_T")


def plain_text(draw: Callable[_P, _T]) -> Callable[_P, _T]:
    """Decorates a function that draws names from files: a `$` in them is no formula."""

    @functools.wraps(draw)
    def drawn(*args: _P.args, **keywords: _P.kwargs) -> _T:
        if find_spec("matplotlib") is None:
            return draw(*args, **keywords)  # which says what is missing
        import matplotlib

        with matplotlib.rc_context({"text.parse_math": False}):
            return draw(*args, **keywords)

    return drawn
