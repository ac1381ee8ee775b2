"""The trackers by name. A tracker registers itself; adding one touches its own file only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker


@dataclass(frozen=True)
class TrackerEntry:
    """A tracker that can be asked for by name.

    Attributes:
        name: what `model=` and `--model` take.
        kind: "points" or "landmarks".
        summary: one line for lists.
        create: makes a fresh tracker on a torch device given by name ("cpu", "cuda", "mps").
        weights: name of the trained weights it needs, in `Resources/Models`; None when it needs none.
    """

    name: str
    kind: str
    summary: str
    create: Callable[[str], OnlineTracker]
    weights: str | None = None


_ENTRIES: dict[str, TrackerEntry] = {}
MODULES = tuple(
    f"UltrasoundMotionLib.tracking.trackers.{name}"
    for name in ("long_short", "specknet", "correlation_filters", "siamese")
)


def register_tracker(entry: TrackerEntry) -> TrackerEntry:
    """Adds an entry; a name is taken once."""
    if entry.name in _ENTRIES:
        raise InputError(f"a tracker named {entry.name} is registered already")
    _ENTRIES[entry.name] = entry
    return entry


def available_trackers() -> tuple[TrackerEntry, ...]:
    """All trackers, always in the same order: the default first, whichever module was imported first."""
    for module in MODULES:  # each registers its own when imported
        import_module(module)
    places = {module: place for place, module in enumerate(MODULES)}
    return tuple(sorted(_ENTRIES.values(), key=lambda entry: places.get(entry.create.__module__, len(places))))


def find_tracker(name: str) -> TrackerEntry:
    """The entry of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    entries = {entry.name: entry for entry in available_trackers()}
    if name not in entries:
        raise InputError(f"there is no tracker named {name}; choose one of {', '.join(entries)}")
    return entries[name]
