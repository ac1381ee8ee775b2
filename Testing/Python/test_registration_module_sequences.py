"""Deformable Registration of sequences, and of real pairs with the presets' defaults."""

import numpy as np
import pytest
from scipy.ndimage import shift

from mrml_clips import OBLIQUE
from registration_pairs import (
    ARRAY_OF,
    ORIGIN_MM,
    SPACING_MM,
    dice_of,
    linear_transform,
    node_names,
    resampled_by_slicer,
    swaying_clip,
    table_of,
    texture,
)
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import read_volume
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.lab.registration_datasets import ACDC_LABELS, HIPPOCAMPUS_LABELS, read_acdc
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.labels_from_nodes import labels_on_grid
from UltrasoundMotionLib.mrml.registration_sequence_nodes import ChosenSequenceOutputs
from UltrasoundMotionLib.mrml.sequence_nodes import create_browser
from UltrasoundMotionLib.mrml.volume_nodes import add_volume, fill_segmentation
from UltrasoundMotionLib.registration.request import SequenceRequest
from UltrasoundMotionLib.registration.sequences.sequence_registration import SequenceRegistration


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


MODULE = "DeformableRegistration"


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


@pytest.mark.slow
def test_acdc_end_systole_comes_to_end_diastole(scene, shared_data):
    from UltrasoundMotionModuleLib.deformable_registration.choices import Preset

    pair = read_acdc(shared_data("acdc/patient008/Info.cfg").parents[1], "patient008")
    images, labels = (pair.fixed.image, pair.moving.image), (pair.fixed.labels, pair.moving.labels)
    before, after = carried_by_preset(scene, Preset.CARDIAC_CINE_MRI, images, labels, ACDC_LABELS)
    assert np.mean(list(after.values())) > np.mean(list(before.values())) + 0.1, (before, after)


@pytest.mark.slow
def test_a_hippocampus_atlas_comes_to_a_subject(scene, shared_data):
    from UltrasoundMotionModuleLib.deformable_registration.choices import Preset

    folder = shared_data("hippocampus")
    images, labels = (
        [read_volume(folder / kind / f"hippocampus_{number}.nii.gz") for number in ("105", "124")]
        for kind in ("images", "labels")
    )
    before, after = carried_by_preset(scene, Preset.HIPPOCAMPUS_MRI, images, labels, HIPPOCAMPUS_LABELS)
    assert all(after[label] > before[label] + 0.2 for label in (1, 2)), (before, after)
