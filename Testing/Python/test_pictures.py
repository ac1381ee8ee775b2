"""The pictures: the right points at the right places, at the true speed, in the true units."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from UltrasoundMotionLib.errors import MissingPackageError, OutputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.pictures import (
    draw_displacement,
    write_displacement_plot,
    write_overlay_animation,
    write_overlay_strip,
)
from UltrasoundMotionLib.pictures.frame_overlay import FrameOverlay, crop_box
from UltrasoundMotionLib.pictures.label_colors import label_colors
from UltrasoundMotionLib.pictures.overlay_animation import animation_frames
from UltrasoundMotionLib.pictures.overlay_strip import strip_frames
from UltrasoundMotionLib.pictures.scale_bar import draw_scale_bar
from UltrasoundMotionLib.tracking import PointTracks

WIDTH, HEIGHT = 120, 90


def make_tracks(*, frame_count=6, point_count=3, query_frame=2, times_s=None, spacing_mm=None, reached=slice(None)):
    """Points far apart that move right by a pixel a frame; the last one is lost on the last frame."""
    start = np.stack([np.linspace(20, 90, point_count), np.linspace(25, 65, point_count)], axis=1)
    positions = np.full((frame_count, point_count, 2), np.nan)
    positions[reached] = (start + np.arange(frame_count)[:, None, None] * [1.0, 0.0])[reached]
    confidence = np.where(np.isfinite(positions[..., 0]), 1.0, 0.0)
    visible = confidence > 0
    visible[-1, -1] = False
    labels = tuple(f"P{index}" for index in range(point_count))
    return PointTracks(
        positions, confidence, visible, labels, query_frame, times_s=times_s, spacing_mm=spacing_mm, model="made"
    )


def make_sequence(frame_count=6):
    frames = np.full((frame_count, HEIGHT, WIDTH), 60, np.uint8)
    frames[:, ::4, ::4] = 100
    return ImageSequence(frames)


def test_points_of_the_animation_sit_at_their_pixels_and_lost_ones_are_hollow(tmp_path):
    tracks, sequence = make_tracks(), make_sequence()
    write_overlay_animation(tmp_path / "a.gif", sequence, tracks)
    left, top, right, bottom = crop_box(tracks.positions_px, sequence.frame_size)
    colors = label_colors(3)[:, :3] * 255
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 6
        for frame in (0, 2, 5):
            gif.seek(frame)
            picture = np.asarray(gif.convert("RGB")).astype(float)
            scale_x, scale_y = picture.shape[1] / (right - left), picture.shape[0] / (bottom - top)
            for point, (x, y) in enumerate(tracks.positions_px[frame]):
                column, row = round((x - left + 0.5) * scale_x - 0.5), round((y - top + 0.5) * scale_y - 0.5)
                centre = picture[row, column]
                around = picture[row - 7 : row + 8, column - 7 : column + 8]
                assert np.abs(around - colors[point]).max(axis=2).min() < 12, (
                    "its own colour is there, filled or as a ring"
                )
                if tracks.visible[frame, point]:
                    assert np.abs(centre - colors[point]).max() < 12
                else:
                    assert np.ptp(centre) < 12, "grey shows through a ring"


def test_the_picture_lies_on_the_points_not_half_a_pixel_off(tmp_path):
    frames = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    frames[:, 45, 60] = 255
    positions = np.broadcast_to(np.array([[60.0, 45.0], [20.0, 20.0], [100.0, 70.0]]), (2, 3, 2))
    tracks = PointTracks(positions, np.ones((2, 3)), np.zeros((2, 3), bool), ("a", "b", "c"), 0)
    write_overlay_animation(tmp_path / "a.gif", ImageSequence(frames), tracks)
    with Image.open(tmp_path / "a.gif") as gif:
        picture = np.asarray(gif.convert("RGB")).astype(float)
    left, top, right, bottom = crop_box(positions, (WIDTH, HEIGHT))
    scale = picture.shape[1] / (right - left), picture.shape[0] / (bottom - top)
    column, row = (60 - left + 0.5) * scale[0] - 0.5, (45 - top + 0.5) * scale[1] - 0.5
    reach = int(scale[0])
    window = picture[round(row) - reach : round(row) + reach + 1, round(column) - reach : round(column) + reach + 1]
    bright = np.where(
        np.ptp(window, axis=2) < 12, window.mean(axis=2), 0
    )  # the white pixel, without the coloured ring around it
    bright[bright < 100] = 0
    offsets = np.arange(-reach, reach + 1)
    centre = (bright.sum(axis=0) @ offsets / bright.sum(), bright.sum(axis=1) @ offsets / bright.sum())
    assert np.hypot(*centre) < 1.0, "within one picture pixel; an image pixel has five"


def test_animation_keeps_the_true_speed(tmp_path):
    times = np.cumsum([0.5, 0.033, 0.034, 0.050, 0.033, 0.033])
    tracks = make_tracks(times_s=times)
    write_overlay_animation(tmp_path / "a.gif", make_sequence(), tracks)
    with Image.open(tmp_path / "a.gif") as gif:
        durations = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            durations.append(gif.info["duration"])
    starts = np.cumsum([0, *durations[:-1]]) / 1000
    np.testing.assert_allclose(starts, times - times[0], atol=0.0051)


@pytest.mark.parametrize(("frame_count", "rate"), [(15640, 25.0), (300, 400.0), (50, 10.0)])
def test_long_and_quick_sequences_are_thinned_at_the_same_speed(frame_count, rate):
    tracks = make_tracks(frame_count=frame_count, times_s=np.arange(frame_count) / rate)
    frames, durations = animation_frames(tracks)
    assert len(frames) <= 200
    assert durations.min() >= 0.02 - 1e-9
    np.testing.assert_allclose(np.cumsum(durations)[:-1], np.array(frames[1:]) / rate, atol=1e-9)


def test_animation_as_video(tmp_path):
    av = pytest.importorskip("av", reason="needs the extra video")
    times = np.cumsum([0.5, 0.033, 0.034, 0.050, 0.033, 0.033])
    write_overlay_animation(tmp_path / "a.mp4", make_sequence(), make_tracks(times_s=times))
    with av.open(str(tmp_path / "a.mp4")) as container:
        shown = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    np.testing.assert_allclose(shown, times - times[0], atol=0.001)


def test_animation_of_a_cancelled_run_shows_what_was_reached():
    frames, _ = animation_frames(make_tracks(reached=slice(2, 4)))
    assert frames == [2, 3]


def test_only_gif_and_mp4_are_animations(tmp_path):
    with pytest.raises(OutputError, match=r"a\.webm: an animation ends in \.gif or \.mp4"):
        write_overlay_animation(tmp_path / "a.webm", make_sequence(), make_tracks())


def test_strip_shows_the_query_frame_first_and_spans_the_sequence(tmp_path):
    assert strip_frames(make_tracks(frame_count=30, query_frame=16)) == [16, 0, 6, 12, 23, 29]
    assert strip_frames(make_tracks(frame_count=30, query_frame=0)) == [0, 6, 12, 17, 23, 29]
    assert strip_frames(make_tracks(frame_count=2, query_frame=1)) == [1, 0]
    assert strip_frames(make_tracks(reached=slice(2, 4))) == [2, 3]
    write_overlay_strip(tmp_path / "s.png", make_sequence(), make_tracks(), connect=True)
    with Image.open(tmp_path / "s.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(float)
    for color in label_colors(3)[:, :3] * 255:
        assert np.sum(np.abs(pixels - color).max(axis=2) < 8) > 6 * 20, "every label's colour, on every panel"


def test_a_scale_bar_is_as_long_as_it_says_and_only_where_the_size_is_known():
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    draw_scale_bar(axes, (10, 20, 210, 170), (0.5, 0.4))
    bar = axes.lines[-1].get_xdata()
    assert (axes.texts[0].get_text(), float(bar[1] - bar[0])) == ("20 mm", 40.0)
    tracks = PointTracks(np.full((2, 1, 2), 30.0), np.ones((2, 1)), np.ones((2, 1), bool), ("a",), 0)
    for spacing, count in ((None, 0), ((0.5, 0.4), 1)):
        axes = Figure().add_axes((0, 0, 1, 1))
        noise = np.random.default_rng(0).integers(0, 255, (2, 60, 80)).astype(np.uint8)
        FrameOverlay(ImageSequence(noise, spacing), tracks).draw_frame(axes, 0)
        assert len(axes.texts) == count


def test_crop_holds_all_positions_and_stays_in_the_image():
    positions = np.array([[[2.0, 80.0], [100.0, 88.0], [np.nan, np.nan], [-500.0, 40.0]]])
    left, top, right, bottom = crop_box(positions, (WIDTH, HEIGHT))
    assert (left, bottom) == (0, HEIGHT)
    assert right == WIDTH
    assert 0 <= top < 40
    left, top, right, bottom = crop_box(np.full((1, 1, 2), 45.0), (WIDTH, HEIGHT))
    assert right - left >= WIDTH / 4
    assert bottom - top >= HEIGHT / 4


def test_plot_is_in_millimetres_and_seconds_where_they_are_known():
    tracks = make_tracks(times_s=np.arange(6) * 0.1 + 7.0, spacing_mm=(0.5, 0.25))
    upper, lower = draw_displacement(tracks).axes[:2]
    assert "mm" in upper.get_ylabel()
    assert lower.get_xlabel() == "time (s)"
    drawn = next(line for line in upper.lines if line.get_label() == "P2")
    np.testing.assert_allclose(drawn.get_xdata(), np.arange(6) * 0.1, atol=1e-9)
    np.testing.assert_allclose(drawn.get_ydata(), [-1.0, -0.5, 0.0, 0.5, 1.0, np.nan], atol=1e-9)


def test_plot_falls_back_to_pixels_and_frames(tmp_path):
    tracks = make_tracks(point_count=12)
    upper, lower = draw_displacement(tracks).axes[:2]
    assert "px" in upper.get_ylabel()
    assert lower.get_xlabel() == "frame"
    drawn = next(line for line in upper.lines if line.get_label() == "P0")
    np.testing.assert_array_equal(drawn.get_xdata(), np.arange(6))
    np.testing.assert_array_equal(drawn.get_ydata(), np.arange(6) - 2)
    write_displacement_plot(tmp_path / "d.png", tracks)
    with Image.open(tmp_path / "d.png") as picture:
        assert picture.size == (1200, 768)


def test_missing_packages_are_named_with_their_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("UltrasoundMotionLib.pictures.plot_packages.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install matplotlib pillow"):
        write_displacement_plot(tmp_path / "d.png", make_tracks())
    assert list(tmp_path.iterdir()) == []


def test_pictures_leave_the_session_s_backend_alone(tmp_path):
    program = (
        "import sys; import numpy as np; from UltrasoundMotionLib.pictures import write_displacement_plot;"
        "from UltrasoundMotionLib.tracking import PointTracks;"
        "assert 'matplotlib' not in sys.modules;"
        "tracks = PointTracks(np.zeros((3, 1, 2)), np.ones((3, 1)), np.ones((3, 1), bool), ('A',), 0);"
        f"write_displacement_plot({str(tmp_path / 'd.png')!r}, tracks);"
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "d.png").stat().st_size > 1000
