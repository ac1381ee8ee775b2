"""What a module reads from the scene: clips as Slicer loads them, points that a user placed, tracks that a user
corrected.
"""

import numpy as np
import pytest
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk

from mrml_clips import OBLIQUE, clip, tracks_on
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence, image_sequence_from_node
from UltrasoundMotionLib.mrml.markups_items import set_locked, write_track_frame
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.mrml.track_nodes import add_curve, add_landmarks
from UltrasoundMotionLib.mrml.tracking_scene import add_tracks
from UltrasoundMotionLib.mrml.tracks_from_nodes import query_points_from_markups, tracks_from_markups
from UltrasoundMotionLib.tracking import PointTracks


def load_like_slicers_dicom_reader(scene, pixels, spacing, *, unit="s", step=0.027):
    """A sequence as DICOMImageSequencePlugin makes it: diag(-1, -1, 1), slice thickness 1, times to the millisecond, a
    browser.
    """
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "US")
    sequence.SetIndexName("time" if unit else "frame")
    sequence.SetIndexUnit(unit)
    colour = pixels.ndim == 4
    volume = slicer.vtkMRMLVectorVolumeNode() if colour else slicer.vtkMRMLScalarVolumeNode()
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 0, -1.0)
    matrix.SetElement(1, 1, -1.0)
    volume.SetIJKToRASMatrix(matrix)
    volume.SetSpacing(*spacing, 1.0)
    for frame in range(len(pixels)):
        image = vtk.vtkImageData()
        image.SetDimensions(pixels.shape[2], pixels.shape[1], 1)
        image.GetPointData().SetScalars(numpy_to_vtk(pixels[frame].reshape(-1, 3 if colour else 1), deep=True))
        volume.SetAndObserveImageData(image)
        sequence.SetDataNodeAtValue(volume, f"{frame * step:.3f}" if unit else str(frame))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "US browser")
    browser.AddSynchronizedSequenceNode(sequence)
    return find_sequence_nodes(sequence)


def test_a_colour_clip_of_slicers_dicom_reader(scene):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 9, 3), dtype=np.uint8)
    nodes = load_like_slicers_dicom_reader(scene, pixels, (0.25, 0.5))
    sequence = image_sequence_from_node(nodes.sequence)
    assert sequence.frames.shape == (4, 6, 9)
    assert sequence.frames.dtype == np.uint8
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    assert max(np.abs(sequence.frames[frame] - expected[frame]).max() for frame in range(4)) <= 0.51
    assert sequence.spacing_mm == (0.25, 0.5)
    np.testing.assert_allclose(sequence.direction, np.eye(3))
    np.testing.assert_allclose(sequence.times_s, [0, 0.027, 0.054, 0.081])
    assert any("luminance" in note for note in sequence.notes)


def test_spacing_of_one_without_a_mark_is_unknown(scene):
    nodes = load_like_slicers_dicom_reader(scene, np.zeros((3, 5, 4), np.uint8), (1.0, 1.0), unit="")
    sequence = image_sequence_from_node(nodes.sequence)
    assert sequence.spacing_mm is None
    assert sequence.times_s is None
    assert "unknown" in sequence.notes[0]


def test_other_pixel_types_become_float(scene):
    pixels = np.random.default_rng(0).integers(-3000, 3000, (2, 5, 4)).astype(np.int16)
    sequence = image_sequence_from_node(load_like_slicers_dicom_reader(scene, pixels, (0.2, 0.2)).sequence)
    assert sequence.frames.dtype == np.float32
    assert np.array_equal(sequence.frames[1], pixels[1])


def test_what_is_no_clip_is_refused_by_name(scene):
    empty = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "nothing")
    with pytest.raises(InputError, match=r"nothing: .*no frames"):
        image_sequence_from_node(empty)
    empty.SetDataNodeAtValue(slicer.vtkMRMLMarkupsFiducialNode(), "0")
    with pytest.raises(InputError, match=r"nothing: item 0 is vtkMRMLMarkupsFiducialNode"):
        image_sequence_from_node(empty)
    volume = slicer.vtkMRMLScalarVolumeNode()
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 3)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    volume.SetAndObserveImageData(image)
    thick = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "volumes")
    thick.SetDataNodeAtValue(volume, "0")
    with pytest.raises(InputError, match=r"volumes: item 0 has 3 slices"):
        image_sequence_from_node(thick)
    with pytest.raises(InputError, match="no sequence browser plays"):
        find_sequence_nodes(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "alone"))


def test_results_join_the_browser_of_a_clip_that_slicer_loaded(scene):
    nodes = load_like_slicers_dicom_reader(scene, np.zeros((8, 40, 48), np.uint8), (0.25, 0.5))
    nodes.sequence.SetNumericIndexValueTolerance(0.001)
    sequence = image_sequence_from_node(nodes.sequence)
    result = add_tracks(
        find_sequence_nodes(nodes.proxy), sequence, tracks_on(sequence), curve_labels=("P0", "P1", "P2")
    )
    assert scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode") == 1
    assert result.landmarks.browser is nodes.browser
    assert result.landmarks.index.values == tuple(f"{frame * 0.027:.3f}" for frame in range(8))
    nodes.browser.SetSelectedItemNumber(6)
    expected = tracks_on(sequence).positions_px[6, 3] * (-0.25, -0.5)
    np.testing.assert_allclose(result.landmarks.proxy.GetNthControlPointPosition(3), [*expected, 0.0], atol=1e-9)


def test_tracks_come_back_whole(scene, tmp_path):
    sequence = clip()
    tracks = tracks_on(sequence)
    add_landmarks(add_image_sequence(scene, sequence), sequence, tracks)
    write_scene(scene, tmp_path / "tracks.mrb")
    with HeadlessScene() as other:
        read_scene(other, tmp_path / "tracks.mrb")
        image, markups = (find_sequence_nodes(other.GetFirstNodeByName(name)) for name in ("clip", "clip landmarks"))
        back = tracks_from_markups(markups, image, image_sequence_from_node(image.sequence))
    np.testing.assert_allclose(
        back.positions_px, tracks.positions_px, atol=1e-6
    )  # lost points too: their best guess is kept
    np.testing.assert_allclose(back.confidence, tracks.confidence, atol=1e-6)
    assert np.array_equal(back.visible, tracks.visible)
    assert (back.labels, back.query_frame, back.model) == (tracks.labels, 2, "block-matching")
    np.testing.assert_allclose(back.spacing_mm, tracks.spacing_mm)


def test_frames_that_a_cancelled_run_never_reached(scene):
    sequence = clip()
    whole = tracks_on(sequence)
    positions, confidence, visible = whole.positions_px.copy(), whole.confidence.copy(), whole.visible.copy()
    positions[5:], confidence[5:], visible[5:] = np.nan, 0.0, False
    partial = PointTracks(
        positions, confidence, visible, whole.labels, whole.query_frame, whole.times_s, whole.spacing_mm
    )
    image = add_image_sequence(scene, sequence)
    result = add_tracks(image, sequence, partial)
    image.browser.SetSelectedItemNumber(6)
    proxy = result.landmarks.proxy
    assert proxy.GetNumberOfDefinedControlPoints() == 0
    assert proxy.GetNthControlPointDescription(0) == "not reached"
    assert result.table.GetNumberOfRows() == 25
    back = tracks_from_markups(result.landmarks, image, sequence)
    assert back.reached.tolist() == [True] * 5 + [False] * 3

    for frame in range(5, 8):  # the run goes on
        write_track_frame(result.landmarks, sequence, whole, frame)
    np.testing.assert_allclose(
        tracks_from_markups(result.landmarks, image, sequence).positions_px, whole.positions_px, atol=1e-6
    )
    assert proxy.GetNumberOfDefinedControlPoints() == 5  # the proxy shows it without another step


def test_a_corrected_point_is_kept_and_tracked_from(scene):
    sequence = clip()
    image = add_image_sequence(scene, sequence)
    landmarks = add_landmarks(image, sequence, tracks_on(sequence))
    set_locked(landmarks, False)
    assert landmarks.proxy.GetLocked() == 0
    image.browser.SetSelectedItemNumber(4)
    dragged = sequence.pixels_to_lps_mm(np.array([20.25, 11.5])) * (-1, -1, 1)
    landmarks.proxy.SetNthControlPointPosition(
        1, *dragged
    )  # what the markups widget does when a user places the lost point again
    for frame in (0, 7, 4):
        image.browser.SetSelectedItemNumber(frame)
    np.testing.assert_allclose(landmarks.proxy.GetNthControlPointPosition(1), dragged)
    corrected = tracks_from_markups(landmarks, image, sequence)
    np.testing.assert_allclose(corrected.positions_px[4, 1], [20.25, 11.5], atol=1e-9)
    assert corrected.visible[4, 1]
    assert corrected.confidence[4, 1] == 1.0

    again = PointTracks(
        np.full((8, 1, 2), 9.0),
        np.full((8, 1), 0.5),
        np.ones((8, 1), bool),
        ("P1",),
        4,
        sequence.times_s,
        sequence.spacing_mm,
    )
    for frame in range(5, 8):
        write_track_frame(landmarks, sequence, again, frame)
    after = tracks_from_markups(landmarks, image, sequence)
    np.testing.assert_allclose(after.positions_px[:5], corrected.positions_px[:5])
    np.testing.assert_allclose(after.positions_px[5:, 1], 9.0, atol=1e-9)
    np.testing.assert_allclose(after.positions_px[5:, [0, 2, 3, 4]], corrected.positions_px[5:, [0, 2, 3, 4]])


def test_a_missing_point_without_a_guess_is_interpolated(scene):
    sequence = clip()
    image = add_image_sequence(scene, sequence)
    tracks = tracks_on(sequence)
    landmarks = add_landmarks(image, sequence, tracks)
    for frame in (4, 5):
        landmarks.sequence.GetNthDataNode(frame).SetNthControlPointDescription(1, "")
    back = tracks_from_markups(landmarks, image, sequence)
    third = (tracks.positions_px[6, 1] - tracks.positions_px[3, 1]) / 3
    np.testing.assert_allclose(back.positions_px[4, 1], tracks.positions_px[3, 1] + third, atol=1e-9)
    assert not back.visible[4, 1]


def linear_transform(scene, matrix, name):
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    array = np.eye(4)
    array[:3, :3], array[:3, 3] = matrix, (5, -7, 11)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(array))
    return node


def test_points_and_results_follow_the_transform_that_places_the_clip(scene):
    sequence = clip()
    image = add_image_sequence(scene, sequence)
    placing = linear_transform(scene, OBLIQUE.T, "clip in MRI")
    image.proxy.SetAndObserveTransformNodeID(placing.GetID())
    chosen = np.array([[10.5, 20.25], [33.0, 4.5]])
    world = sequence.pixels_to_lps_mm(chosen) * (-1, -1, 1) @ OBLIQUE + np.array([5, -7, 11])
    points = scene.AddNewNodeByClass(
        "vtkMRMLMarkupsFiducialNode", "clicked"
    )  # in world coordinates, under no transform
    for number, position in enumerate(world):
        points.AddControlPointWorld(*position, f"click {number}")
    found = query_points_from_markups(points, image, sequence)
    assert found.labels == ("click 0", "click 1")
    np.testing.assert_allclose(found.points_px, chosen, atol=1e-9)
    np.testing.assert_allclose(found.distance_mm, 0, atol=1e-9)

    landmarks = add_landmarks(image, sequence, tracks_on(sequence))
    curve = add_curve(image, sequence, tracks_on(sequence), ("P0", "P1", "P2"), closed=True)
    image.browser.SetSelectedItemNumber(3)
    local = sequence.pixels_to_lps_mm(tracks_on(sequence).positions_px[3, 2]) * (-1, -1, 1)
    for markups, control in ((landmarks.proxy, 2), (curve.proxy, 2)):
        np.testing.assert_allclose(
            markups.GetNthControlPointPositionWorld(control), OBLIQUE.T @ local + (5, -7, 11), atol=1e-9
        )
    landmarks.proxy.SetAndObserveTransformNodeID(
        None
    )  # a user takes them out: they now mean another place on the image
    moved = tracks_from_markups(landmarks, image, sequence)
    expected = sequence.lps_mm_to_pixels((OBLIQUE @ (local - (5, -7, 11))) * (-1, -1, 1))
    np.testing.assert_allclose(moved.positions_px[3, 2], expected, atol=1e-6)


def test_query_points_that_cannot_be_used(scene):
    sequence = clip()
    image = add_image_sequence(scene, sequence)
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "clicked")
    with pytest.raises(InputError, match="clicked: holds no placed points"):
        query_points_from_markups(points, image, sequence)
    normal = OBLIQUE[:, 2] * (-1, -1, 1)
    centre = sequence.pixels_to_lps_mm(np.array([20.0, 20.0])) * (-1, -1, 1)
    points.AddControlPointWorld(*(centre + 2.5 * normal), "a")
    assert query_points_from_markups(points, image, sequence).distance_mm == pytest.approx([2.5])
    points.AddControlPointWorld(*centre, "a")
    with pytest.raises(InputError, match="2 points are called 'a'"):
        query_points_from_markups(points, image, sequence)


def test_a_result_that_does_not_fit_leaves_nothing_behind(scene):
    sequence = clip()
    image = add_image_sequence(scene, sequence)
    tracks = tracks_on(sequence)
    before, synchronized = scene.GetNumberOfNodes(), image.browser.GetNumberOfSynchronizedSequenceNodes(True)
    with pytest.raises(InputError, match="no point is called 'apex'"):
        add_tracks(image, sequence, tracks, curve_labels=("P0", "apex"))
    with pytest.raises(InputError, match="tracks of 6 frames for a clip of 8"):
        add_tracks(image, sequence, tracks_on(clip(frame_count=6)))
    assert scene.GetNumberOfNodes() == before
    assert image.browser.GetNumberOfSynchronizedSequenceNodes(True) == synchronized


def test_ten_results_in_a_row_leave_no_node_and_no_observer(scene):
    sequence = clip()
    image = add_image_sequence(scene, sequence)
    tracks = tracks_on(sequence)
    add_tracks(image, sequence, tracks, curve_labels=("P0", "P1")).remove()  # the first makes the subject hierarchy
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)

    def count():
        # A node's observers are not listed by VTK; whoever observes through MRML holds a reference to the node.
        references = [node.GetReferenceCount() for node in (image.proxy, image.sequence, image.browser)]
        return scene.GetNumberOfNodes(), str(scene).count("vtkObserver ("), tree.GetNumberOfItems(), references

    at_rest, deleted = count(), []
    assert at_rest[1] > 0
    for _ in range(10):
        result = add_tracks(image, sequence, tracks, curve_labels=("P0", "P1"))
        shown = list(result.shown_nodes())
        for node in (*shown, result.landmarks.sequence, result.curve.sequence):
            node.AddObserver("DeleteEvent", lambda *_: deleted.append(1))
        image.browser.SetSelectedItemNumber(3)
        assert count()[0] > at_rest[0]
        result.remove()
        expected = len(shown) + 2
        del node, shown, result
        assert len(deleted) == expected  # nothing holds on to them
        deleted.clear()
    assert count() == at_rest
    image.browser.SetSelectedItemNumber(5)
    assert np.array_equal(slicer.util.arrayFromVolume(image.proxy)[0], sequence.frames[5])


def test_a_proxy_follows_while_a_run_is_written_frame_by_frame(scene):
    """As a module does while its child process works: the tracks grow, the browser stands where the user left it."""
    sequence = clip()
    whole = tracks_on(sequence, query_frame=0)
    image = add_image_sequence(scene, sequence)
    nothing = PointTracks(np.full((8, 5, 2), np.nan), np.zeros((8, 5)), np.zeros((8, 5), bool), whole.labels, 0)
    landmarks = add_landmarks(image, sequence, nothing)
    image.browser.SetSelectedItemNumber(3)
    for frame in range(8):
        write_track_frame(landmarks, sequence, whole, frame)
        assert image.browser.GetSelectedItemNumber() == 3
        assert landmarks.proxy.GetNumberOfDefinedControlPoints() == (5 if frame >= 3 else 0)
