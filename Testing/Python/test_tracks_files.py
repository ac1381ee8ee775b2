"""The files of `tracks`: tables of tracked points, and the points to follow from CSV and from 3D Slicer markups."""

import json

import numpy as np
import pytest

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking import PointTracks, read_query_points, read_tracks_csv, write_tracks_csv

TRACKS_HEADER = "frame,time_s,label,x,y,confidence,visible\n"


def make_tracks(times_s=None, unreached=(), seed=3):
    generator = np.random.default_rng(seed)
    positions = generator.uniform(0, 500, (5, 3, 2))
    confidence = generator.uniform(0, 1, (5, 3))
    visible = generator.uniform(size=(5, 3)) > 0.4
    confidence[0, 0], confidence[2], visible[2] = 0.99999999, 1.0, True
    for frame in unreached:
        positions[frame], confidence[frame], visible[frame] = np.nan, 0.0, False
    return PointTracks(
        positions, confidence, visible, ("septum", "apex, outer", "Wand \u00e4"), query_frame=2, times_s=times_s
    )


def test_tracks_come_back_with_their_query_frame_and_enough_digits(tmp_path):
    tracks = make_tracks(times_s=np.arange(5) * 33.333e-3)
    write_tracks_csv(tmp_path / "t.csv", tracks)
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] + "\n" == TRACKS_HEADER
    assert len(lines) == 1 + 5 * 3
    assert lines[4].startswith("1,0.033333,septum,")
    again = read_tracks_csv(tmp_path / "t.csv")
    assert again.labels == tracks.labels
    assert again.query_frame == 2
    np.testing.assert_allclose(again.positions_px, tracks.positions_px, atol=5.1e-7)
    np.testing.assert_allclose(again.confidence, tracks.confidence, atol=1.1e-6)
    np.testing.assert_allclose(again.times_s, tracks.times_s, atol=1e-9)
    np.testing.assert_array_equal(again.visible, tracks.visible)


def test_unknown_times_stay_empty_and_unreached_frames_are_left_out(tmp_path):
    tracks = make_tracks(unreached=(0, 4))
    write_tracks_csv(tmp_path / "t.csv", tracks)
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["1"] * 3 + ["2"] * 3 + ["3"] * 3
    assert all(line.split(",")[1] == "" for line in lines)
    again = read_tracks_csv(tmp_path / "t.csv")
    assert again.times_s is None
    np.testing.assert_array_equal(again.reached, [False, True, True, True])


def test_unwritable_table_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="missing"):
        write_tracks_csv(tmp_path / "missing" / "t.csv", make_tracks())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frame,time_s,label,x,y\n", ["line 1", "expected the columns", "found 'frame,time_s,label,x,y'"]),
        (TRACKS_HEADER, ["no tracked point"]),
        (TRACKS_HEADER + "0,,A,1,2,1,1\n0.5,,A,1,2,1,1\n", ["line 3", "frame", "'0.5'"]),
        (TRACKS_HEADER + "-1,,A,1,2,1,1\n", ["line 2", "frame", "'-1'"]),
        (TRACKS_HEADER + "99999999999,,A,1,2,1,1\n", ["line 2", "'99999999999'"]),
        (TRACKS_HEADER + "0,,A,nan,2,1,1\n", ["line 2", "x must be", "'nan'"]),
        (TRACKS_HEADER + "0,,A,1,2,1.5,1\n", ["line 2", "confidence", "'1.5'"]),
        (TRACKS_HEADER + "0,,A,1,2,1,yes\n", ["line 2", "visible", "'yes'"]),
        (TRACKS_HEADER + "0,,A,1,2,1\n", ["line 2", "7 values", "found 6"]),
        (TRACKS_HEADER + "0,,A,1,2,1,1\n0,,A,1,2,1,1\n", ["line 3", "A", "twice"]),
        (TRACKS_HEADER + "0,0.1,A,1,2,1,1\n1,0.1,A,1,2,1,1\n", ["does not increase"]),
        (TRACKS_HEADER + "0,0.1,A,1,2,1,1\n1,,A,1,2,1,1\n", ["frame 1", "no time_s"]),
        (TRACKS_HEADER + "0,0.1,A,1,2,1,1\n0,0.2,B,1,2,1,1\n", ["frame 0", "two different times"]),
    ],
)
def test_wrong_tables_are_refused_by_line_and_value(tmp_path, text, words):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_tracks_csv(path)
    assert_one_line(caught, [str(path), *words])


def assert_one_line(caught, words):
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.fixture
def sequence():
    """40 x 30 pixels of 0.5 x 0.25 mm, in a plane turned about z and away from the origin."""
    direction = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    return ImageSequence(
        np.zeros((3, 30, 40), np.uint8), spacing_mm=(0.5, 0.25), origin_mm=(10.0, 20.0, 30.0), direction=direction
    )


def write_markups(path, positions, system="LPS", labels=None, **changes):
    points = [
        {"label": (labels or "ABCDEF")[index], "position": position, "positionStatus": "defined"}
        for index, position in enumerate(positions)
    ]
    path.write_text(
        json.dumps({"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": points, **changes}]})
    )
    return path


def test_points_in_pixels_come_from_a_table(tmp_path, sequence):
    path = tmp_path / "p.csv"
    path.write_text('\ufefflabel,x,y\nbase, 3.25,4\n\n"apex, outer",39.5,-0.5\n', encoding="utf-8")
    points = read_query_points(path, sequence)
    assert points.labels == ("base", "apex, outer")
    np.testing.assert_array_equal(points.points_px, [[3.25, 4], [39.5, -0.5]])


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_markups_go_through_the_geometry_of_the_image(tmp_path, sequence, system):
    # by hand: x of the image runs along L-P-S's second axis, y against the first; pixel (8, 12) is 4 mm and 3 mm from
    # the origin
    position = [10.0 - 3.0, 20.0 + 4.0, 30.0]
    if system == "RAS":
        position = [-position[0], -position[1], position[2]]
    points = read_query_points(write_markups(tmp_path / "p.mrk.json", [position], system), sequence)
    assert points.labels == ("A",)
    np.testing.assert_allclose(points.points_px, [[8, 12]], atol=1e-12)
    assert points.notes == ()


def test_markups_saved_by_slicer_are_read(slicer_core, tmp_path, sequence):
    expected = np.array([[8.0, 12.0], [0.0, 29.0]])
    scene = slicer_core.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    for x, y, z in sequence.pixels_to_lps_mm(expected):
        node.AddControlPoint([-x, -y, z])
    node.AddControlPoint([0, 0, 0])
    node.SetNthControlPointPositionMissing(2)
    storage = scene.AddNode(slicer_core.vtkMRMLMarkupsJsonStorageNode())
    storage.SetFileName(str(tmp_path / "p.mrk.json"))
    assert storage.WriteData(node) == 1
    points = read_query_points(tmp_path / "p.mrk.json", sequence)
    np.testing.assert_allclose(points.points_px, expected, atol=1e-9)
    assert len(points.notes) == 1
    assert "not placed" in points.notes[0]


def test_without_spacing_a_millimetre_is_a_pixel_and_a_note_says_so(tmp_path):
    points = read_query_points(
        write_markups(tmp_path / "p.mrk.json", [[5, 6, 0]]), ImageSequence(np.zeros((3, 30, 40), np.uint8))
    )
    np.testing.assert_array_equal(points.points_px, [[5, 6]])
    assert len(points.notes) == 1
    assert "pixel size is unknown" in points.notes[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["line 1", "label,x,y", "nothing"]),
        ("label;x;y\nA;1;2\n", ["line 1", "semicolons"]),
        ("label,x,y\n", ["holds no point"]),
        ("label,x,y\nA,1,2\nB,1\n", ["line 3", "expected 3 values", "found 2"]),
        ("label,x,y\nA,1,two\n", ["line 2", "y must be", "'two'"]),
        ("label,x,y\nA,inf,2\n", ["line 2", "x must be", "'inf'"]),
        ("label,x,y\n,1,2\n", ["line 2", "label is empty"]),
        ("label,x,y\nA,1,2\nB,1,2\nA,3,4\n", ["line 4", "label A", "line 2"]),
        ("label,x,y\nA,1,2\nB,39.6,2\n", ["line 3", "point B", "(39.6, 2)", "40 x 30"]),
        ("\x00\xff", ["text table"]),
    ],
)
def test_wrong_point_tables_are_refused_by_line_and_value(tmp_path, sequence, text, words):
    path = tmp_path / "p.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        read_query_points(path, sequence)
    assert_one_line(caught, [str(path), *words])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["line 1", "JSON"]),
        ("[]", ["not a markups file"]),
        ('{"markups": [{"type": "ROI"}]}', ["no controlPoints"]),
        ('{"markups": [{"controlPoints": []}]}', ["holds no point"]),
        ('{"markups": [{"coordinateSystem": "IJK", "controlPoints": []}]}', ["'IJK'"]),
        ('{"markups": [{"coordinateUnits": "um", "controlPoints": []}]}', ["'um'"]),
        ('{"markups": [{"controlPoints": [{"label": "A", "position": [1, 2]}]}]}', ["control point 1", "[1, 2]"]),
        (
            '{"markups": [{"controlPoints": [{"label": "A", "position": [10, 20, 36]}]}]}',
            ["point A", "6.0 mm from the image plane"],
        ),
        (
            '{"markups": [{"controlPoints": [{"label": "A", "position": [10, 19, 30]}]}]}',
            ["point A", "(-2, 0)", "outside"],
        ),
    ],
)
def test_wrong_markups_are_refused_by_point_and_value(tmp_path, sequence, text, words):
    path = tmp_path / "p.mrk.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_query_points(path, sequence)
    assert_one_line(caught, [str(path), *words])


def test_duplicate_markups_labels_and_missing_files_are_refused(tmp_path, sequence):
    path = write_markups(tmp_path / "p.mrk.json", [[10, 20, 30], [9, 21, 30]], labels="AA")
    with pytest.raises(InputError, match="control point 2: the label A is already used on control point 1"):
        read_query_points(path, sequence)
    for name in ("none.csv", "none.mrk.json", "points.txt"):
        with pytest.raises(InputError, match=name):
            read_query_points(tmp_path / name, sequence)


@pytest.mark.parametrize("label", ["A\0", "A\x1b[31m", "\ud800", "\uffff"])
def test_labels_that_no_file_of_results_can_hold_are_refused(tmp_path, sequence, label):
    path = write_markups(tmp_path / "p.mrk.json", [[10, 20, 30]], labels=[label])
    with pytest.raises(InputError) as caught:
        read_query_points(path, sequence)
    assert_one_line(caught, [str(path), "control point 1", "control characters"])


def test_a_truth_value_is_no_coordinate(tmp_path, sequence):
    path = write_markups(tmp_path / "p.mrk.json", [[10, 20, 30]])
    path.write_text(path.read_text().replace("20", "true"))
    with pytest.raises(InputError, match="position must be three numbers"):
        read_query_points(path, sequence)


@pytest.mark.parametrize("value", ["1e300", "-1e9"])
def test_positions_beyond_any_image_are_refused(tmp_path, value):
    path = tmp_path / "t.csv"
    path.write_text(f"frame,time_s,label,x,y,confidence,visible\n0,,A,{value},1,1,1\n")
    with pytest.raises(InputError, match=f"line 2: x must be a number of pixels, got '{value}'"):
        read_tracks_csv(path)
