"""Helen's faces (Le et al., ECCV 2012) with Smith et al.'s label maps (CVPR 2013), as Ha et al. (2020) prepare them.

The folder is that of Smith et al.'s resized images: `images/NAME.jpg`, `labels/NAME/NAME_lbl00.png` to `_lbl10.png`
(probabilities from 0 to 255), `exemplars.txt`, `tuning.txt` and `testing.txt`. Landmarks are Helen's own annotation
files: the image's name, then 194 lines `x , y`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError

FACE_SHAPE = (320, 260)
"""Rows and columns of a prepared image (Sec. 2.3.1)."""
FACE_LABELS = {
    1: "face",
    2: "left eyebrow",
    3: "right eyebrow",
    4: "left eye",
    5: "right eye",
    6: "nose",
    7: "mouth",
}
"""Left and right are those of the image. The mouth is both lips and what is between them; hair is background."""
LANDMARKS = 194
_CLASS_OF_MAP = (0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 0)
_LISTS = {"train": ("exemplars.txt",), "test": ("tuning.txt", "testing.txt")}
_GREY = (0.299, 0.587, 0.114)
_CERTAIN = 128


@dataclass(frozen=True, eq=False)
class Face:
    """A prepared face.

    Attributes:
        name: of the image.
        image: (320, 260) float32 in [0, 1].
        labels: (320, 260) uint8, see `FACE_LABELS`.
        landmarks: (194, 2) float64, (x, y) in pixels of the prepared image; None: not read.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    landmarks: np.ndarray | None = None


def face_names(folder: str | Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the faces to learn from and to measure: 2000 exemplars, and 230 + 100 others.

    Raises:
        InputError: a list is missing, empty or not one, or a face is in both.
    """
    train, test = (tuple(name for text in texts for name in _listed(Path(folder) / text)) for texts in _LISTS.values())
    both = sorted(set(train) & set(test))
    if both:
        raise InputError(f"{folder}: {both[0]} is among the exemplars and among the faces to measure")
    return train, test


def read_face(folder: str | Path, name: str, landmarks: Mapping[str, np.ndarray] | None = None) -> Face:
    """Reads a face: grey values, seven labels, cropped to 320 x 260 pixels around the labelled face.

    The window is centred on the box of all labels and moved into the image where it reaches beyond it; an image that is
    smaller is continued by its border. It is not resized: Smith et al. made all faces about as large.

    Args:
        landmarks: of all faces by name, see `read_landmarks`.

    Raises:
        InputError: a file is missing or not as described above; no face is labelled; the face has no landmarks, or they
            do not lie on it.
    """
    place = Path(folder)
    path = next((one for one in (place / "images" / f"{name}{end}" for end in (".jpg", ".png")) if one.exists()), None)
    if path is None:
        raise InputError(f"{place / 'images' / name}.jpg: no such file")
    image = _grey(path)
    labels = _labels(place / "labels" / name, name, image.shape)
    first = [_start(np.flatnonzero((labels > 0).any(1 - axis)), FACE_SHAPE[axis], image.shape[axis]) for axis in (0, 1)]
    points = None
    if landmarks is not None:
        points = _points_on_face(name, landmarks, labels) - np.array(first[::-1])
    return Face(name, _window(image, first, "edge") / np.float32(255), _window(labels, first, "constant"), points)


def read_landmarks(folder: str | Path) -> dict[str, np.ndarray]:
    """Reads Helen's annotation files, by the names of their images.

    Returns:
        (194, 2) float64, (x, y) in pixels, as they are in the files.

    Raises:
        InputError: there are none, or one is cut short or holds what is no point.
    """
    found = {}
    for path in sorted(Path(folder).glob("*.txt")):
        lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
        try:
            points = np.array([[float(value) for value in line.split(",")] for line in lines[1:]])
        except ValueError as error:
            raise InputError(f"{path}: holds a line that is no point x , y ({error})") from error
        if points.shape != (LANDMARKS, 2) or not np.isfinite(points).all():
            raise InputError(f"{path}: {len(points)} points, Helen's annotation has {LANDMARKS}; it may be cut short")
        found[lines[0]] = points
    if not found:
        raise InputError(f"{folder}: no annotation files (*.txt) of Helen")
    return found


def _listed(path: Path) -> list[str]:
    lines = [line for line in _text(path).splitlines() if line.strip()]
    names = [line.split(",")[-1].strip() for line in lines]
    if not lines or not all(names) or not all("," in line for line in lines):
        raise InputError(f"{path}: expected lines NUMBER , NAME as in Smith et al.'s lists")
    return names


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no readable text ({getattr(error, 'strerror', None) or 'not UTF-8'})") from error


def _pixels(path: Path, mode: str) -> np.ndarray:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingPackageError('reading faces needs Pillow: pip install --editable ".[plot]"') from error
    try:
        with Image.open(path) as opened:
            if mode == "L" and opened.mode != mode:
                raise InputError(f"{path}: mode {opened.mode}; a label map is an 8-bit grey PNG")
            return np.asarray(opened.convert(mode))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from error


def _grey(path: Path) -> np.ndarray:
    return (_pixels(path, "RGB") @ np.array(_GREY)).astype(np.float32)


def _labels(folder: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the likeliest class of every pixel."""
    shares = np.zeros((1 + max(FACE_LABELS), *shape), np.uint16)
    for number, label in enumerate(_CLASS_OF_MAP):
        path = folder / f"{name}_lbl{number:02d}.png"
        values = _pixels(path, "L")
        if values.shape != shape:
            raise InputError(
                f"{path}: {values.shape[1]} x {values.shape[0]} pixels, its image has {shape[1]} x {shape[0]}"
            )
        shares[label] += values
    if shares.max() < _CERTAIN:
        raise InputError(f"{folder}: the label maps reach {shares.max()}; probabilities from 0 to 255 are expected")
    labels = shares.argmax(0).astype(np.uint8)
    if not (labels == 1).any():
        raise InputError(f"{folder}: no pixel is labelled as face")
    return labels


def _start(labelled: np.ndarray, wanted: int, size: int) -> int:
    """Returns the first row or column of the window; negative where the image is smaller than that."""
    if size <= wanted:
        return -((wanted - size) // 2)
    centred = (int(labelled[0]) + int(labelled[-1]) + 1 - wanted) // 2
    return min(max(centred, 0), size - wanted)


def _window(values: np.ndarray, first: list[int], mode: str) -> np.ndarray:
    before = [max(0, -one) for one in first]
    cut = values[tuple(slice(max(0, one), max(0, one) + want) for one, want in zip(first, FACE_SHAPE, strict=True))]
    widths = [(one, want - one - size) for one, want, size in zip(before, FACE_SHAPE, cut.shape, strict=True)]
    return np.pad(cut, widths, mode="edge" if mode == "edge" else "constant")


def _points_on_face(name: str, landmarks: Mapping[str, np.ndarray], labels: np.ndarray) -> np.ndarray:
    if name not in landmarks:
        raise InputError(f"{name}: has no landmarks among the annotation files")
    points = landmarks[name]
    box = np.array([[np.flatnonzero((labels > 0).any(axis))[end] for axis in (0, 1)] for end in (0, -1)])
    middle, extent = points.mean(0), np.ptp(points, axis=0)
    size = box[1] - box[0] + 1
    if (middle < box[0]).any() or (middle > box[1]).any() or (extent > 2 * size).any() or (extent < size / 4).any():
        raise InputError(
            f"{name}: its landmarks do not lie on its labelled face; they must be in pixels of the resized image "
            "(those of the original one times the resized width / the original width)"
        )
    return points
