"""Inputs in NIfTI, NRRD and MetaImage, videos and what is no image, for Docs/reference/formats.md."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from format_row import CLIP, GREY, VOLUME, Row
from UltrasoundMotionLib.images import ImageSequence, write_sequence
from UltrasoundMotionLib.images.readers.nifti import HEADER

FLOATS = GREY.astype(np.float32)


def _itk(name: str, array: np.ndarray = GREY, *, compress: bool = False, change: Callable | None = None) -> Callable:
    """Writes an image with ITK, and changes its bytes."""

    def make(folder: Path) -> Path:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing([0.5] * image.GetDimension())
        path = folder / name
        sitk.WriteImage(image, str(path), compress)
        if change is not None:
            path.write_bytes(change(path.read_bytes()))
        return path

    return make


def _sequence(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_sequence(folder / name, ImageSequence(GREY, (0.5, 0.5), np.arange(3) / 20))
        return folder / name

    return make


def _nifti(**changes: object) -> Callable[[Path], Path]:
    """A NIfTI file with other fields in its header; the names of `pixdim` are numbered."""

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        fields = np.frombuffer(changed, dtype=HEADER, count=1)
        for name, value in changes.items():
            if name.startswith("pixdim"):
                fields["pixdim"][0, int(name[6:])] = value
            else:
                fields[name][0] = value
        return bytes(changed)

    return _itk("i.nii", FLOATS, change=change)


def _cut(data: bytes) -> bytes:
    return data[:-40]


def _flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[-30] ^= 0x55
    return bytes(changed)


def _bytes(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def _nrrd(pixels: bytes = GREY.tobytes(), *, more: str = "", **fields: object) -> Callable[[Path], Path]:
    header = {"type": "uint8", "dimension": 3, "sizes": "8 6 3", "encoding": "raw", **fields}
    lines = "".join(f"{name}: {value}\n" for name, value in header.items())
    return _bytes("i.nrrd", f"NRRD0004\n{lines}{more}\n".encode() + pixels)


def _not_finite() -> np.ndarray:
    array = FLOATS.copy()
    array[1, 2, 3:5] = np.nan
    return array


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "i.nrrd")
    return folder / "i.nrrd"


def _headers_apart(folder: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(GREY), str(folder / "i.mhd"))
    (folder / "i.raw").unlink()
    return folder / "i.mhd"


_SHEAR = [[0.5, 0.2, 0, 0], [0, 0.5, 0, 0], [0, 0, 0.5, 0]]
NIFTI = (
    Row("NIfTI-1, .nii or .nii.gz", _itk("i.nii.gz"), VOLUME, "values, size of voxels, place and orientation"),
    Row("2D and time, with a frame interval", _sequence("i.nii.gz"), CLIP, "the frame rate too"),
    Row("a volume", _itk("i.nii"), CLIP, "its last axis is taken as time; the frame rate is unknown, with a note"),
    Row("NIfTI-2", _bytes("i.nii", struct.pack("<i", 540) + bytes(600)), VOLUME),
    Row("cut before its end", _itk("i.nii", change=_cut), VOLUME),
    Row("compressed, cut before its end", _itk("i.nii.gz", compress=True, change=_cut), VOLUME),
    Row("compressed, a byte changed", _itk("i.nii.gz", compress=True, change=_flipped), VOLUME),
    Row("values that are NaN or infinite", _itk("i.nii", _not_finite()), VOLUME),
    Row("pixdim of 0, NaN, infinite or below 0", _nifti(pixdim1=0), VOLUME),
    Row("axes that are not at right angles", _nifti(sform_code=1, srow=_SHEAR), VOLUME),
    Row("vox_offset that is no number of bytes", _nifti(vox_offset=np.nan), VOLUME),
    Row("an infinite slope", _nifti(scl_slope=np.inf), VOLUME),
    Row("fewer pixels in the header than in the file", _nifti(dim=(3, 8, 6, 2, 1, 1, 1, 1)), VOLUME),
    Row("complex numbers, and other types", _nifti(datatype=32, bitpix=64), VOLUME),
    Row("voxels of 1e-7 mm", _nifti(pixdim1=1e-7), VOLUME),
)
NRRD = (
    Row(".nrrd, raw or compressed (gzip, bzip2), or as text", _itk("i.nrrd", compress=True), VOLUME,
        "values, size of voxels, place and orientation"),
    Row("3D Slicer's .seq.nrrd", _sequence("i.seq.nrrd"), CLIP, "frames, times, pixel size, fields of each frame"),
    Row("cut before its end", _itk("i.nrrd", change=_cut), VOLUME),
    Row("compressed, a byte changed", _itk("i.nrrd", compress=True, change=_flipped), VOLUME),
    Row("a header that claims more than its file can hold", _nrrd(gzip.compress(bytes(99)), encoding="gzip",
        sizes="30000 30000 300"), VOLUME),
    Row("text: 300 in 8 bits", _nrrd(b"7 " * 143 + b"300", encoding="ascii"), VOLUME),
    Row("dimension 0 or 100", _nrrd(dimension=100), VOLUME),
    Row("line skip beyond the end", _nrrd(more="line skip: 999999999999\n"), VOLUME),
    Row("pixels in several files (LIST)", _nrrd(more="data file: LIST\n"), VOLUME),
)  # fmt: skip
METAIMAGE = (
    Row(".mha, .mhd, raw or compressed", _itk("i.mha", compress=True), VOLUME,
        "values, size of voxels, place and orientation"),
    Row("PLUS' .igs.mha", _sequence("i.igs.mha"), CLIP, "frames, times from the timestamps, transforms of each frame"),
    Row("cut before its end", _itk("i.mha", change=_cut), VOLUME),
    Row("compressed, a byte changed", _itk("i.mha", compress=True, change=_flipped), VOLUME),
    Row("a header whose pixel file is missing", _headers_apart, VOLUME),
    Row("a displacement (three components)", _itk("i.mha", np.zeros((3, 6, 8, 3), "f4")), VOLUME),
)  # fmt: skip
VIDEO = (
    Row("a picture that is named .mp4", _bytes("i.mp4", b"\x89PNG\r\n\x1a\n" + bytes(300)), CLIP),
    Row("ANALYZE, VTK, GIPL", _bytes("i.vtk", b"# vtk DataFile Version 3.0\n"), VOLUME),
    Row("an empty file", _bytes("i.nrrd", b""), CLIP),
    Row("a pipe or a device", _pipe, CLIP),
)
