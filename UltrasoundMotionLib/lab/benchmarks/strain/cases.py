"""Simulated hearts of one beat whose strain is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.phantom_cases import DIFFICULTIES, EVALUATION_SEED
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

LAYERS = ("endo", "mid", "epi")
LEAD_IN = 0.1
"""A clip holds a whole beat and this part of one before and after it, as clips that a scanner stores by the ECG do."""


@dataclass(frozen=True)
class StrainCase:
    """A clip of one beat and its exact truth.

    Attributes:
        difficulty, name: of the phantom.
        sequence: the clip.
        truth: exact tracks of all three layers.
        layers: labels of each layer's points, from the base on the left.
        gls_percent: exact global longitudinal strain of the mid-wall between the frames of end-diastole and
            end-systole.
        peak_systolic_percent: (6,) exact, of the segments.
        end_diastole_frame, end_systole_frame: of the beat.
        next_end_diastole_frame: which ends it.
    """

    difficulty: str
    name: str
    sequence: ImageSequence
    truth: PointTracks
    layers: dict[str, tuple[str, ...]]
    gls_percent: float
    peak_systolic_percent: np.ndarray
    end_diastole_frame: int
    end_systole_frame: int
    next_end_diastole_frame: int


def strain_cases(
    difficulties: Sequence[str] = DIFFICULTIES, *, count: int = 3, seed: int = EVALUATION_SEED
) -> Iterator[StrainCase]:
    """Simulates one beat of each heart of the phantom set with that seed, `count` of each difficulty, one after the
    other.

    Raises:
        InputError: see `phantom_set`.
    """
    from UltrasoundMotionLib.simulation import HeartPhantom, phantom_set

    for difficulty in difficulties:
        for case in phantom_set("heart", difficulty, count, seed):
            phantom = case.phantom
            assert isinstance(phantom, HeartPhantom)
            course = replace(phantom.course, start=1 - LEAD_IN)
            frame_count = int(np.ceil((1 + 2 * LEAD_IN) * course.period_s * phantom.imaging.frame_rate_hz)) + 1
            simulated = replace(case, phantom=replace(phantom, course=course, frame_count=frame_count)).simulate()
            strain = simulated.strain
            assert strain is not None, "a heart has it"
            diastole, systole = strain.end_diastole_frames[0], strain.end_systole_frames[0]
            of_wall, of_segments = (
                100 * ((1 + curve) / (1 + curve[diastole]) - 1)
                for curve in (strain.global_longitudinal, strain.segmental)
            )
            yield StrainCase(
                difficulty=difficulty,
                name=case.name,
                sequence=simulated.sequence,
                truth=simulated.truth,
                layers={name: tuple(simulated.groups[name]) for name in LAYERS},
                gls_percent=float(of_wall[systole]),
                peak_systolic_percent=of_segments[diastole : systole + 1].min(axis=0),
                end_diastole_frame=diastole,
                end_systole_frame=systole,
                next_end_diastole_frame=strain.end_diastole_frames[1],
            )


def given_on(case: StrainCase, query_frame: int, layer_count: int) -> PointTracks:
    """Returns the truth for a contour that is given on a frame: the middle layer alone (1), or all three (3)."""
    labels = case.layers["mid"] if layer_count == 1 else tuple(label for name in LAYERS for label in case.layers[name])
    index = [case.truth.labels.index(label) for label in labels]
    shape = (len(case.truth.positions_px), len(index))
    return replace(
        case.truth,
        positions_px=case.truth.positions_px[:, index],
        confidence=np.ones(shape),
        visible=np.ones(shape, dtype=bool),
        labels=labels,
        query_frame=query_frame,
    )
