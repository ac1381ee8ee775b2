"""The capabilities of the child process, one file each with the job, the run and the result."""
