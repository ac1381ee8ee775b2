"""Volumes of one grid over time: NIfTI and MetaImage of four dimensions, NRRD with a list axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.axes import TIME_KINDS
from UltrasoundMotionLib.images.readers.integrity import check_image_file
from UltrasoundMotionLib.images.readers.nifti import stored_header
from UltrasoundMotionLib.images.readers.nrrd import NrrdHeader, nrrd_header
from UltrasoundMotionLib.images.sequence_files import read_sequence
from UltrasoundMotionLib.images.sitk_reasons import last_line
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.input_files import check_regular_file, is_folder

_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}


@dataclass(frozen=True, eq=False)
class VolumeSequence(Sequence):
    """Volumes of one grid in the order of time.

    Attributes:
        volumes: each (D, H, W).
        times_s: (T,) in seconds; None where not known.
        name: of the file, for messages.
        notes: remarks for the user, one line each.
    """

    volumes: tuple[Volume, ...]
    times_s: np.ndarray | None = None
    name: str = "sequence"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.volumes)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.volumes[index]


def read_frames(path: str | Path) -> ImageSequence | VolumeSequence:
    """Reads a clip of 2D frames, or volumes over time where the file holds them.

    Raises:
        InputError: as `read_sequence`; volumes that are damaged, or of several components.
    """
    path = Path(path)
    if is_folder(path):
        return read_sequence(path)
    check_regular_file(path)
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        dim = stored_header(path)[0]["dim"]
        if int(dim[0]) == 4 and min(int(dim[3]), int(dim[4])) > 1:
            return _read_volumes(path, _nifti_times(path))
    elif name.endswith((".nrrd", ".nhdr")):
        header = nrrd_header(path)
        kinds = header.per_axis("kinds")
        lists = [axis for axis, kind in enumerate(kinds) if kind in TIME_KINDS]
        if len(lists) == 1 and len(kinds) == 4 and min(header.sizes) > 1:
            return _read_volumes(path, _nrrd_times(header, lists[0]))
    elif name.endswith((".mha", ".mhd")) and _is_metaimage_4d(path):
        return _read_volumes(path, None)
    return read_sequence(path)


def _is_metaimage_4d(path: Path) -> bool:
    head = path.open("rb").read(2**16).split(b"ElementDataFile", 1)[0]
    fields = dict(line.split(b"=", 1) for line in head.split(b"\n") if b"=" in line)
    sizes = next((value.split() for key, value in fields.items() if key.strip() == b"DimSize"), [])
    return len(sizes) == 4 and all(size.isdigit() and int(size) > 1 for size in sizes)


def _read_volumes(path: Path, times_s: np.ndarray | None) -> VolumeSequence:
    """Reads volumes by ITK, which gives a list axis as components and any other as the fourth axis."""
    import SimpleITK as sitk

    check_image_file(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as volumes over time: {last_line(error)}") from None
    array = sitk.GetArrayViewFromImage(image)
    if image.GetDimension() == 3:
        array = np.moveaxis(array, -1, 0)
    elif image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(f"{path}: has {image.GetNumberOfComponentsPerPixel()} components a voxel, expected 1")
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    name = path.name.split(".")[0] or path.name
    volumes = tuple(
        Volume(np.array(one), image.GetSpacing()[:3], image.GetOrigin()[:3], direction, f"{name} frame {frame}")
        for frame, one in enumerate(array)
    )
    if times_s is not None and (len(times_s) != len(volumes) or not (np.diff(times_s) > 0).all()):
        times_s = None
    notes = () if times_s is not None else ("frame times unknown: frames are numbered",)
    return VolumeSequence(volumes, times_s, str(path), notes)


def _nifti_times(path: Path) -> np.ndarray | None:
    header, _ = stored_header(path)
    step = float(header["pixdim"][4]) * _SECONDS.get(int(header["xyzt_units"]) & 56, 0.0)
    return np.arange(int(header["dim"][4])) * step if np.isfinite(step) and step > 0 else None


def _nrrd_times(header: NrrdHeader, axis: int) -> np.ndarray | None:
    words = header.pairs.get(f"axis {axis} index values", "").split()
    if header.per_axis("units")[axis] != "s" or not words:
        return None
    try:
        return np.array([float(unquote(word)) for word in words])
    except ValueError:
        return None
