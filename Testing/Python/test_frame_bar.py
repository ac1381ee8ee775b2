"""The bar over the frames: its colours, its marks and the frame under a click."""

import numpy as np

from UltrasoundMotionLib.pictures.frame_bar import (
    ACCEPTED_COLOR,
    CORRECTED_COLOR,
    LOST_COLOR,
    SHOWN_COLOR,
    UNKNOWN_COLOR,
    FrameStates,
    columns_of,
    confidence_colors,
    draw_frame_bar,
    frame_at,
    with_shown_frame,
)


def states(count, **marks):
    empty = np.zeros(count, dtype=bool)
    arrays = {name: empty.copy() for name in ("corrected", "accepted", "lost")}
    for name, frames in marks.items():
        arrays[name][list(frames)] = True
    return FrameStates(np.linspace(0, 1, count), **arrays)


def color(name):
    return np.rint(255 * np.array(name)).astype(int).tolist()


def test_low_confidence_is_red_and_high_is_blue():
    low, unknown, high = confidence_colors(np.array([0.0, np.nan, 1.0])).astype(int)
    assert low[0] > low[2] + 100 and high[2] > high[0] + 100
    assert unknown.tolist() == color(UNKNOWN_COLOR)


def test_the_bar_shows_confidence_marks_and_the_frame():
    bar = with_shown_frame(draw_frame_bar(states(10, corrected=[0], accepted=[3], lost=[6]), (200, 18)), 8, 10)
    assert bar.shape == (18, 200, 3) and bar.dtype == np.uint8
    assert bar[2, 70].tolist() == confidence_colors(np.array([3 / 9]))[0].tolist()
    assert bar[-1, 10].tolist() == color(CORRECTED_COLOR)
    assert bar[-1, 70].tolist() == color(ACCEPTED_COLOR)
    assert bar[-1, 130].tolist() == color(LOST_COLOR)
    start, stop = columns_of(8, 10, 200)
    assert (start, stop) == (160, 180)
    assert color(SHOWN_COLOR) in bar[5, start:stop].tolist()
    assert color(SHOWN_COLOR) not in bar[5, :start].tolist()


def test_a_doubtful_frame_shows_where_frames_share_a_column():
    many = states(1000, corrected=[501])
    many.confidence[:] = 1.0
    many.confidence[302] = 0.0
    bar = draw_frame_bar(many, (100, 12))
    assert bar[0, 30].tolist() == confidence_colors(np.array([0.0]))[0].tolist()
    assert bar[-1, 50].tolist() == color(CORRECTED_COLOR)


def test_a_click_gives_the_frame_that_is_drawn_there():
    for count, width in ((10, 200), (7, 100), (24, 331), (300, 300)):
        for frame in range(count):
            start, stop = columns_of(frame, count, width)
            assert {frame_at(x, count, width) for x in range(start, stop)} == {frame}
    assert frame_at(-5, 10, 200) == 0 and frame_at(500, 10, 200) == 9


def test_of_all_points_the_least_certain_counts_unless_it_was_marked_as_lost():
    confidence = np.array([[0.9, 0.2], [0.8, 0.7]])
    none = np.zeros((2, 2), dtype=bool)
    lost = none.copy()
    lost[0, 1] = True
    assert FrameStates.of_points(confidence, none, none, none).confidence.tolist() == [0.2, 0.7]
    every = FrameStates.of_points(confidence, none, none, lost)
    assert every.confidence.tolist() == [0.9, 0.7] and every.lost.tolist() == [True, False]
    first = FrameStates.of_points(confidence, none, none, lost, point=0)
    assert first.confidence.tolist() == [0.9, 0.8] and not first.lost.any()
    only = FrameStates.of_points(confidence, none, none, lost, point=1)
    assert np.isnan(only.confidence[0])
