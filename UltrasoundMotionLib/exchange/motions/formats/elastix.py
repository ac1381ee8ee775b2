"""elastix' transform parameters, `TransformParameters.0.txt`, and the chain of initial transforms that they name.

elastix maps points of the fixed image to the moving one in LPS mm (elastix manual, 2.6 and 5.4), as ITK does. Written
are none: elastix needs all settings of the images and of the interpolator in them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.formats.itk import read_itk_transform
from UltrasoundMotionLib.exchange.motions.motion import Motion, MotionContext
from UltrasoundMotionLib.exchange.motions.registry import MotionFile, MotionFormat, motion_format
from UltrasoundMotionLib.input_files import check_regular_file

if TYPE_CHECKING:
    import SimpleITK as sitk

_ENTRY = re.compile(r"^\s*\(\s*(\w+)((?:\s+(?:\"[^\"]*\"|[^\s\")]+))*)\s*\)")
_WORD = re.compile(r"\"([^\"]*)\"|([^\s\")]+)")
_KNOWN = (
    "TranslationTransform, EulerTransform, SimilarityTransform, AffineTransform, BSplineTransform and"
    " RecursiveBSplineTransform"
)
_MOST_LINKS = 20
_ITK_ENDINGS = (".h5", ".hdf5", ".tfm")


_TRANSFORM = re.compile(rb"^\s*\(\s*Transform\s+\"", re.MULTILINE)


@motion_format
class Elastix(MotionFormat):
    """elastix' transform parameters; only read."""

    name = "elastix"
    summary = "elastix: TransformParameters.N.txt with its initial transforms (Euler, affine, B-spline ...; only read)"
    convention = "points of fixed to points of moving, LPS mm"
    rank = 20

    def recognises(self, file: MotionFile) -> bool:
        """Returns True for a text with (Transform "...")."""
        return _TRANSFORM.search(file.head) is not None

    def read(self, path: Path, context: MotionContext) -> Motion:
        """Reads transform parameters with their initial transforms: T(x) = own(initial(x)).

        Raises:
            InputError: a kind of transform that is not known, parameters that do not fit it, transforms that are added
                rather than composed, or a chain that does not end.
        """
        return _read(path, ())


def _read(path: Path, before: tuple[Path, ...]) -> Motion:
    if path.resolve() in before or len(before) > _MOST_LINKS:
        raise InputError(f"{path}: its initial transforms lead back to itself")
    entries = _entries(path)
    own = Motion(_transform(path, entries))
    initial = _one(entries, "InitialTransformParametersFileName", "InitialTransformParameterFileName")
    if initial in (None, "NoInitialTransform"):
        return own
    if _one(entries, "HowToCombineTransforms") == "Add":
        raise InputError(f"{path}: adds its initial transform rather than composing it, which is not supported")
    found = _beside(path, initial)
    if found.name.lower().endswith(_ITK_ENDINGS):
        return read_itk_transform(found).then(own)
    return _read(found, (*before, path.resolve())).then(own)


def _beside(path: Path, name: str) -> Path:
    """Returns the file of the initial transform: as named, or beside the one that names it (results are moved)."""
    for candidate in (Path(name), path.parent / name, path.parent / Path(name.replace("\\", "/")).name):
        if candidate.is_file():
            return candidate
    raise InputError(f"{path}: its initial transform {name!r} is missing; put it beside the file")


def _entries(path: Path) -> dict[str, list[str]]:
    check_regular_file(path)
    entries: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _ENTRY.match(line)
        if match:
            entries[match[1]] = [quoted or plain for quoted, plain in _WORD.findall(match[2])]
    if "Transform" not in entries:
        raise InputError(f"{path}: has no (Transform ...): these are no transform parameters of elastix")
    return entries


def _one(entries: dict[str, list[str]], *names: str) -> str | None:
    return next((entries[name][0] for name in names if entries.get(name)), None)


def _transform(path: Path, entries: dict[str, list[str]]) -> sitk.Transform:
    import SimpleITK as sitk

    kind, dimension = entries["Transform"][0], int(_numbers(path, entries, "FixedImageDimension", 1)[0])
    if dimension not in (2, 3):
        raise InputError(f"{path}: is {dimension}D, expected 2D or 3D")
    if _one(entries, "UseDirectionCosines") == "false":
        raise InputError(
            f"{path}: was made without direction cosines, so that its coordinates are not those of the images; run"
            ' elastix with (UseDirectionCosines "true")'
        )
    if kind in ("BSplineTransform", "RecursiveBSplineTransform"):
        return _spline(path, entries, dimension)
    if kind == "TranslationTransform":
        return sitk.TranslationTransform(dimension, _numbers(path, entries, "TransformParameters", dimension))
    if kind == "EulerTransform":
        if dimension == 2:
            return _centred(path, entries, sitk.Euler2DTransform(), dimension)
        euler = sitk.Euler3DTransform()
        euler.SetComputeZYX(_one(entries, "ComputeZYX") == "true")
        return _centred(path, entries, euler, dimension)
    if kind == "SimilarityTransform":
        return _centred(
            path, entries, sitk.Similarity2DTransform() if dimension == 2 else sitk.Similarity3DTransform(), dimension
        )
    if kind == "AffineTransform":
        return _centred(path, entries, sitk.AffineTransform(dimension), dimension)
    raise InputError(f"{path}: holds a {kind}; known are {_KNOWN}")


def _centred(path: Path, entries: dict[str, list[str]], transform: Any, dimension: int) -> sitk.Transform:
    transform.SetCenter(_numbers(path, entries, "CenterOfRotationPoint", dimension))
    transform.SetParameters(_numbers(path, entries, "TransformParameters", len(transform.GetParameters())))
    return transform


def _spline(path: Path, entries: dict[str, list[str]], dimension: int) -> sitk.Transform:
    import SimpleITK as sitk

    if _one(entries, "UseCyclicTransform") == "true":
        raise InputError(f"{path}: is a cyclic B-spline, which is not supported")
    order = int(_one(entries, "BSplineTransformSplineOrder") or 3)
    if order not in (1, 2, 3):
        raise InputError(f"{path}: is a B-spline of order {order}, expected 1 to 3")
    size, index, spacing, origin = (
        np.array(_numbers(path, entries, name, dimension))
        for name in ("GridSize", "GridIndex", "GridSpacing", "GridOrigin")
    )
    # elastix lists the direction column by column
    direction = np.reshape(_numbers(path, entries, "GridDirection", dimension**2), (dimension, dimension)).T
    origin = origin + direction @ (index * spacing)
    transform = sitk.BSplineTransform(dimension, order)
    transform.SetFixedParameters([*size, *origin, *spacing, *direction.ravel()])
    transform.SetParameters(_numbers(path, entries, "TransformParameters", dimension * int(np.prod(size))))
    return transform


def _numbers(path: Path, entries: dict[str, list[str]], name: str, count: int) -> list[float]:
    if name not in entries:
        raise InputError(f"{path}: has no ({name} ...)")
    try:
        values = [float(word) for word in entries[name]]
    except ValueError:
        raise InputError(f"{path}: ({name} ...) holds something that is no number") from None
    if len(values) != count or not np.isfinite(values).all():
        raise InputError(f"{path}: ({name} ...) has {len(values)} numbers, expected {count} that are finite")
    return values
