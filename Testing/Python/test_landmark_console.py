"""Landmark Tracking from the Python console, on real MRML nodes with the real child process."""

import re

import numpy as np
import pytest
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk

from landmark_bench import QUERY_PX, SPACING_MM, TURNED, LandmarkBench, place, positions, truth_px
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.images import ImageSequence, write_sequence
from UltrasoundMotionLib.jobs import run_job, track_job
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.tracking import (
    TrackRequest,
    read_clust_tracks,
    read_tracks_csv,
    track_points,
)


@pytest.mark.parametrize(
    ("options", "module_options"),
    [
        ({"query_frame": 7}, {"queryFrame": 7}),
        (
            {"model": "kcf", "watch_shadows": True},
            {"model": "kcf", "watchShadows": True, "queryFrame": 0},
        ),
        (
            {"offline": True, "hide_graphics": False},
            {"offline": True, "hideGraphics": False, "query_frame": 0},
        ),
    ],
)
@pytest.mark.slow
def test_the_same_input_gives_the_same_result_from_all_four(bench, kept_process, tmp_path, options, module_options):
    request = TrackRequest(device="cpu", **options)
    expected = track_points(bench.sequence, QUERY_PX, request=request)
    job = track_job(bench.sequence, QUERY_PX, request=request)
    by_job = run_job(job, kept_process)
    for name in ("positions_px", "confidence", "visible"):
        np.testing.assert_array_equal(getattr(by_job, name), getattr(expected, name))
    assert by_job.notes == expected.notes
    write_sequence(tmp_path / "clip.seq.nrrd", bench.sequence)
    rows = "".join(f"P{number},{x},{y}\n" for number, (x, y) in enumerate(QUERY_PX, 1))
    (tmp_path / "points.csv").write_text("label,x,y\n" + rows)
    words = [*job.command[1:2], str(tmp_path / "clip.seq.nrrd"), *job.command[3:], "--quiet"]
    words[words.index("--points") + 1] = str(tmp_path / "points.csv")
    words[words.index("--out") + 1] = str(tmp_path / "tracks.csv")
    assert main(words) == 0
    written = read_tracks_csv(tmp_path / "tracks.csv")
    np.testing.assert_allclose(written.positions_px, expected.positions_px, atol=5e-4)
    np.testing.assert_array_equal(written.visible, expected.visible)
    nodes = bench.logic.track(bench.clip.proxy, bench.points, device="cpu", **module_options)
    np.testing.assert_allclose(positions(bench, nodes.landmarks), expected.positions_px, atol=1e-6)


@pytest.fixture
def bench(open_bench):
    return open_bench(LandmarkBench)


def test_the_example_of_the_docstring_runs(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"^    from LandmarkTracking.*", bench.module.__doc__, flags=re.MULTILINE | re.DOTALL).group(0)
    code = "\n".join(line.removeprefix("    ") for line in example.splitlines())
    somewhere = pixels_to_ras_mm(bench.sequence, truth_px(24)[5, 0] + [3, 2])
    names = {"clipNode": bench.clip.proxy, "pointsNode": bench.points, "somewhereElse": somewhere}
    exec(code, names)
    tracks = read_tracks_csv(tmp_path / "tracks.csv")
    assert tracks.positions_px.shape == (24, 3, 2)
    np.testing.assert_allclose(tracks.positions_px[:5], truth_px(24)[:5], atol=0.3)  # what was before stays
    np.testing.assert_allclose(
        tracks.positions_px[5:, 0], truth_px(24)[5:, 0] + [3, 2], atol=0.5
    )  # the moved point goes on from there
    np.testing.assert_allclose(tracks.positions_px[5:, 1:], truth_px(24)[5:, 1:], atol=0.3)


def test_a_clip_is_found_by_sequence_browser_or_proxy_and_in_colour(bench):
    frames = np.repeat(bench.sequence.frames[..., None], 3, axis=3)
    node = bench.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "colour")
    volume = slicer.vtkMRMLVectorVolumeNode()
    volume.SetSpacing(0.4, 0.25, 1.0)
    for frame in range(len(frames)):
        image = vtk.vtkImageData()
        image.SetDimensions(frames.shape[2], frames.shape[1], 1)
        image.GetPointData().SetScalars(numpy_to_vtk(frames[frame].reshape(-1, 3), deep=True))
        volume.SetAndObserveImageData(image)
        node.SetDataNodeAtValue(volume, f"{frame}")
    browser = bench.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "colour browser")
    browser.AddSynchronizedSequenceNode(node)
    points = bench.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "on colour")
    points.AddControlPoint(50 * 0.4, 44 * 0.25, 0.0, "P1")
    found = []
    for given in (node, browser, find_sequence_nodes(node).proxy):
        result = bench.logic.track(given, points, queryFrame=0, drawPaths=False)
        assert result.landmarks.browser is browser
        assert result.paths == ()
        found.append(positions(bench, result.landmarks))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    np.testing.assert_allclose(found[0][:, 0], truth_px(24)[:, 0], atol=0.3)


def test_the_query_frame_is_the_one_shown_and_directions_leave_the_rest_out(bench):
    bench.points.RemoveAllControlPoints()
    for position in pixels_to_ras_mm(bench.sequence, truth_px(24)[10]):
        bench.points.AddControlPoint(position)
    bench.clip.browser.SetSelectedItemNumber(10)
    whole = bench.logic.track(bench.clip.proxy, bench.points)
    np.testing.assert_allclose(positions(bench, whole.landmarks), truth_px(24), atol=0.3)
    assert bench.clip.browser.GetSelectedItemNumber() == 10
    back = bench.logic.track(bench.clip.proxy, bench.points, direction="backward", model="block-matching")
    reached = bench.logic.tracks(back.landmarks.proxy).reached
    assert reached.tolist() == [True] * 11 + [False] * 13


def test_everything_follows_the_transform_that_puts_the_ultrasound_into_an_mri(bench):
    plain = bench.logic.track(bench.clip.proxy, bench.points, queryFrame=0)
    plain_px = positions(bench, plain.landmarks)
    bench.clip.browser.SetSelectedItemNumber(7)
    before = [np.array(plain.landmarks.proxy.GetNthControlPointPositionWorld(number)) for number in range(3)]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = TURNED.T, (40, -7, 25)
    placing = bench.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "ultrasound in MRI")
    placing.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    bench.clip.proxy.SetAndObserveTransformNodeID(placing.GetID())
    world = place(bench.scene, bench.sequence, name="clicked on the MRI")  # stands under no transform
    for number in range(3):
        world.SetNthControlPointPositionWorld(
            number, *(matrix[:3, :3] @ bench.points.GetNthControlPointPosition(number) + matrix[:3, 3])
        )
    bench.clip.browser.SetSelectedItemNumber(0)
    placed = bench.logic.track(bench.clip.proxy, world)
    np.testing.assert_allclose(positions(bench, placed.landmarks), plain_px, atol=1e-5)
    bench.clip.browser.SetSelectedItemNumber(7)
    for number in range(3):
        expected = matrix[:3, :3] @ before[number] + matrix[:3, 3]
        np.testing.assert_allclose(placed.landmarks.proxy.GetNthControlPointPositionWorld(number), expected, atol=1e-4)
    assert placed.paths[0].GetTransformNodeID() == placing.GetID()


def test_lost_points_are_missing_and_can_be_put_back(bench):
    frames = bench.sequence.frames.copy()
    frames[12:18, 20:66, 20:72] = 0  # a shadow over the first point, clear of what surrounds the others
    dark = ImageSequence(frames, SPACING_MM, bench.sequence.times_s, bench.sequence.origin_mm, TURNED, name="shadow")
    result = bench.logic.track(add_image_sequence(bench.scene, dark).proxy, bench.points, queryFrame=0)
    item = result.landmarks.sequence.GetNthDataNode(15)
    statuses = [item.GetNthControlPointPositionStatus(control) for control in range(3)]
    assert statuses == [item.PositionMissing, item.PositionDefined, item.PositionDefined]
    tracked = result.landmarks.proxy
    assert bench.logic.placeLostPoints(tracked, 3) == ()
    assert bench.logic.placeLostPoints(tracked, 15) == ("P1",)
    result.landmarks.browser.SetSelectedItemNumber(15)
    assert tracked.GetNthControlPointPositionStatus(0) == tracked.PositionDefined
    tracked.SetNthControlPointPosition(0, *pixels_to_ras_mm(bench.sequence, truth_px(24)[15, 0]))
    assert bench.logic.corrections(tracked).labels == ("P1",)
    before = bench.logic.tracks(tracked)
    bench.logic.trackAgain(tracked)
    after = bench.logic.tracks(tracked)
    assert np.array_equal(after.visible[:15], before.visible[:15])
    assert after.visible[15, 0]


def test_a_saved_scene_goes_on_where_it_was_left(bench, tmp_path):
    first = bench.logic.track(bench.clip.proxy, bench.points, queryFrame=0)
    before = positions(bench, first.landmarks)
    bench.clip.browser.SetSelectedItemNumber(9)
    first.landmarks.proxy.SetNthControlPointPosition(2, *pixels_to_ras_mm(bench.sequence, truth_px(24)[9, 2] - 4))
    write_scene(bench.scene, tmp_path / "work.mrb")
    bench.scene.Clear(False)
    read_scene(bench.scene, tmp_path / "work.mrb")
    tracked = bench.scene.GetFirstNodeByName("clip landmarks")
    assert bench.logic.corrections(tracked).labels == ("P3",)
    classes = bench.classes()
    again = bench.logic.trackAgain(tracked)
    assert bench.classes() == classes  # paths, tables and plot were replaced
    after = positions(bench, again.landmarks)
    assert bench.logic.corrections(tracked).labels == ("P1", "P2", "P3")  # none is out of place now
    np.testing.assert_allclose(after[:9], before[:9], atol=1e-5)
    np.testing.assert_allclose(after[9:, :2], before[9:, :2], atol=1e-5)
    np.testing.assert_allclose(after[9:, 2], truth_px(24)[9:, 2] - 4, atol=0.5)


def test_exports_are_read_back(bench, tmp_path):
    result = bench.logic.track(bench.clip.proxy, bench.points, queryFrame=0)
    bench.logic.exportCsv(result.landmarks.proxy, tmp_path / "tracks.csv")
    bench.logic.exportClust(result.landmarks.proxy, tmp_path)
    expected = positions(bench, result.landmarks)
    np.testing.assert_allclose(read_tracks_csv(tmp_path / "tracks.csv").positions_px, expected, atol=1e-3)
    np.testing.assert_allclose(
        read_clust_tracks([tmp_path / f"P{number}.txt" for number in (1, 2, 3)]).positions_px, expected, atol=1e-3
    )


def test_bad_input_is_said_in_one_line_and_leaves_the_scene_as_it_was(bench):
    alone = bench.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "alone")
    empty = bench.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "empty")
    outside = place(bench.scene, bench.sequence, np.array([[500.0, 3.0]]), "outside")
    nodes = bench.nodes()
    for arguments, options, message in (
        ((None, bench.points), {}, "no clip is chosen"),
        ((alone, bench.points), {}, "alone: no sequence browser plays this node"),
        ((bench.clip.proxy, empty), {}, "empty: holds no placed points"),
        ((bench.clip.proxy, outside), {}, "point 0 .* outside the image"),
        ((bench.clip.proxy, bench.points), {"queryFrame": 99}, "query frame 99 does not exist"),
        ((bench.clip.proxy, bench.points), {"model": "nothing"}, "no tracker named nothing"),
        ((bench.clip.proxy, bench.points), {"direction": "up"}, "direction: expected one of"),
        ((bench.clip.proxy, bench.points), {"device": "abacus"}, "abacus"),
    ):
        with pytest.raises(InputError, match=message) as raised:
            bench.logic.track(*arguments, **options)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="no sequence browser"):
        bench.logic.trackAgain(bench.points)

    def stop(done, total, message):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        bench.logic.track(bench.clip.proxy, bench.points, progress=stop)
    assert bench.nodes() == nodes
