"""Motion Propagation: its examples, its panel by clicks, and its calls from the console."""

import doctest
from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk

import slicer_stand_ins
from carried_scenes import GROWTH, disc_segmentation, growing_plane, markups, positions_lps, sphere_model
from module_bench import needs_qt
from registration_pairs import node_names, swaying_clip
from UltrasoundMotionLib.errors import Cancelled, InputError, OptionError
from UltrasoundMotionLib.mrml.carrying import carried_object
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.layouts import IMAGE_CHART_TABLE
from widget_api import check_recorded

MODULE = "MotionPropagation"


@pytest.fixture(scope="module")
def opened(application):
    pytest.importorskip("PySide6", reason="panels are shown with Qt for Python: pip install --editable '.[test]'")
    return application.open_module(MODULE)


@pytest.fixture
def panel(opened, scene):
    opened.enter()
    return opened


def choices():
    from UltrasoundMotionModuleLib.motion_propagation import choices as propagation_choices

    return propagation_choices


@pytest.mark.parametrize("method", ["carry", "measure", "invertMotion"])
def test_the_examples_run(logic, scene, method):
    image, sequence, motion = growing_plane(scene)
    node = disc_segmentation(scene, image, sequence)
    names = {"motionNode": motion.proxy, "segmentationNode": node, "slicer": slicer}
    if method == "measure":
        names["carriedNode"] = logic.carry(motion.proxy, node, 0).nodes.proxy
    examples = doctest.DocTestFinder().find(getattr(logic, method), method, globs=names)
    assert sum(len(example.examples) for example in examples) >= 2
    for example in examples:
        assert doctest.DocTestRunner().run(example).failed == 0


def test_console_calls_take_the_frame_shown_and_refuse_unknown_words(logic, scene, tmp_path):
    image, sequence, motion = growing_plane(scene)
    node = disc_segmentation(scene, image, sequence)
    image.browser.SetSelectedItemNumber(2)
    before = node_names(scene)

    def cancel(done, total, message):
        if done > 1:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        logic.carry(motion.proxy, node, progress=cancel)
    assert node_names(scene) == before
    result = logic.carry(motion.proxy, node)
    assert result.nodes.sequence.GetAttribute("UltrasoundMotion.DrawnOnFrame") == "2"
    areas = sum(column.values for column in result.measures.columns)
    assert areas[0] == pytest.approx(areas[2] / GROWTH[2] ** 2, rel=0.03)
    assert len(list(logic.export(result.nodes.proxy, tmp_path / "frames").iterdir())) == len(GROWTH) + 1
    with pytest.raises(OptionError, match="transformsTake: expected one of reference to frames, frames to reference"):
        logic.carry(motion.proxy, node, transformsTake="backwards")
    with pytest.raises(OptionError, match="unit"):
        logic.smoothMotion(motion.proxy, 1.0, unit="hours")
    assert logic.smoothMotion(motion.proxy, 1.0, method="gaussian", periodic=True).nodes.browser is image.browser
    assert logic.meanMotion(motion.proxy).nodes is None
    with pytest.raises(InputError, match="is no motion"):
        logic.carry(image.proxy, node)


def test_choices_are_the_library_s():
    from UltrasoundMotionLib.mrml.object_motion import TransformsTake
    from UltrasoundMotionLib.propagation import SmoothingMethod

    assert {member.value for member in choices().Take} == set(TransformsTake)
    assert {member.value for member in choices().Smoothing} == set(SmoothingMethod)
    for kind in (choices().Take, choices().Operation, choices().Smoothing, choices().TimeUnit):
        assert len({member.label() for member in kind}) == len(kind)


@needs_qt
def test_apply_says_what_is_missing(scene, panel):
    ui, parameters = panel.ui, panel.parameters

    def reason():
        assert ui.applyButton.enabled == (ui.applyButton.toolTip == "Carry the object to every frame")
        return "" if ui.applyButton.enabled else ui.applyButton.toolTip

    assert "Choose a motion" in reason()
    image, sequence, motion = growing_plane(scene)
    node = disc_segmentation(scene, image, sequence)
    parameters.motion = motion.proxy
    assert "Choose what is carried along" in reason()
    assert not ui.takeComboBox.isHidden() and ui.motionLabel.text == "5 frames"
    parameters.object = node
    assert reason() == ""
    parameters.frame = 7
    assert "no frame 7" in reason()
    image.browser.SetSelectedItemNumber(3)
    panel.onUseFrameShown()
    assert parameters.frame == 3 and reason() == ""
    node.SetAndObserveTransformNodeID(motion.proxy.GetID())
    assert "moved already" in reason()
    node.SetAndObserveTransformNodeID(None)
    parameters.object = image.proxy
    assert "plays in a sequence browser already" in reason()
    parameters.object = node
    with pytest.raises(InputError, match=r"MotionPropagationLogic\(\).carry\(.*3\)"):
        panel.commandArguments()
    motion.sequence.RemoveDataNodeAtValue(motion.sequence.GetNthIndexValue(1))
    assert "no motion for frame 1" in reason()
    scene.RemoveNode(motion.proxy)
    assert not ui.applyButton.enabled


@needs_qt
def test_playing_asks_nothing_of_the_panel(scene, panel, monkeypatch):
    image, sequence, motion = growing_plane(scene)
    panel.parameters.motion, panel.parameters.object = motion.proxy, disc_segmentation(scene, image, sequence)
    asked = []
    monkeypatch.setattr(type(panel), "whyNotApply", lambda self: asked.append(1) or "")
    for frame in range(len(GROWTH)):
        image.browser.SetSelectedItemNumber(frame)
    assert asked == []
    panel.parameters.object.Modified()
    assert asked == [1]


@needs_qt
def test_from_a_motion_to_files_by_clicks(application, scene, panel, tmp_path, monkeypatch):
    with slicer_stand_ins.qt_stand_ins.recorded() as used:
        click_through(application, scene, panel, tmp_path, monkeypatch)
    check_recorded(used)


def click_through(application, scene, panel, tmp_path, monkeypatch):
    ui, parameters = panel.ui, panel.parameters
    image, sequence, motion = growing_plane(scene)
    node = disc_segmentation(scene, image, sequence)
    parameters.motion, parameters.object = motion.proxy, node
    assert "Carry an object along" in ui.measuresLabel.text and not ui.exportButton.enabled
    before = node_names(scene)
    ui.applyButton.click()
    assert ui.applyButton.text == "&Cancel" and not ui.sampleDataButton.enabled
    ui.applyButton.click()
    application.wait(lambda: panel.run is None)
    assert "Cancelled" in ui.statusLabel.text and node_names(scene) == before
    ui.applyButton.click()
    application.wait(lambda: panel.run is None)
    assert ui.statusLabel.text == "heart carried is on 5 frames; press play"
    assert parameters.carried.GetName() == "heart carried" and not node.GetDisplayVisibility()
    assert ui.measuresLabel.text.splitlines()[0].startswith("cavity area: ")

    first = parameters.carried
    first.SetDisplayVisibility(False)
    ui.applyButton.click()  # of the object that is hidden now
    application.wait(lambda: panel.run is None)
    assert parameters.carried is not first and parameters.carried.GetDisplayVisibility()
    scene.RemoveNode(parameters.carried)
    parameters.carried = first
    ui.measureButton.click()
    application.wait(lambda: panel.run is None)

    ui.plotButton.click()
    assert panel.layouts.isShown(IMAGE_CHART_TABLE)
    assert scene.GetSingletonNode("PlotView1", "vtkMRMLPlotViewNode").GetPlotChartNodeID()
    assert scene.GetSingletonNode("TableView1", "vtkMRMLTableViewNode").GetTableNodeID()
    ui.plotButton.click()
    assert not panel.layouts.isShown(IMAGE_CHART_TABLE)

    ui.measureButton.click()
    application.wait(lambda: panel.run is None)
    assert ui.statusLabel.text == "Measured heart carried"
    assert [ui.formatComboBox.itemText(row) for row in range(ui.formatComboBox.count)] == [
        "NRRD (.nrrd)",
        "STL surfaces (.stl)",
        "VTK surfaces (.vtp)",
    ]
    dialog = type("Dialog", (), {"getExistingDirectory": staticmethod(lambda *_: str(tmp_path))})
    monkeypatch.setattr("UltrasoundMotionModuleLib.motion_propagation.result_section.qt.QFileDialog", dialog)
    for number in ("", " 1"):
        ui.exportButton.click()
        application.wait(lambda: panel.run is None)
        folder = tmp_path / f"heart carried frames nrrd{number}"
        assert len(list(folder.glob("*.seg.nrrd"))) == 5 and "Wrote 5 files" in ui.statusLabel.text

    assert not ui.makeTransformsButton.enabled
    parameters.transforms = motion.proxy
    for operation, name in zip(choices().Operation, ("mean", "inverse", "smoothed"), strict=True):
        parameters.operation = operation
        assert ui.widthSpinBox.isHidden() == (name != "smoothed")
        ui.makeTransformsButton.click()
        application.wait(lambda: panel.run is None)
        assert f"Made motion {name}" in ui.statusLabel.text
    assert application.errors == []


def test_what_has_no_measures_is_carried_all_the_same(logic, scene):
    _, _, motion = growing_plane(scene)
    model = sphere_model(scene)
    points = vtk.vtkPolyData()
    points.SetPoints(model.GetPolyData().GetPoints())
    model.SetAndObservePolyData(points)
    result = logic.carry(motion.proxy, model, 0)
    assert result.measures is None and result.nodes.sequence.GetNumberOfDataNodes() == len(GROWTH)
    with pytest.raises(InputError, match="nothing to measure"):
        logic.measure(result.nodes.proxy)


@needs_qt
def test_points_models_and_the_end_of_a_scene(application, scene, panel, capfd):
    ui, parameters = panel.ui, panel.parameters
    _, _, motion = growing_plane(scene)
    parameters.motion = motion.proxy
    for node in (sphere_model(scene), markups(scene, "vtkMRMLMarkupsFiducialNode", np.zeros((2, 3)))):
        parameters.object = node
        ui.applyButton.click()
        application.wait(lambda: panel.run is None)
        assert carried_object(parameters.carried).sequence.GetNumberOfDataNodes() == len(GROWTH)
    assert application.errors == []
    parameters.object = scene.GetFirstNodeByName("sphere")
    ui.applyButton.click()
    application.wait(lambda: ui.progressBar.value > 0)
    scene.RemoveNode(motion.sequence)
    application.wait(lambda: panel.run is None)
    assert len(application.errors) == 1 and "in the meantime" in application.errors.pop()
    image, sequence, motion = growing_plane(scene)
    parameters.motion, parameters.object = motion.proxy, disc_segmentation(scene, image, sequence)
    ui.applyButton.click()
    slicer.mrmlScene.Clear(False)
    assert panel.run is None
    assert scene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_registered_sequence_carries_along_with_the_tissue(application, logic, scene):
    module = application.load_module("DeformableRegistration")
    clip = swaying_clip()
    image = add_image_sequence(scene, clip)
    motion = (
        module.DeformableRegistrationLogic().registerSequence(image.proxy, referenceFrame=1, device="cpu").transform
    )
    start = np.array([[24.0, 20.0], [18.0, 26.0]])
    node = markups(scene, "vtkMRMLMarkupsFiducialNode", clip.pixels_to_lps_mm(start))
    result = logic.carry(motion.proxy, node, 3)
    for frame in range(4):
        found = clip.lps_mm_to_pixels(positions_lps(result.nodes.sequence.GetNthDataNode(frame)))
        np.testing.assert_allclose(found, start + np.array([0.8 * (frame - 3), 0]), atol=0.15)


@pytest.mark.slow
def test_the_self_test_of_the_application_passes_on_a_shorter_beat(application, scene, monkeypatch):
    import MotionPropagation
    from UltrasoundMotionModuleLib.motion_propagation import sample

    short = replace(sample.HEART, kind="heart", frameCount=12, title="short heart")
    monkeypatch.setattr(sample, "HEART", short)
    MotionPropagation.MotionPropagationTest().test_sample()
