"""The widget that all modules extend: loads the panel, keeps its parameters in the scene, and leaves nothing behind."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionModuleLib.shared.apply_button import ApplyButton
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, closeSharedProcess, warmUp
from UltrasoundMotionModuleLib.shared.command_dialog import showCommand
from UltrasoundMotionModuleLib.shared.layout_switch import LayoutSwitch
from UltrasoundMotionModuleLib.shared.running_panel import RunningPanel

if TYPE_CHECKING:
    from UltrasoundMotionModuleLib.shared.clip_loading import ClipLoading


class MotionModuleWidget(RunningPanel, ScriptedLoadableModuleWidget, VTKObservationMixin):
    """A module's widget defines `title`, `makeLogic`, `whyNotApply`, `makeJob`, `showResult` and `commandArguments`,
    and overrides what else it needs; its runs are those of `RunningPanel`.

    Its panel `UI/<module>.ui` has at least `applyButton`, `progressBar`, `statusLabel` and `commandButton`.
    """

    def __init__(self, parent: object = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.ui = None
        self.applyButton: ApplyButton | None = None
        self.run: BackgroundJob | None = None
        self.clipLoading: ClipLoading | None = None
        self.layouts = LayoutSwitch()
        self._parameterNode = None
        self._guiTag = None
        self._watched: list[tuple[object, int]] = []
        self._parameterNotes = ""

    # Defined by a module

    @abstractmethod
    def makeLogic(self) -> object:
        """The module's logic; its `getParameterNode` returns the module's parameter node wrapper."""

    def setupPanel(self) -> None:
        """Connects the module's own widgets; `self.ui` and `self.logic` exist."""

    def selectDefaults(self) -> None:
        """Chooses inputs where none are chosen yet and the scene has only one candidate."""

    @abstractmethod
    def whyNotApply(self) -> str:
        """Returns the reason why Apply cannot be pressed, as the next step for the user; empty when it can."""

    def watchedNodes(self) -> Iterable[tuple[object, int]]:
        """Returns (node, event) pairs after which the panel is updated: the chosen nodes."""
        return ()

    def updatePanel(self) -> None:
        """Updates the widgets that depend on the parameters and the watched nodes."""

    def commandArguments(self) -> tuple[str, ...]:
        """Returns the command line that repeats the run for the current parameters; raises InputError as `makeJob`.

        A module whose run is no single command overrides `onShowCommand`.
        """
        return ()

    def commandNotes(self) -> str:
        """Returns the steps that must come before the command, such as saving its inputs; none by default."""
        return ""

    # The panel

    @property
    def parameters(self) -> object:
        """The module's parameter node wrapper, or None while the scene is being closed."""
        return self._parameterNode

    @property
    def isConnected(self) -> bool:
        """True while the panel shows the parameters: the user is in the module."""
        return self._guiTag is not None

    def setup(self) -> None:
        """Loads the panel and connects it; called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        self.uiWidget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(self.uiWidget)
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = self.makeLogic()
        self.applyButton = ApplyButton(self.ui, onApply=self.onApply, onCancel=self.onCancel)
        self.ui.commandButton.connect("clicked()", self.onShowCommand)
        for event, method in (
            (slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose),
            (slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose),
            (slicer.mrmlScene.EndImportEvent, self.onSceneEndImport),
            (slicer.mrmlScene.NodeRemovedEvent, self.onSceneNodeRemoved),
        ):
            self.addObserver(slicer.mrmlScene, event, method)
        self.setupPanel()
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Disconnects everything; called when the module is reloaded and when the application closes."""
        self.forgetRun()
        self.setParameterNode(None)
        self.layouts.forget()
        self.removeObservers()
        if self.applyButton is not None:
            self.applyButton.disconnect()
            self.ui.commandButton.disconnect("clicked()", self.onShowCommand)
        closeSharedProcess(onlyIdle=True)

    def enter(self) -> None:
        """Starts the child process, which loads torch in the meantime; called each time the user opens the module."""
        self.layouts.enter()
        self.initializeParameterNode()
        warmUp()

    def exit(self) -> None:
        """Disconnects the panel and restores the user's layout; a run goes on, and its result is added to the scene.
        Called when the user leaves.
        """
        self._disconnectPanel()
        self.layouts.leave()

    def onSceneStartClose(self, caller: object, event: int) -> None:
        """Cancels the run, whose nodes are about to be removed."""
        self.forgetRun()
        self._parameterNotes = ""
        self.layouts.forget()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: object, event: int) -> None:
        """Makes new parameters where the module is shown."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: object, event: int) -> None:
        """Shows the parameters of the loaded scene."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneNodeRemoved(self, caller: object, event: int) -> None:
        """Brings the parameters back where the user has deleted their node, with what was chosen."""
        if self._isParameterNodeMissing():
            qt.QTimer.singleShot(0, self._restoreParameterNode)

    def _isParameterNodeMissing(self) -> bool:
        parameters, scene = self._parameterNode, slicer.mrmlScene
        return parameters is not None and parameters.parameterNode.GetScene() is None and not scene.IsClosing()

    def _restoreParameterNode(self) -> None:
        if self._isParameterNodeMissing():
            slicer.mrmlScene.AddNode(self._parameterNode.parameterNode)
            if self.parent.isEntered:
                self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Connects the panel with the scene's parameter node, made where there is none."""
        self.setParameterNode(self.logic.getParameterNode())
        self.selectDefaults()
        self._parameterNotes = self.logic.takeNotes() or self._parameterNotes
        if self._parameterNotes:
            self.applyButton.showStatus(self._parameterNotes)

    def setParameterNode(self, parameters: object) -> None:
        """Connects the panel with parameters; None disconnects it."""
        self._disconnectPanel()
        self._parameterNode = parameters
        if parameters is not None:
            self._guiTag = parameters.connectGui(self.ui)
            self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
            self.onParametersModified()

    def _disconnectPanel(self) -> None:
        if self._guiTag is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self._guiTag = None
            self.removeObserver(
                self._parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersModified
            )
        self._watch([])

    def onParametersModified(self, caller: object = None, event: int | None = None) -> None:
        """Watches the nodes that are now chosen and updates the panel; not while a scene is loaded, after which it is
        called again.
        """
        if slicer.mrmlScene.IsImporting():
            return
        self._watch([(node, event) for node, event in self.watchedNodes() if node is not None])
        self.onWatchedModified()

    def _watch(self, wanted: list[tuple[object, int]]) -> None:
        for node, event in [pair for pair in self._watched if pair not in wanted]:
            self.removeObserver(node, event, self.onWatchedModified)
        for node, event in [pair for pair in wanted if pair not in self._watched]:
            self.addObserver(node, event, self.onWatchedModified)
        self._watched = wanted

    def onWatchedModified(self, caller: object = None, event: int | None = None) -> None:
        """Updates the Apply button and the panel."""
        if self._parameterNode is not None:
            self.applyButton.allow(self.whyNotApply())
            self.updatePanel()

    # The command

    def onShowCommand(self) -> None:
        """Shows the command line that repeats the run in a terminal."""
        with slicer.util.tryWithErrorDisplay(_("There is no command to show yet.")):
            reason = self.whyNotApply()
            if reason:
                raise InputError(reason)
            showCommand(self.title, shlex.join(self.commandArguments()), self.commandNotes())
