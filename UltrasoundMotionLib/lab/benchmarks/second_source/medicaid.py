"""Reads synthetic echocardiograms with known motion that others published, as the open-access sequences of CREATIS and
KU Leuven (Alessandrini et al., IEEE TMI 34, 2015, and IEEE TUFFC 65, 2018; the MEDICAID project).

Their archives are given out on request, and their files' inner names could not be seen. So a small file beside them,
`layout.json`, says what holds what, and this reader takes nothing for granted: what it does not find is listed with
what there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.input_files import read_json_file
from UltrasoundMotionLib.lab.benchmarks.second_source.vtk_points import read_vtk_points
from UltrasoundMotionLib.lab.benchmarks.trackers import same_points
from UltrasoundMotionLib.lab.phantom_cases import BenchmarkCase, choose_points, thin_points
from UltrasoundMotionLib.settings import from_plain

LAYOUT_FILE = "layout.json"
_HDF5 = 2
"""SciPy's number for files of MATLAB 7.3."""

_UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
_INSIDE_AT_LEAST = 0.9
"""Part of the truth that must lie in the images; less means that axes, units or origin are not what the layout says."""


@dataclass(frozen=True)
class Layout:
    """The contents of `layout.json`.

    Attributes:
        sequences: pattern of the files that hold frames, as "*.mat" or "*/images.mhd".
        frames: name of the MATLAB variable with the frames; empty where `sequences` are clips that any tool reads.
        frames_axes: its axes, a permutation of "tyx".
        points: name of the MATLAB variable with the positions of the points; or a pattern of legacy VTK files, one for
            each frame in the order of their names, relative to the clip's folder, as "mesh/*.vtk".
        points_axes: axes of the variable, a permutation of "tnc": frame, point, coordinate.
        coordinates: which of the point's coordinates are x (to the right) and y (down), as "xy", "yx", or "xz" of
            three.
        unit: of the positions: "px", "mm", "cm" or "m".
        origin: position of the first pixel's centre in that unit: 1, 1 for MATLAB's pixels.
        spacing_mm: (x, y) size of a pixel; the clip's own where it is not given.
        points_at_most: of the points, evenly thinned.
    """

    sequences: str
    points: str
    frames: str = ""
    frames_axes: str = "tyx"
    points_axes: str = "tnc"
    coordinates: str = "xy"
    unit: str = "px"
    origin: tuple[float, float] = (0.0, 0.0)
    spacing_mm: tuple[float, float] | None = None
    points_at_most: int = 48

    def __post_init__(self) -> None:
        for name, axes in (("frames_axes", "tyx"), ("points_axes", "tnc")):
            if sorted(getattr(self, name)) != sorted(axes):
                raise InputError(
                    f"{name} {getattr(self, name)!r}: expected the letters {', '.join(axes)} in some order"
                )
        if len(self.coordinates) != 2 or len(set(self.coordinates)) != 2 or set(self.coordinates) - set("xyz"):
            raise InputError(f"coordinates {self.coordinates!r}: expected two different letters of x, y, z")
        if self.unit not in ("px", *_UNITS_MM):
            raise InputError(f"unit {self.unit!r}: expected px, {', '.join(_UNITS_MM)}")


def medicaid_cases(folder: Path) -> Iterator[BenchmarkCase]:
    """Reads each sequence of a folder and its points, which are followed from the first frame.

    Raises:
        InputError: there is no `layout.json`, or it is no such file; a sequence, variable or mesh that is not there;
            frames and points that do not fit each other; points that mostly lie outside of the images.
        MissingPackageError: a MATLAB 7.3 file without h5py.
    """
    path = folder / LAYOUT_FILE
    if not path.is_file():
        raise InputError(f"{folder}: has no {LAYOUT_FILE}, which says what holds the frames and the points")
    try:
        layout = from_plain(Layout, read_json_file(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    found = sorted(one for one in folder.glob(layout.sequences) if one.name != LAYOUT_FILE)
    if not found:
        raise InputError(f"{folder}: no file fits {layout.sequences!r} of {LAYOUT_FILE}")
    for one in found:
        name = one.relative_to(folder).with_suffix("").as_posix()
        yield _case(one, name, layout)


def _case(path: Path, name: str, layout: Layout) -> BenchmarkCase:
    variables = read_matlab(path) if layout.frames else {}
    sequence = replace(_sequence(path, variables, layout), name=name)
    positions = _points(path, variables, layout, len(sequence))
    if layout.unit == "px":
        pixels = positions - layout.origin
    elif sequence.spacing_mm is None:
        raise InputError(f"{path}: points in {layout.unit} need a spacing; give spacing_mm in {LAYOUT_FILE}")
    else:
        pixels = (positions - layout.origin) * _UNITS_MM[layout.unit] / np.array(sequence.spacing_mm)
    width, height = sequence.frame_size
    inside = np.all((pixels >= -0.5) & (pixels <= [width - 0.5, height - 0.5]), axis=2)
    if inside.mean() < _INSIDE_AT_LEAST:
        share = f"{100 * inside.mean():.0f} % of the points' positions lie in the images of {width} x {height} pixels"
        raise InputError(f"{path}: {share}; check unit, origin, coordinates and spacing_mm in {LAYOUT_FILE}")
    truth = replace(same_points(pixels), spacing_mm=sequence.spacing_mm)
    truth = choose_points(replace(truth, visible=truth.visible & inside), np.flatnonzero(inside[0]))
    return BenchmarkCase("MEDICAID", "", name, sequence, thin_points(truth, layout.points_at_most))


def _sequence(path: Path, variables: Mapping[str, np.ndarray], layout: Layout) -> ImageSequence:
    """Frames as grey levels from 0 to 255, of a variable or a clip."""
    if not layout.frames:
        from UltrasoundMotionLib.images import read_sequence

        sequence = read_sequence(path)
        return sequence if layout.spacing_mm is None else replace(sequence, spacing_mm=layout.spacing_mm)
    frames = _ordered(path, variables, layout.frames, layout.frames_axes, "tyx")
    if frames.dtype != np.uint8:
        frames = frames.astype(np.float32)
        least, most = float(np.nanmin(frames)), float(np.nanmax(frames))
        if not np.isfinite(most - least) or most == least:
            raise InputError(f"{path}: {layout.frames} holds no image (values from {least:g} to {most:g})")
        frames = 255 * (frames - least) / (most - least)
    return ImageSequence(frames, layout.spacing_mm)


def _points(path: Path, variables: Mapping[str, np.ndarray], layout: Layout, frame_count: int) -> np.ndarray:
    """Positions (T, N, 2) as the layout's unit has them."""
    if layout.points.endswith(".vtk"):
        meshes = sorted(path.parent.glob(layout.points))
        if len(meshes) != frame_count:
            raise InputError(f"{path}: {frame_count} frames, but {len(meshes)} files fit {layout.points!r}")
        each = [read_vtk_points(mesh) for mesh in meshes]
        if len({len(one) for one in each}) > 1:
            counts = ", ".join(str(count) for count in sorted({len(one) for one in each}))
            raise InputError(f"{path}: the meshes of {layout.points!r} have different numbers of points ({counts})")
        positions = np.stack(each)
    else:
        positions = _ordered(path, variables or read_matlab(path), layout.points, layout.points_axes, "tnc")
    if len(positions) != frame_count:
        raise InputError(
            f"{path}: {frame_count} frames, but points on {len(positions)}; check the axes in {LAYOUT_FILE}"
        )
    chosen = ["xyz".index(letter) for letter in layout.coordinates]
    if max(chosen) >= positions.shape[2]:
        raise InputError(f"{path}: points have {positions.shape[2]} coordinates, not {layout.coordinates!r}")
    positions = positions[..., chosen].astype(np.float64)
    if not np.isfinite(positions).all():
        raise InputError(f"{path}: {layout.points} has positions that are no numbers")
    return positions


def _ordered(path: Path, variables: Mapping[str, np.ndarray], name: str, axes: str, order: str) -> np.ndarray:
    """Returns a variable of three axes with them in the order wanted."""
    if name not in variables:
        there = ", ".join(f"{one} {' x '.join(map(str, value.shape))}" for one, value in sorted(variables.items()))
        raise InputError(f"{path}: has no array {name!r}; it has {there or 'none'}")
    value = variables[name]
    if value.ndim != 3:
        raise InputError(f"{path}: {name} has {value.ndim} axes, expected 3 ({axes})")
    return value.transpose([axes.index(letter) for letter in order])


def read_matlab(path: Path) -> dict[str, np.ndarray]:
    """Reads the numeric arrays of a MATLAB file by their names, those in structures as "structure.field".

    Raises:
        InputError: it cannot be read.
        MissingPackageError: a file of MATLAB 7.3 (HDF5) without h5py.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import matfile_version

    try:
        major_version, _ = matfile_version(path)
        content = {} if major_version == _HDF5 else loadmat(path, squeeze_me=True, struct_as_record=False)
    except Exception as error:  # loadmat raises whatever its parser stumbles over
        raise InputError(f"{path}: is no MATLAB file that can be read ({error})") from error
    if major_version == _HDF5:
        return _read_hdf5(path)
    found: dict[str, np.ndarray] = {}
    for name, value in content.items():
        if not name.startswith("__"):
            _collect(name, value, found)
    return found


def _collect(name: str, value: Any, found: dict[str, np.ndarray]) -> None:
    for field in getattr(value, "_fieldnames", ()):
        _collect(f"{name}.{field}", getattr(value, field), found)
    if isinstance(value, np.ndarray) and value.dtype.kind in "buif":
        found[name] = value


def _read_hdf5(path: Path) -> dict[str, np.ndarray]:
    try:
        import h5py
    except ImportError as error:
        raise MissingPackageError(f"{path}: is a file of MATLAB 7.3, which h5py reads: pip install h5py") from error
    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "buif" and not name.startswith("#"):
            # MATLAB writes the axes of an array in the opposite order.
            found[name.replace("/", ".")] = np.asarray(item).T

    try:
        with h5py.File(path) as file:
            file.visititems(visit)
    except OSError as error:
        raise InputError(f"{path}: is no MATLAB file that can be read ({error})") from error
    return found
