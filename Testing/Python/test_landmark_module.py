"""Landmark Tracking as a user has it: from the Python console and from its panel, on real MRML nodes with the real
child process.
"""

import os
import re
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from scipy import ndimage
from scipy.spatial.transform import Rotation
from vtkmodules.util.numpy_support import numpy_to_vtk

import slicer_signatures
import slicer_stand_ins
from slicer_stand_ins import slicer_application
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.images import ImageSequence, write_sequence
from UltrasoundMotionLib.jobs import JobProcess, run_job, track_job
from UltrasoundMotionLib.jobs.process_tree import is_alive
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
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
from widget_api import check_recorded

own_process = pytest.mark.own_process
needs_qt = pytest.mark.skipif(
    slicer_stand_ins.qt_stand_ins is None, reason="needs Qt for Python: pip install 'ultrasound-motion[test]'"
)
QUERY_PX = np.array([[50.0, 44.0], [90.0, 60.0], [70.0, 84.0]])
SPACING_MM = (0.4, 0.25)
TURNED = Rotation.from_euler("xyz", [15, -40, 65], degrees=True).as_matrix()


def drift(frame):
    """(x, y) pixels by which everything has moved since frame 0."""
    return np.array([9 * np.sin(frame / 7), 5 * np.cos(frame / 9) - 5])


def swaying_clip(frame_count=24, size=(140, 120), name="clip", *, whole_pixels=False):
    """Speckle that moves as a whole, on an oblique plane; by whole pixels it is made sooner."""
    width, height = size
    speckle = ndimage.gaussian_filter(np.random.default_rng(5).random((height + 60, width + 60)), 2.0)
    speckle = 255 * (speckle - speckle.min()) / np.ptp(speckle)
    moved = [drift(frame)[::-1] for frame in range(frame_count)]
    if whole_pixels:
        shifted = [np.roll(speckle, np.rint(by).astype(int), (0, 1)) for by in moved]
    else:
        shifted = [ndimage.shift(speckle, by, mode="wrap") for by in moved]
    frames = np.clip(np.stack(shifted)[:, 30:-30, 30:-30], 0, 255).astype(np.uint8)
    return ImageSequence(
        frames, SPACING_MM, np.arange(frame_count) / 30, origin_mm=(5.0, -60.0, 12.0), direction=TURNED, name=name
    )


def truth_px(frame_count, query_frame=0):
    """(T, N, 2)."""
    return np.stack([QUERY_PX + drift(frame) - drift(query_frame) for frame in range(frame_count)])


def place(scene, sequence, points_px=QUERY_PX, name="points"):
    """What a user does with the mouse: points on the image plane, in world coordinates."""
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for number, position in enumerate(pixels_to_ras_mm(sequence, points_px)):
        markups.AddControlPoint(*position, f"P{number + 1}")
    return markups


class Bench:
    """A scene with a clip and points, the application's stand-in, and the module."""

    def __init__(self, scene, application):
        self.scene, self.application = scene, application
        self.module = application.load_module("LandmarkTracking")
        self.logic = self.module.LandmarkTrackingLogic()
        self.sequence = swaying_clip()
        self.clip = add_image_sequence(scene, self.sequence)
        self.points = place(scene, self.sequence)

    def open(self):
        widget = self.application.open_module("LandmarkTracking")
        widget.parameters.inputClip, widget.parameters.landmarks = self.clip.proxy, self.points
        return widget

    def wait_until_done(self, widget):
        self.application.wait(lambda: widget.run is None)

    def nodes(self):
        return sorted(self.scene.GetNthNode(number).GetName() for number in range(self.scene.GetNumberOfNodes()))

    def classes(self):
        """Of all nodes, apart from those that only say which file a node came from."""
        every = (self.scene.GetNthNode(number) for number in range(self.scene.GetNumberOfNodes()))
        return sorted(node.GetClassName() for node in every if not node.IsA("vtkMRMLStorageNode"))


class KeptProcess(JobProcess):
    """A child process that outlives the tests that do not look at its end: loading torch takes seconds."""

    def close(self):
        self.poll()


@pytest.fixture(scope="module")
def kept_process():
    process = KeptProcess()
    yield process
    JobProcess.close(process)


@pytest.fixture
def bench(capfd, kept_process, request, monkeypatch):
    with HeadlessScene() as scene, slicer_application(scene) as application:
        made = Bench(scene, application)
        if "own_process" not in request.keywords:
            from UltrasoundMotionModuleLib.shared import background_job

            monkeypatch.setattr(background_job, "JobProcess", lambda: kept_process)
        yield made
    assert "Traceback" not in capfd.readouterr().err  # errors in observers and slots are printed, never raised


def positions(bench, tracked):
    return bench.logic.tracks(tracked.proxy).positions_px


# From Python, the command line, a job and the module


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


# From the console


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
    frames[12:18, 20:80, 20:80] = 0  # a shadow over the first point
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


# From the panel


@needs_qt
def test_from_the_clip_to_a_corrected_result_by_clicks(bench, tmp_path, monkeypatch):
    with slicer_stand_ins.qt_stand_ins.recorded() as used:
        click_through(bench, tmp_path, monkeypatch)
    check_recorded(used)


def click_through(bench, tmp_path, monkeypatch):
    widget = bench.application.open_module("LandmarkTracking")
    ui = widget.ui
    assert widget.parameters.inputClip == bench.clip.proxy  # the only clip there is
    assert ui.clipLabel.text.startswith("24 frames of 140 x 120 px, 0.4 x 0.25 mm, 30 frames/s")
    assert not ui.applyButton.enabled
    assert "point list" in ui.statusLabel.text
    ui.landmarksWidget.setCurrentNode(bench.points)
    assert ui.applyButton.enabled
    assert ui.statusLabel.text == ""
    bench.points.UnsetNthControlPointPosition(0)
    bench.points.RemoveAllControlPoints()
    assert not ui.applyButton.enabled
    for position in pixels_to_ras_mm(bench.sequence, QUERY_PX):
        bench.points.AddControlPoint(position)
    assert ui.applyButton.enabled
    bench.clip.browser.SetSelectedItemNumber(4)
    assert "The points were placed on frame 0, but Track starts on the frame shown, 4" in ui.queryFrameLabel.text
    bench.clip.browser.SetSelectedItemNumber(0)
    assert "Frame 0 of 24 is shown" in ui.queryFrameLabel.text

    ui.applyButton.click()
    assert ui.applyButton.text == "&Cancel"
    bench.wait_until_done(widget)
    assert bench.application.errors == []
    assert ui.statusLabel.text.startswith("3 points through 24 frames")
    assert ui.applyButton.text == "&Track"
    tracked = find_sequence_nodes(widget.parameters.trackedLandmarks)
    np.testing.assert_allclose(positions(bench, tracked), truth_px(24), atol=0.3)

    assert ui.trackAgainButton.enabled
    ui.correctButton.checked = True
    assert not tracked.proxy.GetLocked()
    bench.clip.browser.SetSelectedItemNumber(6)
    tracked.proxy.SetNthControlPointPosition(1, *pixels_to_ras_mm(bench.sequence, truth_px(24)[6, 1] + [4, 0]))
    ui.trackAgainButton.click()
    bench.wait_until_done(widget)
    np.testing.assert_allclose(positions(bench, tracked)[6:, 1], truth_px(24)[6:, 1] + [4, 0], atol=0.5)
    np.testing.assert_allclose(positions(bench, tracked)[:6], truth_px(24)[:6], atol=0.3)
    ui.correctButton.checked = False
    assert tracked.proxy.GetLocked()

    layout = bench.application.layout
    ui.plotButton.checked = True
    assert bench.application.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotTableView
    assert bench.scene.GetSingletonNode("PlotView1", "vtkMRMLPlotViewNode").GetPlotChartNode() is not None
    ui.plotButton.checked = False
    assert bench.application.layout == layout

    monkeypatch.setattr(
        slicer_stand_ins.qt_stand_ins.QtWidgets.QFileDialog, "getSaveFileName", lambda *_: str(tmp_path / "out.csv")
    )
    ui.exportCsvButton.click()
    assert read_tracks_csv(tmp_path / "out.csv").labels == bench.logic.tracks(tracked.proxy).labels
    assert "out.csv" in ui.statusLabel.text


@needs_qt
def test_the_command_repeats_the_run(bench, tmp_path):
    widget = bench.open()
    command = widget.commandArguments()
    assert command[:2] == ("ultrasound-motion", "track")
    clip, points, out = tmp_path / "clip.seq.nrrd", tmp_path / "points.mrk.json", tmp_path / "tracks.csv"
    saved = (
        (bench.clip.sequence, clip, "vtkMRMLVolumeSequenceStorageNode"),
        (bench.points, points, "vtkMRMLMarkupsJsonStorageNode"),
    )
    for node, path, class_name in saved:
        storage = bench.scene.AddNewNodeByClass(class_name)
        storage.SetFileName(str(path))
        node.SetAndObserveStorageNodeID(storage.GetID())
        assert storage.WriteData(node)
    command = [str(out) if argument == "tracks.csv" else argument for argument in widget.commandArguments()]
    assert str(clip) in command
    assert str(points) in command
    from UltrasoundMotionLib.cli.main import main

    assert main([*command[1:], "--quiet"]) == 0
    result = bench.logic.track(bench.clip.proxy, bench.points)
    np.testing.assert_allclose(read_tracks_csv(out).positions_px, positions(bench, result.landmarks), atol=0.02)


@needs_qt
def test_what_is_added_to_the_tracker_is_in_the_command_and_in_the_run(bench):
    widget = bench.open()
    assert not {"--watch-shadows", "--offline", "--ahead-frames"} & set(widget.commandArguments())
    widget.ui.aheadSpinBox.value = 2
    assert widget.commandArguments()[-2:] == ("--ahead-frames", "2")
    widget.ui.offlineCheckBox.checked = True  # what knows the future does not predict it
    widget.ui.shadowsCheckBox.checked = True
    assert not widget.ui.aheadSpinBox.enabled
    assert widget.commandArguments()[-2:] == ("--watch-shadows", "--offline")
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    expected = track_points(bench.sequence, QUERY_PX, device="cpu", watch_shadows=True, offline=True).positions_px
    plain = track_points(bench.sequence, QUERY_PX, device="cpu").positions_px
    found = bench.logic.tracks(widget.parameters.trackedLandmarks).positions_px
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(plain - expected).max() > 0.01  # smoothing shows


@needs_qt
def test_the_command_is_shown_with_what_to_save_first(bench, monkeypatch):
    widget, shown = bench.open(), []
    boxes = slicer_stand_ins.qt_stand_ins.QtWidgets.QMessageBox
    monkeypatch.setattr(boxes, "exec_", lambda box: shown.append(box.informativeText()))
    widget.ui.commandButton.click()
    assert shown[0].startswith("ultrasound-motion track ")
    assert "clip.seq.nrrd" in shown[0]
    assert "First save" in shown[0]
    assert "points.mrk.json" in shown[0]


@needs_qt
def test_parameters_are_remembered_in_the_scene(bench, tmp_path):
    widget = bench.open()
    widget.ui.trackerSelector.currentIndex = 1
    widget.ui.directionSelector.currentIndex = 1
    widget.ui.pathsCheckBox.checked = False
    chosen = widget.parameters.tracker
    assert chosen != "lucas-kanade"
    write_scene(bench.scene, tmp_path / "work.mrb")
    bench.scene.Clear(False)
    assert widget.parameters.tracker == "lucas-kanade"
    assert not widget.ui.applyButton.enabled
    read_scene(bench.scene, tmp_path / "work.mrb")
    parameters = widget.parameters
    assert parameters.inputClip.GetName() == "clip"
    assert parameters.landmarks.GetName() == "points"
    assert (parameters.tracker, parameters.direction.value, parameters.drawPaths) == (chosen, "forward", False)
    assert widget.ui.trackerSelector.currentIndex == 1
    assert not widget.ui.pathsCheckBox.checked
    assert widget.ui.applyButton.enabled


@pytest.mark.slow
@needs_qt
def test_ten_runs_and_ten_cancels_leave_nothing_behind(bench):
    widget = bench.open()
    counts = []
    for _ in range(10):
        widget.ui.applyButton.click()
        bench.wait_until_done(widget)
        observers = len(widget.Observations)
        pids = shared_process().process.pids
        counts.append(
            (
                bench.scene.GetNumberOfNodes(),
                observers,
                pids,
                bench.application.connected,
                widget.parameters.trackedLandmarks.GetName(),
            )
        )
    assert len(set(counts)) == 1, counts
    for number in range(10):
        widget.ui.applyButton.click()
        until = (
            time.monotonic() + 0.03 * number
        )  # at all stages of a run: while it is prepared, before and after its first frame
        bench.application.wait(lambda until=until: time.monotonic() > until)
        if widget.run is not None:
            widget.ui.applyButton.click()
        bench.wait_until_done(widget)
        assert len(widget.Observations) == observers
    assert bench.scene.GetNumberOfNodes() <= counts[0][0]
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    assert bench.scene.GetNumberOfNodes() == counts[0][0]
    assert shared_process().process.pids == pids
    bench.application.close_module("LandmarkTracking")
    assert widget.Observations == []
    assert bench.application.errors == []


def shared_process():
    from UltrasoundMotionModuleLib.shared import background_job

    return background_job._shared


@needs_qt
@pytest.mark.parametrize(
    "how", ["scene closed", "module reloaded", pytest.param("application quits", marks=own_process)]
)
def test_interrupted_in_the_midst_of_a_run(bench, how):
    long = swaying_clip(200, (64, 60), "long", whole_pixels=True)
    widget = bench.open()
    clip = add_image_sequence(bench.scene, long)
    widget.parameters.inputClip, widget.parameters.landmarks = clip.proxy, place(bench.scene, long, QUERY_PX[:1] - 20)
    widget.ui.applyButton.click()
    bench.application.wait(lambda: widget.parameters.trackedLandmarks is not None)
    assert widget.run is not None
    pids = shared_process().process.pids
    if how == "scene closed":
        bench.scene.Clear(False)
        assert widget.ui.applyButton.text == "&Track"
        assert "Select an ultrasound clip" in widget.ui.statusLabel.text
    elif how == "module reloaded":
        widget = bench.application.reload_module("LandmarkTracking")
        assert widget.ui.applyButton.enabled
    else:
        bench.application.quit()
        assert shared_process() is None
    assert widget.run is None
    assert bench.application.errors == []
    if shared_process() is not None:
        bench.application.wait(lambda: not shared_process().busy)
        assert shared_process().process.pids == pids  # the child is ready for the next
    else:
        assert not any(map(is_alive, pids))


@needs_qt
def test_a_run_goes_on_while_another_module_is_open(bench):
    widget = bench.open()
    widget.ui.applyButton.click()
    widget.exit()
    assert {one[0] for one in widget.Observations} == {bench.scene}
    bench.wait_until_done(widget)
    tracked = bench.scene.GetFirstNodeByName("clip landmarks")
    np.testing.assert_allclose(positions(bench, find_sequence_nodes(tracked)), truth_px(24), atol=0.3)
    widget.enter()
    assert widget.ui.resultSelector.currentNode() is tracked
    assert bench.application.errors == []


@needs_qt
def test_a_result_deleted_in_the_midst_of_its_run_ends_it_with_a_message(bench, capfd):
    long = swaying_clip(300, (64, 60), "long", whole_pixels=True)
    widget = bench.open()
    clip = add_image_sequence(bench.scene, long)
    widget.parameters.inputClip, widget.parameters.landmarks = clip.proxy, place(bench.scene, long, QUERY_PX[:1] - 20)
    widget.ui.applyButton.click()
    bench.application.wait(lambda: widget.parameters.trackedLandmarks is not None)
    bench.scene.RemoveNode(find_sequence_nodes(widget.parameters.trackedLandmarks).sequence)
    bench.wait_until_done(widget)
    assert "could not be shown" in bench.application.errors[-1]
    assert widget.ui.applyButton.text == "&Track"
    bench.application.wait(lambda: not shared_process().busy)
    capfd.readouterr()


@needs_qt
def test_the_first_result_is_shown_while_the_rest_is_tracked_and_only_fills_its_node(bench):
    """Prints how long the main thread was busy, for the page of results: no test fails because a machine is slow."""
    long = swaying_clip(300, (160, 120), "long", whole_pixels=True)
    clip = add_image_sequence(bench.scene, long)
    grid = np.stack(np.meshgrid(np.linspace(40, 100, 5), np.linspace(40, 80, 4)), axis=-1).reshape(-1, 2)
    widget = bench.open()
    widget.parameters.inputClip, widget.parameters.landmarks = clip.proxy, place(bench.scene, long, grid)
    bench.application.wait(lambda: shared_process().process.is_warm)
    polls, building = [], []

    def timed(function, into):
        def call(*values, **options):
            start = time.thread_time()  # of this thread alone: other processes share the machine's cores
            try:
                return function(*values, **options)
            finally:
                into.append(time.thread_time() - start)

        return call

    shared = shared_process()
    shared._timer.disconnect("timeout()", shared._poll)
    shared._poll = timed(shared._poll, polls)
    shared._timer.connect("timeout()", shared._poll)
    widget.showResult, widget._addLandmarks = timed(widget.showResult, building), timed(widget._addLandmarks, building)
    widget.ui.applyButton.click()
    widget._live._add = widget._addLandmarks
    bench.application.wait(lambda: widget.parameters.trackedLandmarks is not None)
    tracked = widget.parameters.trackedLandmarks
    count = bench.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")
    assert 0 < bench.logic.tracks(tracked).reached.sum() < 300
    bench.wait_until_done(widget)
    between = sorted(polls)[: -len(building)]
    print(f"longest poll {1e3 * between[-1]:.0f} ms, nodes of 300 frames {sum(building):.2f} s")
    assert len(building) == 2  # the landmarks at the first result, the rest at the last
    assert widget.parameters.trackedLandmarks is tracked
    assert bench.logic.tracks(tracked).reached.all()
    assert bench.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == count


@needs_qt
def test_a_failure_is_shown_with_what_to_do_next(bench, capfd):
    widget = bench.open()
    bench.points.SetNthControlPointLabel(1, "P1")
    widget.ui.applyButton.click()
    assert "2 points are called 'P1'; give each its own label" in bench.application.errors[-1]
    assert widget.ui.applyButton.text == "&Track"
    bench.points.SetNthControlPointLabel(1, "P2")
    widget.ui.applyButton.click()
    bench.application.wait(lambda: widget.parameters.trackedLandmarks is not None or widget.run is None)
    for pid in shared_process().process.pids:
        os.kill(pid, 9)
    bench.wait_until_done(widget)
    if "3 points through" not in widget.ui.statusLabel.text:  # it was quicker than the kill
        assert "killed" in bench.application.errors[-1]
        assert widget.ui.statusLabel.text.startswith("Failed: ")
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    assert widget.ui.statusLabel.text.startswith("3 points through 24 frames")
    assert "give each its own label" in capfd.readouterr().err  # Slicer's error display raises again, for the log


def test_the_sample_is_offered_in_slicers_sample_data_module(bench, monkeypatch):
    registered, loaded = [], []
    parameters = slicer_signatures.held()["SampleData.SampleDataLogic.registerCustomSampleDataSource"]["5.10"]
    signature = slicer_signatures.signature_of(parameters.removeprefix("static "))

    def register(**source):
        """As Slicer: refuses what it does not know, and counts files and addresses."""
        source = signature.bind(**source).arguments
        assert len(source["uris"]) == len(source["fileNames"])
        registered.append(source)

    logic = types.SimpleNamespace(registerCustomSampleDataSource=register)  # as in 5.10: without categories
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    bench.application.emit("startupCompleted()")
    (source,) = registered
    assert source["category"] == "UltrasoundMotion"
    assert source["sampleName"] == "Simulated liver"  # the text of its button
    assert Path(source["thumbnailFileName"]).is_file()
    from UltrasoundMotionModuleLib.shared import sample_data

    nodes, shown = types.SimpleNamespace(clip=types.SimpleNamespace(proxy="clip", browser="browser")), []
    slicer.modules.sequences = types.SimpleNamespace(showSequenceBrowser=shown.append)
    monkeypatch.setattr(sample_data, "loadSample", lambda sample: loaded.append(sample) or nodes)
    assert source["customDownloader"](source) == "clip"
    assert (loaded, shown) == ([sample_data.LIVER], ["browser"])
    categories = []
    logic.registerCustomSampleDataCategory = lambda category, title: categories.append(category)
    bench.application.emit("startupCompleted()")
    assert categories == ["UltrasoundMotion"]


@pytest.mark.slow
@needs_qt
def test_the_sample_is_simulated_once_and_tracked_well(bench, monkeypatch):
    from UltrasoundMotionModuleLib.shared import sample_data

    small = sample_data.Sample("liver", "Small liver", 4, 1, "vessel")
    monkeypatch.setattr(bench.module, "LIVER", small)
    widget = bench.application.open_module("LandmarkTracking")
    widget.ui.sampleDataButton.click()
    assert widget.run is not None
    bench.application.wait(lambda: widget.run is None)
    assert widget.parameters.inputClip.GetName().startswith("Small liver")
    widget.ui.sampleDataButton.click()
    assert widget.run is None  # kept from the first time
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    tracks = bench.logic.tracks(widget.parameters.trackedLandmarks)
    truth = small.read().truth
    error = tracks.positions_px - truth.positions_px[:, [truth.labels.index(label) for label in tracks.labels]]
    assert np.median(np.linalg.norm(error, axis=2)) < 1
    assert bench.application.errors == []
    self_test = bench.module.LandmarkTrackingTest("runTest").run()  # what the application runs, on the same sample
    assert self_test.wasSuccessful(), self_test.failures + self_test.errors
