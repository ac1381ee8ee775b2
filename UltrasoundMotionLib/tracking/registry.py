"""The trackers by name; each is one file or folder in `tracking/trackers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.device import ALL_DEVICES
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.pytorch import check_pytorch, has_pytorch, needs_pytorch
from UltrasoundMotionLib.registry import Registry
from UltrasoundMotionLib.settings import with_changes
from UltrasoundMotionLib.tracking.clip_tracker import AnyFrameTracker, ClipTracker
from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker
from UltrasoundMotionLib.weights import NetworkKind, installed_cards, load_network

KINDS = ("points", "landmarks")


@dataclass(frozen=True)
class TrackerSetup:
    """The surroundings in which a tracker is made.

    Attributes:
        device: PyTorch device, "cpu", "cuda", "cuda:1" or "mps".
        settings: of the tracker, of the kind its entry names; None where it has none.
        network: the trained network, on the device; None where it needs none.
    """

    device: str
    settings: Any = None
    network: Any = None


@dataclass(frozen=True)
class TrackerEntry:
    """A tracker that can be asked for by name.

    Attributes:
        name: as `model=` and `--model` take it.
        summary: one line for lists.
        kind: "points" (tissue, many points) or "landmarks" (single landmarks, for minutes).
        create: makes a fresh tracker.
        rank: orders lists, the smallest first.
        settings: makes its default settings, a frozen dataclass; None: it has none.
        weights: name of the installed weights it takes by default; None: it needs none.
        network: the kind of network it needs.
        devices: kinds of PyTorch device that it can use; empty for trackers without PyTorch.
        gives_confidence: whether its confidence says something; otherwise it is 1 wherever a point is visible.
        online: whether it sees one frame at a time (`OnlineTracker`); otherwise a clip or windows of it
            (`ClipTracker`).
        use: one sentence for users who choose: what it is good for.
        recommended: whether panels offer it before the others.
        for_walls: whether it expects points that stretch apart, as those along a wall do; strain says so where the
            tracker of a wall does not.
    """

    name: str
    summary: str
    kind: str
    create: Callable[[TrackerSetup], OnlineTracker | ClipTracker | AnyFrameTracker]
    rank: int = 100
    settings: Callable[[], Any] | None = None
    weights: str | None = None
    network: NetworkKind | None = None
    devices: tuple[str, ...] = ALL_DEVICES
    gives_confidence: bool = True
    online: bool = True
    use: str = ""
    recommended: bool = False
    for_walls: bool = False

    @property
    def needs_whole_clip(self) -> bool:
        """True for a `ClipTracker`."""
        return not self.online

    @property
    def networks(self) -> tuple[NetworkKind, ...]:
        """The kinds of network it can use."""
        return () if self.network is None else (self.network,)

    @property
    def installed(self) -> bool:
        """True where it can run as it is: PyTorch and the weights that it takes by default are installed, or it needs
        none.
        """
        if self.needs_pytorch and not has_pytorch():
            return False
        return self.weights is None or any(path.stem == self.weights for path in installed_cards())

    @property
    def needs_pytorch(self) -> bool:
        """True for a tracker that computes with PyTorch."""
        return bool(self.devices)

    @property
    def how_to_install(self) -> str:
        """The one line for users that says how to get what it lacks, PyTorch or the weights that it takes by default;
        empty where it lacks nothing.
        """
        if self.installed:
            return ""
        if self.needs_pytorch and not has_pytorch():
            return needs_pytorch(self.name)
        official = None if self.network is None else self.network.official
        if official is None:
            return f"{self.name} needs the weights {self.weights}, which are not installed; install the package again"
        return (
            f"{self.name} needs weights that its authors publish "
            f"({', '.join((*official.files, official.source))}, licence {official.licence}): "
            f"`ultrasound-motion models import CHECKPOINT --as {self.name}` installs their checkpoint"
        )

    def check_installed(self, weights: str | Path | None = None) -> None:
        """Checks that PyTorch, where it needs it, and the weights that it takes by default are there, unless others
        are given.

        Raises:
            InputError: the weights are not there; the message says how to get them.
            MissingPackageError: PyTorch is not.
        """
        if self.needs_pytorch:
            check_pytorch(self.name)
        if weights is None and not self.installed:
            raise InputError(self.how_to_install)

    def make(
        self, device: str = "cpu", *, settings: Any = None, weights: str | Path | None = None
    ) -> OnlineTracker | ClipTracker | AnyFrameTracker:
        """Makes a fresh tracker.

        Args:
            device: PyTorch device.
            settings: of the tracker's kind, or a mapping of changes to the default ones; None: the default ones.
            weights: a name, a card or a safetensors file beside its card; None: the tracker's own.

        Raises:
            InputError: settings of another kind; weights that are missing, damaged or of another network; weights for
                a tracker that needs none.
        """
        self.check_installed(weights)
        network = None
        if self.network is not None:
            network = load_network(weights or self.weights or self.name, self.network, device).network
        elif weights is not None:
            raise InputError(f"weights {weights}: the tracker {self.name} needs none; leave them out")
        return self.create(TrackerSetup(device, self.settings_from(settings), network))

    def settings_from(self, settings: Any = None) -> Any:
        """The tracker's settings: those given, or its default ones with the changes of a mapping.

        Raises:
            InputError: settings of another kind, or changes to what it does not have.
        """
        if self.settings is None:
            if settings is not None:
                raise InputError(f"settings: the tracker {self.name} has none")
            return None
        default = self.settings()
        if settings is None or isinstance(settings, Mapping):
            return with_changes(default, settings)
        if not isinstance(settings, type(default)):
            raise InputError(f"settings: {self.name} takes {type(default).__name__}, got {type(settings).__name__}")
        return settings


TRACKERS: Registry[TrackerEntry] = Registry("tracker", "UltrasoundMotionLib.tracking.trackers")


def tracker(
    name: str, summary: str, *, kind: str, **abilities: Any
) -> Callable[[Callable[[TrackerSetup], Any]], Callable[[TrackerSetup], Any]]:
    """Decorator: registers a function that makes a tracker; `abilities` are the other attributes of `TrackerEntry`."""
    if kind not in KINDS:
        raise InputError(f"tracker {name}: kind must be one of {', '.join(KINDS)}, got {kind}")

    def add(create: Callable[[TrackerSetup], Any]) -> Callable[[TrackerSetup], Any]:
        TRACKERS.add(TrackerEntry(name, summary, kind, create, **abilities))
        return create

    return add


def available_trackers() -> tuple[TrackerEntry, ...]:
    """The trackers that can run here as they are, the default first."""
    return tuple(entry for entry in TRACKERS.all() if entry.installed)


def find_tracker(name: str) -> TrackerEntry:
    """The tracker of that name, whether its weights are installed or not.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    return TRACKERS.find(name)
