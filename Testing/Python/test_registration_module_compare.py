"""Deformable Registration's panel: its samples, the preset that it proposes, and the comparison of before and after."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import slicer

import slicer_signatures
from module_bench import needs_qt
from registration_pairs import node_names, pair_in, swaying_clip
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.views import show_over, view_node
from UltrasoundMotionLib.mrml.volume_nodes import add_volume, volume_from_node
from UltrasoundMotionLib.simulation.short_axis_heart import ShortAxisHeart, simulate_short_axis

MODULE = "DeformableRegistration"
SMALL = ShortAxisHeart(size=(8, 96, 88), spacing_mm=(2.7, 2.7, 10.0))
pytestmark = needs_qt


@pytest.fixture(scope="module")
def opened(application):
    return application.open_module("DeformableRegistration")


@pytest.fixture
def panel(opened, scene, application, monkeypatch):
    monkeypatch.setattr(application, "testing", True)
    for name in ("Red", "Yellow", "Green"):
        view_node(scene, "vtkMRMLSliceNode", name)
        view_node(scene, "vtkMRMLSliceCompositeNode", name)
    opened.enter()
    yield opened
    opened.exit()


@pytest.fixture(scope="module")
def heart():
    return simulate_short_axis(SMALL, seed=1)


def add_heart(scene, heart):
    return [add_volume(scene, one, one.name) for one in (heart.fixed, heart.moving)]


def presets():
    from UltrasoundMotionModuleLib.deformable_registration.choices import Preset

    return Preset


# The preset


def test_the_preset_is_that_of_the_images_and_says_why(scene, panel, heart):
    parameters, ui = panel.parameters, panel.ui
    assert ui.presetReasonLabel.isHidden()
    parameters.fixedVolume, parameters.movingVolume = add_heart(scene, heart)
    assert parameters.preset is presets().CARDIAC_CINE_MRI
    assert ui.presetReasonLabel.text.startswith(
        "Cardiac cine MRI, end-systole to end-diastole, because 88 x 96 x 8 voxels"
    )
    nodes = pair_in(scene)
    parameters.fixedVolume, parameters.movingVolume = nodes["fixed"], nodes["moving"]
    assert parameters.preset is presets().GENERAL  # what was proposed goes with the images
    assert ui.presetReasonLabel.text.startswith("Not sure what these are: 24 x 26 x 20 voxels")


def test_hippocampi_of_real_people_are_recognised(scene, panel, shared_data):
    from UltrasoundMotionLib import read_volume

    images = [read_volume(path) for path in sorted(shared_data("hippocampus/images").iterdir())[:2]]
    panel.parameters.fixedVolume, panel.parameters.movingVolume = (add_volume(scene, one, one.name) for one in images)
    assert panel.parameters.preset is presets().HIPPOCAMPUS_MRI
    assert "because" in panel.ui.presetReasonLabel.text and "voxels of 1 mm" in panel.ui.presetReasonLabel.text


def test_what_the_user_chose_is_never_replaced(scene, panel, heart):
    parameters, ui = panel.parameters, panel.ui
    ui.presetComboBox._wrapped.activated.emit(
        ui.presetComboBox.currentIndex
    )  # General, chosen though it is there already
    parameters.fixedVolume, parameters.movingVolume = add_heart(scene, heart)
    assert parameters.preset is presets().GENERAL and parameters.presetIsChosen
    assert ui.presetReasonLabel.text.startswith("The images look like Cardiac cine MRI")
    panel.exit()
    panel.enter()
    assert parameters.preset is presets().GENERAL and not ui.useProposedPresetButton.isHidden()
    ui.useProposedPresetButton.click()
    assert parameters.preset is presets().CARDIAC_CINE_MRI and ui.useProposedPresetButton.isHidden()
    assert "because" in ui.presetReasonLabel.text
    nodes = pair_in(scene)
    parameters.fixedVolume, parameters.movingVolume = nodes["fixed"], nodes["moving"]
    assert parameters.preset is presets().GENERAL  # proposals are taken again


def test_a_preset_that_a_script_set_stays(scene, panel, heart):
    panel.parameters.preset = presets().HIPPOCAMPUS_MRI
    panel.parameters.fixedVolume, panel.parameters.movingVolume = add_heart(scene, heart)
    assert panel.parameters.preset is presets().HIPPOCAMPUS_MRI


def test_the_preset_of_a_loaded_scene_stays(scene, panel, heart, tmp_path):
    from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene

    parameters, ui = panel.parameters, panel.ui
    parameters.fixedVolume, parameters.movingVolume = add_heart(scene, heart)
    ui.presetComboBox.currentIndex = 0
    parameters.presetFound, parameters.presetIsChosen = presets().GENERAL, False  # as an earlier version saved it
    path = write_scene(scene, tmp_path / "scene.mrb")
    scene.Clear(False)
    panel.enter()
    assert panel.parameters.fixedVolume is None
    read_scene(scene, path)
    assert panel.parameters.fixedVolume.GetName() == "Simulated end-diastole"
    assert panel.parameters.preset is presets().GENERAL and "look like" in ui.presetReasonLabel.text
    ui.useProposedPresetButton.click()
    assert panel.parameters.preset is presets().CARDIAC_CINE_MRI


def test_the_modality_of_dicom_counts(scene, panel, heart):
    nodes = add_heart(scene, heart)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    tree.SetItemAttribute(tree.GetItemByDataNode(nodes[0]), name, "CT")
    panel.parameters.fixedVolume, panel.parameters.movingVolume = nodes
    assert panel.parameters.preset is presets().GENERAL
    assert "DICOM calls Simulated end-diastole CT" in panel.ui.presetReasonLabel.text


def test_a_scene_with_a_clip_alone_opens_with_the_preset_for_sequences(scene, panel):
    panel.exit()
    clip = add_image_sequence(scene, swaying_clip(3))
    panel.enter()
    assert panel.parameters.preset is presets().ULTRASOUND_SEQUENCE
    assert panel.parameters.sequenceVolume is clip.proxy


def test_a_scene_with_other_images_too_does_not(scene, panel):
    panel.exit()
    add_image_sequence(scene, swaying_clip(3))
    pair_in(scene)
    panel.enter()
    assert panel.parameters.preset is presets().GENERAL and panel.parameters.sequenceVolume is None


def test_next_step_and_result_are_seen_without_scrolling(scene, panel, heart, tmp_path):
    """Of a window of 1366 x 768 about 450 pixels are left for a panel, of 1600 x 1000 about 680."""
    from qt_stand_ins import render

    parameters, ui = panel.parameters, panel.ui
    parameters.fixedVolume, parameters.movingVolume = add_heart(scene, heart)
    ui.progressBar.visible = True
    ui.statusLabel.text = (
        "local cross-correlation 0.21 to 0.37; Dice 0.52 to 0.95; nothing folds; 9.2 s on cpu; weights "
        "anatomy-cardiac-phases: licence LicenseRef-ACDC-research-only"
    )
    root = panel.uiWidget._wrapped
    render(panel.uiWidget, tmp_path / "panel.png", 420)
    assert root.width() == 420 and root.minimumSizeHint().width() <= 420

    def bottom(widget):
        wrapped = widget._wrapped
        return wrapped.mapTo(root, wrapped.rect().bottomLeft()).y()

    assert bottom(ui.statusLabel) < 450 and bottom(ui.checkerboardButton) < 680
    ui.progressBar.visible = False


# The comparison


@pytest.fixture
def compared(scene, panel):
    """A pair that counts as registered."""
    nodes, parameters = pair_in(scene), panel.parameters
    image = volume_from_node(nodes["moving"])
    nodes["warped"] = add_volume(scene, image, "warped")
    parameters.fixedVolume, parameters.movingVolume = nodes["fixed"], nodes["moving"]
    parameters.fixedSegmentation = nodes["fixed segmentation"]
    parameters.movingSegmentation = nodes["moving segmentation"]
    parameters.outputWarped = nodes["warped"]
    show_over(nodes["fixed"], nodes["warped"])
    return nodes


def shown(scene):
    composite = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    return scene.GetNodeByID(composite.GetForegroundVolumeID()).GetName(), composite.GetForegroundOpacity()


def pressed(ui):
    buttons = (ui.beforeButton, ui.afterButton, ui.flickerButton, ui.checkerboardButton)
    return [one.text for one in buttons if one.checked]


def test_there_is_nothing_to_compare_before_a_result(scene, panel):
    nodes, ui = pair_in(scene), panel.ui
    panel.parameters.fixedVolume, panel.parameters.movingVolume = nodes["fixed"], nodes["moving"]
    assert not ui.beforeButton.enabled and "Register first" in ui.compareLabel.text


def test_one_button_is_pressed_at_a_time_and_pressed_again_shows_both(scene, panel, compared):
    ui, names = panel.ui, node_names(scene)
    for button, view in (
        (ui.beforeButton, ("moving", 1.0)),
        (ui.afterButton, ("warped", 1.0)),
        (ui.checkerboardButton, ("checkerboard", 1.0)),
    ):
        button.click()
        assert shown(scene) == view and pressed(ui) == [button.text]
    ui.checkerboardButton.click()
    assert shown(scene) == ("warped", 0.5) and pressed(ui) == [] and node_names(scene) == names


def test_the_squares_have_the_size_that_was_asked_for(scene, panel, compared):
    panel.ui.checkerboardButton.click()

    def board():
        return volume_from_node(scene.GetFirstNodeByName("checkerboard")).array.copy()

    automatic = board()
    panel.ui.tileSizeSpinBox.value = 5
    assert np.any(board() != automatic)
    panel.ui.tileSizeSpinBox.value = 0
    np.testing.assert_array_equal(board(), automatic)


def test_flicker_shows_both_in_turns_twice_a_second_until_it_is_stopped(scene, panel, compared, application):
    opacity = lambda: shown(scene)[1]  # noqa: E731
    panel.ui.flickerButton.click()
    timer = panel._comparison._timer
    assert timer.active and timer.interval == 250
    before = opacity()
    application.wait(lambda: opacity() != before)
    application.wait(lambda: opacity() == before)
    assert {before, 1 - before} == {0.0, 1.0}
    panel.ui.beforeButton.click()
    assert not timer.active and shown(scene) == ("moving", 1.0)


@pytest.mark.parametrize("end", ["exit", "scene", "inputs", "removed"])
def test_a_comparison_ends_with_what_it_is_of(scene, panel, compared, end, capfd):
    ui, timer = panel.ui, panel._comparison._timer
    visible = compared["moving segmentation"].GetDisplayNode().GetVisibility()
    ui.flickerButton.click()
    if end == "exit":
        panel.exit()
        assert shown(scene) == ("warped", 0.5)
    elif end == "scene":
        scene.Clear(False)
    elif end == "inputs":
        panel.parameters.movingVolume = None
        assert shown(scene) == ("warped", 0.5)
    else:
        scene.RemoveNode(compared["warped"])
        panel._comparison.onTimeout()
    assert not timer.active and pressed(ui) == []
    if end != "scene":
        assert compared["moving segmentation"].GetDisplayNode().GetVisibility() == visible
        assert scene.GetFirstNodeByName("checkerboard") is None
    assert "Traceback" not in capfd.readouterr().err


def test_after_a_result_the_labels_of_the_moving_volume_are_hidden(scene, panel, compared):
    moving, fixed = (compared[f"{name} segmentation"].GetDisplayNode() for name in ("moving", "fixed"))
    panel._comparison.begin(isConnected=True)
    assert not moving.GetVisibility() and fixed.GetVisibility() and not fixed.GetVisibility2DFill()
    panel.exit()
    assert not moving.GetVisibility() and fixed.GetVisibility2DFill()


def test_a_result_of_other_inputs_than_those_chosen_hides_no_labels(scene, panel, compared, monkeypatch):
    """The user chose other volumes while the run went on."""
    others = pair_in(scene)
    task = panel.logic.pairTask(panel.parameters)
    parameters = panel.parameters
    parameters.fixedVolume, parameters.movingVolume = others["fixed"], others["moving"]
    parameters.movingSegmentation = others["moving segmentation"]
    panel.ui.beforeButton.click()
    panel._task = task
    done = types.SimpleNamespace(
        transform=None, warped=compared["warped"], jacobian=None, segmentation=None, table=None
    )

    def showing(self, found):
        show_over(compared["fixed"], compared["warped"])
        yield 1, 1, ""
        return done

    monkeypatch.setattr(type(task), "showing", showing)
    monkeypatch.setattr(sys.modules[MODULE], "pairSummary", lambda result: "")
    list(panel._showing(None, complete=True))
    assert others["moving segmentation"].GetDisplayNode().GetVisibility()
    assert shown(scene) == ("warped", 0.5) and pressed(panel.ui) == []


def test_no_button_is_pressed_while_a_new_result_takes_the_place_of_the_old(scene, panel, compared, monkeypatch):
    """What the views showed before the result would be put back after it."""
    panel._task = task = panel.logic.pairTask(panel.parameters)
    ui = panel.ui
    done = types.SimpleNamespace(
        transform=None, warped=compared["warped"], jacobian=None, segmentation=None, table=None
    )

    def showing(self, found):
        yield 0, 1, ""
        show_over(compared["fixed"], compared["warped"])
        return done

    monkeypatch.setattr(type(task), "showing", showing)
    monkeypatch.setattr(sys.modules[MODULE], "pairSummary", lambda result: "")
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
        node.SetForegroundVolumeID(None)
    steps = panel._showing(None, complete=True)
    next(steps)
    ui.beforeButton.click()
    assert pressed(ui) == [] and not ui.beforeButton.enabled and "being added" in ui.compareLabel.text
    panel.onWatchedModified()
    assert not ui.flickerButton.enabled
    list(steps)
    assert shown(scene) == ("warped", 0.5) and ui.beforeButton.enabled
    steps = panel._showing(None, complete=True)
    next(steps)
    steps.close()  # cancelled
    assert ui.beforeButton.enabled


@pytest.fixture
def started(application, monkeypatch):
    """The application has started, which the module waits for."""
    logic = types.SimpleNamespace(registerCustomSampleDataSource=lambda **source: None)
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    application.emit("startupCompleted()")


@pytest.mark.usefixtures("started")
def test_a_loaded_scene_that_was_saved_during_a_comparison_shows_its_labels_as_before(scene, panel, compared, tmp_path):
    from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene

    panel.ui.beforeButton.click()
    path = write_scene(scene, tmp_path / "scene.mrb")
    panel.exit()
    scene.Clear(False)
    read_scene(scene, path)
    displays = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene)
    assert len(displays) == 2 and all(one.GetVisibility() and one.GetVisibility2DFill() for one in displays)
    panel.enter()
    panel.ui.beforeButton.click()
    assert not all(one.GetVisibility2DFill() for one in displays)
    read_scene(scene, path)  # added to the scene: the comparison ends first
    assert pressed(panel.ui) == [] and not panel._comparison._timer.active
    assert all(one.GetVisibility2DFill() for one in displays)


# The samples


def test_slices_are_shown_in_the_layout_for_one_image(application, scene, panel, monkeypatch):
    from UltrasoundMotionModuleLib.deformable_registration import sample_section

    from UltrasoundMotionLib.mrml.layouts import IMAGE

    shown_clips = []
    monkeypatch.setattr(panel.layouts, "showClip", shown_clips.append)
    monkeypatch.setattr(panel.layouts, "hide", shown_clips.append)
    nodes = pair_in(scene, (26, 24), flat=True)
    pair = types.SimpleNamespace(fixed=nodes["fixed"], moving=nodes["moving"])
    monkeypatch.setattr(sample_section, "addSamplePair", lambda: pair)
    panel._samples._selectSlices()
    assert shown_clips == [nodes["fixed"]] and panel.parameters.movingVolume is nodes["moving"]
    assert "single slices" in panel.ui.presetReasonLabel.text
    volumes = types.SimpleNamespace(
        **{name: pair_in(scene)[node] for name, node in (("fixed", "fixed"), ("moving", "moving"))},
        fixedSegmentation=None,
        movingSegmentation=None,
    )
    monkeypatch.setattr(sample_section, "addSampleVolumes", lambda sample: volumes)
    panel._samples._selectVolumes()
    assert shown_clips[1:] == [IMAGE]


def test_the_volumes_are_offered_in_sample_data(application, scene, monkeypatch):
    registered = []
    parameters = slicer_signatures.held()["SampleData.SampleDataLogic.registerCustomSampleDataSource"]["5.10"]
    signature = slicer_signatures.signature_of(parameters.removeprefix("static "))
    logic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **source: registered.append(signature.bind(**source).arguments)
    )
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    application.emit("startupCompleted()")
    (source,) = registered
    assert source["sampleName"] == "Simulated heart, two moments" and Path(source["thumbnailFileName"]).is_file()


def test_the_volumes_are_stored_once_and_chosen_with_their_labels(application, scene, panel, heart, monkeypatch):
    from UltrasoundMotionModuleLib.deformable_registration import sample_section
    from UltrasoundMotionModuleLib.deformable_registration.sample import VolumeSample

    small = VolumeSample("small-heart", "Small heart", SMALL, 1)
    monkeypatch.setattr(sample_section, "HEART_VOLUMES", small)
    assert not small.isStored
    panel.ui.sampleDataButton.click()
    application.wait(lambda: panel.run is None)
    assert small.isStored and application.errors == []
    read = small.read()
    for part in ("fixed", "moving", "fixed_labels", "moving_labels"):
        np.testing.assert_array_equal(getattr(read, part).array, getattr(heart, part).array)
    parameters = panel.parameters
    assert parameters.fixedVolume.GetName() == "Simulated heart, end-diastole"
    segmentation = parameters.movingSegmentation.GetSegmentation()
    names = {segmentation.GetNthSegment(number).GetName() for number in range(3)}
    assert names == {"right ventricle", "myocardium", "left ventricle"}
    assert parameters.preset is presets().CARDIAC_CINE_MRI
    assert panel.ui.applyButton.enabled
    panel.ui.sampleDataButton.click()
    assert panel.run is None  # kept from the first time
    small._files["moving"].write_bytes(b"damaged")
    monkeypatch.setattr(application, "testing", False)  # Slicer then shows errors
    panel.ui.sampleDataButton.click()
    assert "could not be loaded" in application.errors.pop() and not small.isStored
    application.errors.clear()


@pytest.mark.slow
def test_the_panel_registers_the_volumes_and_dice_rises(application, scene, panel, heart):
    nodes, parameters = pair_in(scene), panel.parameters
    parameters.fixedVolume, parameters.movingVolume = nodes["fixed"], nodes["moving"]
    parameters.fixedSegmentation = nodes["fixed segmentation"]
    parameters.movingSegmentation = nodes["moving segmentation"]
    moving = nodes["moving segmentation"].GetDisplayNode()
    panel.onApply()
    application.wait(lambda: panel.run is None)
    assert "Dice" in panel.ui.statusLabel.text and application.errors == []
    assert not moving.GetVisibility()
    made = parameters.outputSegmentation.GetDisplayNode()
    assert made.GetVisibility() and not made.GetVisibility2DFill()
    panel.ui.beforeButton.click()
    assert moving.GetVisibility() and not made.GetVisibility()
    assert nodes["moving"].GetTransformNodeID() is None
    panel.exit()
    assert not moving.GetVisibility() and made.GetVisibility()


def test_a_constant_volume_is_no_fault(scene, panel):
    flat = Volume(np.zeros((8, 96, 88), dtype=np.int16), (2.7, 2.7, 10.0), (0, 0, 0), np.eye(3), "flat")
    panel.parameters.fixedVolume, panel.parameters.movingVolume = (add_volume(scene, flat, "flat") for _ in range(2))
    assert panel.parameters.preset is presets().GENERAL
