"""What the tests of all panels share: the child process that outlives a test, and the base of their benches."""

import pytest

import slicer_stand_ins
from UltrasoundMotionLib.jobs import JobProcess
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence

own_process = pytest.mark.own_process
needs_qt = pytest.mark.skipif(
    slicer_stand_ins.qt_stand_ins is None, reason="needs Qt for Python: pip install --editable '.[test]'"
)


class KeptProcess(JobProcess):
    """A child process that outlives the tests that do not look at its end: loading torch takes seconds."""

    def close(self):
        self.poll()


class ModuleBench:
    """A scene with a clip, the application's stand-in, and a module."""

    name: str
    """The module's."""

    def __init__(self, scene, application, sequence):
        self.scene, self.application, self.sequence = scene, application, sequence
        self.module = application.load_module(self.name)
        self.logic = getattr(self.module, f"{self.name}Logic")()
        self.clip = add_image_sequence(scene, sequence)

    def open(self):
        widget = self.application.open_module(self.name)
        widget.parameters.inputClip = self.clip.proxy
        return widget

    def wait_until_done(self, widget):
        self.application.wait(lambda: widget.run is None)

    def nodes(self):
        return sorted(self.scene.GetNthNode(number).GetName() for number in range(self.scene.GetNumberOfNodes()))
