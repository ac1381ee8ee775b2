"""Numbers and sizes that no user means: a line that names them, at once, without the memory that they ask for."""

import json
import os

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import SHIFT_PX, assert_refused, speckle, write_clip
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence, Volume, read_sequence
from UltrasoundMotionLib.registration import register
from UltrasoundMotionLib.tracking import read_clust_tracks, read_tracks_csv, track_points


@pytest.fixture
def track(run, clip, points, tmp_path):
    def call(*options, clip=clip, points=points):
        return run("track", clip, "--points", points, "--out", tmp_path / "t.csv", *options)

    return call


def test_frames_ahead_beyond_the_clip(track):
    assert_refused(track("--ahead-frames", 1_000_000_000), "--ahead-frames", "1000000000 frames ahead")


@pytest.mark.parametrize("size", [1e-7, 1e7])
def test_pixels_of_no_size_that_a_scanner_has(track, size):
    assert_refused(track("--spacing-mm", size, size), f"{size:g} mm is not the size of a pixel")
    with pytest.raises(InputError, match="is not the size of a pixel"):
        Volume(np.zeros((4, 4)), (size, 1.0), (0.0, 0.0), np.eye(2))
    with pytest.raises(InputError, match="is not the size of a pixel"):
        ImageSequence(np.zeros((2, 4, 4), "u1"), (size, 1.0))


@pytest.mark.parametrize("spacing", [1e6, 7])
@pytest.mark.slow
def test_a_working_grid_without_voxels(run, tmp_path, spacing):
    rng = np.random.default_rng(0)
    for name in ("fixed.nrrd", "moving.nrrd"):
        sitk.WriteImage(sitk.GetImageFromArray(rng.normal(size=(12, 24, 28)).astype("f4")), str(tmp_path / name))
    images = (tmp_path / "fixed.nrrd", tmp_path / "moving.nrrd")
    refused = run("register", *images, "--out-displacement", tmp_path / "u.nrrd", "--working-spacing-mm", spacing)
    assert_refused(refused, "--working-spacing-mm", "too coarse for an image of 28 x 24 x 12 mm; at most 6")


@pytest.mark.parametrize("factor", [1e-6, 1 / 255, 1e30])
def test_clips_of_faint_or_huge_numbers_are_followed_as_others(factor):
    frames = speckle(6).astype("f4") * np.float32(factor)
    found = track_points(ImageSequence(frames), [[40, 40], [50.5, 60]])
    assert any("were scaled to 0 to 255" in note for note in found.notes)
    expected = np.array([[40, 40], [50.5, 60]]) + np.arange(6)[:, None, None] * [SHIFT_PX, 0]
    np.testing.assert_allclose(found.positions_px, expected, atol=0.2)
    assert found.visible.all()


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_doubles_that_single_precision_cannot_hold(tmp_path, factor):
    path = write_clip(tmp_path / "clip.mha", speckle(3).astype("f8") * factor)
    with pytest.raises(InputError, match="lost in single precision"):
        read_sequence(path).frame(0)


@pytest.mark.parametrize("frame", ["1000000000", "1e300", "9999999", "nan", "1_0"])
def test_frame_numbers_that_are_something_else(tmp_path, frame):
    (tmp_path / "t.csv").write_text(
        "frame,time_s,label,x,y,confidence,visible\n0,,A,1,1,1,1\n0,,B,1,1,1,1\n" + f"{frame},,A,1,1,1,1\n"
    )
    with pytest.raises(InputError, match=r"t\.csv: .*frame"):
        read_tracks_csv(tmp_path / "t.csv")
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"1 2 3\n{frame} 2 3\n")
    with pytest.raises(InputError, match=r"[ab]\.txt: .*(frame|three numbers|not finite)"):
        read_clust_tracks([tmp_path / "a.txt", tmp_path / "b.txt"])


def test_json_that_is_deep_or_has_endless_numbers(track, tmp_path):
    path = tmp_path / "points.mrk.json"
    for text, words in (("[" * 100_000, "nested too deeply"), ('{"markups": ' + "9" * 10_000 + "}", "not valid JSON")):
        path.write_text(text)
        assert_refused(track(points=path), path, words)
    path.write_text(json.dumps({"markups": [{"type": "Fiducial", "controlPoints": [{"position": [1e308, 1e308, 0]}]}]}))
    assert_refused(track(points=path), path)


@pytest.mark.skipif(os.name != "posix", reason="of POSIX")
def test_pipes_as_tables_are_refused_without_waiting(track, run, clip, tmp_path):
    for name in ("p.csv", "p.mrk.json", "p.txt", "s.json"):
        os.mkfifo(tmp_path / name)
    for refused in (  # whoever opened a pipe without a writer would wait for ever
        track(points=tmp_path / "p.csv"),
        track(points=tmp_path / "p.mrk.json"),
        track("--corrections", tmp_path / "p.csv", "--query-frame", 0),
        run("strain", tmp_path / "p.csv", "--out", tmp_path / "s.csv"),
        run("evaluate", "tracks", tmp_path / "p.csv", "--truth", tmp_path / "p.txt"),
    ):
        assert_refused(refused, "pipe or a device")


@pytest.mark.slow
def test_names_with_dollars_are_drawn_as_they_are(track, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    (tmp_path / "dollar.csv").write_text("label,x,y\n$$,40,40\n$x^{,50,60\n")
    pictures = [word for option in ("plot", "overlay") for word in (f"--{option}", tmp_path / f"{option}.png")]
    code, _, error = track(*pictures, "--animation", tmp_path / "a.gif", points=tmp_path / "dollar.csv")
    assert code == 0, error


def test_videos_that_are_none_or_change_their_size(tmp_path):
    av = pytest.importorskip("av")
    (tmp_path / "picture.mp4").write_bytes(b"\x89PNG\r\n\x1a\n" + np.random.default_rng(0).bytes(300))
    sitk.WriteImage(sitk.GetImageFromArray(speckle(1)[0]), str(tmp_path / "p.png"))
    (tmp_path / "p.png").rename(tmp_path / "whole.mp4")
    for name in ("picture.mp4", "whole.mp4"):
        with pytest.raises(InputError, match="is a picture"):
            read_sequence(tmp_path / name)
    for size, name in ((96, "a.avi"), (64, "b.avi")):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("mjpeg", rate=20)
            stream.width = stream.height = size
            stream.pix_fmt = "yuvj420p"
            for frame in speckle(6, size=size):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(frame[..., None], 3, 2), "rgb24")))
            container.mux(stream.encode())
    # the frames of another size in place of the last ones: the packets' sizes must fit, so they are padded
    first, second = ((tmp_path / name).read_bytes() for name in ("a.avi", "b.avi"))
    starts = [at for at in range(len(first) - 1) if first[at : at + 4] == b"00dc"][:6]
    small = second[second.index(b"00dc") + 8 :]
    small = small[: int.from_bytes(second[second.index(b"00dc") + 4 :][:4], "little")]
    at = starts[3]
    room = int.from_bytes(first[at + 4 : at + 8], "little")
    assert len(small) <= room
    changed = first[: at + 8] + small + bytes(room - len(small)) + first[at + 8 + room :]
    (tmp_path / "changed.avi").write_bytes(changed)
    sequence = read_sequence(tmp_path / "changed.avi")
    with pytest.raises(InputError, match=r"changes its size|cannot be decoded"):
        [sequence.frame(index) for index in range(6)]


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_volumes_that_single_precision_cannot_hold(factor):
    volume = Volume(np.random.default_rng(0).normal(size=(8, 8, 8)) * factor, (1, 1, 1), (0, 0, 0), np.eye(3))
    with pytest.raises(InputError, match=r"fixed: values up to .* lost in single precision"):
        register(volume, volume)


def test_a_huge_constant_is_followed_as_a_small_one():
    points = [[18.0, 18.0], [22.5, 25.0]]
    huge, small = (
        track_points(ImageSequence(np.full((5, 40, 40), level, dtype=np.float32)), points, model="block-matching")
        for level in (1e30, 5.0)
    )
    np.testing.assert_array_equal(huge.visible, small.visible)
    assert not huge.visible[2:].any()
