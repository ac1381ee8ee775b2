"""Trackers and registrations of other packages, one file per package, each behind the same call as our own.

Their settings are chosen to do well, not to lose; what was measured when choosing is in the docs. They are found in the
Python that runs the benchmark: `pip install "ultrasound-motion[benchmark,elastix]"` brings them all from PyPI. A package
that is not installed raises MissingPackageError, which a benchmark shows as a row.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, TypeVar

from UltrasoundMotionLib.errors import InputError, MissingPackageError

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
        takes_part: whether it is one of those that run when none is named.
        dense: whether it makes a flow of the whole image, so that any number of points costs the same.
    """

    name: str
    summary: str
    kind: Kind
    call: partial[Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    takes_part: Callable[[], bool] = lambda: True
    dense: bool = False

    @property
    def module(self) -> str:
        """Name of the module that defines it."""
        return str(self.call.func.__module__)


_PEERS: dict[tuple[Kind, str], Peer] = {}


def peer(
    name: str,
    summary: str,
    kind: Kind = "tracking",
    *,
    settings: Mapping[str, Any] | None = None,
    takes_part: Callable[[], bool] = lambda: True,
    dense: bool = False,
) -> Callable[[Make], Make]:
    """Decorator: makes a class or function a peer, called with `settings`. See `Peer`.

    Raises:
        InputError: the name is taken.
    """

    def add(make: Make) -> Make:
        if (kind, name) in _PEERS:
            raise InputError(f"a {kind} peer named {name} is registered already")
        chosen = dict(settings or {})
        _PEERS[kind, name] = Peer(name, summary, kind, partial(make, **chosen), chosen, takes_part, dense)
        return make

    return add


def available_peers(kind: Kind) -> tuple[Peer, ...]:
    """All peers of a kind that take part when none is named, file by file."""
    return tuple(one for one in _all_peers(kind) if one.takes_part())


def find_peer(name: str, kind: Kind) -> Peer:
    """The peer of that name.

    Raises:
        InputError: there is none.
    """
    known = {one.name: one for one in _all_peers(kind)}
    if name not in known:
        raise InputError(f"{kind} peer {name!r} does not exist; there are {', '.join(known)}")
    return known[name]


def import_package(module: str, package: str, extra: str = "benchmark") -> ModuleType:
    """Imports what a peer needs.

    Raises:
        MissingPackageError: it is not installed; the message says how to.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f'comparing with {package} needs it: pip install "ultrasound-motion[{extra}]"'
        ) from error


def _all_peers(kind: Kind) -> tuple[Peer, ...]:
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    chosen = [one for one in _PEERS.values() if one.kind == kind]
    return tuple(sorted(chosen, key=lambda one: one.module))
