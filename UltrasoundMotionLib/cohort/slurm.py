"""The engine `slurm`: the parts of a cohort as one array of jobs, submitted through submitit."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import InputError, MissingPackageError

LOGS = "slurm"


def submit_parts(
    manifest: Path,
    out: Path,
    parts: int,
    *,
    workers: int = 1,
    settings: Mapping[str, Any] | None = None,
    cluster: str = "slurm",
) -> list[str]:
    """Submits one job for each part; each runs `cohort MANIFEST --out OUT --part K/N`.

    Args:
        workers: processes of a job, which is also the number of cores that it asks for.
        settings: of submitit's `AutoExecutor.update_parameters`, such as {"slurm_partition": "cpu"}.
        cluster: of submitit; "slurm", or "local" and "debug" for a test without a cluster.

    Returns:
        The identifiers of the jobs.

    Raises:
        MissingPackageError: submitit is not installed.
        InputError: settings that it does not know, or no SLURM on this machine.
    """
    try:
        import submitit
    except ImportError as error:
        raise MissingPackageError("--engine slurm needs submitit: pip install submitit") from error
    try:
        executor = submitit.AutoExecutor(folder=out / LOGS, cluster=cluster)
        executor.update_parameters(cpus_per_task=workers, name="ultrasound-motion", **(settings or {}))
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise InputError(f"--engine slurm: {str(error).splitlines()[0]}") from error
    lines = [part_command(manifest, out, part, parts, workers) for part in range(1, parts + 1)]
    with executor.batch():
        jobs = [executor.submit(submitit.helpers.CommandFunction(line)) for line in lines]
    return [str(job.job_id) for job in jobs]


def part_command(manifest: Path, out: Path, part: int, parts: int, workers: int) -> list[str]:
    """Returns the command line of one part, which any scheduler can run."""
    words: Sequence[str] = ("cohort", str(manifest), "--out", str(out), "--part", f"{part}/{parts}")
    return [sys.executable, "-m", "UltrasoundMotionLib", *words, "--workers", str(workers), "--quiet"]


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Reads settings given as NAME=VALUE; whole numbers become numbers.

    Raises:
        InputError: a text without `=`.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError(f"--slurm {text}: expected NAME=VALUE, such as slurm_partition=cpu or timeout_min=120")
        settings[name] = int(value) if value.isdecimal() else value
    return settings
