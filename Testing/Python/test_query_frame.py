"""Diastasis is found in clips whose beat is known."""

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.simulation import TimeCourse
from UltrasoundMotionLib.tracking.query_frame import choose_query_frame, find_cycle, find_typical_frame


def moved_texture(shifts: np.ndarray, seed: int) -> ImageSequence:
    """A texture moved down by (T,) pixels, with noise that is new in each frame."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.standard_normal((140, 96)), 4.0)
    texture = 110 + 50 * texture / texture.std()
    frames = [
        ndimage.shift(texture, (shift, 0), order=1)[22:118] + 8 * rng.standard_normal((96, 96)) for shift in shifts
    ]
    return ImageSequence(np.clip(frames, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(("period", "start", "count"), [(40.0, 0.0, 90), (33.5, 0.6, 64), (40.0, 0.25, 52)])
def test_diastasis_of_a_known_beat(period: float, start: float, count: int) -> None:
    course = TimeCourse(1.0, 0.36, 0.2, start)
    times = np.arange(count) / period
    sequence = moved_texture(12 * course.activation(times), seed=int(period))
    cycle = find_cycle(sequence)
    assert cycle.period_frames == pytest.approx(period, abs=1.0)
    phases = course.phase(times[list(cycle.quiet_frames)])
    assert np.all(
        (phases > 0.62) & (phases < 0.82)
    )  # the simulated heart rests from 0.65 to 0.78, the paper's optimum is 0.72
    choice = choose_query_frame(sequence)
    assert choice.frame in cycle.quiet_frames
    assert "diastasis" in choice.reason


def test_a_clip_of_one_beat_is_one_cycle() -> None:
    course = TimeCourse(1.0, 0.36, 0.2, 0.0)
    cycle = find_cycle(moved_texture(12 * course.activation(np.arange(45) / 45), seed=1))
    assert cycle.period_frames == pytest.approx(45, abs=2)
    assert course.phase(cycle.quiet_frames[0] / 45) == pytest.approx(0.72, abs=0.1)


def test_without_a_cycle_the_typical_frame_is_taken() -> None:
    sequence = moved_texture(np.linspace(0, 14, 50), seed=2)  # goes and never comes back
    assert find_cycle(sequence) is None
    assert choose_query_frame(sequence).frame == find_typical_frame(sequence)
    assert find_cycle(moved_texture(np.zeros(6), seed=3)) is None  # too short for any
