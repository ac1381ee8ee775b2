"""Objects carried along with a motion: against exactly known motions, and against Slicer's own hardening."""

import csv

import numpy as np
import pytest
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from application_scene import items_of
from carried_scenes import (
    CENTRE_MM,
    GROWTH,
    OBLIQUE,
    STEP_S,
    ball,
    ball_segmentation,
    bending_volume,
    disc_segmentation,
    growing_clip,
    growing_plane,
    hardened,
    markups,
    positions_lps,
    sphere_model,
)
from registration_pairs import linear_transform, node_names
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.images import read_volume
from UltrasoundMotionLib.mrml import carried_images, object_motion
from UltrasoundMotionLib.mrml.carried_files import writing
from UltrasoundMotionLib.mrml.carried_measures import adding_measures, measuring
from UltrasoundMotionLib.mrml.carried_object import (
    BINARY_LABELMAP,
    CLOSED_SURFACE,
    OUTSIDE_DESCRIPTION,
    layers_of,
    surface_points,
)
from UltrasoundMotionLib.mrml.carrying import carrying
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.object_motion import TransformsTake, find_motion
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceIndex, create_browser, create_sequence, join_browser
from UltrasoundMotionLib.mrml.volume_nodes import add_label_map, add_volume
from UltrasoundMotionLib.steps import run_steps

FRAMES = range(len(GROWTH))
SQUARE = np.array([[-8.0, -6], [8, -6], [8, 6], [-8, 6]])


def in_plane(places_mm):
    """LPS positions of (x, y) mm from the centre in the clip's plane."""
    return CENTRE_MM + np.asarray(places_mm) @ OBLIQUE[:, :2].T


def grown(points_lps, frame, drawn=0):
    return CENTRE_MM + GROWTH[frame] / GROWTH[drawn] * (points_lps - CENTRE_MM)


def items(carried):
    return [carried.nodes.sequence.GetNthDataNode(frame) for frame in FRAMES]


def column(measures, title):
    return next(column.values for column in measures.columns if column.title == title)


def tracked_points(scene, image, places, name="points"):
    """Tracked points that move with `GROWTH`; `places` are LPS on frame 0."""
    sequence = create_sequence(scene, f"{name} sequence", image.index)
    for frame, value in zip(FRAMES, image.index.values, strict=True):
        loose = slicer.vtkMRMLMarkupsFiducialNode()
        for number, place in enumerate(grown(np.asarray(places), frame) * LPS_TO_RAS):
            loose.AddControlPoint(*place, f"P{number}")
        sequence.SetDataNodeAtValue(loose, value)
    proxy = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    return join_browser(image.browser, sequence, proxy, editable=True)


@pytest.mark.parametrize("reference", [0, 2])
@pytest.mark.parametrize("drawn", [0, 2, 3])
def test_points_go_where_the_known_motion_takes_them(scene, drawn, reference):
    _, _, motion = growing_plane(scene, reference)
    places = in_plane(SQUARE)
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", places)
    carried = run_steps(carrying(node, find_motion(motion.proxy), drawn))
    for frame, item in zip(FRAMES, items(carried), strict=True):
        np.testing.assert_allclose(positions_lps(item), grown(places, frame, drawn), atol=2e-4)
    np.testing.assert_allclose(positions_lps(node), places, atol=1e-9)
    assert carried.notes == ()


def test_transforms_of_the_other_direction_are_read_as_told(scene):
    _, _, motion = growing_plane(scene)
    places = in_plane(SQUARE / 2)
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", places)
    take = TransformsTake.FRAMES_TO_REFERENCE
    carried = run_steps(carrying(node, find_motion(motion.proxy, take), 2))
    for frame, item in zip(FRAMES, items(carried), strict=True):
        expected = CENTRE_MM + GROWTH[2] / GROWTH[frame] * (places - CENTRE_MM)
        np.testing.assert_allclose(positions_lps(item), expected, atol=2e-4)
        np.testing.assert_allclose(
            surface_points(item), surface_points(hardened(node, motion, 2, frame, take)), atol=2e-3
        )


@pytest.mark.parametrize("drawn", [0, 2])
@pytest.mark.parametrize("kind", ["model", "vtkMRMLMarkupsClosedCurveNode", "vtkMRMLMarkupsLineNode"])
def test_shapes_lie_where_slicer_hardens_them(scene, kind, drawn):
    _, motion = bending_volume(scene)
    places = CENTRE_MM + np.array([[0, 0, 0], [8, 0, 2], [3, 9, -4.0]])
    node = sphere_model(scene) if kind == "model" else markups(scene, kind, places[:2] if "Line" in kind else places)
    carried = run_steps(carrying(node, find_motion(motion.proxy), drawn))
    for frame, item in zip(FRAMES, items(carried), strict=True):
        expected = surface_points(hardened(node, motion, drawn, frame))
        np.testing.assert_allclose(surface_points(item), expected, atol=2e-3)
    moved = np.linalg.norm(surface_points(items(carried)[4]) - surface_points(node), axis=1)
    assert moved.max() > 0.5


def foreign_motion(scene, image, kind):
    """A sequence as other modules make them: B-splines, or a displacement field after a rotation."""
    random = np.random.default_rng(4)
    sequence = create_sequence(scene, "foreign sequence", image.index)
    for value in image.index.values:
        if kind == "b-spline":
            coefficients = vtk.vtkImageData()
            coefficients.SetDimensions(9, 9, 9)
            coefficients.SetSpacing(12, 12, 12)
            coefficients.SetOrigin(*(CENTRE_MM * LPS_TO_RAS - 48))
            values = random.normal(0, 1.5, (9 * 9 * 9, 3))
            coefficients.GetPointData().SetScalars(numpy_to_vtk(values, deep=True))
            transform = slicer.vtkOrientedBSplineTransform()
            transform.SetCoefficientData(coefficients)
            item = slicer.vtkMRMLBSplineTransformNode()
        else:
            turn = vtk.vtkTransform()
            turn.RotateWXYZ(random.uniform(-8, 8), 0.3, 0.5, 0.8)
            field = slicer.vtkOrientedGridTransform()
            vectors = vtk.vtkImageData()
            vectors.SetDimensions(9, 9, 9)
            vectors.SetSpacing(12, 12, 12)
            vectors.SetOrigin(*(CENTRE_MM * LPS_TO_RAS - 48))
            values = random.normal(0, 0.8, (9 * 9 * 9, 3))
            vectors.GetPointData().SetScalars(numpy_to_vtk(values, deep=True))
            field.SetDisplacementGridData(vectors)
            field.SetInterpolationModeToCubic()
            transform = vtk.vtkGeneralTransform()
            transform.Concatenate(field)
            transform.Concatenate(turn)
            item = slicer.vtkMRMLTransformNode()
        item.SetAndObserveTransformToParent(transform)
        sequence.SetDataNodeAtValue(item, value)
    proxy = scene.AddNewNodeByClass(item.GetClassName(), "foreign")
    return join_browser(image.browser, sequence, proxy, editable=False)


@pytest.mark.parametrize("kind", ["b-spline", "composite"])
def test_motions_of_other_modules_carry_as_slicer_hardens(scene, kind):
    image, _ = bending_volume(scene)
    motion = foreign_motion(scene, image, kind)
    node = sphere_model(scene)
    carried = run_steps(carrying(node, find_motion(motion.proxy), 1))
    for frame, item in zip(FRAMES, items(carried), strict=True):
        expected = surface_points(hardened(node, motion, 1, frame))
        np.testing.assert_allclose(surface_points(item), expected, atol=0.02)  # Slicer inverts to 0.01 mm
        assert frame == 1 or np.abs(expected - surface_points(node)).max() > 0.5
    assert not any("invert" in note for note in carried.notes)


def test_a_carried_model_has_normals_of_its_own(scene):
    _, motion = bending_volume(scene)
    node = sphere_model(scene)
    item = items(run_steps(carrying(node, find_motion(motion.proxy), 0)))[2]
    normals = vtk_to_numpy(item.GetPolyData().GetPointData().GetNormals())
    expected = vtk_to_numpy(hardened(node, motion, 0, 2).GetPolyData().GetPointData().GetNormals())
    assert (normals * expected).sum(axis=1).min() > 0.97


@pytest.mark.parametrize("drawn", [0, 2])
@pytest.mark.slow
def test_labels_lie_where_slicer_hardens_them(scene, drawn):
    image, motion = bending_volume(scene)
    node = ball_segmentation(scene, image.proxy)
    carried = run_steps(carrying(node, find_motion(motion.proxy), drawn))
    before = voxel_centres(node)
    for frame, item in zip(FRAMES, items(carried), strict=True):
        ours, slicers = voxel_centres(item), voxel_centres(hardened(node, motion, drawn, frame))
        assert len(ours) == pytest.approx(len(slicers), rel=0.01)
        assert 2 * len(ours & slicers) / (len(ours) + len(slicers)) > 0.97  # Slicer takes the nearest voxel's label
        if frame == 4:
            assert 2 * len(before & slicers) / (len(before) + len(slicers)) < 0.93  # it did move


def voxel_centres(node):
    (layer,) = layers_of(node)
    filled = np.argwhere(layer.voxels.array != 0)[:, ::-1] + layer.voxels.first
    return set(map(tuple, np.round(layer.voxels.points(filled), 1).tolist()))


def test_a_segmentation_on_a_slice_stays_on_it_with_its_names_and_colours(scene):
    image, sequence, motion = growing_plane(scene)
    node = disc_segmentation(scene, image, sequence)
    node.GetSegmentation().GetNthSegment(0).SetTag("TerminologyEntry", "a~heart~term")
    node.GetDisplayNode().SetOpacity2DFill(0.3)
    before = node_names(scene)
    carried = run_steps(carrying(node, find_motion(motion.proxy), 0))
    original, proxy = node.GetSegmentation(), carried.nodes.proxy
    for frame, item in zip(FRAMES, items(carried), strict=True):
        segmentation = item.GetSegmentation()
        for number in range(2):
            segment, like = segmentation.GetNthSegment(number), original.GetNthSegment(number)
            assert segmentation.GetNthSegmentID(number) == original.GetNthSegmentID(number)
            assert (segment.GetName(), segment.GetColor()) == (like.GetName(), like.GetColor())
        tag = vtk.reference("")
        assert segmentation.GetNthSegment(0).GetTag("TerminologyEntry", tag) and str(tag) == "a~heart~term"
        (layer,) = layers_of(item)
        assert layer.voxels.array.shape[0] == 1
        area = (layer.voxels.array > 0).sum() * np.prod(sequence.spacing_mm)
        assert area == pytest.approx(np.pi * 64 * GROWTH[frame] ** 2, rel=0.03)
    assert proxy.GetDisplayNode().GetOpacity2DFill() == pytest.approx(0.3)
    assert set(before) <= set(node_names(scene)) and len(layers_of(node)) == 1


def test_it_plays_with_the_image_and_edits_stay(scene):
    image, _, motion = growing_plane(scene)
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", in_plane(SQUARE))
    node.GetDisplayNode().SetSelectedColor(0.1, 0.9, 0.3)
    carried = run_steps(carrying(node, find_motion(motion.proxy), 0)).nodes
    assert carried.browser is image.browser and carried.browser.GetSaveChanges(carried.sequence)
    assert carried.proxy.GetDisplayNode().GetSelectedColor() == pytest.approx((0.1, 0.9, 0.3))
    for frame in (3, 1):
        image.browser.SetSelectedItemNumber(frame)
        np.testing.assert_allclose(positions_lps(carried.proxy), grown(in_plane(SQUARE), frame), atol=2e-4)
    carried.proxy.SetNthControlPointPosition(0, 1.0, 2.0, 3.0)
    image.browser.SetSelectedItemNumber(0)
    image.browser.SetSelectedItemNumber(1)
    np.testing.assert_allclose(carried.proxy.GetNthControlPointPosition(0), (1, 2, 3))
    np.testing.assert_allclose(positions_lps(carried.sequence.GetNthDataNode(0)), in_plane(SQUARE), atol=2e-4)
    np.testing.assert_allclose(positions_lps(node), in_plane(SQUARE), atol=1e-9)
    items_of(scene)


@pytest.mark.slow
def test_volumes_and_label_maps_are_resampled(scene):
    _, motion = bending_volume(scene)
    labels = ball(10.0)
    labelled = add_label_map(scene, labels, "labels")
    ramp = np.arange(labels.array.size, dtype=np.float32).reshape(labels.array.shape) * 1e-3
    image = add_volume(scene, type(labels)(ramp, labels.spacing_mm, labels.origin_mm, labels.direction, "ramp"), "ramp")
    for node, tolerance in ((labelled, 0.98), (image, None)):
        carried = run_steps(carrying(node, find_motion(motion.proxy), 0))
        for frame in (1, 2):
            ours = slicer.util.arrayFromVolume(carried.nodes.sequence.GetNthDataNode(frame))
            slicers = resampled_like(hardened_volume(node, motion, frame), node)
            inside = (slice(4, -4),) * 3
            if tolerance is None:
                assert np.abs(ours - slicers)[inside].max() < 0.02
            else:
                assert 2 * (ours & slicers).sum() / (ours.sum() + slicers.sum()) > tolerance
    assert slicer.util.arrayFromVolume(labelled).sum() == labels.array.sum()


def hardened_volume(node, motion, frame):
    """A copy of a volume under one item of the motion, not hardened."""
    copy = node.GetScene().AddNewNodeByClass(node.GetClassName(), "moved")
    copy.CopyContent(node, True)
    transform = node.GetScene().AddNewNodeByClass("vtkMRMLTransformNode", "step")
    transform.CopyContent(motion.sequence.GetNthDataNode(frame), True)
    copy.SetAndObserveTransformNodeID(transform.GetID())
    return copy


def resampled_like(volume, reference):
    """The values of a volume under its transform on the grid of another, by VTK's reslicing."""
    to_reference, matrix = vtk.vtkGeneralTransform(), vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(matrix)
    to_reference.Concatenate(matrix)
    between = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volume.GetParentTransformNode(), between)
    to_reference.Concatenate(between)
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    to_reference.Concatenate(matrix)
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(volume.GetImageData())
    reslice.SetResliceTransform(to_reference)
    reslice.SetInterpolationModeToNearestNeighbor() if volume.IsA(
        "vtkMRMLLabelMapVolumeNode"
    ) else reslice.SetInterpolationModeToLinear()
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputExtent(reference.GetImageData().GetExtent())
    reslice.Update()
    scalars = vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars())
    return scalars.reshape(reference.GetImageData().GetDimensions()[::-1])


@pytest.mark.parametrize("count", [3, 4, 9])
def test_tracked_points_carry_what_lies_among_them(scene, count):
    image, sequence = growing_clip(scene)
    places = in_plane(np.vstack([SQUARE * 1.5, [[-14, 0], [3, 4], [0, 9], [9, -2], [0, -10]]])[:count])
    motion = find_motion(tracked_points(scene, image, places).proxy)
    np.testing.assert_allclose(np.abs(motion.normal * LPS_TO_RAS @ OBLIQUE[:, 2]), 1)
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", in_plane([[0, -3], [2, -4], [200, 0]]))
    carried = run_steps(carrying(node, motion, 1))
    for frame, item in zip(FRAMES, items(carried), strict=True):
        np.testing.assert_allclose(positions_lps(item), grown(positions_lps(node), frame, 1), atol=1e-4)
        described = [item.GetNthControlPointDescription(control) for control in range(3)]
        assert described == (["", "", ""] if frame == 1 else ["", "", OUTSIDE_DESCRIPTION])
    assert "33% of the object lies outside the tracked points" in carried.notes[0]
    assert any("affine" in note for note in carried.notes) == (count == 3)
    segmentation = disc_segmentation(scene, image, sequence)
    carried = run_steps(carrying(segmentation, motion, 0))
    measures = run_steps(measuring(carried.nodes))
    total = column(measures, "cavity area (cm2)") + column(measures, "wall area (cm2)")
    np.testing.assert_allclose(total / total[0], np.square(GROWTH), rtol=0.03)


def test_lost_points_are_left_out_and_none_is_refused(scene):
    image, _ = growing_clip(scene)
    tracked = tracked_points(scene, image, in_plane(SQUARE * 1.5))
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", in_plane([[0, -3]]))
    lost = tracked.sequence.GetNthDataNode(2)
    lost.SetNthControlPointPositionMissing(0)
    carried = run_steps(carrying(node, find_motion(tracked.proxy), 0))
    np.testing.assert_allclose(positions_lps(items(carried)[2]), grown(positions_lps(node), 2), atol=1e-6)
    assert any("affine" in note for note in carried.notes)
    for control in range(4):
        lost.SetNthControlPointPositionMissing(control)
    with pytest.raises(InputError, match="no point is placed on both frame 0 and frame 2"):
        run_steps(carrying(node, find_motion(tracked.proxy), 0))


def test_surfaces_of_a_segmentation_are_carried_with_it(scene):
    image, motion = bending_volume(scene)
    node = ball_segmentation(scene, image.proxy, 10.0)
    assert node.GetSegmentation().CreateRepresentation(CLOSED_SURFACE)
    before = node.GetSegmentation().GetNthSegment(0).GetRepresentation(CLOSED_SURFACE)
    carried = run_steps(carrying(node, find_motion(motion.proxy), 0))
    for frame in (0, 2):
        surface = items(carried)[frame].GetSegmentation().GetNthSegment(0).GetRepresentation(CLOSED_SURFACE)
        to_parent = motion.sequence.GetNthDataNode(frame).GetTransformToParent()
        expected = [to_parent.TransformPoint(*place) for place in vtk_to_numpy(before.GetPoints().GetData())]
        np.testing.assert_allclose(vtk_to_numpy(surface.GetPoints().GetData()), expected, atol=1e-3)
        properties = vtk.vtkMassProperties()
        properties.SetInputData(surface)
        (layer,) = layers_of(items(carried)[frame])
        assert properties.GetVolume() == pytest.approx((layer.voxels.array > 0).sum(), rel=0.04)


def test_segments_that_overlap_keep_their_layers(scene):
    image, _, motion = growing_volume(scene)
    node = ball_segmentation(scene, image.proxy, 10.0)
    inner = ball_segmentation(scene, image.proxy, 5.0, name="inner")
    node.GetSegmentation().CopySegmentFromSegmentation(
        inner.GetSegmentation(), inner.GetSegmentation().GetNthSegmentID(0)
    )
    assert len(layers_of(node)) == 2
    node.GetSegmentation().GetNthSegment(1).SetName("core")
    measures = run_steps(measuring(run_steps(carrying(node, find_motion(motion.proxy), 0)).nodes))
    for name, radius in (("ball", 10.0), ("core", 5.0)):
        expected = 4 / 3 * np.pi * radius**3 / 1000 * np.power(GROWTH, 3)
        found = column(measures, f"{name} volume (mL)")
        np.testing.assert_allclose(found, expected, rtol=0.05 if name == "ball" else 0.14)  # 20 and 10 voxels across


@pytest.mark.parametrize(("sharp", "direction"), [(False, np.eye(3)), (False, OBLIQUE), (True, np.eye(3))])
def test_many_voxels_are_looked_up_by_interpolation_where_that_is_exact(monkeypatch, sharp, direction):
    labels = ball(12.0, 0.5).array
    to_ras = np.eye(4)
    to_ras[:3, :3], to_ras[:3, 3] = 0.5 * direction, (3, -7, 20)
    voxels = carried_images.PlacedArray(labels, np.array([-4, 2, 9]), to_ras)

    def shift(points):
        across = points @ direction[:, 0] - 8
        bent = np.where(across > 0, 1.5, 0.0) if sharp else 1.5 * np.sin(across / 9)
        return bent[:, None] * direction[:, 1]

    def moved():
        steps = carried_images.moving_labels(voxels, lambda x: x + shift(x), lambda x: x - shift(x))
        try:
            while True:
                next(steps)
        except StopIteration as end:
            return end.value

    asked = []
    look_up = carried_images._looked_up
    monkeypatch.setattr(carried_images, "_looked_up", lambda *a, **k: asked.append(a[2].chunk) or look_up(*a, **k))
    monkeypatch.setattr(carried_images, "_MANY_VOXELS", 10_000)
    found = moved()
    monkeypatch.setattr(carried_images, "_MANY_VOXELS", np.inf)
    exact = moved()
    assert asked[0] > asked[1] if not sharp else asked[0] == asked[1]
    assert (found.first == exact.first).all()
    assert (found.array != exact.array).sum() <= (0 if sharp else 0.005 * labels.sum())


def test_points_without_labels_of_their_own_are_matched_by_their_order(scene):
    image, _ = growing_clip(scene)
    tracked = tracked_points(scene, image, in_plane(SQUARE * 1.5))
    for frame in FRAMES:
        item = tracked.sequence.GetNthDataNode(frame)
        for control in range(4):
            item.SetNthControlPointLabel(control, "")
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", in_plane([[0, -3], [5, 2]]))
    for control in range(2):
        node.SetNthControlPointLabel(control, "same")
    carried = run_steps(carrying(node, find_motion(tracked.proxy), 0))
    np.testing.assert_allclose(positions_lps(items(carried)[2]), grown(positions_lps(node), 2), atol=1e-6)
    titles = [one.title for one in run_steps(measuring(carried.nodes)).columns]
    assert titles == ["same 1 displacement (mm)", "same 2 displacement (mm)"]
    tracked.sequence.GetNthDataNode(3).RemoveNthControlPoint(0)
    with pytest.raises(InputError, match="different numbers of points without labels"):
        run_steps(carrying(node, find_motion(tracked.proxy), 0))


def test_slicer_s_names_of_representations():
    converter = slicer.vtkSegmentationConverter
    assert converter.GetBinaryLabelmapRepresentationName() == BINARY_LABELMAP
    assert converter.GetClosedSurfaceRepresentationName() == CLOSED_SURFACE


def test_a_ball_that_grows_has_the_volumes_of_its_scale(scene):
    image, _, motion = growing_volume(scene)
    node = ball_segmentation(scene, image.proxy, 12.0, 0.75)
    model = sphere_model(scene, 9.0)
    carried = run_steps(carrying(node, find_motion(motion.proxy), 0))
    measures = run_steps(measuring(carried.nodes))
    assert measures.axis == "time (s)"
    np.testing.assert_allclose(measures.index, STEP_S * np.arange(len(GROWTH)))
    expected = 4 / 3 * np.pi * 12.0**3 / 1000 * np.power(GROWTH, 3)
    np.testing.assert_allclose(column(measures, "ball volume (mL)"), expected, rtol=0.025)
    of_model = run_steps(measuring(run_steps(carrying(model, find_motion(motion.proxy), 0)).nodes))
    volumes = column(of_model, "sphere volume (mL)")
    np.testing.assert_allclose(volumes / volumes[0], np.power(GROWTH, 3), rtol=1e-4)
    properties = vtk.vtkMassProperties()
    properties.SetInputData(model.GetPolyData())
    assert volumes[0] == pytest.approx(properties.GetVolume() / 1000, rel=1e-3)
    volume = column(measures, "ball volume (mL)")
    shown = run_steps(adding_measures(carried.nodes, measures))
    assert shown.reading.GetTable().GetValueByName(2, "ball volume (mL)").ToString() == f"{volume[2]:.2f}"
    assert shown.table.GetNumberOfRows() == len(GROWTH) and shown.chart.GetNumberOfPlotSeriesNodes() == 1
    items_of(scene)


def growing_volume(scene):
    """A sequence of linear transforms, as other modules make them, with a volume: every length grows."""
    volume = ball(30.0, 4.0)
    index = SequenceIndex("time", "s", slicer.vtkMRMLSequenceNode.NumericIndex, tuple(str(STEP_S * t) for t in FRAMES))
    node, proxy = create_sequence(scene, "beat sequence", index), add_volume(scene, volume, "beat")
    motion = create_sequence(scene, "motion sequence", index)
    for growth, value in zip(GROWTH, index.values, strict=True):
        node.SetDataNodeAtValue(proxy, value)
        loose, matrix = slicer.vtkMRMLLinearTransformNode(), vtk.vtkMatrix4x4()
        for axis, centre in enumerate(CENTRE_MM * LPS_TO_RAS):
            matrix.SetElement(axis, axis, growth)
            matrix.SetElement(axis, 3, centre * (1 - growth))
        loose.SetMatrixTransformToParent(matrix)
        motion.SetDataNodeAtValue(loose, value)
    image = create_browser(scene, "beat browser", node, proxy, 20.0)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "motion")
    return image, volume, join_browser(image.browser, motion, transform, editable=False)


def test_curves_and_points_are_measured(scene):
    _, _, motion = growing_plane(scene)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = in_plane(8 * np.column_stack([np.cos(angles), np.sin(angles)]))
    curve = markups(scene, "vtkMRMLMarkupsClosedCurveNode", ring, "ring")
    measures = run_steps(measuring(run_steps(carrying(curve, find_motion(motion.proxy), 0)).nodes))
    np.testing.assert_allclose(column(measures, "ring length (mm)"), 16 * np.pi * np.array(GROWTH), rtol=2e-3)
    np.testing.assert_allclose(column(measures, "ring area (cm2)"), 0.64 * np.pi * np.square(GROWTH), rtol=3e-3)
    assert column(measures, "ring length (mm)")[0] == pytest.approx(curve.GetCurveLengthWorld(), rel=1e-6)
    line = markups(scene, "vtkMRMLMarkupsLineNode", ring[[0, 12]], "line")
    measures = run_steps(measuring(run_steps(carrying(line, find_motion(motion.proxy), 1)).nodes))
    np.testing.assert_allclose(column(measures, "line length (mm)"), 16 * np.array(GROWTH) / GROWTH[1], rtol=1e-4)
    points = markups(scene, "vtkMRMLMarkupsFiducialNode", ring[:1], "points")
    measures = run_steps(measuring(run_steps(carrying(points, find_motion(motion.proxy), 2)).nodes))
    expected = 8 * np.abs(np.array(GROWTH) / GROWTH[2] - 1)
    np.testing.assert_allclose(column(measures, "M0 displacement (mm)"), expected, atol=1e-3)


def test_an_object_under_a_linear_transform_stays_under_it(scene):
    image, _, motion = growing_plane(scene)
    turned = linear_transform(scene, (0, 20, 10), (5, 0, -3))
    places = in_plane(SQUARE)
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", places)
    node.SetAndObserveTransformNodeID(turned.GetID())
    node.SetControlPointPositionsWorld(vtk_points(places * LPS_TO_RAS))
    carried = run_steps(carrying(node, find_motion(motion.proxy), 0)).nodes
    assert carried.proxy.GetParentTransformNode() is turned
    image.browser.SetSelectedItemNumber(2)
    world = vtk.vtkPoints()
    carried.proxy.GetControlPointPositionsWorld(world)
    np.testing.assert_allclose(vtk_to_numpy(world.GetData()) * LPS_TO_RAS, grown(places, 2), atol=2e-3)


def vtk_points(places):
    made = vtk.vtkPoints()
    for place in places:
        made.InsertNextPoint(*place)
    return made


def test_outside_the_grid_it_moves_as_the_edge_and_says_so(scene):
    _, _, motion = growing_plane(scene)
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", in_plane([[0, 0], [60, 0]]))
    carried = run_steps(carrying(node, find_motion(motion.proxy), 0))
    assert carried.notes == ("50% of the object lies outside the motion's grid and moves as the grid's edge does",)
    item = items(carried)[2]
    assert [item.GetNthControlPointDescription(control) for control in range(2)] == ["", OUTSIDE_DESCRIPTION]
    at_edge = positions_lps(item)[1] - positions_lps(node)[1]
    reach = at_edge @ OBLIQUE[:, 0] / (GROWTH[2] - 1)
    assert 15 < reach < 19  # the grid ends 16 mm to the right of the centre


def test_what_cannot_be_carried_says_why(scene):
    image, _, motion = growing_plane(scene)
    found = find_motion(motion.proxy)
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", in_plane(SQUARE))
    before = node_names(scene)

    def reason(object_node, moved=found, frame=0):
        with pytest.raises(InputError) as error:
            run_steps(carrying(object_node, moved, frame))
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "no frame 5; the last is 4" in reason(node, frame=5)
    plane = scene.AddNewNodeByClass("vtkMRMLMarkupsPlaneNode", "plane")
    assert "MarkupsPlane cannot be carried" in reason(plane)
    remove_node(plane)
    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    assert "is empty" in reason(empty)
    remove_node(empty)
    assert "plays in a sequence browser already" in reason(image.proxy)
    node.SetAndObserveTransformNodeID(motion.proxy.GetID())
    assert "moved already by motion" in reason(node)
    bent = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    bent.CopyContent(motion.sequence.GetNthDataNode(2), True)
    node.SetAndObserveTransformNodeID(bent.GetID())
    assert "harden" in reason(node)
    node.SetAndObserveTransformNodeID(None)
    scene.RemoveNode(bent)
    with pytest.raises(InputError, match="is no motion"):
        find_motion(image.proxy)
    with pytest.raises(InputError, match="no sequence browser plays"):
        find_motion(node)
    motion.sequence.RemoveDataNodeAtValue(motion.sequence.GetNthIndexValue(3))
    assert "no motion for frame 3" in reason(node)
    for _ in range(3):
        motion.sequence.RemoveDataNodeAtValue(motion.sequence.GetNthIndexValue(1))
    assert "has one frame" in reason(node)
    assert node_names(scene) == before


@pytest.mark.parametrize("removed", ["object", "motion", "item"])
def test_nodes_deleted_meanwhile_end_it_and_leave_nothing(scene, removed):
    _, _, motion = growing_plane(scene)
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", in_plane(SQUARE))
    steps = carrying(node, find_motion(motion.proxy), 0)
    for _ in range(3):
        next(steps)
    if removed == "object":
        scene.RemoveNode(node)
    elif removed == "motion":
        scene.RemoveNode(motion.sequence)
    else:
        motion.sequence.RemoveDataNodeAtValue(motion.sequence.GetNthIndexValue(4))
    with pytest.raises(InputError, match=r"in the meantime|while it was"):
        run_steps(steps)
    assert not [name for name in node_names(scene) if "carried" in name]


def test_a_cancel_leaves_nothing(scene):
    image, sequence, motion = growing_plane(scene)
    node = disc_segmentation(scene, image, sequence)
    before = node_names(scene)
    steps = carrying(node, find_motion(motion.proxy), 0)
    for _ in range(8):
        next(steps)
    steps.close()
    assert node_names(scene) == before


def test_everything_comes_back_from_a_file(scene, tmp_path):
    image, sequence, motion = growing_plane(scene)
    found = find_motion(motion.proxy)
    ring = in_plane(SQUARE)
    nodes = [
        disc_segmentation(scene, image, sequence),
        sphere_model(scene),
        markups(scene, "vtkMRMLMarkupsClosedCurveNode", ring, "ring"),
    ]
    results = [run_steps(carrying(node, found, 0)).nodes for node in nodes]
    measures = [run_steps(measuring(one)) for one in results]
    for one, values in zip(results, measures, strict=True):
        run_steps(adding_measures(one, values))
    names = [one.proxy.GetName() for one in results]
    path = write_scene(scene, tmp_path / "carried.mrb")
    read_scene(scene, path)
    from UltrasoundMotionLib.mrml.carrying import carried_object

    for name, values in zip(names, measures, strict=True):
        again = carried_object(scene.GetFirstNodeByName(name))
        assert again.browser.GetSaveChanges(again.sequence)
        for column_before, column_after in zip(values.columns, run_steps(measuring(again)).columns, strict=True):
            assert column_before.title == column_after.title
            np.testing.assert_allclose(column_before.values, column_after.values, rtol=1e-4)


def test_files_hold_what_other_programs_read(scene, tmp_path):
    image, sequence, motion = growing_plane(scene)
    found = find_motion(motion.proxy)
    turned = linear_transform(scene, (0, 0, 30), (4, 0, 0))
    for node in (image.proxy, motion.proxy):
        node.SetAndObserveTransformNodeID(turned.GetID())
    segmentation = disc_segmentation(scene, image, sequence)
    model = sphere_model(scene)
    points = markups(scene, "vtkMRMLMarkupsFiducialNode", in_plane(SQUARE), "my points/1")
    for node in (segmentation, model, points):
        node.SetAndObserveTransformNodeID(turned.GetID())
    found = find_motion(motion.proxy)
    results = {node.GetName(): run_steps(carrying(node, found, 0)).nodes for node in (segmentation, model, points)}

    folder = run_steps(writing(results["heart"], tmp_path / "labels", "nrrd"))
    rows = list(csv.DictReader((folder / "frames.csv").open()))
    assert [row["frame"] for row in rows] == [str(frame) for frame in FRAMES]
    assert [float(row["time_s"]) for row in rows] == pytest.approx(STEP_S * np.arange(len(GROWTH)))
    for frame, row in enumerate(rows):
        labels = read_volume(folder / row["file"])
        area = (labels.array > 0).sum() * np.prod(labels.spacing_mm[:2])
        assert area == pytest.approx(np.pi * 64 * GROWTH[frame] ** 2, rel=0.03)
        centre = (np.argwhere(labels.array > 0).mean(axis=0)[::-1] * 1.0).tolist()
        lps = labels.index_to_lps_mm @ [*centre, 1.0]
        np.testing.assert_allclose(lps[:3], in_world(turned, CENTRE_MM), atol=0.3)

    folder = run_steps(writing(results["sphere"], tmp_path / "surfaces", "stl"))
    reader = vtk.vtkSTLReader()
    reader.SetFileName(str(folder / "sphere-carried_2_0.1s.stl"))
    reader.Update()
    in_file = vtk_to_numpy(reader.GetOutput().GetPoints().GetData())
    np.testing.assert_allclose((in_file.max(axis=0) + in_file.min(axis=0)) / 2, in_world(turned, CENTRE_MM), atol=0.1)

    folder = run_steps(writing(results["my points/1"], tmp_path / "points", "csv"))
    (path,) = folder.glob("*_1_0.05s.csv")
    values = [[float(row[axis]) for axis in ("x_mm", "y_mm", "z_mm")] for row in csv.DictReader(path.open())]
    expected = [in_world(turned, place) for place in grown(in_plane(SQUARE), 1)]
    np.testing.assert_allclose(values, expected, atol=2e-4)

    with pytest.raises(OutputError, match="exists already"):
        run_steps(writing(results["heart"], tmp_path / "labels", "nrrd"))
    with pytest.raises(InputError, match="cannot be written as csv"):
        run_steps(writing(results["heart"], tmp_path / "other", "csv"))
    steps = writing(results["heart"], tmp_path / "half", "nrrd")
    for _ in range(3):
        next(steps)
    steps.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels", "points", "surfaces"]


def in_world(transform, point_lps):
    moved = [*(np.asarray(point_lps) * LPS_TO_RAS), 1.0]
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return np.array(matrix.MultiplyPoint(moved)[:3]) * LPS_TO_RAS


def test_surfaces_of_segments_are_written(scene, tmp_path):
    image, motion = bending_volume(scene)
    node = ball_segmentation(scene, image.proxy, 8.0)
    carried = run_steps(carrying(node, find_motion(motion.proxy), 0))
    folder = run_steps(writing(carried.nodes, tmp_path / "surfaces", "vtp"))
    reader, properties = vtk.vtkXMLPolyDataReader(), vtk.vtkMassProperties()
    for path in sorted(folder.glob("*_ball.vtp")):
        reader.SetFileName(str(path))
        properties.SetInputConnection(reader.GetOutputPort())
        properties.Update()
        assert properties.GetVolume() == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.06)
    assert len(list(folder.iterdir())) == len(GROWTH) + 1


def test_the_points_of_a_motion_are_checked_without_reading_their_positions(scene, monkeypatch):
    """The panel checks them after every change: 200 frames of 100 points took 0.13 s."""
    image, _ = growing_clip(scene)
    motion = find_motion(tracked_points(scene, image, in_plane(SQUARE * 1.5)).proxy)
    monkeypatch.setattr(object_motion._ItemPoints, "positions", None)
    motion.check(0)
