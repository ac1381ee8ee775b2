"""Mean, inverse and composition of the motions of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.motion import Motion
from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import MotionSequence
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.progress import Progress, no_progress


def mean_motion(sequence: MotionSequence, grid: ImageGrid | None = None, progress: Progress = no_progress) -> Motion:
    """Averages the motions of all frames.

    Fields are averaged at every voxel. Matrices are averaged by their logarithms (Arsigny et al., A fast and
    log-Euclidean polyaffine framework, 2009), so that the mean of rigid motions is rigid.

    Args:
        grid: to average fields on; that of the first field by default.

    Raises:
        InputError: no grid is known; matrices without a real logarithm (rotations by half a turn).
    """
    if sequence.is_linear:
        return Motion.of_matrix(_mean_matrix([motion.matrix for motion in sequence if motion.matrix is not None]))
    wanted = grid or sequence.grid
    total: np.ndarray | None = None
    for frame, motion in enumerate(sequence):
        one = motion.field(wanted).displacement_mm.astype(np.float64)
        total = one if total is None else total + one
        progress(frame + 1, len(sequence), "averaging")
    assert total is not None and wanted is not None  # a sequence has a frame
    return Motion.of_field(DisplacementField(total / len(sequence), wanted))


def _mean_matrix(matrices: Sequence[np.ndarray]) -> np.ndarray:
    from scipy.linalg import expm, logm

    logarithms = []
    for frame, matrix in enumerate(matrices):
        found = logm(matrix)
        if np.iscomplexobj(found) and np.abs(found.imag).max() > 1e-8:
            raise InputError(f"the matrix of frame {frame} turns by half a circle or mirrors: no mean is defined")
        logarithms.append(np.real(found))
    return np.real(expm(np.mean(logarithms, axis=0)))


def inverse_motions(sequence: MotionSequence, grid: ImageGrid | None = None) -> MotionSequence:
    """Returns the inverse of each motion, from points of the frame to points of the reference, found when asked for.

    What the transforms of 3D Slicer carry stays the same: points of the frames, or the reference.

    Args:
        grid: of the frames; the motion's own by default.
    """
    return replace(sequence, read=lambda frame: sequence[frame].inverse(grid).motion)


def compose_motions(*sequences: MotionSequence | Motion) -> MotionSequence:
    """Composes motions frame by frame: points go through the first one first.

    Args:
        sequences: of equal length, or single motions, which apply to every frame.

    Raises:
        InputError: none of them is a sequence; sequences of different lengths.
    """
    lengths = [len(one) for one in sequences if isinstance(one, MotionSequence)]
    if not lengths:
        raise InputError("expected at least one sequence of motions")
    if len(set(lengths)) > 1:
        raise InputError(f"sequences of {', '.join(map(str, lengths))} frames cannot be composed")

    def read(frame: int) -> Motion:
        """Composes the motions of one frame."""
        motions = [one[frame] if isinstance(one, MotionSequence) else one for one in sequences]
        composed = motions[0]
        for one in motions[1:]:
            composed = composed.then(one)
        return composed

    first = next(one for one in sequences if isinstance(one, MotionSequence))
    return replace(first, read=read, notes=tuple(note for one in sequences for note in one.notes))
