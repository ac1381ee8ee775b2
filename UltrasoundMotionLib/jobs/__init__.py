"""Long work in a warm child process, so that neither a crash nor a full memory takes the application down.

    from UltrasoundMotionLib.jobs import JobProcess, run_job, track_job

    tracks = run_job(track_job(sequence, query_points))       # waits; or JobProcess().submit(...) and poll()

The application's side imports neither torch nor slicer nor qt; a capability's file imports what it needs in the child.
"""

from UltrasoundMotionLib.jobs.capabilities.live import LiveView, live_job, live_view
from UltrasoundMotionLib.jobs.capabilities.register import registration_job
from UltrasoundMotionLib.jobs.capabilities.register_sequence import sequence_registration_job
from UltrasoundMotionLib.jobs.capabilities.track import track_job
from UltrasoundMotionLib.jobs.capabilities.track_corrected import track_corrected_job
from UltrasoundMotionLib.jobs.job import (
    Job,
    JobCancelled,
    JobEnd,
    JobEvent,
    JobFailed,
    JobFinished,
    JobProgress,
    JobRequest,
    JobStarted,
)
from UltrasoundMotionLib.jobs.job_process import JobProcess
from UltrasoundMotionLib.jobs.run_job import run_job

__all__ = [
    "Job",
    "JobCancelled",
    "JobEnd",
    "JobEvent",
    "JobFailed",
    "JobFinished",
    "JobProcess",
    "JobProgress",
    "JobRequest",
    "JobStarted",
    "LiveView",
    "live_job",
    "live_view",
    "registration_job",
    "run_job",
    "sequence_registration_job",
    "track_corrected_job",
    "track_job",
]
