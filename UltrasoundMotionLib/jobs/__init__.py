"""Long work in a child process that is kept warm: the application stays alive, and neither a crash nor a full memory
takes it down.

    from UltrasoundMotionLib.jobs import JobProcess, run_job, track_request

    tracks = run_job(track_request(sequence, query_points))       # waits; or JobProcess().submit(...) and poll()

Nothing here imports torch, slicer or qt; what a capability needs is imported by its file in the child.
"""

from UltrasoundMotionLib.jobs.capabilities.register import registration_request
from UltrasoundMotionLib.jobs.capabilities.register_sequence import sequence_registration_request
from UltrasoundMotionLib.jobs.capabilities.track import track_request
from UltrasoundMotionLib.jobs.events import JobCancelled, JobEvent, JobFailed, JobFinished, JobProgress, JobStarted
from UltrasoundMotionLib.jobs.job import Job, JobRequest
from UltrasoundMotionLib.jobs.job_process import JobProcess
from UltrasoundMotionLib.jobs.run_job import run_job

__all__ = [
    "Job",
    "JobCancelled",
    "JobEvent",
    "JobFailed",
    "JobFinished",
    "JobProcess",
    "JobProgress",
    "JobRequest",
    "JobStarted",
    "registration_request",
    "run_job",
    "sequence_registration_request",
    "track_request",
]
