"""The widget that all modules extend: it loads the panel, keeps its parameters in the scene, runs jobs and cancels
them, and leaves nothing behind.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.jobs import JobCancelled, JobFailed, JobFinished, JobProgress
from UltrasoundMotionLib.steps import Steps, StepsCancelled
from UltrasoundMotionModuleLib.shared.apply_button import ApplyButton
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, closeSharedProcess, nothingToCompute, warmUp
from UltrasoundMotionModuleLib.shared.command_dialog import showCommand
from UltrasoundMotionModuleLib.shared.layout_switch import LayoutSwitch
from UltrasoundMotionModuleLib.shared.licence_consent import askForConsent, cardsToAgreeTo, weightsOfTracker
from UltrasoundMotionModuleLib.shared.required_packages import ensurePackages, ensureTorch
from UltrasoundMotionModuleLib.shared.sample_data import StoredSample

if TYPE_CHECKING:
    from UltrasoundMotionModuleLib.shared.clip_loading import ClipLoading


class MotionModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin, ABC):
    """A module's widget defines `title`, `makeLogic`, `whyNotApply`, `makeJob`, `showResult` and `commandArguments`,
    and overrides what else it needs.

    Its panel `UI/<module>.ui` has at least `applyButton`, `progressBar`, `statusLabel` and `commandButton`.
    """

    title = ""

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

    def needsTorch(self) -> bool:
        """Returns True if Apply needs PyTorch with the parameters as they are."""
        return True

    def watchedNodes(self) -> Iterable[tuple[object, int]]:
        """Returns (node, event) pairs after which the panel is updated: the chosen nodes."""
        return ()

    def updatePanel(self) -> None:
        """Updates the widgets that depend on the parameters and the watched nodes."""

    @abstractmethod
    def makeJob(self) -> BackgroundJob:
        """Makes the run for the current parameters, with `self` as its listener; raises InputError where they are not
        valid.
        """

    @abstractmethod
    def showResult(self, result: object, *, complete: bool) -> Steps[str]:
        """Adds a result to the scene in short steps and returns the status text; `complete` is False for the finished
        part of a cancelled run.
        """

    def weightsOfRun(self) -> tuple[Path, ...]:
        """Returns the cards of the trained weights that Apply may use; by default those of the tracker that is chosen.

        The user is asked to agree to their licences first.
        """
        names = (getattr(self.parameters, parameter.name) for parameter in self.logic.entryParameters)
        return tuple(card for name in names for card in weightsOfTracker(name))

    def useAnotherMethod(self) -> None:
        """Chooses what needs no such weights, when the user did not agree; by default the default tracker."""
        for parameter in self.logic.entryParameters:
            setattr(self.parameters, parameter.name, parameter.default)

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

    # The run

    def onApply(self) -> None:
        """Starts a run."""
        self.startRun(self.makeJob)

    def startRun(
        self,
        makeJob: Callable[[], BackgroundJob],
        showResult: Callable[..., Steps[str]] | None = None,
        ensure: Callable[[], None] | None = None,
        *,
        withWeights: bool | None = None,
    ) -> None:
        """Installs missing packages and starts the run that `makeJob` returns; errors are shown.

        Args:
            showResult: called with the result in place of `self.showResult`.
            ensure: installs the packages of a run that needs others than those of Apply.
            withWeights: whether the run may use `weightsOfRun`, to whose licences the user is asked to agree; None:
                where `showResult` is not given.
        """
        if self.run is not None:
            self.applyButton.showStatus(_("Wait until the run has ended, or cancel it"))
            return
        with slicer.util.tryWithErrorDisplay(_("{module} could not start.").format(module=self.title)):
            withWeights = showResult is None if withWeights is None else withWeights
            if withWeights and not askForConsent(self.title, cardsToAgreeTo(self.weightsOfRun())):
                self.useAnotherMethod()
            if ensure is not None:
                ensure()
            else:
                self.ensureOwnPackages()
                if self.needsTorch():
                    self.addTorch()
            self.run, self._parameterNotes = makeJob(), ""
            self._showResult = showResult or self.showResult
            self.applyButton.begin(_("Starting ..."))
            self.run.start()
            self.onWatchedModified()

    def ensureOwnPackages(self) -> None:
        """Installs the packages that every run needs, after asking; there are none in Slicer that it lacks.

        Raises:
            MissingPackageError: the user declined.
        """
        ensurePackages(self.resourcePath("requirements.txt"), self.title)

    def addTorch(self) -> None:
        """Installs PyTorch and what networks need beside it, after asking.

        Raises:
            MissingPackageError: the PyTorch extension is missing, or the user declined.
        """
        ensureTorch(self.resourcePath("requirements-networks.txt"), self.title)

    @property
    def isChanging(self) -> bool:
        """True while `startSteps` changes the scene: nothing is computed in the child process."""
        return self.run is not None and self.run.isChange

    def startSteps(self, steps: Steps[str]) -> None:
        """Changes the scene in short steps, as with other settings, and shows the text that they return. They take the
        place of such a change that is not finished; nothing is done during a run, whose result will be shown.
        """
        if self.run is not None:
            if not self.isChanging:
                return
            self.run.forget()
            self.run = None
        self.startRun(
            lambda: BackgroundJob(nothingToCompute(steps), self, isChange=True),
            lambda change, *, complete: change,
            lambda: None,
        )

    def loadSample(self, sample: StoredSample, select: Callable[[], None]) -> None:
        """Calls `select`, which adds the sample to the scene and chooses it, once the sample is stored; simulates the
        sample first where it is not.
        """

        def store(simulated: object, *, complete: bool) -> Steps[str]:
            yield 0, 1, _("Storing the sample")
            sample.store(simulated)
            select()
            return _("Simulated the sample")

        if not sample.isStored:
            self.startRun(
                lambda: BackgroundJob(sample.request(), self, partials=False),
                showResult=store,
                ensure=self.ensureOwnPackages,
            )
            return
        with slicer.util.tryWithErrorDisplay(_("The sample could not be loaded."), waitCursor=True):
            select()

    def onCancel(self) -> None:
        """Asks the run to stop."""
        if self.run is not None:
            self.run.cancel()

    def forgetRun(self) -> None:
        """Ends a run without a message; nothing of it is kept."""
        if self.run is not None:
            self.run.forget()
            self._rest("")

    def onProgress(self, progress: JobProgress) -> None:
        """Shows the progress of the run."""
        self.applyButton.show(progress, self.progressUnit())
        if progress.message:
            self.applyButton.showStatus(progress.message)

    def progressUnit(self) -> str | None:
        """Returns the unit of the progress, where it is not frames."""
        return None

    def onPartial(self, result: object) -> Steps[None]:
        """Shows the finished part of the result; does nothing by default."""
        yield from ()

    def onFinished(self, finished: JobFinished) -> Steps[None]:
        """Adds the result to the scene."""
        return self._showEnd(finished.result, complete=True, notes=finished.notes)

    def onCancelled(self, cancelled: JobCancelled) -> Steps[None]:
        """Adds the finished part of the result to the scene."""
        return self._showEnd(cancelled.result, complete=False)

    def onFailed(self, failed: JobFailed) -> Steps[None]:
        """Shows the error, with the output of the child process as details."""
        if failed.partial is not None:
            yield from self._showEnd(failed.partial, complete=False)
        self._rest(_("Failed: {message}").format(message=failed.message))
        text = _("{module} failed: {message}").format(module=self.title, message=failed.message)
        slicer.util.errorDisplay(text, detailedText=failed.child_output)

    def _showEnd(self, result: object, *, complete: bool, notes: tuple[str, ...] = ()) -> Steps[None]:
        message = _("Cancelled; nothing was finished")
        try:
            with slicer.util.tryWithErrorDisplay(_("The result could not be shown.")):
                if result is not None:
                    message = yield from self._messageOf(self._showResult(result, complete=complete), notes)
        except Exception as error:
            message = _("The result could not be shown: {error}").format(error=error)
            self._rest(message)
            raise
        self._rest(message)

    @staticmethod
    def _messageOf(showing: Steps[str], notes: tuple[str, ...]) -> Steps[str]:
        try:
            return "; ".join([(yield from showing), *notes])
        except StepsCancelled:
            return _("Cancelled; the result was not kept")

    def _rest(self, message: str) -> None:
        """Shows the panel as it is when nothing runs."""
        self.run = None
        self.onWatchedModified()
        self.applyButton.end(message)

    def onShowCommand(self) -> None:
        """Shows the command line that repeats the run in a terminal."""
        with slicer.util.tryWithErrorDisplay(_("There is no command to show yet.")):
            reason = self.whyNotApply()
            if reason:
                raise InputError(reason)
            showCommand(self.title, shlex.join(self.commandArguments()), self.commandNotes())
