"""The requests of registration: every option that a user has, with its default, unit and help, checked once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from UltrasoundMotionLib.arguments import as_array
from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.fields import linear_maps
from UltrasoundMotionLib.settings import check_options, option

AUTO, NONE, ROTATIONS = "auto", "none", "rotations"
ALIGNMENTS = ("rigid", "affine")
"""Initial transforms that are found by mutual information."""

STARTS = (AUTO, *ALIGNMENTS, ROTATIONS, NONE)
WHOLE = "whole"
SEARCH_REGIONS = (AUTO, WHOLE)
SAME, DIFFERENT = "same", "different"
MODALITIES = (AUTO, SAME, DIFFERENT)
HEADER = "header"
ORIENTATIONS = (AUTO, HEADER)
FIXED, MOVING, BOTH = "fixed", "moving", "both"
GUIDES = (NONE, FIXED, MOVING, BOTH)
MODES = ("to-reference", "frame-to-frame")
TISSUE = "tissue"
SEQUENCE_METHODS = ("dense", "rigid", "affine")


@dataclass(frozen=True)
class RegisterRequest:
    """The options of registering two images, the same from Python, the command line, a job and the panel.

    Attributes:
        method: name of the method, see `available_methods()`.
        weights: trained weights in place of those that the method chooses for the pair: a name, a card or a safetensors
            file beside its card.
        refine: of methods that predict by a network: whether the prediction is refined on this pair; None: as the
            method's settings say.
        initial_transform: from fixed to moving points, LPS mm. "auto" finds a rigid one where the images cover less
            than half of each other by their headers, and where they are not alike as they lie and a shift or a rotation
            of any angle makes them so; "rigid" and "affine" always find one, "rotations" tries all rotations; "none" or
            None starts from the headers; or an (n+1, n+1) matrix, or a SimpleITK transform.
        search_region: "auto" cuts the search to the part in which two moments of one scan differ, where the rest is
            still; "whole" registers all.
        modality: whether intensities can be compared: "auto" measures it, "same" compares them, "different" compares
            structures.
        orientation: of the images that a trained network is given: "auto" turns them as it knows them where it does not
            recognise them as they are, "header" takes the axes of the image.
        keep_folds: give a field that folds as the method found it; otherwise the flow of a smooth velocity near it,
            which folds nowhere.
        working_spacing_mm: axes that are finer are resampled to it for the search; the field is given on the fixed grid
            all the same. None: the fixed image's voxels, see `choose_working_grid`.
        guide_labels: "fixed", "moving" or "both": the images whose label maps guide the field in place of the class
            maps of a network, for methods that are guided by such maps. Labels that guide no longer measure.
        device: "auto", "cpu", "cuda" or "cuda:1".
        threads: CPU threads to compute on; None: as many as there are idle cores.
        deterministic: one thread and PyTorch's deterministic algorithms, so that the field is the same on every run;
            otherwise it differs slightly from one number of threads to another.
        settings: changes to the method's settings by name, such as {"iterations": (20, 20, 10)}, or the settings
            themselves. Changes are to the settings that the method takes for the pair.

    Raises:
        OptionError: a value that an option cannot take.
    """

    method: str = option(
        "instance",
        metavar="M",
        always_shown=True,
        help="registration method; see `ultrasound-motion models list` (default instance)",
    )
    weights: str | Path | None = option(
        None,
        metavar="FILE",
        help="trained weights in place of the method's own (.safetensors beside its card, or a name)",
    )
    refine: bool | None = option(
        None,
        help="for a trained method: whether its prediction is refined on this pair, which takes seconds more (default:"
        " as the method says)",
    )
    initial_transform: Any = option(
        AUTO,
        flag="--initial",
        metavar="|".join(STARTS),
        parse=str,
        help="where to begin (default auto: a rigid start where the images are not alike as they lie)",
    )
    search_region: str = option(
        AUTO, choices=SEARCH_REGIONS, help="auto (default) leaves out what stands still, whole registers all"
    )
    modality: str = option(
        AUTO, choices=MODALITIES, help="whether intensities can be compared (default auto: as measured)"
    )
    orientation: str = option(
        AUTO, choices=ORIENTATIONS, help="of what a trained network sees (default auto: turned until it recognises it)"
    )
    keep_folds: bool = option(False, help="leave a field that folds as it is (default: a flow near it that does not)")
    working_spacing_mm: float | None = option(
        None, above=0, unit="mm", metavar="S", help="search on a coarser grid; the result is on that of FIXED"
    )
    guide_labels: str = option(
        NONE,
        choices=GUIDES,
        help="the image whose label map guides the field, in place of a network's class map (anatomy-guided, pyramid);"
        " off by default",
    )
    device: str = option(AUTO, metavar="D", help="auto (default), cpu or cuda")
    threads: int | None = option(
        None, minimum=1, metavar="N", help="CPU threads (default: as many as there are idle cores)"
    )
    deterministic: bool = option(False, help="one thread: the same field on every run, whatever else the machine does")
    settings: Any = option(None, on_command_line=False, help="changes to the method's settings by name")

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial_transform", _checked_start(self.initial_transform))
        check_options(self)

    @property
    def guides(self) -> tuple[str, ...]:
        """The images whose labels guide the field: of "fixed" and "moving"."""
        return tuple(name for name in (FIXED, MOVING) if self.guide_labels in {name, BOTH})

    @property
    def start(self) -> str | np.ndarray | Any:
        """The initial transform: a name of `STARTS`, a matrix as an array, or a SimpleITK transform."""
        given = self.initial_transform
        return np.array(given) if isinstance(given, tuple) else given


@dataclass(frozen=True, eq=False)
class SequenceRequest:
    """The options of registering the frames of a sequence.

    Attributes:
        method: "dense": a displacement field for each frame. "rigid" and "affine": a matrix for each frame, of the
            whole image, such as the motion of the probe or of breath.
        reference_frame: the frame whose grid the fields live on; any.
        mode: "to-reference": frame_t(x + u_t(x)) = reference(x). Fields are predicted by the frame before and refined
            against the reference, so they do not drift. "frame-to-frame": fixed is frame t, moving the frame before it,
            as in SSMSR, III-B.
        mask: (H, W) or (D, H, W), above 0 where the reference frame counts, in matching and in the measures; "tissue"
            for SSMSR's (III-A: grey levels in [0.005, 0.995], dilated by 16 pixels) within the sector; None takes all
            that ever changes (the sector).
        device: "auto", "cpu", "cuda" or "cuda:1".
        threads: CPU threads to compute on; None: as many as there are idle cores.
        deterministic: one thread and PyTorch's deterministic algorithms, so that the field is the same on every run;
            otherwise it differs slightly from one number of threads to another.
        settings: changes to `SequenceSettings` by name, or the settings themselves.

    Raises:
        OptionError: a value that an option cannot take.
    """

    method: str = option(
        SEQUENCE_METHODS[0],
        choices=SEQUENCE_METHODS,
        help="a displacement field for each frame (dense, the default), or a matrix for each (rigid, affine)",
    )
    reference_frame: int = option(
        0, flag="--reference", metavar="K", minimum=0, help="frame whose grid the motions live on, from 0 (default 0)"
    )
    mode: str = option(MODES[0], choices=MODES, help="register every frame to the reference, or to the frame before")
    mask: Any = option(None, parse=str, metavar=TISSUE, help="where the reference counts (default: the sector)")
    device: str = option(AUTO, metavar="D", help="auto (default), cpu or cuda")
    threads: int | None = option(
        None, minimum=1, metavar="N", help="CPU threads (default: as many as there are idle cores)"
    )
    deterministic: bool = option(False, help="one thread: the same field on every run, whatever else the machine does")
    settings: Any = option(None, on_command_line=False, help="changes to the settings by name")

    def __post_init__(self) -> None:
        if isinstance(self.mask, str) and self.mask != TISSUE:
            raise OptionError("mask", f"expected an array, {TISSUE} or None, got {self.mask!r}")
        if self.mask is not None and not isinstance(self.mask, str):
            object.__setattr__(self, "mask", as_array(self.mask, "mask"))
        check_options(self)
        if self.method != SEQUENCE_METHODS[0] and self.mode != MODES[0]:
            raise OptionError("mode", f"expected {MODES[0]} with the method {self.method}, got {self.mode!r}")


R = TypeVar("R", RegisterRequest, SequenceRequest)


def with_config(request: R, config: Any) -> R:
    """The request with settings given by their former name, `config`."""
    return request if config is None else replace(request, settings=config)


def matrix_of(transform: Any) -> np.ndarray:
    """A linear SimpleITK transform as a homogeneous matrix (n+1, n+1).

    Raises:
        InputError: it is not linear.
    """
    matrix = linear_maps.matrix_of(transform)
    if matrix is None:
        raise OptionError("initial_transform", f"expected a linear transform, got {transform.GetName()}")
    return matrix


def _checked_start(given: Any) -> Any:
    """The initial transform as a name, as nested tuples, or as a SimpleITK transform."""
    if given is None:
        return NONE
    if isinstance(given, str):
        if given not in STARTS:
            expected = ", ".join(STARTS)
            raise OptionError("initial_transform", f"expected one of {expected}, or a transform, got {given!r}")
        return given
    if hasattr(given, "TransformPoint"):
        return given
    try:
        matrix = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError("initial_transform", f"expected a matrix of numbers, got {given!r}") from None
    if matrix.shape not in ((3, 3), (4, 4)) or not np.isfinite(matrix).all():
        raise OptionError(
            "initial_transform", f"expected a 3x3 or 4x4 matrix of finite numbers, got shape {matrix.shape}"
        )
    return tuple(tuple(row) for row in matrix.tolist())
