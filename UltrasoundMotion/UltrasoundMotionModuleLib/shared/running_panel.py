"""The part of every module's widget that runs jobs: packages and licences first, progress, the result or the error."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.jobs import JobCancelled, JobFailed, JobFinished, JobProgress
from UltrasoundMotionLib.steps import Steps, StepsCancelled
from UltrasoundMotionModuleLib.shared.apply_button import ApplyButton
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, nothingToCompute
from UltrasoundMotionModuleLib.shared.licence_consent import askForConsent, cardsToAgreeTo, weightsOfTracker
from UltrasoundMotionModuleLib.shared.required_packages import ensurePackages, ensureTorch
from UltrasoundMotionModuleLib.shared.sample_data import StoredSample


class RunningPanel(ABC):
    """The listener of its own runs, of which there is one at a time.

    A base of `MotionModuleWidget`, whose `logic`, `parameters`, `resourcePath` and `onWatchedModified` it uses.

    Attributes:
        title: the module's name in messages.
        run: what is running, or None.
        applyButton: shows progress and status.
    """

    title = ""
    run: BackgroundJob | None
    applyButton: ApplyButton | None

    # Defined by a module

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

    def needsTorch(self) -> bool:
        """Returns True if Apply needs PyTorch with the parameters as they are."""
        return True

    def progressUnit(self) -> str | None:
        """Returns the unit of the progress, where it is not frames."""
        return None

    def onPartial(self, result: object) -> Steps[None]:
        """Shows the finished part of the result; does nothing by default."""
        yield from ()

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
        if not sample.isStored:
            self.startRun(
                lambda: BackgroundJob(sample.request(), self, partials=False),
                showResult=partial(_storeSample, sample, select),
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


def _storeSample(sample: StoredSample, select: Callable[[], None], simulated: object, *, complete: bool) -> Steps[str]:
    """Keeps a simulated sample, so that it is not simulated again, and selects it."""
    yield 0, 1, _("Storing the sample")
    sample.store(simulated)
    select()
    return _("Simulated the sample")
