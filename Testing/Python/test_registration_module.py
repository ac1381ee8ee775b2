"""Deformable Registration without the application: nodes in, nodes out, on real MRML nodes, through the child process;
and its panel.
"""

import doctest
from dataclasses import replace

import numpy as np
import pytest
import slicer
from scipy.ndimage import shift
from vtk.util.numpy_support import vtk_to_numpy

from mrml_clips import OBLIQUE
from registration_pairs import (
    ARRAY_OF,
    ORIGIN_MM,
    SPACING_MM,
    dice_of,
    linear_transform,
    node_names,
    pair_in,
    resampled_by_slicer,
    swaying_clip,
    table_of,
    texture,
)
from slicer_stand_ins import slicer_application
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.fields import read_displacement
from UltrasoundMotionLib.images import read_volume, write_volume
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs import registration_job, run_job
from UltrasoundMotionLib.lab.registration_datasets import ACDC_LABELS, HIPPOCAMPUS_LABELS, read_acdc
from UltrasoundMotionLib.mrml.displacement_transforms import transform_points
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.labels_from_nodes import labels_on_grid
from UltrasoundMotionLib.mrml.registration_nodes import RegistrationNodes
from UltrasoundMotionLib.mrml.registration_pair import VolumePair, parent_before_registration
from UltrasoundMotionLib.mrml.registration_sequence_nodes import ChosenSequenceOutputs
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import create_browser
from UltrasoundMotionLib.mrml.volume_nodes import add_label_map, add_volume, fill_segmentation, volume_from_node
from UltrasoundMotionLib.registration import RegisterRequest, register
from UltrasoundMotionLib.registration.request import SequenceRequest
from UltrasoundMotionLib.registration.sequences.sequence_registration import SequenceRegistration


@pytest.fixture(scope="module")
def application():
    with HeadlessScene() as scene, slicer_application(scene) as application:
        application.load_module("DeformableRegistration")
        yield application


@pytest.fixture
def scene(application):
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(False)


@pytest.fixture
def logic(scene):
    from DeformableRegistration import DeformableRegistrationLogic

    return DeformableRegistrationLogic()


# What is refused


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


# From Python, the command line, a job and the module


@pytest.mark.parametrize(
    ("options", "module_options"),
    [
        ({"working_spacing_mm": 2.0}, {"workingSpacing": 2.0}),
        ({"method": "demons", "initial_transform": "none"}, {"method": "demons", "start": "none"}),
    ],
)
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


# From images to nodes


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
    assert np.abs(seen - ARRAY_OF(nodes["fixed"]))[inside].max() < 0.05 * np.ptp(seen)


def test_a_cancelled_call_adds_nothing(logic, scene):
    nodes = pair_in(scene)
    names = node_names(scene)

    def stop(done, total, message):
        raise Cancelled("enough")

    for _ in range(3):
        with pytest.raises(Cancelled):
            logic.register(nodes["fixed"], nodes["moving"], device="cpu", progress=stop)
    assert node_names(scene) == names


# Sequences


def test_a_sequence_stands_still_and_landmarks_follow(logic, scene):
    sequence = swaying_clip()
    image = add_image_sequence(scene, sequence)
    names = node_names(scene)
    image.proxy.SetAndObserveTransformNodeID(linear_transform(scene, (0, 20, 0), (5, 0, 0)).GetID())
    result = logic.registerSequence(image.proxy, referenceFrame=1, device="cpu")
    still = np.stack([ARRAY_OF(result.still.sequence.GetNthDataNode(frame))[0] for frame in range(4)]).astype(float)
    inside = (slice(None), slice(8, -8), slice(8, -8))
    rest, moving = (
        np.abs(one - sequence.frames[1].astype(float))[inside].mean()
        for one in (still, np.asarray(sequence.frames, dtype=float))
    )
    assert rest < moving / 5 and still.dtype == float
    landmark = np.array([[24.0, 20.0]])
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmark")
    markups.AddControlPoint(*(sequence.pixels_to_lps_mm(landmark)[0] * LPS_TO_RAS))
    markups.SetAndObserveTransformNodeID(result.transform.proxy.GetID())
    for frame in range(4):
        image.browser.SetSelectedItemNumber(frame)
        seen, back = np.zeros(3), np.zeros(3)
        markups.GetNthControlPointPositionWorld(0, seen)
        image.proxy.TransformPointFromWorld(seen, back)
        found = sequence.lps_mm_to_pixels(back * LPS_TO_RAS)
        np.testing.assert_allclose(found, landmark[0] + [0.8 * (frame - 1), 0], atol=0.12)
    columns = [result.table.GetColumnName(column) for column in range(result.table.GetNumberOfColumns())]
    assert columns[:2] == ["frame", "time (s)"] and result.table.GetNumberOfRows() == 4

    count = scene.GetNumberOfNodes()
    again = logic.registerSequence(
        image.browser,
        1,
        device="cpu",
        outputs=ChosenSequenceOutputs(result.transform.proxy, result.still.proxy, result.table),
    )
    assert scene.GetNumberOfNodes() == count
    assert markups.GetParentTransformNode() is again.transform.proxy
    again.remove()
    scene.RemoveNode(markups)
    assert set(names) <= set(node_names(scene))
    assert not [name for name in node_names(scene) if "motion" in name]


def test_volumes_that_change_in_time_are_registered_too(logic, scene):
    array = texture((18, 24, 28), smoothing=2)
    volumes = [
        shift(array, (0, 0.7 * frame, 0), order=3, mode="nearest")[3:-3, 4:-4, 4:-4].astype(np.float32)
        for frame in range(3)
    ]
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "beat sequence")
    for frame, values in enumerate(volumes):
        node = add_volume(scene, Volume(values, SPACING_MM, ORIGIN_MM, OBLIQUE), "frame")
        sequence.SetDataNodeAtValue(node, str(frame))
        scene.RemoveNode(node.GetDisplayNode())
        scene.RemoveNode(node)
    proxy = add_volume(scene, Volume(volumes[0], SPACING_MM, ORIGIN_MM, OBLIQUE), "beat")
    browser = create_browser(scene, "beat browser", sequence, proxy, 10.0).browser
    result = logic.registerSequence(browser, 0, device="cpu")
    still = np.stack([ARRAY_OF(result.still.sequence.GetNthDataNode(frame)) for frame in range(3)])[:, 3:-3, 3:-3, 3:-3]
    rest, moving = (np.abs(one - still[0]).mean() for one in (still, np.stack(volumes)[:, 3:-3, 3:-3, 3:-3]))
    assert rest < moving / 4


def test_frames_that_were_not_reached_are_not_shown_as_rest(scene):
    from UltrasoundMotionModuleLib.deformable_registration.tasks import sequenceTask

    from UltrasoundMotionLib.jobs.capabilities.still_sequence import StillSequence

    image = add_image_sequence(scene, swaying_clip())
    names = node_names(scene)
    with pytest.raises(InputError, match="after 1 of 4 frames"):
        stopped = SequenceRegistration((object(), None, None, None), 0, "to-reference", 1.0, "cpu")
        sequenceTask(image, SequenceRequest(device="cpu")).show(StillSequence(stopped, None))
    assert node_names(scene) == names


# Real data, with the presets' defaults


def carried_by_preset(scene, preset, images, labels, names):
    """Loads what a user would, registers as the panel does with that preset, and gives (before, after) Dice by label,
    of Slicer's own nodes.
    """
    from DeformableRegistration import DeformableRegistrationLogic
    from UltrasoundMotionModuleLib.shared.background_job import sharedProcess

    logic = DeformableRegistrationLogic()
    parameters, nodes = logic.getParameterNode(), {}
    for role, volume, label_map in zip(("fixed", "moving"), images, labels, strict=True):
        nodes[role] = add_volume(scene, volume, role)
        setattr(parameters, f"{role}Volume", nodes[role])
        segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{role} segmentation")
        setattr(parameters, f"{role}Segmentation", fill_segmentation(segmentation, label_map, nodes[role], names=names))
    parameters.preset, parameters.applyTransform = preset, True
    on_fixed = [
        labels_on_grid(getattr(parameters, f"{role}Segmentation"), nodes["fixed"]).array for role in ("fixed", "moving")
    ]
    task = logic.pairTask(parameters)
    found = run_job(task.job, sharedProcess().process)
    result = task.show(found)
    after = dice_of(on_fixed[0], labels_on_grid(result.segmentation, nodes["fixed"]).array)
    rows = table_of(result.table)
    for number, name in names.items():
        assert float(rows[f"Dice, {name}"][1]) == pytest.approx(after[number], abs=1e-3)
    fixed_array, warped = ARRAY_OF(nodes["fixed"]).astype(float), ARRAY_OF(result.warped).astype(float)
    seen = resampled_by_slicer(nodes["moving"], nodes["fixed"]).astype(float)
    both = (seen != 0) & (warped != 0)
    assert np.abs(seen - warped)[both].mean() < 0.01 * np.ptp(
        fixed_array
    )  # Slicer's own transform carries the moving volume
    return dice_of(*on_fixed), after


def test_acdc_end_systole_comes_to_end_diastole(scene, shared_data):
    from UltrasoundMotionModuleLib.deformable_registration.choices import Preset

    pair = read_acdc(shared_data("acdc/patient008/Info.cfg").parents[1], "patient008")
    images, labels = (pair.fixed.image, pair.moving.image), (pair.fixed.labels, pair.moving.labels)
    before, after = carried_by_preset(scene, Preset.CARDIAC_CINE_MRI, images, labels, ACDC_LABELS)
    assert np.mean(list(after.values())) > np.mean(list(before.values())) + 0.1, (before, after)


def test_a_hippocampus_atlas_comes_to_a_subject(scene, shared_data):
    from UltrasoundMotionModuleLib.deformable_registration.choices import Preset

    folder = shared_data("hippocampus")
    images, labels = (
        [read_volume(folder / kind / f"hippocampus_{number}.nii.gz") for number in ("105", "124")]
        for kind in ("images", "labels")
    )
    before, after = carried_by_preset(scene, Preset.HIPPOCAMPUS_MRI, images, labels, HIPPOCAMPUS_LABELS)
    assert all(after[label] > before[label] + 0.2 for label in (1, 2)), (before, after)


# The examples and the panel


@pytest.mark.parametrize("method", ["register", "registerSequence"])
def test_the_examples_run(logic, scene, method):
    if method == "register":
        nodes = pair_in(scene, (14, 16, 18))
        names = {
            "fixedNode": nodes["fixed"],
            "movingNode": nodes["moving"],
            "segmentationNode": nodes["moving segmentation"],
        }
    else:
        image = add_image_sequence(scene, swaying_clip(3))
        markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
        names = {"sequenceNode": image.sequence, "pointsNode": markups}
    examples = doctest.DocTestFinder().find(getattr(logic, method), method, globs=names | {"slicer": slicer})
    assert sum(len(example.examples) for example in examples) >= 4
    for example in examples:
        assert doctest.DocTestRunner().run(example).failed == 0


@pytest.fixture(scope="module")
def opened(application):
    pytest.importorskip("PySide6", reason="panels are shown with Qt for Python: pip install 'ultrasound-motion[test]'")
    return application.open_module("DeformableRegistration")


@pytest.fixture
def panel(opened, scene):
    opened.enter()
    return opened


def test_apply_says_what_is_missing(scene, panel):
    from UltrasoundMotionModuleLib.deformable_registration.choices import Preset, Start

    nodes, ui, parameters = pair_in(scene), panel.ui, panel.parameters

    def reason():
        assert ui.applyButton.enabled == (ui.applyButton.toolTip == "Register")
        return "" if ui.applyButton.enabled else ui.applyButton.toolTip

    assert "Choose the fixed volume" in reason()
    parameters.fixedVolume = nodes["fixed"]
    assert "Choose the moving volume" in reason()
    parameters.movingVolume = nodes["fixed"]
    assert "same volume" in reason()
    parameters.movingVolume = nodes["moving"]
    assert reason() == ""
    parameters.start = Start.AS_THEY_LIE
    nodes["moving"].SetAndObserveTransformNodeID(linear_transform(scene, (0, 0, 0), (0, 500, 0)).GetID())
    assert "do not overlap" in reason()
    parameters.start = Start.PRESET
    assert reason() == ""
    parameters.fixedSegmentation = nodes["fixed segmentation"]
    assert "moving segmentation too" in reason()
    panel.onSwap()
    assert (parameters.fixedVolume, parameters.movingSegmentation) == (nodes["moving"], nodes["fixed segmentation"])
    parameters.outputWarped = nodes["fixed"]
    assert "is an input" in reason()
    parameters.outputWarped = None
    assert reason() == ""
    parameters.preset = Preset.ULTRASOUND_SEQUENCE
    assert "Choose a sequence" in reason()
    assert ui.fixedVolumeSelector.isHidden() and not ui.sequenceSelector.isHidden()
    image = add_image_sequence(scene, swaying_clip(3))
    parameters.sequenceVolume, parameters.referenceFrame = image.proxy, 3
    assert "no frame 3: the last is 2" in reason()
    image.browser.SetSelectedItemNumber(2)
    panel.onUseFrameShown()
    assert parameters.referenceFrame == 2 and reason() == ""
    with pytest.raises(InputError, match="registerSequence"):
        panel.commandArguments()


@pytest.mark.slow
def test_the_self_test_of_the_application_passes_on_a_shorter_beat(application, scene, monkeypatch):
    import DeformableRegistration
    from UltrasoundMotionModuleLib.deformable_registration import sample as registration_sample

    short = replace(registration_sample.HEART, kind="heart", frameCount=12, title="short heart")
    monkeypatch.setattr(registration_sample, "HEART", short)
    DeformableRegistration.DeformableRegistrationTest().test_sample()


@pytest.mark.slow
def test_the_panel_registers_cancels_and_leaves_nothing_behind(application, scene, panel, capfd):
    nodes = pair_in(scene)
    parameters = panel.parameters
    parameters.fixedVolume, parameters.movingVolume = nodes["fixed"], nodes["moving"]
    parameters.movingSegmentation = nodes["moving segmentation"]
    before = node_names(scene)
    for _ in range(10):
        panel.onApply()
        assert panel.ui.applyButton.text == "&Cancel" and not panel.ui.sampleDataButton.enabled
        panel.onCancel()
        application.wait(lambda: not panel.applyButton.running)
        assert panel.ui.applyButton.text == "&Apply" and "Cancelled" in panel.ui.statusLabel.text
    assert node_names(scene) == before and panel.ui.sampleDataButton.enabled
    panel.onApply()
    application.wait(lambda: panel.ui.progressBar.value > 0)
    panel.onCancel()
    application.wait(lambda: not panel.applyButton.running)
    assert "frames" not in panel.ui.progressBar.format  # a pair is counted in steps
    assert "Cancelled" in panel.ui.statusLabel.text or "nothing folds" in panel.ui.statusLabel.text
    if (
        parameters.outputTransform is not None and "Cancelled" in panel.ui.statusLabel.text
    ):  # the best so far, and it says so
        assert table_of(parameters.outputTable)["interrupted"][1] == "yes"
    panel.onApply()
    application.wait(lambda: not panel.applyButton.running)
    assert application.errors == [] and "nothing folds" in panel.ui.statusLabel.text, (
        application.errors,
        panel.ui.statusLabel.text,
    )
    made = node_names(scene)
    assert parameters.outputTransform.GetName() in " ".join(made) and parameters.outputSegmentation is not None
    assert panel.commandArguments()[:2] == ("ultrasound-motion", "register")
    nodes["fixed"].SetAndObserveTransformNodeID(linear_transform(scene, (0, 0, 0), (1, 0, 0)).GetID())
    with pytest.raises(InputError, match="harden"):
        panel.commandArguments()
    scene.RemoveNode(nodes["fixed"].GetParentTransformNode())
    panel.onApply()
    application.wait(lambda: not panel.applyButton.running)
    assert node_names(scene) == made
    panel.onApply()
    application.wait(lambda: panel.ui.progressBar.value > 0)
    panel.onCancel()
    application.wait(lambda: not panel.applyButton.running)
    assert node_names(scene) == made and "interrupted" not in table_of(
        parameters.outputTable
    )  # a cancelled run spoils no earlier result
    panel.onApply()
    slicer.mrmlScene.Clear(False)
    application.wait(lambda: not panel.applyButton.running)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTransformNode") == 0
    assert capfd.readouterr().err.count("Traceback") == 0


# What the panel offers is what the library has


def test_methods_and_starts_are_the_library_s(application):
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.registration.request import STARTS

    assert choices().methods().all() == available_methods()
    assert {start.value for start in choices().Start} == {"", *STARTS}


def choices():
    from UltrasoundMotionModuleLib.deformable_registration import choices as registration_choices

    return registration_choices
