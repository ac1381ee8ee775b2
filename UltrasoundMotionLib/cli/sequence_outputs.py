"""The files that the registration of a sequence writes: checked before the run, written after it, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.cli.output_files import check_no_input, check_outputs, named_paths
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.json_output import write_json
from UltrasoundMotionLib.progress import Progress
from UltrasoundMotionLib.registration.request import MODES, SequenceRequest
from UltrasoundMotionLib.settings import check_options, option

if TYPE_CHECKING:
    from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import MotionSequence
    from UltrasoundMotionLib.images import ImageSequence
    from UltrasoundMotionLib.images.volume_sequence import VolumeSequence
    from UltrasoundMotionLib.registration.sequences.sequence_registration import (
        AnyFrameRegistration,
        SequenceRegistration,
    )

POINTS, FRAMES = "points", "frames"
_FIELDS, _MATRICES = ".nrrd", ".seq.mha"
_CLIP_ENDINGS = (".seq.nrrd", ".nrrd", ".mha", ".nii", ".nii.gz")
_ENDINGS = {"report": (".json",), "picture": (".png",)}
_FILE_ENDINGS = (".nrrd", ".mha", ".nii.gz", ".h5", ".tfm")
_LARGE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class SequenceOutputs:
    """The files of the results; those that are None are not written.

    Attributes:
        displacements: `.seq.nrrd` of fields, `.seq.mha` of matrices, or a new folder with a file for each frame.
        frame_files: ending of the files in that folder.
        coarse: write fields on the nodes between which they are linear, which holds the same motion in less room.
        carries: what 3D Slicer's transform of the file moves: points of the reference, or the frames.
        warped: the sequence with the motion taken out.
        labels: the labels of the reference on every frame.
        report: measures of every frame (.json).
        picture: similarity over time, and the clip along a line before and after (.png); needs the extra `plot`.
    """

    displacements: Path = option(
        flag="--out-displacements",
        metavar="D",
        help="U.seq.nrrd (displacement fields; Slicer reads it), M.seq.mha (matrices, with --method rigid or affine),"
        " or a new folder with a file for each frame",
    )
    frame_files: str | None = option(
        None,
        choices=_FILE_ENDINGS,
        help="ending of the files in the folder (default .nrrd for fields, .tfm for matrices)",
    )
    coarse: bool = option(
        False,
        help="write fields on the nodes between which they are linear: the same motion in 1/16 of the room or less",
    )
    carries: str = option(
        POINTS,
        choices=(POINTS, FRAMES),
        help="what moves under the file's transform in 3D Slicer: points of the reference with the tissue (default), or"
        " each frame onto the reference",
    )
    warped: Path | None = option(
        None, flag="--out-warped", metavar="W", help="also write the sequence with the motion taken out"
    )
    labels: Path | None = option(
        None, flag="--out-labels", metavar="L2.seq.nrrd", help="where to write the labels on every frame"
    )
    report: Path | None = option(None, metavar="R.json", help="also write the measures of every frame")
    picture: Path | None = option(
        None, metavar="P.png", help="also write similarity over time and the motion along a line (extra plot)"
    )

    def __post_init__(self) -> None:
        check_options(self)

    def named(self) -> Iterator[tuple[str, Path]]:
        """Returns (name, path) of every file to write."""
        return named_paths(self, ("displacements", "warped", "labels", "report", "picture"))

    @property
    def _into_folder(self) -> bool:
        return self.displacements.suffix == ""

    def check(self, inputs: tuple[Path, ...], request: SequenceRequest) -> None:
        """Checks before the long work that everything can be written.

        Raises:
            OutputError: a wrong ending for the method, a folder that exists, one name for two files or for an input.
            MissingPackageError: a package that an output needs is not installed.
        """
        path, name = self.displacements, self.displacements.name.lower()
        linear = request.method != "dense"
        if not self._into_folder and not name.endswith(_MATRICES if linear else _FIELDS):
            kinds = f"matrices: {_MATRICES}" if linear else f"displacement fields: .seq{_FIELDS}"
            raise OutputError(f"{path}: --method {request.method} gives {kinds}, or the name of a new folder")
        if self._into_folder and path.exists():
            raise OutputError(f"{path}: exists already; name a new folder for the motions of the frames")
        if self.frame_files and not self._into_folder:
            raise InputError("--frame-files: is the ending of files in a folder; name one with --out-displacements")
        check_outputs(
            [one for one in self.named() if one[0] != "displacements" or not self._into_folder], _ENDINGS, inputs
        )
        if self._into_folder:
            check_no_input("displacements", path, inputs)
        if self.picture:
            from UltrasoundMotionLib.pictures import require_plot_packages

            require_plot_packages()

    def check_sequence(self, sequence: ImageSequence | VolumeSequence) -> None:
        """Raises OutputError where a file's ending cannot hold the frames of this sequence."""
        flat = _is_clip(sequence)
        for name in ("warped", "labels"):
            path = getattr(self, name)
            if path is None:
                continue
            allowed = _CLIP_ENDINGS if flat else (".nrrd",)
            if not path.name.lower().endswith(allowed):
                what = "frames" if flat else "volumes over time"
                raise OutputError(f"{path}: the {name} file of {what} must end in {' or '.join(allowed)}")
        if flat and self.frame_files == ".nii.gz":
            raise OutputError("--frame-files: NIfTI drops the third axis of a field of one slice; use .nrrd")

    def write(
        self,
        sequence: ImageSequence | VolumeSequence,
        registration: SequenceRegistration,
        labels: np.ndarray | None,
        *,
        progress: Progress,
    ) -> tuple[str, ...]:
        """Writes every file, the displacements first, and returns what a user should know, one line each."""
        from UltrasoundMotionLib.exchange.motions.sequences.sequence_files import write_motion_sequence

        motions = motions_of(registration, sequence.times_s, coarse=self.coarse, carries_points=self.carries == POINTS)
        notes = write_motion_sequence(self.displacements, motions, ending=self.frame_files, progress=progress)
        if self.warped:
            frames = _frames_of(registration)
            _write_frames(self.warped, sequence, lambda frame: _without_motion(sequence, frames[frame]), progress)
        if self.labels and labels is not None:
            self._write_labels(self.labels, sequence, registration, labels, progress)
        if self.report:
            write_json(self.report, report_of(sequence, registration))
        if self.picture:
            from UltrasoundMotionLib.pictures.sequence_picture import write_sequence_picture

            write_sequence_picture(self.picture, sequence, registration)
        if registration.matrices is None and not self.coarse:
            size = 4 * len(sequence) * 3 * int(np.prod(_frames_of(registration)[0].grid.shape))
            if size > _LARGE_BYTES:
                gigabytes = size / 1e9
                notes = (
                    *notes,
                    f"the fields are {gigabytes:.1f} GB uncompressed; --coarse holds the same motion in less",
                )
        return notes

    def _write_labels(
        self,
        path: Path,
        sequence: ImageSequence | VolumeSequence,
        registration: SequenceRegistration,
        labels: np.ndarray,
        progress: Progress,
    ) -> None:
        from UltrasoundMotionLib.registration.sequences.carried_labels import labels_on_frame

        if _is_clip(sequence) and (labels.min() < 0 or labels.max() > np.iinfo(np.uint8).max):
            raise InputError(
                f"{path}: labels of a clip must be from 0 to 255, got {labels.min():g} to {labels.max():g}"
            )
        frames = _frames_of(registration)

        def on(frame: int) -> np.ndarray:
            return labels_on_frame(labels, frames[frame])

        _write_frames(path, sequence, on, progress, dtype=np.dtype(np.uint8) if _is_clip(sequence) else labels.dtype)


def motions_of(
    registration: SequenceRegistration,
    times_s: np.ndarray | None,
    *,
    coarse: bool = False,
    carries_points: bool = True,
) -> MotionSequence:
    """Returns the motions of a registered sequence, each field made when it is asked for.

    Motions from frame to frame put the frame before onto each frame; they carry no points of a reference.
    """
    from UltrasoundMotionLib.exchange.motions.motion import Motion
    from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import FrameIndex, MotionSequence

    frames, matrices = _frames_of(registration), registration.matrices

    def read(frame: int) -> Motion:
        if matrices is not None:
            return Motion.of_matrix(matrices[frame])
        return Motion.of_field(frames[frame].field(coarse=coarse))

    index = FrameIndex.of_times(len(registration), times_s)
    return MotionSequence(index, read, carries_points=carries_points and registration.mode == MODES[0])


def report_of(sequence: ImageSequence | VolumeSequence, registration: SequenceRegistration) -> dict:
    """Returns the report as JSON holds it: measures of every frame and their mean; matrices of a rigid motion."""
    frames = _frames_of(registration)
    matrices = registration.matrices
    rows = [
        {
            "frame": one.frame,
            "time_s": None if sequence.times_s is None else float(sequence.times_s[one.frame]),
            **asdict(one.measures),
            **({} if matrices is None else {"matrix_lps_mm": matrices[one.frame].tolist()}),
        }
        for one in frames
    ]
    return {
        "mode": registration.mode,
        "reference_frame": registration.reference_frame,
        "mean": asdict(registration.mean_measures()),
        "frames": rows,
        "seconds": registration.seconds,
        "device": registration.device,
        "notes": (*sequence.notes, *registration.notes),
    }


def _frames_of(registration: SequenceRegistration) -> list[AnyFrameRegistration]:
    found = [frame for frame in registration.frames if frame is not None]
    assert len(found) == len(registration.frames)  # an interrupted run is not written
    return found


def _is_clip(sequence: ImageSequence | VolumeSequence) -> bool:
    from UltrasoundMotionLib.images import ImageSequence

    return isinstance(sequence, ImageSequence)


def frame_array(sequence: ImageSequence | VolumeSequence, frame: int) -> np.ndarray:
    """Returns a frame, (H, W) or (D, H, W)."""
    from UltrasoundMotionLib.images import ImageSequence

    return sequence.frames[frame] if isinstance(sequence, ImageSequence) else sequence.volumes[frame].array


def _without_motion(sequence: ImageSequence | VolumeSequence, registered: AnyFrameRegistration) -> np.ndarray:
    """Returns the frame of a registration warped onto the reference, in its own type."""
    import torch

    from UltrasoundMotionLib.fields import warp

    array = frame_array(sequence, registered.frame)
    displacement = np.moveaxis(registered.displacement, -1, 0)
    image = torch.from_numpy(array.astype(np.float32))[None, None]
    values = warp(image, torch.from_numpy(np.ascontiguousarray(displacement))[None])[0, 0].numpy()
    return (values if array.dtype.kind == "f" else np.round(values)).astype(array.dtype)


class _LazyFrames:
    """Frames (T, H, W) that are made when asked for; a `FrameSource`."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, frame_of: Callable[[int], np.ndarray]) -> None:
        self.shape, self.dtype, self._frame_of = shape, dtype, frame_of

    def __getitem__(self, index: int) -> np.ndarray:
        return self._frame_of(index)


def _write_frames(
    path: Path,
    sequence: ImageSequence | VolumeSequence,
    frame_of: Callable[[int], np.ndarray],
    progress: Progress,
    *,
    dtype: np.dtype | None = None,
) -> None:
    """Writes frames with geometry and times of a sequence, one after another."""
    from UltrasoundMotionLib.images import ImageSequence, write_sequence
    from UltrasoundMotionLib.images.writers.volume_sequence import write_volume_sequence

    if isinstance(sequence, ImageSequence):
        kind = np.dtype(dtype or sequence.frames.dtype)
        frames = _LazyFrames(tuple(sequence.frames.shape), kind, lambda frame: frame_of(frame).astype(kind))
        write_sequence(path, replace(sequence, frames=frames, frame_fields={}), progress=progress)
        return
    like = sequence.volumes[0]
    if dtype is not None:
        like = replace(like, array=np.broadcast_to(np.zeros((), dtype), like.array.shape))
    write_volume_sequence(path, like, len(sequence), frame_of, times_s=sequence.times_s, progress=progress)
