"""Deformable Registration from the Python console, on real MRML nodes, through the child process."""

from dataclasses import replace

import numpy as np
import pytest
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from registration_pairs import (
    ARRAY_OF,
    dice_of,
    linear_transform,
    node_names,
    pair_in,
    resampled_by_slicer,
    table_of,
)
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.fields import read_displacement
from UltrasoundMotionLib.images import read_volume, write_volume
from UltrasoundMotionLib.jobs import registration_job, run_job
from UltrasoundMotionLib.mrml.displacement_transforms import transform_points
from UltrasoundMotionLib.mrml.labels_from_nodes import labels_on_grid
from UltrasoundMotionLib.mrml.registration_nodes import RegistrationNodes
from UltrasoundMotionLib.mrml.registration_pair import VolumePair, parent_before_registration
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.volume_nodes import add_label_map, volume_from_node
from UltrasoundMotionLib.registration import RegisterRequest, register


def test_what_cannot_be_registered_is_refused_in_one_line(logic, scene):
    nodes = pair_in(scene)
    fixed, moving, labels = nodes["fixed"], nodes["moving"], nodes["moving segmentation"]
    flat = pair_in(scene, (26, 24), flat=True)["fixed"]
    away = pair_in(scene, (26, 24), flat=True)["moving"]
    away.SetAndObserveTransformNodeID(linear_transform(scene, (0, 60, 0), (0, 0, 0)).GetID())
    names = node_names(scene)
    for inputs, options, words in (
        ((fixed, fixed), {}, "same volume"),
        ((fixed, flat), {}, "fixed 20 and fixed_1 1 slices"),
        ((flat, away), {}, r"planes that are \d+ degrees apart"),
        ((fixed, moving), {"fixedSegmentation": labels}, "choose the moving segmentation too"),
        ((fixed, moving), {"movingMask": flat}, "labels must be whole numbers"),
        ((fixed, moving), {"outputs": RegistrationNodes(warped=moving)}, "is an input"),
        ((fixed, moving), {"method": "thinking"}, "no registration method named thinking"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            logic.register(*inputs, **options)
        assert "\n" not in str(caught.value)
    assert node_names(scene) == names


MODULE = "DeformableRegistration"


@pytest.mark.parametrize(
    ("options", "module_options"),
    [
        ({"working_spacing_mm": 2.0}, {"workingSpacing": 2.0}),
        ({"method": "demons", "initial_transform": "none"}, {"method": "demons", "start": "none"}),
    ],
)
@pytest.mark.slow
def test_the_same_input_gives_the_same_result_from_all_four(logic, scene, tmp_path, options, module_options):
    from UltrasoundMotionModuleLib.shared.background_job import sharedProcess

    nodes = pair_in(scene, (12, 20, 18), direction=np.eye(3))
    pair = VolumePair.of_nodes(nodes["fixed"], nodes["moving"])
    for name in ("fixed", "moving"):
        write_volume(tmp_path / f"{name}.nrrd", getattr(pair, name))
    fixed, moving = (read_volume(tmp_path / f"{name}.nrrd") for name in ("fixed", "moving"))
    request = RegisterRequest(device="cpu", **options)
    expected = register(fixed, moving, request=request)
    job = registration_job(
        fixed, moving, request=request, paths={"fixed": tmp_path / "fixed.nrrd", "moving": tmp_path / "moving.nrrd"}
    )
    by_job = run_job(job, sharedProcess().process)
    np.testing.assert_array_equal(by_job.displacement.displacement_mm, expected.displacement.displacement_mm)
    np.testing.assert_array_equal(by_job.warped.array, expected.warped.array)
    assert by_job.notes == expected.notes
    words = [*job.command[1:], "--quiet"]
    words[words.index("--out-displacement") + 1] = str(tmp_path / "u.nrrd")
    assert main(words) == 0
    written = read_displacement(tmp_path / "u.nrrd")
    np.testing.assert_array_equal(written.displacement_mm, expected.displacement.displacement_mm)
    shown = logic.register(nodes["fixed"], nodes["moving"], device="cpu", **module_options)
    np.testing.assert_array_equal(ARRAY_OF(shown.warped), expected.warped.array)
    # the transform's grid holds the displacement in RAS
    displacement = vtk_to_numpy(
        shown.transform.GetTransformFromParent().GetDisplacementGrid().GetPointData().GetScalars()
    )
    np.testing.assert_array_equal(
        displacement.reshape(*fixed.array.shape, 3) * [-1, -1, 1], expected.displacement.displacement_mm
    )


class Registered:
    """A pair in the scene, and what the child process found for it; registered once for all tests."""

    found = None

    def __init__(self, scene):
        from UltrasoundMotionModuleLib.deformable_registration.tasks import pairTask
        from UltrasoundMotionModuleLib.shared.background_job import sharedProcess

        self.nodes = pair_in(scene)
        self.fixed, self.moving, self.labels = (
            self.nodes["fixed"],
            self.nodes["moving"],
            self.nodes["moving segmentation"],
        )
        segmentations = {"movingSegmentation": self.labels, "fixedSegmentation": self.nodes["fixed segmentation"]}
        self.task = pairTask(self.fixed, self.moving, RegisterRequest(device="cpu"), **segmentations)
        if Registered.found is None:
            Registered.found = run_job(self.task.job, sharedProcess().process)


@pytest.fixture
def registered(scene):
    return Registered(scene)


def test_a_result_is_what_slicer_itself_makes_of_the_transform(scene, registered):
    fixed, moving = registered.fixed, registered.moving
    arrays = ARRAY_OF(fixed).copy(), ARRAY_OF(moving).copy()
    result = registered.task.show(registered.found)
    warped, inside = ARRAY_OF(result.warped), (slice(3, -3),) * 3
    np.testing.assert_array_equal(ARRAY_OF(moving), arrays[1])
    assert moving.GetParentTransformNode() is None
    moving.SetAndObserveTransformNodeID(result.transform.GetID())
    seen = resampled_by_slicer(moving, fixed)
    spread = float(np.ptp(arrays[0]))
    assert (
        np.abs(seen - warped)[inside].max() < 0.01 * spread
    )  # cubic between the nodes of the grid for Slicer, linear for the library
    before, after = (np.abs(one - arrays[0])[inside].mean() / spread for one in (arrays[1], seen))
    assert before > 0.01 and after < before / 5, (before, after)
    carried = labels_on_grid(result.segmentation, fixed)
    assert [label.name for label in carried.labels] == ["label 1", "label 2"]
    fixed_labels = labels_on_grid(registered.nodes["fixed segmentation"], fixed).array
    score = dice_of(fixed_labels, carried.array)
    unmoved = dice_of(fixed_labels, labels_on_grid(registered.labels, moving).array)
    assert all(score[label] > max(0.9, unmoved[label] + 0.05) for label in (1, 2))

    rows = table_of(result.table)
    np.testing.assert_allclose(
        [float(rows[f"Dice, label {label}"][1]) for label in (1, 2)], [score[label] for label in (1, 2)], atol=1e-3
    )
    assert float(rows["local cross-correlation"][1]) > 0.9 and rows["device"][1] == "cpu" and float(rows["time"][1]) > 0
    jacobian = ARRAY_OF(result.jacobian)
    assert float(rows["Jacobian, least"][1]) == pytest.approx(jacobian.min(), abs=1e-3)
    display = result.jacobian.GetDisplayNode()
    assert slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display) is not None
    np.testing.assert_array_equal(ARRAY_OF(fixed), arrays[0])
    np.testing.assert_array_equal(ARRAY_OF(moving), arrays[1])


def test_the_result_is_in_front_of_the_fixed_volume_in_every_slice_view(scene, registered):
    from UltrasoundMotionLib.mrml.views import view_node

    views = [view_node(scene, "vtkMRMLSliceCompositeNode", name) for name in ("Red", "Green")]
    slices = [view_node(scene, "vtkMRMLSliceNode", name) for name in ("Red", "Green")]
    arrangement = slicer.app.layout
    result = registered.task.show(registered.found)
    for view in views:
        assert (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()) == (
            registered.fixed.GetID(),
            result.warped.GetID(),
        )
    bounds = np.zeros(6)
    registered.fixed.GetRASBounds(bounds)
    for node in slices:
        centre = [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
        assert np.all(centre > bounds[::2]) and np.all(centre < bounds[1::2])
    assert slicer.app.layout == arrangement
    levels = [
        (node.GetDisplayNode().GetWindowLevelMin(), node.GetDisplayNode().GetWindowLevelMax())
        for node in (registered.fixed, result.warped)
    ]
    np.testing.assert_allclose(*levels, rtol=1e-6)  # flicker shows motion alone


def test_a_second_run_fills_the_same_nodes_and_removal_leaves_nothing(scene, registered):
    before = node_names(scene)
    first = registered.task.show(registered.found)
    names = node_names(scene)
    task = replace(registered.task, outputs=first, applyTransform=True)
    second = task.show(registered.found)
    assert second == first and node_names(scene) == names
    assert registered.moving.GetParentTransformNode() is first.transform
    np.testing.assert_allclose(  # the moving volume under its result is still registered from where it was
        VolumePair.of_nodes(registered.fixed, registered.moving).moving.origin_mm,
        registered.task.pair.moving.origin_mm,
    )
    second.remove()
    kept = [name for name in node_names(scene) if "Color" not in name]
    assert kept == [name for name in before if "Color" not in name]
    assert registered.moving.GetParentTransformNode() is None


def test_everything_is_remembered_in_the_scene(logic, scene, registered, tmp_path):
    from UltrasoundMotionModuleLib.deformable_registration.choices import Preset

    placement = linear_transform(scene, (0, 0, 0), (0.0, 0.5, 0.0))
    registered.moving.SetAndObserveTransformNodeID(placement.GetID())
    result = replace(registered.task, applyTransform=True).show(registered.found)
    parameters = logic.getParameterNode()
    parameters.preset, parameters.fixedVolume, parameters.outputTransform = (
        Preset.HIPPOCAMPUS_MRI,
        registered.fixed,
        result.transform,
    )
    points = np.array([[20.0, -20.0, 15.0], [25.0, -10.0, 20.0]])
    before = transform_points(result.transform, points)
    read_scene(scene, write_scene(scene, tmp_path / "registered.mrb"))
    parameters = logic.getParameterNode()
    assert (parameters.preset, parameters.fixedVolume.GetName()) == (Preset.HIPPOCAMPUS_MRI, "fixed")
    moving, transform = scene.GetFirstNodeByName("moving"), parameters.outputTransform
    assert moving.GetParentTransformNode() is transform
    assert parent_before_registration(moving).GetID() == scene.GetFirstNodeByName(placement.GetName()).GetID()
    np.testing.assert_allclose(
        transform_points(transform, points), before, atol=0.02
    )  # Slicer reads a grid with a tolerance of 0.01 mm
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(
        scene.GetFirstNodeByName(result.jacobian.GetName()).GetDisplayNode()
    )
    assert legend.GetTitleText() == "Jacobian"


def test_what_was_interrupted_says_so(scene, registered):
    result = registered.task.show(replace(registered.found, interrupted=True))
    assert result.transform.GetName().endswith("(interrupted)")
    assert table_of(result.table)["interrupted"][1] == "yes"


def test_a_result_for_nodes_that_have_changed_is_refused(scene, registered):
    names = node_names(scene)
    registered.fixed.SetSpacing(2, 2, 2)
    with pytest.raises(InputError, match="grid was changed"):
        registered.task.show(registered.found)
    scene.RemoveNode(registered.moving)
    with pytest.raises(InputError, match="no longer in the scene"):
        registered.task.show(registered.found)
    assert len(node_names(scene)) <= len(names)


def test_slices_are_registered_in_their_plane_and_masks_say_where_it_counts(logic, scene):
    nodes = pair_in(scene, (40, 44), flat=True)
    spoilt = ARRAY_OF(nodes["fixed"])
    spoilt[:, :, :6] = (
        np.random.default_rng(5).random(spoilt[:, :, :6].shape) * spoilt.max()
    )  # nothing to be matched there
    everywhere = np.ones((1, 40, 44), dtype=np.int16)
    everywhere[:, :, :6] = 0
    mask = add_label_map(scene, replace(volume_from_node(nodes["fixed"]), array=everywhere), "mask")
    labels = {"movingSegmentation": nodes["moving segmentation"], "fixedSegmentation": nodes["fixed segmentation"]}
    result = logic.register(nodes["fixed"], nodes["moving"], **labels, fixedMask=mask, device="cpu")
    rows = table_of(result.table)
    assert all(float(rows[f"Dice, label {label}"][1]) > 0.93 for label in (1, 2)), rows
    assert ARRAY_OF(result.warped).shape == (1, 40, 44)
    inside = (slice(None), slice(8, -8), slice(12, -8))
    nodes["moving"].SetAndObserveTransformNodeID(result.transform.GetID())
    seen = resampled_by_slicer(nodes["moving"], nodes["fixed"])
    miss = np.abs(seen - ARRAY_OF(nodes["fixed"]))[inside] / np.ptp(seen)
    assert miss.mean() < 0.005 and miss.max() < 0.08


def test_a_cancelled_call_adds_nothing(logic, scene):
    nodes = pair_in(scene)
    names = node_names(scene)

    def stop(done, total, message):
        raise Cancelled("enough")

    for _ in range(3):
        with pytest.raises(Cancelled):
            logic.register(nodes["fixed"], nodes["moving"], device="cpu", progress=stop)
    assert node_names(scene) == names
