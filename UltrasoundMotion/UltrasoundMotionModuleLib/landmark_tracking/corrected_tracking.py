"""The run "Track through corrections" of Landmark Tracking: tracked landmarks followed anew through all corrections."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.live_tracks import LiveTracks
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.tracking_results import renewing_derived
from UltrasoundMotionLib.steps import Steps, StepsCancelled, not_cancelled
from UltrasoundMotionLib.tracking.corrections.track_corrected import CorrectedTracks
from UltrasoundMotionLib.tracking.request import TrackRequest
from UltrasoundMotionModuleLib.landmark_tracking.annotation_logic import CorrectedRun, correctedRequest
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, Preparation
from UltrasoundMotionModuleLib.shared.clip import loadInSteps


class CorrectedTracking:
    """Starts the run, and puts its result in the place of the landmarks as they were."""

    def __init__(self, panel: object, onFound: Callable[[], None]) -> None:
        """Makes it for a `MotionModuleWidget`.

        Args:
            onFound: called when the run has ended, before the landmarks change.
        """
        self._panel, self._onFound = panel, onFound
        self._running: CorrectedRun | None = None

    def forget(self) -> None:
        """Releases the nodes, as when the scene is closed."""
        self._running = None

    def start(self, landmarks: SequenceNodes) -> None:
        """Starts the run for tracked landmarks, with the panel's parameters."""
        self._panel.startRun(lambda: self._makeJob(landmarks), self._showResult, withWeights=True)

    def _makeJob(self, landmarks: SequenceNodes) -> BackgroundJob:
        request = self._panel.logic.request(self._panel.parameters, 0)
        return BackgroundJob(self._preparation(landmarks, request), self._panel, partials=False)

    def _preparation(self, landmarks: SequenceNodes, request: TrackRequest) -> Preparation:
        logic = self._panel.logic
        self._running = yield from logic.findingRun(landmarks.proxy)
        sequence = yield from loadInSteps(self._running.clip.sequence)
        return logic.correctedJob(self._running, sequence, correctedRequest(request))

    def _showResult(self, found: CorrectedTracks, *, complete: bool) -> Steps[str]:
        run, self._running = self._running, None
        self._onFound()
        landmarks, clip = run.editor.landmarks, run.clip
        yield from not_cancelled(LiveTracks(clip.sequence, nodes=landmarks).showing(found.tracks))
        yield from run.editor.storing_tracked(found, run.before)
        try:
            paths = self._panel.parameters.drawPaths
            yield from renewing_derived(clip.nodes, clip.sequence, landmarks, trajectories=paths)
        except StepsCancelled:
            return _("Tracked through the corrections; paths, tables and chart were not made")
        frames = len({one.frame for one in run.corrections if not one.lost})
        return _("{points} tracked through {frames} corrected frames").format(
            points=", ".join(run.labels), frames=frames
        )
