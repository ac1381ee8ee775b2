"""Logic of Cohort Review, for its panel and for scripts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

from UltrasoundMotionLib.cohort.corrections import (
    CaseCorrection,
    correction_of_registration,
    correction_of_tracks,
    correction_of_wall,
)
from UltrasoundMotionLib.cohort.decisions import ACCEPTED, CORRECTED, REJECTED, RERUN, decide, withdraw
from UltrasoundMotionLib.cohort.review import ListedCase, next_doubtful, read_case, read_list
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.jobs.capabilities.read_clip import read_clip_job
from UltrasoundMotionLib.mrml.markups_items import set_locked
from UltrasoundMotionLib.registration.registry import METHODS
from UltrasoundMotionLib.steps import run_steps
from UltrasoundMotionModuleLib.cohort_review.opened_case import OpenedCase, clipOf, opening
from UltrasoundMotionModuleLib.deformable_registration.choices import Start
from UltrasoundMotionModuleLib.deformable_registration.logic import DeformableRegistrationLogic
from UltrasoundMotionModuleLib.landmark_tracking.logic import LandmarkTrackingLogic
from UltrasoundMotionModuleLib.myocardial_tracking.choices import View
from UltrasoundMotionModuleLib.myocardial_tracking.logic import MyocardialTrackingLogic
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess
from UltrasoundMotionModuleLib.shared.choices import trackers
from UltrasoundMotionModuleLib.shared.module_logic import MotionModuleLogic
from UltrasoundMotionModuleLib.shared.required_packages import ensureReader


@parameterNodeWrapper
class CohortReviewParameterNode:
    """The parameters of the panel, saved with the scene.

    folder - of the cohort's results.
    reviewer - the name that decisions are signed with.
    note - why, of the next decision.
    """

    folder: str = ""
    reviewer: str = ""
    note: str = ""


class CohortReviewLogic(MotionModuleLogic):
    """The cases of a cohort opened one by one, decided on, corrected and put back; see `MotionModuleLogic`."""

    parameterNodeClass = CohortReviewParameterNode

    def cases(self, folder: str | Path) -> tuple[ListedCase, ...]:
        """Returns the review list of a cohort's results, which is written first where there is none.

        Raises:
            InputError: no results of a cohort.
        """
        return read_list(Path(folder))

    def nextCase(self, folder: str | Path, passed: Iterable[str] = ()) -> str:
        """Returns the name of the most doubtful case that nobody has reviewed; empty where there is none.

        Args:
            passed: names of cases to leave out.
        """
        found = next_doubtful(self.cases(folder), frozenset(passed))
        return found.name if found is not None else ""

    def open(self, folder: str | Path, name: str) -> OpenedCase:
        """Adds a case to the scene: its clip with the tracked points or wall, or its images with their transform.

        Raises:
            InputError: no such case; a file that it reads is gone, or does not fit its results.
            MissingPackageError: a video, and the package that reads it was not installed.
        """
        folder = Path(folder).absolute()
        case = read_case(folder, name)
        clip, read = clipOf(case), None
        if clip is not None:
            ensureReader(clip.path, self.moduleName)
            read = run_job(read_clip_job(clip.path), sharedProcess().process)
        return run_steps(opening(folder, case, read))

    def close(self, opened: OpenedCase) -> None:
        """Removes a case from the scene, with what was derived from it there."""
        run_steps(opened.closing())

    def accept(self, opened: OpenedCase, by: str | None = None, note: str = "") -> None:
        """Accepts the result of a case as it is; `by` is the user of this computer when None.

        Raises:
            InputError: points were corrected in the scene, and are not in the results.
        """
        if opened.isCorrected:
            raise InputError(
                _(
                    "{case}: points were corrected; press \u201cBack into the results\u201d, or open the case again"
                ).format(case=opened.case.name)
            )
        self._decide(opened, ACCEPTED, by=by, note=note)

    def reject(self, opened: OpenedCase, by: str | None = None, note: str = "") -> None:
        """Rejects the result of a case, which the distributions of the cohort then leave out."""
        self._decide(opened, REJECTED, by=by, note=note)

    def reopen(self, opened: OpenedCase) -> None:
        """Takes a decision back: the case is as its manifest asks, and not reviewed."""
        withdraw(opened.folder, opened.case.name)

    def prepareCorrection(self, opened: OpenedCase) -> str:
        """Gives a case to the module that corrects it; returns the module's name.

        Points of tracks and walls can then be dragged; of a registration, other options can be chosen.
        """
        self._checkThere(opened)
        case = opened.case
        if opened.landmarks is not None:
            parameters = LandmarkTrackingLogic().getParameterNode()
            parameters.inputClip, parameters.trackedLandmarks = opened.clip.proxy, opened.landmarks.proxy
            if case.option("model") in {entry.name for entry in trackers().all()}:
                parameters.tracker = case.option("model")
            set_locked(opened.landmarks, False)
            return "LandmarkTracking"
        if opened.wall is not None:
            parameters = MyocardialTrackingLogic().getParameterNode()
            parameters.inputClip, parameters.trackedWall = opened.clip.proxy, opened.wall.curve
            parameters.view = next(view for view in View if view.value == opened.wall.view)
            opened.wall.set_editable(True)
            return "MyocardialTracking"
        parameters = DeformableRegistrationLogic().getParameterNode()
        parameters.fixedVolume, parameters.movingVolume = opened.fixed, opened.moving
        parameters.fixedSegmentation = opened.segmentations.get("fixed")
        parameters.movingSegmentation = opened.segmentations.get("moving")
        method = METHODS.present_name(case.option("method") or "")
        if method in {entry.name for entry in METHODS.all()}:
            parameters.method = method
        wanted = case.option("initial_transform")
        parameters.start = next((start for start in Start if start.value == wanted), Start.PRESET)
        parameters.workingSpacing = float(case.option("working_spacing_mm") or 0)
        return "DeformableRegistration"

    def putBack(self, opened: OpenedCase, by: str | None = None, note: str = "") -> None:
        """Writes the correction of a case beside the cohort's results, which have it after `cohort review --apply`.

        Of tracks these are the corrected points, of a wall its corrected tracks, of a registration the method, start,
        refinement and working spacing that are chosen in Deformable Registration.

        Raises:
            InputError: nothing was corrected; corrections that tracking cannot take.
            OutputError: a file cannot be written.
        """
        self._checkThere(opened)
        if opened.fixed is not None:
            logic = DeformableRegistrationLogic()
            request = logic.request(logic.getParameterNode())
            self._decide(opened, RERUN, correction_of_registration(opened.case, request), by=by, note=note)
            return
        if opened.landmarks is not None:
            editor = LandmarkTrackingLogic().editor(opened.landmarks.proxy)
            editor.take_moved(range(opened.landmarks.sequence.GetNumberOfDataNodes()))
        if not opened.isCorrected:
            raise InputError(
                _("{case}: nothing was corrected; drag a point in the module that \u201cCorrect\u201d opens").format(
                    case=opened.case.name
                )
            )
        tracks = opened.currentTracks()
        if opened.wall is not None:
            correction = correction_of_wall(opened.case, tracks)
        else:
            correction = correction_of_tracks(opened.case, tracks, opened.currentCorrections())
        self._decide(opened, CORRECTED, correction, by=by, note=note)
        opened.keep()

    def _checkThere(self, opened: OpenedCase) -> None:
        if not opened.isThere:
            raise InputError(
                _("{case}: its nodes were removed from the scene; open it again").format(case=opened.case.name)
            )

    @staticmethod
    def _decide(
        opened: OpenedCase, state: str, correction: CaseCorrection | None = None, *, by: str | None, note: str
    ) -> None:
        case = opened.case
        decide(
            opened.folder,
            case.record,
            case.base,
            state,
            options=correction.options if correction is not None else None,
            files=correction.files if correction is not None else None,
            by=by,
            note=note,
        )
