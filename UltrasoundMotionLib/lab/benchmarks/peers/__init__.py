"""Trackers and registrations of other packages, one file per package, each behind the same call as our own.

Their settings are chosen to do well, not to lose; the docs list them. They are found in the Python that runs the
benchmark: `pip install --editable ".[benchmark,elastix]"` brings them all from PyPI. A package that is not
installed raises MissingPackageError, which a benchmark shows as a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, TypeVar

from UltrasoundMotionLib.errors import MissingPackageError
from UltrasoundMotionLib.registry import Registry

Kind = Literal["tracking", "registration"]
Make = TypeVar("Make", bound=Callable[..., Any])


@dataclass(frozen=True)
class Peer:
    """A tracker or a registration of another package.

    Attributes:
        name: in tables and on the command line.
        summary: one line.
        kind: what it takes part in.
        call: without arguments, makes a tracker (an `OnlineTracker`); or registers, (fixed, moving) -> displacement on
            the grid of the fixed image.
        settings: the keyword arguments that `call` gives to what the peer's file defines.
        whole: keyword arguments with which a registration that chooses a part of its images itself takes all of them.
        takes_part: whether it is one of those that run when none is named.
        dense: whether it makes a flow of the whole image, so that any number of points costs the same.
        rank: orders tables, the smallest first.
    """

    name: str
    summary: str
    kind: Kind
    call: Callable[..., Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    takes_part: Callable[[], bool] = lambda: True
    dense: bool = False
    rank: int = 100
    whole: Mapping[str, Any] = field(default_factory=dict)


_REGISTRIES: dict[Kind, Registry[Peer]] = {
    "tracking": Registry("tracking peer", __name__),
    "registration": Registry("registration peer", __name__),
}


def peer(
    name: str,
    summary: str,
    kind: Kind = "tracking",
    *,
    settings: Mapping[str, Any] | None = None,
    takes_part: Callable[[], bool] = lambda: True,
    dense: bool = False,
    rank: int = 100,
    whole: Mapping[str, Any] | None = None,
) -> Callable[[Make], Make]:
    """Decorator: makes a class or function a peer, called with `settings`. See `Peer`.

    Raises:
        InputError: the name is taken.
    """

    def add(make: Make) -> Make:
        """Adds the peer to those of its kind and returns the class or function as it is."""
        chosen = dict(settings or {})
        call = partial(make, **chosen)
        _REGISTRIES[kind].add(Peer(name, summary, kind, call, chosen, takes_part, dense, rank, dict(whole or {})))
        return make

    return add


def available_peers(kind: Kind) -> tuple[Peer, ...]:
    """All peers of a kind that take part when none is named."""
    return tuple(one for one in _REGISTRIES[kind].all() if one.takes_part())


def find_peer(name: str, kind: Kind) -> Peer:
    """The peer of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    return _REGISTRIES[kind].find(name)


def import_package(module: str, package: str, extra: str = "benchmark") -> ModuleType:
    """Imports what a peer needs.

    Raises:
        MissingPackageError: it is not installed; the message says how to.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackageError(f'comparing with {package} needs it: pip install --editable ".[{extra}]"') from error
