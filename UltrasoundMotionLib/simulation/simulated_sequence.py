"""The result of a simulation: the clip and its ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.motion import TissueMotion, material_points, trajectories
from UltrasoundMotionLib.simulation.rendering import BeamLoss, visible_points
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class VentricleStrain:
    """Exact longitudinal strain of the simulated left ventricle's mid-wall, Lagrangian, relative to end-diastole.

    Attributes:
        global_longitudinal: (T,) relative change of the mid-wall contour's length (-0.18 is -18 %).
        segmental: (T, 6) strain of each sixth of the contour, from the left base over the apex to the right base.
        segment_names: the names of the six segments.
        end_diastole_frames: frames nearest to the end of each diastole.
        end_systole_frames: frames nearest to the end of each systole.
    """

    global_longitudinal: np.ndarray
    segmental: np.ndarray
    segment_names: tuple[str, ...]
    end_diastole_frames: tuple[int, ...]
    end_systole_frames: tuple[int, ...]


@dataclass(frozen=True)
class SimulatedSequence:
    """A simulated clip and its ground truth.

    Attributes:
        sequence: uint8 frames (T, H, W) with spacing, times and name.
        truth: the default points with exact positions in every frame, not visible in a shadow or outside the sector.
            Query frame 0.
        tissue_mask: (H, W) bool, pixels of tissue on frame 0 (heart: the wall; liver: parenchyma and vessels).
        imaging: the imaging geometry.
        motion: the analytic motion.
        strain: the left ventricle's exact strain; None for the liver.
        groups: point labels by group ("endo", "mid", "epi"; "vessel", "fork", "parenchyma"); contours run from the left
            base to the right base.
        loss: the beams' loss, which hides points; None if it was not kept.
    """

    sequence: ImageSequence
    truth: PointTracks
    tissue_mask: np.ndarray
    imaging: Imaging
    motion: TissueMotion
    strain: VentricleStrain | None = None
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    loss: BeamLoss | None = field(default=None, repr=False)

    @property
    def times_s(self) -> np.ndarray:
        """The frame times in seconds, (T,)."""
        times = self.sequence.times_s
        assert times is not None  # every simulated sequence has frame times
        return times

    def visible_at(self, positions_px: np.ndarray) -> np.ndarray:
        """Returns True for positions (T, N, 2) inside the sector and not hidden by a shadow or missing contact.

        Raises:
            InputError: a sequence without its `loss`.
        """
        if self.loss is None:
            raise InputError("this simulated sequence has no beam loss, so the visibility of points is unknown")
        return visible_points(self.imaging, self.loss, self.imaging.mm_from_pixels(positions_px), self.times_s)

    def displacement_px(self, frame: int, points_px: np.ndarray, reference_frame: int = 0) -> np.ndarray:
        """Returns the exact displacement (N, 2) in pixels from `reference_frame` to `frame`.

        It is that of the material at (N, 2) points on the reference frame.

        Raises:
            InputError: a frame that does not exist, or points that are not (N, 2) finite numbers.
        """
        times = self.times_s
        for index in (frame, reference_frame):
            if not 0 <= index < len(self.sequence):
                raise InputError(
                    f"frame {index} does not exist; there are {len(self.sequence)} (0 to {len(self.sequence) - 1})"
                )
        points_mm = self.imaging.mm_from_pixels(points_px)
        material = material_points(self.motion, points_mm, float(times[reference_frame]))
        return (self.motion.carry(material)(float(times[frame])) - points_mm) / self.imaging.spacing_mm

    def trajectories_px(self, points_px: np.ndarray, reference_frame: int = 0) -> np.ndarray:
        """Returns the exact positions (T, N, 2) of the material at (N, 2) points on the reference frame."""
        material = material_points(
            self.motion, self.imaging.mm_from_pixels(points_px), float(self.times_s[reference_frame])
        )
        return self.imaging.pixels_from_mm(trajectories(self.motion, material, self.times_s))

    def truth_from(self, query_frame: int, only_visible: bool = True) -> PointTracks:
        """Returns the truth with another query frame; with `only_visible`, of the points visible on that frame."""
        keep = self.truth.visible[query_frame] if only_visible else np.ones(len(self.truth.labels), dtype=bool)
        index = np.flatnonzero(keep)
        return replace(
            self.truth,
            positions_px=self.truth.positions_px[:, index],
            confidence=self.truth.confidence[:, index],
            visible=self.truth.visible[:, index],
            labels=tuple(self.truth.labels[i] for i in index),
            query_frame=query_frame,
        )


def with_truth(
    frames: np.ndarray,
    times_s: np.ndarray,
    name: str,
    *,
    points_mm: Mapping[str, np.ndarray],
    is_tissue: Callable[[np.ndarray], np.ndarray],
    imaging: Imaging,
    motion: TissueMotion,
    loss: BeamLoss,
    strain: VentricleStrain | None = None,
) -> SimulatedSequence:
    """Combines (T, H, W) frames with their ground truth.

    Args:
        frames: uint8.
        times_s: (T,).
        name: name of the sequence.
        points_mm: material positions (N, 2) by group; labels are the group's name and a number.
        is_tissue: returns True for (N, 2) material positions in tissue.
        imaging: the imaging geometry.
        motion: the analytic motion.
        loss: the beams' loss.
        strain: the left ventricle's strain, if there is one.
    """
    groups = {
        group: tuple(f"{group}-{index + 1:02d}" for index in range(len(points))) for group, points in points_mm.items()
    }
    positions_mm = trajectories(motion, np.concatenate(list(points_mm.values())), times_s)
    truth = PointTracks(
        positions_px=imaging.pixels_from_mm(positions_mm),
        confidence=np.ones(positions_mm.shape[:2]),
        visible=visible_points(imaging, loss, positions_mm, times_s),
        labels=tuple(label for labels in groups.values() for label in labels),
        query_frame=0,
        times_s=times_s,
        spacing_mm=imaging.spacing_mm,
        model="truth",
    )
    pixels = imaging.pixel_grid_mm()
    mask = imaging.in_sector(pixels)
    mask[mask] = is_tissue(material_points(motion, pixels[mask], float(times_s[0]), tolerance_mm=1e-4, iterations=30))
    sequence = ImageSequence(frames, imaging.spacing_mm, times_s, (*imaging.origin_mm, 0.0), name=name)
    return SimulatedSequence(sequence, truth, mask, imaging, motion, strain, groups, loss)
