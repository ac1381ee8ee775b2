"""Writer of NRRD sequences in the layout of 3D Slicer's .seq.nrrd: three image axes and a list axis."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.axes import SPACING_KEY
from UltrasoundMotionLib.images.readers.nrrd import read_nrrd
from UltrasoundMotionLib.images.writers.streamed_pixels import FrameChecksum, frame_bytes, write_compressed
from UltrasoundMotionLib.progress import Progress

_GZIP = zlib.MAX_WBITS | 16


def write_nrrd(path: Path, sequence: ImageSequence, *, compress: bool, progress: Progress) -> None:
    """Writes a sequence with spacing, position, direction (LPS), frame times and per-frame fields.

    Slicer opens a file named .seq.nrrd as a volume sequence. Unknown spacing is written as 1.0 and marked unknown. The
    slice thickness is written as 1 mm.

    Raises:
        OutputError: cannot be written.
        InputError: a frame cannot be read.
    """
    checksum = FrameChecksum(sequence)
    with (
        atomic_output(path, read_back=lambda written: checksum.check(read_nrrd(written))) as temporary,
        temporary.open("wb") as file,
    ):
        file.write(("\n".join(header_lines(sequence, compress=compress)) + "\n\n").encode())
        chunks = frame_bytes(sequence, progress, checksum)
        if compress:
            write_compressed(file, chunks, zlib.compressobj(4, zlib.DEFLATED, _GZIP))
        else:
            for chunk in chunks:
                file.write(chunk)


def header_lines(sequence: ImageSequence, *, compress: bool) -> Iterator[str]:
    """Yields the lines of a sequence's header."""
    width, height = sequence.frame_size
    steps = sequence.direction * [*(sequence.spacing_mm or (1.0, 1.0)), 1.0]
    yield "NRRD0004"
    yield f"type: {'unsigned char' if np.dtype(sequence.frames.dtype) == np.uint8 else 'float'}"
    yield "dimension: 4"
    yield "space: left-posterior-superior"
    yield f"sizes: {width} {height} 1 {len(sequence)}"
    yield "space directions: " + " ".join(_vector(step) for step in steps.T) + " none"
    yield "kinds: domain domain domain list"
    if sequence.times_s is not None:
        yield 'labels: "" "" "" "time"'
        yield 'units: "" "" "" "s"'
    else:
        yield 'labels: "" "" "" "frame"'
    yield "endian: little"
    yield f"encoding: {'gzip' if compress else 'raw'}"
    yield f"space origin: {_vector(sequence.origin_mm)}"
    yield "DataNodeClassName:=vtkMRMLScalarVolumeNode"
    yield f"{SPACING_KEY}:={'unknown' if sequence.spacing_mm is None else 'known'}"
    values = range(len(sequence)) if sequence.times_s is None else map(float, sequence.times_s)
    yield "axis 3 index type:=numeric"
    yield "axis 3 index values:=" + " ".join(map(repr, values))
    for name, entries in sequence.frame_fields.items():
        for index, entry in enumerate(entries):
            if entry:
                yield f"axis 3 item {index:04d} {name}:=" + entry.replace("\\", "\\\\").replace("\n", "\\n")


def _vector(values: Iterable[float]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
