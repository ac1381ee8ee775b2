"""Cohort Review: the cases that `ultrasound-motion cohort` ran, the doubtful ones first, opened one by one, accepted,
rejected, or corrected and put back into the results.

From the Python console:

    from CohortReview import CohortReviewLogic

    logic = CohortReviewLogic()
    name = logic.nextCase("RESULTS")            # the most doubtful case that nobody has reviewed
    opened = logic.open("RESULTS", name)
    logic.accept(opened, note="the wall is followed well")
    logic.prepareCorrection(opened)             # or: drag points in Landmark Tracking, and then
    logic.putBack(opened)                       # `ultrasound-motion cohort review RESULTS --apply` runs the case again
    logic.close(opened)
"""

import shlex
import tempfile
from collections import Counter
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest
from UltrasoundMotionModuleLib.cohort_review.logic import CohortReviewLogic
from UltrasoundMotionModuleLib.cohort_review.opened_case import OpenedCase, clipOf, opening
from UltrasoundMotionModuleLib.cohort_review.sample import runSampleCohort
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, computedHere
from UltrasoundMotionModuleLib.shared.command_dialog import showCommand
from UltrasoundMotionModuleLib.shared.connections import Connections
from UltrasoundMotionModuleLib.shared.homepage import documentationLink
from UltrasoundMotionModuleLib.shared.module_widget import MotionModuleWidget
from UltrasoundMotionModuleLib.shared.required_packages import ensureReader

from UltrasoundMotionLib.cohort.decisions import NOT_REVIEWED, STATES
from UltrasoundMotionLib.cohort.review import ListedCase, listed_case, next_doubtful, read_case
from UltrasoundMotionLib.errors import UltrasoundMotionError
from UltrasoundMotionLib.jobs.capabilities.read_clip import read_clip_job
from UltrasoundMotionLib.steps import Steps

__all__ = ["CohortReview", "CohortReviewLogic", "CohortReviewTest", "CohortReviewWidget"]

_MOST_LISTED = 500


class CohortReview(ScriptedLoadableModule):
    """The module's title, help and other metadata."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Cohort Review")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Ultrasound")]
        parent.dependencies = ["Markups", "Sequences", "Segmentations"]
        parent.contributors = ["UltrasoundMotion developers"]
        parent.helpText = _(
            "Opens the cases of a cohort that was run by the command line, the doubtful ones first: look, accept, "
            "reject, or correct the points and put them back into the results. Not for clinical use."
        ) + documentationLink("Docs/reference/cohort-review.md")
        parent.acknowledgementText = _("Made by the UltrasoundMotion developers. Apache License 2.0.")


class CohortReviewWidget(MotionModuleWidget):
    """The panel."""

    title = _("Cohort Review")

    def makeLogic(self) -> CohortReviewLogic:
        return CohortReviewLogic()

    def setupPanel(self) -> None:
        """Connects the buttons of the review; no folder is read and no case is open yet."""
        self._folder = ""
        self._cases: tuple[ListedCase, ...] = ()
        self._fault = ""
        self._passed: set[str] = set()
        self._opened: OpenedCase | None = None
        self._names: list[str] = []
        self._wanted = ""
        self._kept: list[str] = []
        self._connections = Connections(
            (self.ui.chooseButton, "clicked()", self.onChoose),
            (self.ui.openButton, "clicked()", self.onOpen),
            (self.ui.acceptButton, "clicked()", self.onAccept),
            (self.ui.rejectButton, "clicked()", self.onReject),
            (self.ui.correctButton, "clicked()", self.onCorrect),
            (self.ui.putBackButton, "clicked()", self.onPutBack),
            (self.ui.reopenButton, "clicked()", self.onReopen),
        )

    def cleanup(self) -> None:
        """Disconnects the buttons too."""
        MotionModuleWidget.cleanup(self)
        if self.ui is not None:
            self._connections.disconnect()

    def setParameterNode(self, parameters: object) -> None:
        """Forgets the open case when the scene is closed, which takes its nodes."""
        if parameters is None:
            self._opened = None
        MotionModuleWidget.setParameterNode(self, parameters)

    def enter(self) -> None:
        """Reads the review list again, since others may have decided meanwhile."""
        self._folder = ""  # others may have decided meanwhile
        MotionModuleWidget.enter(self)

    def whyNotApply(self) -> str:
        """Asks for a folder, or says that it cannot be read or that no doubtful case is left."""
        self._readList()
        if not self.parameters.folder:
            return _("Choose the folder of a cohort's results")
        if self._fault:
            return self._fault
        if self._next() is None:
            left = sum(one.state == NOT_REVIEWED for one in self._cases)
            return _("No doubtful case is left; {count} cases without doubt are not reviewed").format(count=left)
        return ""

    def _readList(self) -> None:
        """Reads the review list of a folder that is newly chosen."""
        if self.parameters.folder == self._folder:
            return
        self._folder, self._cases, self._fault = self.parameters.folder, (), ""
        self._passed.clear()
        if self._folder:
            try:
                self._cases = self.logic.cases(self._folder)
            except UltrasoundMotionError as error:
                self._fault = str(error)
        self._fillCases()

    def _next(self) -> ListedCase | None:
        """The most doubtful case that was not looked at yet; when all were, those that were left open again."""
        return next_doubtful(self._cases, frozenset(self._passed)) or next_doubtful(self._cases)

    def _fillCases(self) -> None:
        selector = self.ui.caseSelector
        blocked = selector.blockSignals(True)
        selector.clear()
        self._names = [one.name for one in self._cases[:_MOST_LISTED]]
        for one in self._cases[:_MOST_LISTED]:
            selector.addItem(
                _("{case} \u00b7 {state} \u00b7 doubt {doubt}").format(
                    case=one.name, state=one.state, doubt=f"{one.doubt:.2f}"
                )
            )
        selector.blockSignals(blocked)

    def updatePanel(self) -> None:
        """Enables the buttons for the open case, counts the cases of each decision, and describes the case."""
        ui, free, opened = self.ui, self.run is None, self._openedOrNone()
        ui.chooseButton.enabled = free
        ui.caseSelector.enabled = ui.openButton.enabled = free and bool(self._names)
        for button in (ui.acceptButton, ui.rejectButton, ui.correctButton, ui.putBackButton, ui.reopenButton):
            button.enabled = free and opened is not None
        counts = Counter(one.state for one in self._cases)
        ui.countsLabel.text = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        ui.caseLabel.text = _caseText(opened) if opened is not None else _("No case is open")

    def _openedOrNone(self) -> OpenedCase | None:
        return self._opened if self._opened is not None and self._opened.isThere else None

    # Opening

    def onChoose(self) -> None:
        """Asks for the folder of a cohort's results."""
        folder = qt.QFileDialog.getExistingDirectory(self.uiWidget, _("Results of a cohort"), self.parameters.folder)
        if folder:
            self._folder = ""  # read again, also where it is the same
            self.parameters.folder = folder
            self.onParametersModified()

    def onApply(self) -> None:
        """Opens the most doubtful case that nobody has reviewed."""
        found = self._next()
        if found is not None:
            self._start(found.name)

    def onOpen(self) -> None:
        """Opens the case that is chosen in the list."""
        index = self.ui.caseSelector.currentIndex
        if 0 <= index < len(self._names):
            self._start(self._names[index])

    def _start(self, name: str) -> None:
        self._wanted = name
        self.startRun(self.makeJob, ensure=lambda: None)  # Slicer's own packages are enough; a video asks for PyAV

    def makeJob(self) -> BackgroundJob:
        """Reads the wanted case and its clip; a case whose input is no clip opens in this process."""
        folder = Path(self.parameters.folder).absolute()
        self._case = read_case(folder, self._wanted)
        clip = clipOf(self._case)
        if clip is None:
            return BackgroundJob(computedHere(self._replacing(folder, None)), self)
        ensureReader(clip.path, self.title)
        return BackgroundJob(read_clip_job(clip.path), self, partials=False)

    def showResult(self, result: object, *, complete: bool) -> Steps[str]:
        """Puts the case into the scene in place of the one before, and returns its doubts."""
        opened = result
        if not isinstance(result, OpenedCase):
            opened = yield from self._replacing(Path(self.parameters.folder).absolute(), result)
        self._opened = opened
        self._passed.add(opened.case.name)
        if opened.case.name in self._names:
            self.ui.caseSelector.setCurrentIndex(self._names.index(opened.case.name))
        doubts = "; ".join(opened.case.doubts) or _("no doubt")
        return "; ".join(
            [_("{case}: {doubts}").format(case=opened.case.name, doubts=doubts), *self._kept, *opened.notes]
        )

    def _replacing(self, folder: Path, read: object) -> Steps[OpenedCase]:
        """Opens the case that was read, and closes the one before, unless it was corrected and not put back."""
        opened = yield from opening(folder, self._case, read)
        before, self._kept = self._openedOrNone(), []
        if before is not None and before.isCorrected:
            text = _("{case} was corrected and not put back: it stays in the scene")
            self._kept = [text.format(case=before.case.name)]
        elif before is not None:
            yield from before.closing()
        return opened

    # Decisions

    def onAccept(self) -> None:
        """Accepts the result of the case."""
        self._decide(self.logic.accept, _("{case} is accepted"))

    def onReject(self) -> None:
        """Rejects the result of the case."""
        self._decide(self.logic.reject, _("{case} is rejected"))

    def onPutBack(self) -> None:
        """Writes the correction of the case."""
        text = _(
            "The correction of {case} is stored; \u201cCommand ...\u201d shows what runs the corrected cases of the "
            "cohort again"
        )
        self._decide(self.logic.putBack, text)

    def onReopen(self) -> None:
        """Takes the decision on the case back."""
        self._decide(lambda opened, by, note: self.logic.reopen(opened), _("{case} is open again"))

    def _decide(self, decide: object, text: str) -> None:
        opened = self._openedOrNone()
        if opened is None or self.run is not None:
            return
        with slicer.util.tryWithErrorDisplay(_("The decision could not be stored."), waitCursor=True):
            decide(opened, self.parameters.reviewer.strip() or None, self.parameters.note.strip())
            name = opened.case.name
            opened.case = read_case(opened.folder, name)
            self._cases = tuple(listed_case(opened.folder, one) if one.name == name else one for one in self._cases)
            self.parameters.note = ""
            self.onWatchedModified()
            self.applyButton.showStatus(text.format(case=name))

    def onCorrect(self) -> None:
        """Opens the module in which the case is corrected."""
        with slicer.util.tryWithErrorDisplay(_("The case cannot be corrected."), waitCursor=True):
            slicer.util.selectModule(self.logic.prepareCorrection(self._openedOrNone()))

    def onShowCommand(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("There is no command to show yet.")):
            showCommand(self.title, shlex.join(self.commandArguments()))

    def commandArguments(self) -> tuple[str, ...]:
        return ("ultrasound-motion", "cohort", "review", self.parameters.folder or "RESULTS", "--apply")


class CohortReviewTest(ScriptedLoadableModuleTest):
    """Tests in the application: a cohort of one simulated clip is run, opened, corrected and put back."""

    def runTest(self) -> None:
        slicer.mrmlScene.Clear()
        self.test_sample()

    def test_sample(self) -> None:
        """Reviews the sample's case; its correction is stored, and its result stays until the cohort is run again."""
        with tempfile.TemporaryDirectory() as folder:
            name, logic = runSampleCohort(Path(folder)), CohortReviewLogic()
            opened = logic.open(folder, name)
            self.assertEqual(opened.landmarks.sequence.GetNumberOfDataNodes(), len(opened.sequence))
            self.delayDisplay("A case was opened")
            logic.accept(opened)
            self.assertEqual(read_case(Path(folder), name).state, "accepted")
            frame = len(opened.sequence) - 1
            opened.clip.browser.SetSelectedItemNumber(frame)
            x, y, z = opened.landmarks.proxy.GetNthControlPointPosition(0)
            self.assertEqual(logic.prepareCorrection(opened), "LandmarkTracking")
            opened.landmarks.proxy.SetNthControlPointPosition(0, x + 2.0, y, z)
            logic.putBack(opened, note="moved by 2 mm")
            self.assertEqual(read_case(Path(folder), name).state, "to run")
            logic.close(opened)
            self.assertFalse(opened.isThere)
            self.delayDisplay("Its correction was put back")


def _caseText(opened: OpenedCase) -> str:
    """Verb, model and state of a case, and the reasons to look at it, a line each."""
    case = opened.case
    model = case.option("method" if case.record.verb == "register" else "model") if case.record.verb != "strain" else ""
    parts = [case.name, case.record.verb, *([model] if model else []), case.state]
    by = [_("by {name}: {note}").format(name=case.decision.by, note=case.decision.note)] if case.decision else []
    return "\n".join([" \u00b7 ".join(parts), *case.doubts, *by])
