"""The way a user goes, inside the application: each panel is opened, its sample or a clip loaded from a file, Apply
pressed, and a second run cancelled.
"""

import time
import unittest

import slicer

TIMEOUT_S = 300
CHILD_START_S = 60


def wait(reached, seconds=TIMEOUT_S):
    """Lets the application work until `reached()`; fails when it takes too long."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing came of it in {seconds} s")
        slicer.app.processEvents()
        time.sleep(0.01)


class PanelSelfTest(unittest.TestCase):
    """One scenario for every module; nodes and the child process are counted."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def tearDown(self):
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()

    def open(self, name):
        """The panel of a module with its sample loaded and ready to run."""
        slicer.util.selectModule(name)
        widget = slicer.util.getModuleWidget(name)
        self.assertEqual(widget.ui.applyButton.enabled, False, "an empty panel cannot run")
        self.assertTrue(widget.ui.applyButton.toolTip, "and says why")
        widget.ui.sampleDataButton.click()
        wait(lambda: widget.run is None and widget.ui.applyButton.enabled, CHILD_START_S)
        return widget

    def run_and_cancel(self, widget):
        """A whole run, then one that is cancelled; neither leaves more nodes than its result."""
        widget.ui.applyButton.click()
        self.assertIsNotNone(widget.run)
        wait(lambda: widget.run is None)
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        widget.ui.applyButton.click()
        slicer.app.processEvents()
        widget.ui.applyButton.click()  # it is Cancel now
        wait(lambda: widget.run is None, 10)
        self.assertLessEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

    def load_clip(self, name, parameter):
        """A file loaded as **Load clip...** does in a module's panel; the clip is chosen and its frames are there."""
        widget = self.open(name)  # makes the imports below possible in a checkout
        from UltrasoundMotionModuleLib.shared.sample_data import HEART, LIVER

        from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes

        file = next(sample.clipFile for sample in (LIVER, HEART) if sample.isStored)
        before = getattr(widget.parameters, parameter)
        widget.clipLoading.load(file)
        wait(lambda: widget.run is None)
        chosen = getattr(widget.parameters, parameter)
        self.assertIsNotNone(chosen)
        self.assertIsNot(chosen, before)
        self.assertGreater(find_sequence_nodes(chosen).sequence.GetNumberOfDataNodes(), 1)
        return widget

    def test_load_clip_into_landmark_tracking(self):
        widget = self.load_clip("LandmarkTracking", "inputClip")
        self.run_and_cancel(widget)  # the sample's landmarks lie on the same tissue
        self.assertIsNotNone(widget.parameters.trackedLandmarks)

    def test_load_clip_into_myocardial_tracking(self):
        self.load_clip("MyocardialTracking", "inputClip")

    def test_load_clip_into_deformable_registration(self):
        self.load_clip("DeformableRegistration", "sequenceVolume")

    def test_landmark_tracking(self):
        widget = self.open("LandmarkTracking")
        self.run_and_cancel(widget)
        self.assertIsNotNone(widget.parameters.trackedLandmarks)

    def test_myocardial_tracking(self):
        self.run_and_cancel(self.open("MyocardialTracking"))

    def test_deformable_registration(self):
        self.run_and_cancel(self.open("DeformableRegistration"))

    def test_motion_propagation(self):
        self.run_and_cancel(self.open("MotionPropagation"))

    def test_closing_the_scene_ends_a_run(self):
        widget = self.open("LandmarkTracking")
        widget.ui.applyButton.click()
        slicer.mrmlScene.Clear()
        self.assertIsNone(widget.run)


if __name__ == "__main__":
    unittest.main()
