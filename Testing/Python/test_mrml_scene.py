"""A whole result written as a scene and read into a new one: nothing may be lost."""

import zipfile

import numpy as np
import pytest
import slicer

from mrml_clips import STEP_S, clip, tracks_on
from UltrasoundMotionLib.errors import Cancelled, InputError, OutputError
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import SPACING_KNOWN_ATTRIBUTE, add_image_sequence, image_sequence_from_node
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.scene_timing import measure_scene
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.mrml.tracking_scene import build_tracking_scene, write_tracking_scene

DEFINED = 2  # vtkMRMLMarkupsNode.PositionDefined, checked below


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The clip, its tracks, and the scene file made of them."""
    sequence = clip(
        frame_fields={"probe": tuple(f"pose {frame}" for frame in range(8))}, notes=("1 < 2 & read so", "masked")
    )
    tracks = tracks_on(sequence)
    path = tmp_path_factory.mktemp("scene") / "result.mrb"
    write_tracking_scene(path, sequence, tracks, curve_labels=("P3", "P0", "P1"))
    return sequence, tracks, path


@pytest.fixture(scope="module")
def scene(written):
    """That file in a new scene."""
    with HeadlessScene() as scene:
        read_scene(scene, written[2])
        yield scene


def expected_ras(sequence, positions_px):
    """RAS mm straight from the definition of the geometry, without the library's own conversion."""
    x, y = np.moveaxis(positions_px * np.array(sequence.spacing_mm), -1, 0)
    lps = (
        np.asarray(sequence.origin_mm)
        + x[..., None] * sequence.direction[:, 0]
        + y[..., None] * sequence.direction[:, 1]
    )
    return lps * (-1, -1, 1)


def test_pixels_geometry_times_and_frame_fields_survive(written, scene):
    sequence, _, _ = written
    back = image_sequence_from_node(scene.GetFirstNodeByName("clip sequence"))
    assert back.frames.dtype == np.uint8
    assert all(np.array_equal(back.frames[frame], sequence.frames[frame]) for frame in range(len(sequence)))
    np.testing.assert_allclose(back.spacing_mm, sequence.spacing_mm, rtol=1e-12)
    np.testing.assert_allclose(back.origin_mm, sequence.origin_mm, rtol=1e-12)
    np.testing.assert_allclose(back.direction, sequence.direction, atol=1e-12)
    np.testing.assert_allclose(back.times_s, sequence.times_s, atol=1e-12)
    assert np.min(np.diff(back.times_s)) > 0.9 * STEP_S
    assert back.name == "clip"
    assert scene.GetFirstNodeByName("clip sequence").GetDescription() == "1 < 2 & read so; masked"
    assert back.frame_fields["probe"] == sequence.frame_fields["probe"]


def test_one_browser_plays_image_landmarks_and_curve(written, scene):
    sequence, tracks, _ = written
    assert scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode") == 1
    image, landmarks, curve = (
        find_sequence_nodes(scene.GetFirstNodeByName(f"clip{suffix}")) for suffix in ("", " landmarks", " wall")
    )
    assert image.browser is landmarks.browser is curve.browser
    assert image.index.values == landmarks.index.values == curve.index.values
    assert (image.index.name, image.index.unit) == (landmarks.index.name, landmarks.index.unit) == ("time", "s")
    assert slicer.vtkMRMLMarkupsNode.PositionDefined == DEFINED
    ras = expected_ras(sequence, tracks.positions_px)
    order = [tracks.labels.index(label) for label in ("P3", "P0", "P1")]
    for frame in (0, 5, 3, 7):
        image.browser.SetSelectedItemNumber(frame)
        assert np.array_equal(slicer.util.arrayFromVolume(image.proxy)[0], sequence.frames[frame])
        for markups, points in ((landmarks.proxy, range(5)), (curve.proxy, order)):
            for control, point in enumerate(points):
                assert markups.GetNthControlPointLabel(control) == tracks.labels[point]
                seen = markups.GetNthControlPointPositionStatus(control) == DEFINED
                assert seen == tracks.visible[frame, point]
                if seen:
                    np.testing.assert_allclose(
                        markups.GetNthControlPointPosition(control), ras[frame, point], atol=1e-6
                    )


def test_display_is_set_for_what_is_shown(scene):
    image, landmarks = scene.GetFirstNodeByName("clip"), scene.GetFirstNodeByName("clip landmarks")
    display = image.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (255.0, 127.5, 0)
    assert display.GetInterpolate() == 1
    assert image.GetAttribute(SPACING_KNOWN_ATTRIBUTE) == "true"
    assert landmarks.GetLocked() == 1
    assert not landmarks.GetDisplayNode().GetUseGlyphScale()
    assert landmarks.GetDisplayNode().GetGlyphSize() == pytest.approx(0.012 * 48 * 0.31234)
    assert find_sequence_nodes(landmarks).browser.GetPlaybackRateFps() == pytest.approx(1 / STEP_S)
    assert scene.GetFirstNodeByName("clip wall").GetDisplayNode().GetPointLabelsVisibility() == 0


def test_tables_and_plot_hold_the_displacement(written, scene):
    sequence, tracks, _ = written
    chart = scene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    table = chart.GetNthPlotSeriesNode(0).GetTableNode()
    moved = np.linalg.norm((tracks.positions_px - tracks.positions_px[2]) * sequence.spacing_mm, axis=2)
    assert chart.GetYAxisTitle() == "displacement (mm)"
    names = [
        chart.GetNthPlotSeriesNode(number).GetYColumnName() for number in range(chart.GetNumberOfPlotSeriesNodes())
    ]
    assert names == [*tracks.labels, "mean"]
    for number, label in enumerate(tracks.labels):
        column = slicer.util.arrayFromTableColumn(table, label)
        assert np.array_equal(np.isnan(column), ~tracks.visible[:, number])
        np.testing.assert_allclose(
            column[tracks.visible[:, number]], moved[tracks.visible[:, number], number], rtol=1e-5
        )
    expected_mean = [moved[frame, tracks.visible[frame]].mean() for frame in range(len(sequence))]
    np.testing.assert_allclose(slicer.util.arrayFromTableColumn(table, "mean"), expected_mean, rtol=1e-5)
    np.testing.assert_allclose(slicer.util.arrayFromTableColumn(table, "time (s)"), sequence.times_s, rtol=1e-5)
    positions = scene.GetFirstNodeByName("clip tracks")
    assert positions.GetNumberOfRows() == tracks.visible.size
    x = slicer.util.arrayFromTableColumn(positions, "x")
    np.testing.assert_allclose(x.reshape(tracks.visible.shape), tracks.positions_px[..., 0], atol=5e-4)
    assert positions.GetCellText(6, [positions.GetColumnName(column) for column in range(7)].index("label")) == "P1"


def test_paths_skip_lost_frames(written, scene):
    sequence, tracks, _ = written
    path = scene.GetFirstNodeByName("clip path of P1")
    seen = tracks.visible[:, 1]
    np.testing.assert_allclose(
        slicer.util.arrayFromMarkupsControlPoints(path), expected_ras(sequence, tracks.positions_px[seen, 1]), atol=1e-6
    )


def test_the_scene_opens_upright_with_the_plot(written, scene):
    sequence, _, _ = written
    view = scene.GetNodeByID("vtkMRMLSliceNodeRed")
    matrix = np.array([[view.GetSliceToRAS().GetElement(row, column) for column in range(4)] for row in range(4)])
    right, down = (sequence.direction[:, axis] * (-1, -1, 1) for axis in (0, 1))
    np.testing.assert_allclose(matrix[:3, :3], np.column_stack([right, -down, np.cross(right, -down)]), atol=1e-5)
    np.testing.assert_allclose(matrix[:3, 3], expected_ras(sequence, np.array([23.5, 19.5])), atol=1e-3)
    composite = scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert scene.GetNodeByID(composite.GetBackgroundVolumeID()).GetName() == "clip"
    assert scene.GetFirstNodeByClass("vtkMRMLPlotViewNode").GetPlotChartNode() is scene.GetFirstNodeByClass(
        "vtkMRMLPlotChartNode"
    )
    layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert layout.GetSingletonTag() == "vtkMRMLLayoutNode"
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView
    assert find_sequence_nodes(scene.GetFirstNodeByName("clip")).sequence.GetNumberOfDataNodes() == len(sequence)


def test_outputs_stand_in_a_folder_beside_the_clip(scene):
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    clip_item = tree.GetItemByDataNode(scene.GetFirstNodeByName("clip"))
    folder = tree.GetItemParent(tree.GetItemByDataNode(scene.GetFirstNodeByName("clip landmarks")))
    assert tree.GetItemName(folder) == "clip motion"
    assert tree.GetItemParent(folder) == tree.GetItemParent(clip_item)
    assert tree.GetItemParent(tree.GetItemByDataNode(scene.GetFirstNodeByName("clip displacement"))) == folder


def test_unknown_spacing_and_rate_stay_unknown(tmp_path):
    with HeadlessScene() as scene:
        nodes = add_image_sequence(scene, clip(spacing_mm=None, timed=False))
        assert (nodes.index.name, nodes.index.values[:3]) == ("frame", ("0", "1", "2"))
        write_scene(scene, tmp_path / "unknown.mrb")
    with HeadlessScene() as scene:
        read_scene(scene, tmp_path / "unknown.mrb")
        node = scene.GetFirstNodeByName("clip")
        assert node.GetAttribute(SPACING_KNOWN_ATTRIBUTE) == "false"
        back = image_sequence_from_node(find_sequence_nodes(node).sequence)
        assert back.spacing_mm is None
        assert back.times_s is None
        assert "unknown" in back.notes[0]


def test_float_frames_get_a_robust_window():
    frames = np.random.default_rng(0).normal(10, 2, (3, 30, 30)).astype(np.float32)
    frames[0, 0, 0] = 1e6
    with HeadlessScene() as scene:
        sequence = clip(frame_count=3, frame_size=(30, 30))
        display = add_image_sequence(scene, type(sequence)(frames, (1.0, 1.0))).proxy.GetDisplayNode()
        assert display.GetWindowLevelMax() < 20
        assert display.GetWindowLevelMin() > 0


def test_the_image_array_is_not_shared_with_the_scene():
    sequence = clip(frame_count=2)
    with HeadlessScene() as scene:
        nodes = add_image_sequence(scene, sequence)
        kept = sequence.frames[0].copy()
        sequence.frames[0] = 0
        assert np.array_equal(slicer.util.arrayFromVolume(nodes.proxy)[0], kept)


def test_a_cancelled_build_leaves_the_scene_as_it_was():
    def cancel_at_frame_three(done, total, message):
        if done == 3:
            raise Cancelled("stopped")

    with HeadlessScene() as scene:
        before = scene.GetNumberOfNodes()
        with pytest.raises(Cancelled):
            add_image_sequence(scene, clip(), progress=cancel_at_frame_three)
        assert scene.GetNumberOfNodes() == before


@pytest.mark.parametrize("name", [".hidden.mrb", "with space & ü.mrb", "plain.MRB"])
def test_awkward_file_names(tmp_path, name):
    with HeadlessScene() as scene:
        scene.AddNewNodeByClass("vtkMRMLTableNode", "kept")
        write_scene(scene, tmp_path / name)
    with HeadlessScene() as scene:
        read_scene(scene, tmp_path / name)
        assert scene.GetFirstNodeByName("kept") is not None
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_scene_files_that_cannot_be_written_or_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truncated = tmp_path / "truncated.mrb"
    with HeadlessScene() as scene:
        write_scene(scene, truncated)
        with pytest.raises(OutputError, match=r"scene\.zip"):
            write_scene(scene, tmp_path / "scene.zip")
        with pytest.raises(OutputError, match="does not exist"):
            write_scene(scene, tmp_path / "missing" / "scene.mrb")
        # Slicer says that it could not save by a return value alone.
        scene.GetCacheManager().SetRemoteCacheDirectory(str(truncated / "no folder"))
        with pytest.raises(OutputError, match=r"unsaveable\.mrb: the scene could not be saved"):
            write_scene(scene, tmp_path / "unsaveable.mrb")
    truncated.write_bytes(truncated.read_bytes()[:200])
    (tmp_path / "empty.mrb").touch()
    with HeadlessScene() as scene:
        for name, words in (
            ("truncated.mrb", "truncated"),
            ("empty.mrb", "not a scene bundle"),
            ("none.mrb", "no such file"),
        ):
            with pytest.raises(InputError, match=words) as error:
                read_scene(scene, tmp_path / name)
            assert name in str(error.value)
            assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.mrb", "truncated.mrb"]


def test_a_bundle_without_a_scene_or_damaged_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.mrb", "w") as archive:
        archive.writestr("notes.txt", "no scene here")
    with HeadlessScene() as scene:
        scene.AddNewNodeByClass("vtkMRMLTableNode", "kept")
        write_scene(scene, tmp_path / "damaged.mrb")
        content = bytearray((tmp_path / "damaged.mrb").read_bytes())
        middle = len(content) // 3
        content[middle : middle + 60] = bytes(60)
        (tmp_path / "damaged.mrb").write_bytes(content)
        with pytest.raises(InputError, match=r"other\.mrb: holds no scene"):
            read_scene(scene, tmp_path / "other.mrb")
        with pytest.raises(InputError, match=r"damaged\.mrb: .*damaged"):
            read_scene(scene, tmp_path / "damaged.mrb")
        assert scene.GetFirstNodeByName("kept") is not None  # what was in the scene stays


def test_the_terminal_stays_clean(tmp_path, capfd):
    sequence = clip(frame_count=6)
    write_tracking_scene(tmp_path / "quiet.mrb", sequence, tracks_on(sequence), curve_labels=("P0", "P1"))
    assert capfd.readouterr() == ("", "")


def test_closing_gives_slicers_scene_back():
    with HeadlessScene() as outer:
        assert slicer.mrmlScene is outer
        with HeadlessScene() as inner:
            assert slicer.mrmlScene is inner
        assert slicer.mrmlScene is outer


def test_a_scene_is_timed_and_its_file_is_as_large_as_its_pixels():
    timing = measure_scene(frame_count=30, frame_size=(256, 256), landmark_count=6)
    assert min(timing.build_s, timing.save_s, timing.read_s, timing.step_ms) > 0
    pixels_mb = 30 * 256 * 256 / 1e6  # noise, which no compression makes smaller
    assert pixels_mb < timing.file_mb < 1.5 * pixels_mb


def test_neither_building_nor_stepping_grows_with_the_clip():
    def nodes_and_events_of_a_step(frame_count, landmark_count):
        events = []
        with HeadlessScene() as scene:
            sequence = clip(frame_count)
            tracks = tracks_on(sequence, landmark_count)
            image, _ = build_tracking_scene(scene, sequence, tracks, curve_labels=tracks.labels[:3])
            image.browser.SetSelectedItemNumber(3)
            nodes = [scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes())]
            for node in nodes:
                node.AddObserver("AnyEvent", lambda node, event: events.append((node.GetID(), event)))
            image.browser.SetSelectedItemNumber(4)
            return len(nodes), len(events)

    nodes, events = nodes_and_events_of_a_step(8, 5)
    assert nodes_and_events_of_a_step(60, 5) == (nodes, events)
    assert nodes_and_events_of_a_step(8, 15)[1] == events <= 30
