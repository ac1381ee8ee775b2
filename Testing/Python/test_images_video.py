"""Video: exact frame counts, presentation times, forwards and backwards, and clear errors."""

import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.images import colour_frame, read_sequence
from UltrasoundMotionLib.images.readers import video


def numbered_frames(count, height=48, width=64):
    """Frames that tell their number: eight blocks, black or white, are its binary digits."""
    frames = np.full((count, height, width, 3), 16, np.uint8)
    for number in range(count):
        for bit in range(8):
            if number >> bit & 1:
                frames[number, 8:40, bit * 8 : bit * 8 + 8] = 235
    return frames


def number_of(frame):
    return sum(int(frame[24, bit * 8 + 4] > 128) << bit for bit in range(8))


def video_file(path, frames, codec="mpeg4", rate=25, times=None, **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={key: str(value) for key, value in options.items()})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts = round(1000 * (times[number] if times is not None else number / rate))
            picture.time_base = Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.mp4", "mpeg4", {"g": 12, "bf": 2}),
        ("v.avi", "mpeg4", {"g": 12}),
        ("v.avi", "mjpeg", {}),
        ("in_order.avi", "libx264", {"g": 20, "bf": 2}),
    ],
)
def test_every_frame_forwards_backwards_and_at_random(tmp_path, monkeypatch, name, codec, options):
    frames = numbered_frames(60)
    path = video_file(tmp_path / name, frames, codec, **options)
    monkeypatch.setattr(video, "CACHE_BYTES", 10 * 48 * 64)  # so that the cache is smaller than a group of pictures
    sequence = read_sequence(path)
    assert len(sequence) == 60
    np.testing.assert_allclose(sequence.times_s, np.arange(60) / 25, atol=1.1e-3)
    for order in (range(60), range(59, -1, -1), np.random.default_rng(8).permutation(60)):
        assert [number_of(sequence.frame(int(index))) for index in order] == list(order)
    assert sequence.spacing_mm is None and any(
        "spacing unknown: a video carries none" in note for note in sequence.notes
    )


def test_going_backwards_decodes_few_frames(tmp_path, monkeypatch):
    """Through a group of 50 pictures with room for 25: each picture is decoded at most twice, not 25 times."""
    sequence = read_sequence(video_file(tmp_path / "v.mp4", numbered_frames(100), g=50, bf=0))
    decoded = []
    monkeypatch.setattr(sequence.frames, "_capacity", 25)
    keep = sequence.frames._keep
    monkeypatch.setattr(sequence.frames, "_keep", lambda frame, pixels: (decoded.append(frame), keep(frame, pixels)))
    for _ in sequence.iterate(start=99, step=-1):
        pass
    assert len(decoded) <= 160


def test_uneven_times_are_the_presentation_times(tmp_path):
    times = np.cumsum(np.random.default_rng(9).integers(10, 90, 30)) / 1000
    sequence = read_sequence(video_file(tmp_path / "v.mkv", numbered_frames(30), times=times))
    np.testing.assert_allclose(sequence.times_s, times - times[0], atol=1e-9)


def test_luma_and_colour_of_the_real_echo(shared_data):
    sequence = read_sequence(shared_data("echo-video/input.mp4"))
    assert sequence.frames.shape == (45, 768, 1024) and sequence.frame_rate_hz == pytest.approx(20)
    colour = colour_frame(sequence, 44).astype(float)
    np.testing.assert_allclose(sequence.frame(44), colour @ [0.299, 0.587, 0.114], atol=4)
    assert np.abs(sequence.frame(44) - colour @ [0.299, 0.587, 0.114]).mean() < 1


def test_damaged_missing_and_not_a_video(tmp_path, shared_data, monkeypatch):
    whole = shared_data("echo-video/input.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    for name in ("cut.mp4", "text.mp4"):
        with pytest.raises(InputError, match=f"{name}: .*(truncated|cannot be read as a video)"):
            read_sequence(tmp_path / name)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingPackageError, match="pip install av"):
        read_sequence(tmp_path / "text.mp4")


@pytest.mark.parametrize("version", ["12.0.0", "18.1.0", "19.0.2"])
def test_every_version_of_pyav_is_asked_for_what_it_has(tmp_path, monkeypatch, version):
    open_file, path = av.open, video_file(tmp_path / "v.avi", numbered_frames(3))
    asked = []

    def opened(file, **options):
        """PyAV 19 has no option `metadata_errors`; what is installed here may have it or not."""
        asked.append(options)
        if version.startswith("19") and options:
            raise TypeError("open() got an unexpected keyword argument 'metadata_errors'")
        return open_file(file)

    monkeypatch.setattr(av, "__version__", version)
    monkeypatch.setattr(av, "open", opened)
    assert read_sequence(path).frame(0).ndim == 2
    assert asked == [{} if version.startswith("19") else {"metadata_errors": "ignore"}] * 2
