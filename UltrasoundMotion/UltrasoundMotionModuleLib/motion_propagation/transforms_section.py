"""The part of Motion Propagation's panel that averages, inverts and smooths a sequence of transforms."""

from __future__ import annotations

from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionModuleLib.motion_propagation.choices import Operation
from UltrasoundMotionModuleLib.motion_propagation.tasks import MadeTransforms
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, computedHere


class TransformsSection:
    """Makes new transforms beside a sequence; its runs are those of the panel."""

    def __init__(self, panel: object) -> None:
        """Connects the widgets of a `MotionModuleWidget` whose parameter `transforms` is the sequence."""
        self._panel, self._ui = panel, panel.ui
        self._ui.makeTransformsButton.connect("clicked()", self.onMake)

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._ui.makeTransformsButton.disconnect("clicked()", self.onMake)

    def update(self) -> None:
        """Enables what the choice allows."""
        parameters, ui = self._panel.parameters, self._ui
        smoothed = parameters.operation is Operation.SMOOTHED
        for widget in (
            ui.smoothingLabel,
            ui.smoothingComboBox,
            ui.widthLabel,
            ui.widthSpinBox,
            ui.unitComboBox,
            ui.periodicCheckBox,
        ):
            widget.visible = smoothed
        reason = _whyNot(parameters)
        ui.makeTransformsButton.enabled = self._panel.run is None and not reason
        ui.makeTransformsButton.toolTip = reason or _("Make new transforms beside the sequence; it is not changed")

    def onMake(self) -> None:
        """Starts the run."""
        panel = self._panel
        panel.startRun(
            lambda: BackgroundJob(computedHere(panel.logic.transformsTask(panel.parameters)), panel),
            _made,
            ensure=lambda: None,
        )


def _whyNot(parameters: object) -> str:
    if parameters.transforms is None:
        return _("Choose a sequence of transforms")
    try:
        find_sequence_nodes(parameters.transforms)
    except InputError as error:
        return str(error)
    if parameters.operation is Operation.SMOOTHED and parameters.width <= 0:
        return _("Choose a width above 0")
    return ""


def _made(result: MadeTransforms, *, complete: bool) -> Steps[str]:
    yield from ()
    return "; ".join([_("Made {name}").format(name=result.node.GetName()), *result.notes])
