"""A cohort of one case, the simulated liver, for the module's test."""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.cohort.case_run import CASES, run_case
from UltrasoundMotionLib.cohort.manifest import read_manifest, write_manifest
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.tracking.files.query_points_file import write_query_points
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess
from UltrasoundMotionModuleLib.shared.sample_data import LIVER


def runSampleCohort(folder: Path) -> str:
    """Tracks the sample's vessels as a case of a cohort whose results are `folder`; returns the case's name."""
    from UltrasoundMotionLib.cli.main import main

    if not LIVER.isStored:
        LIVER.store(run_job(LIVER.request(), sharedProcess().process))
    truth = LIVER.read().truth
    chosen = [number for number, label in enumerate(truth.labels) if label.startswith(LIVER.points)]
    write_query_points(
        folder / "points.csv", [truth.labels[number] for number in chosen], truth.positions_px[0, chosen]
    )
    manifest = folder / "manifest.csv"
    write_manifest(manifest, [{"case": LIVER.kind, "input": str(LIVER.clipFile), "points": "points.csv"}])
    (folder / CASES).mkdir()
    (case,) = read_manifest(manifest)
    record = run_case(case, folder, main)
    if record.reason:
        raise InputError(record.reason)
    return record.name
