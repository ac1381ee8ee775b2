"""The registration methods by name; each is one file or folder in `registration/methods`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from UltrasoundMotionLib.device import WITHOUT_MPS
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registry import Registry
from UltrasoundMotionLib.settings import with_changes
from UltrasoundMotionLib.weights import NetworkKind, find_card, installed_cards, kind_of_card, read_card

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.registration.label_doubts import ClassMaps
    from UltrasoundMotionLib.registration.working_pair import WorkingPair

FIELD_BYTES = 600
"""Bytes per voxel of a field that is itself optimised: 260 measured in 3D, 280 in 2D, doubled for the libraries."""

NETWORK_BYTES = 1000
"""Bytes per voxel of a field that one pass of a network predicts."""

NETWORK_FINEST_MM = 1.0
"""Finer than any domain: a network's grid must not be made coarser where slices are thick."""


class Report(Protocol):
    """Called by a method after each piece of work.

    `displacement` gives the field so far when it is asked for; raising stops the method.
    """

    def __call__(self, done: int, total: int, message: str, displacement: Callable[[], Tensor]) -> None: ...


@dataclass(frozen=True, eq=False)
class MethodSetup:
    """The surroundings in which a method runs.

    Attributes:
        pair: both images on the working grid, on the device to compute on.
        settings: of the method, of the kind its entry names; None where it has none.
        report: to be called after each piece of work.
        weights: card of the trained weights that were asked for; None: the method chooses.
        keep_maps: to be called with the class maps of the pair by a method that has some, with which carried labels are
            compared.
    """

    pair: WorkingPair
    settings: Any
    report: Report
    weights: Path | None = None
    keep_maps: Callable[[ClassMaps], None] = lambda maps: None


@dataclass(frozen=True)
class RegistrationMethod:
    """A method that can be asked for by name.

    Attributes:
        name: as `method=` and `--method` take it.
        summary: one line for lists.
        run: does the work: gives the displacement (1, n, *spatial) in voxels of the pair's grid, channels (x, y[, z]).
        rank: orders lists, the smallest first.
        settings: makes its default settings, a frozen dataclass; None: it has none.
        settings_for_pair: makes its default settings for a pair, where they depend on it.
        weights: names of the trained weights that it chooses from; empty: it needs none.
        networks: the kinds of network whose weights it can use.
        refinable: whether its settings have `refine`: a network's prediction may be refined on the pair.
        transfers_labels: whether its network also leads back, so that the labels it carries get a confidence; its
            settings then have `refine` and `backward`.
        guided_by_labels: whether the user's labels may take the place of its network's class maps.
        compares_structures: whether it can register two modalities, whose intensities cannot be compared.
        devices: kinds of PyTorch device that it can use.
        bytes_per_voxel: its peak memory per voxel of the working grid, measured, rounded up.
        finest_mm: voxels of the working grid may be that fine, where thick slices would otherwise make them coarser
            (see `choose_working_grid`).
        how_to_install: how to get the weights of a method that comes without, a sentence.
        use: one sentence for users who choose: what it is good for.
    """

    name: str
    summary: str
    run: Callable[[MethodSetup], Tensor]
    rank: int = 100
    settings: Callable[[], Any] | None = None
    settings_for_pair: Callable[[WorkingPair], Any] | None = None
    weights: tuple[str, ...] = ()
    networks: tuple[NetworkKind, ...] = ()
    refinable: bool = False
    transfers_labels: bool = False
    guided_by_labels: bool = False
    compares_structures: bool = False
    devices: tuple[str, ...] = WITHOUT_MPS
    bytes_per_voxel: int = FIELD_BYTES
    finest_mm: float | None = None
    how_to_install: str = ""
    use: str = ""

    @property
    def installed(self) -> bool:
        """True where it can run as it is: it needs no weights, or some that it chooses from are installed."""
        return not self.weights or any(path.stem in self.weights for path in installed_cards())

    @property
    def gives_confidence(self) -> bool:
        """True where the labels that it carries can get a confidence, from the way back or from class maps."""
        return self.transfers_labels or self.guided_by_labels

    def check_weights(self, wanted: str | Path | None) -> None:
        """Checks that there are weights to run with.

        Args:
            wanted: those that were asked for; None: none were.

        Raises:
            InputError: none were asked for, and none are installed; the message says how to get them.
        """
        if wanted is None and not self.installed:
            raise InputError(f"{self.name} comes without weights. {self.how_to_install}")

    def settings_from(
        self, settings: Any = None, *, refine: bool | None = None, pair: WorkingPair | None = None
    ) -> Any:
        """The method's settings: those given, or its default ones with the changes of a mapping.

        Args:
            settings: of the method's kind, or changes by name; None: the default ones.
            refine: changes the setting of that name; None leaves it.
            pair: the default settings may depend on it.

        Raises:
            InputError: settings of another kind, changes to settings that it does not have, `refine` of a method that
                has no prediction to refine.
        """
        chosen = self._settings_from(settings, pair)
        if refine is None:
            return chosen
        if not self.refinable:
            raise InputError(f"refine: {self.name} has no prediction of a network to refine; leave it out")
        return replace(chosen, refine=refine)

    def _settings_from(self, settings: Any, pair: WorkingPair | None) -> Any:
        if self.settings is None:
            if settings:
                raise InputError(f"settings: {self.name} has none")
            return None
        default = self.settings()
        if settings is None or isinstance(settings, Mapping):
            if pair is not None and self.settings_for_pair is not None:
                default = self.settings_for_pair(pair)
            return with_changes(default, settings)
        if not isinstance(settings, type(default)):
            raise InputError(f"settings: {self.name} takes {type(default).__name__}, got {type(settings).__name__}")
        return settings

    def card_from(self, weights: str | Path | None) -> Path | None:
        """The card of the weights that were asked for; None where none were.

        Raises:
            InputError: see `find_card`; weights of a network that the method does not use.
        """
        if weights is None:
            return None
        if not self.networks:
            raise InputError(f"weights {weights}: the method {self.name} needs none; leave them out")
        path = find_card(weights)
        kind_of_card(read_card(path), self.networks)
        return path


METHODS: Registry[RegistrationMethod] = Registry("registration method", "UltrasoundMotionLib.registration.methods")


def registration_method(
    name: str, summary: str, *, former_names: tuple[str, ...] = (), **abilities: Any
) -> Callable[[Callable[[MethodSetup], Tensor]], Callable[[MethodSetup], Tensor]]:
    """Decorator: registers a function that runs a method; `abilities` are the other attributes of `RegistrationMethod`.

    The function's file is imported by whoever lists the methods: it imports PyTorch inside the function.

    Args:
        former_names: names by which the method is found as well.
    """

    def add(run: Callable[[MethodSetup], Tensor]) -> Callable[[MethodSetup], Tensor]:
        METHODS.add(RegistrationMethod(name, summary, run, **abilities), former_names)
        return run

    return add


def available_methods() -> tuple[RegistrationMethod, ...]:
    """All methods, the default first."""
    return METHODS.all()


def find_method(name: str) -> RegistrationMethod:
    """The method of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    return METHODS.find(name)
