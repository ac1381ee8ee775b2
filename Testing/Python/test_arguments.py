"""Python callers: images in every usual form, and arguments of a wrong type are our own error, naming the argument."""

import numpy as np
import pytest
import SimpleITK as sitk

import UltrasoundMotionLib as library
from UltrasoundMotionLib.errors import InputError, UltrasoundMotionError
from UltrasoundMotionLib.registration import register_sequence
from UltrasoundMotionLib.strain import contour_from_clicks, contour_from_curve, measure_strain

FRAMES = np.random.default_rng(0).integers(0, 255, (4, 40, 48)).astype(np.uint8)
VOXELS = np.random.default_rng(1).normal(size=(8, 16, 16)).astype(np.float32)
WRONG = [
    3.5,
    float("nan"),
    "no such",
    b"x",
    [[1, 2], [3]],
    {"a": 1},
    object(),
    np.array(["a"]),
    np.zeros((2, 3, 4, 5)),
    int,
    complex(1, 2),
    np.ma.masked,
]


def calls(folder):
    """Valid arguments of public functions, by function."""
    sequence = library.ImageSequence(FRAMES, (1, 1))
    volume = library.Volume(VOXELS, (1, 1, 1), (0, 0, 0), np.eye(3))
    shape = (3, 2)
    points = {"positions_px": np.zeros((*shape, 2)), "confidence": np.ones(shape), "visible": np.ones(shape, bool)}
    tracks = library.PointTracks(**points, labels=("a", "b"), query_frame=0)
    for name, write, what in (
        ("clip.mha", library.write_sequence, sequence),
        ("image.nrrd", library.write_volume, volume),
        ("tracks.csv", library.write_tracks_csv, tracks),
    ):
        write(folder / name, what)
    curve = [[10, 50], [12, 30], [25, 8], [35, 8], [48, 30], [50, 50]]
    return {
        library.read_sequence: {"path": folder / "clip.mha", "spacing_mm": (1, 1), "frame_rate_hz": 20},
        library.read_volume: {"path": folder / "image.nrrd"},
        library.write_sequence: {"path": folder / "o.mha", "sequence": sequence},
        library.write_volume: {"path": folder / "o.nrrd", "volume": volume},
        library.read_tracks_csv: {"path": folder / "tracks.csv"},
        library.write_tracks_csv: {"path": folder / "o.csv", "tracks": tracks},
        library.track_points: {"sequence": sequence, "query_points": [[20, 20]], "labels": ["P"], "query_frame": 0},
        library.track_landmarks: {"sequence": sequence, "query_points": [[20, 20]], "model": "kcf"},
        library.register: {"fixed": volume, "moving": volume, "fixed_mask": None, "moving_labels": None},
        register_sequence: {"sequence": sequence, "mask": None},
        library.ImageSequence: {"frames": FRAMES, "origin_mm": (0, 0, 0), "times_s": None, "frame_fields": {}},
        library.Volume: {"array": VOXELS, "spacing_mm": (1, 1, 1), "origin_mm": (0, 0, 0), "direction": np.eye(3)},
        library.PointTracks: {**points, "labels": ("a", "b"), "query_frame": 0, "times_s": None},
        measure_strain: {"tracks": tracks, "view": "A4C", "cycle": None, "end_diastole": None},
        contour_from_clicks: {"clicks_px": [[10, 50], [30, 5], [50, 50]], "count": 9, "spacing_mm": None},
        contour_from_curve: {"points_px": curve, "count": 9, "spacing_mm": None},
    }


def test_wrong_types_are_our_own_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a text is a good name of a folder to write
    raw = []
    for function, arguments in calls(tmp_path).items():
        for name in arguments:
            for wrong in WRONG:
                try:
                    function(**{**arguments, name: wrong})
                except UltrasoundMotionError as error:
                    assert str(error)
                except Exception as error:  # what the test is about
                    raw.append(f"{function.__name__}({name}={wrong!r}): {type(error).__name__}: {error}")
    assert raw == []


def test_a_clip_is_a_path_an_array_or_a_simpleitk_image(tmp_path):
    library.write_sequence(tmp_path / "clip.mha", library.ImageSequence(FRAMES, (0.5, 0.25)))
    image = sitk.GetImageFromArray(FRAMES)
    image.SetSpacing((0.5, 0.25, 1.0))
    given = [library.read_sequence(tmp_path / "clip.mha"), tmp_path / "clip.mha", str(tmp_path / "clip.mha")]
    found = [library.track_points(one, [[20, 20]]) for one in (*given, image, FRAMES, FRAMES.astype(float))]
    for one in found:
        np.testing.assert_array_equal(one.positions_px, found[0].positions_px)
    assert [one.spacing_mm for one in found] == [(0.5, 0.25)] * 4 + [None] * 2


@pytest.mark.usefixtures("without_searches")
def test_images_to_register_are_paths_arrays_or_simpleitk_images(tmp_path):
    moving = np.roll(VOXELS, 1, axis=2)
    volumes = [library.Volume(one, (1, 1, 1), (0, 0, 0), np.eye(3)) for one in (VOXELS, moving)]
    for name, volume in zip("ab", volumes, strict=True):
        library.write_volume(tmp_path / f"{name}.nrrd", volume)
    given = [volumes, [tmp_path / "a.nrrd", tmp_path / "b.nrrd"], [VOXELS, moving], [one.to_sitk() for one in volumes]]
    found = [library.register(*pair, method="demons") for pair in given]
    for one in found:
        np.testing.assert_array_equal(one.displacement.displacement_mm, found[0].displacement.displacement_mm)
    assert "spacing unknown" in " ".join(found[2].notes)


def test_a_table_with_semicolons_says_so(tmp_path):
    path = tmp_path / "tracks.csv"
    path.write_text("frame;time_s;label;x;y;confidence;visible\n0;;A;1;2;1;1\n")
    with pytest.raises(InputError, match=r"tracks\.csv: line 1: values are separated by semicolons; use commas"):
        library.read_tracks_csv(path)
