"""`benchmark cohort`: both ways of running give the same results, and its figures are of what was run."""

import json

import pytest

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.cohort.manifest import read_manifest
from UltrasoundMotionLib.lab.benchmarks.cohort import (
    CohortRow,
    cohort_targets,
    cost_model,
    run_by_pool,
    run_in_one_process,
    write_cohort,
)


def test_both_ways_write_the_same_tracks(tmp_path):
    cases = read_manifest(write_cohort(tmp_path / "clips", 3, frames=4, size_px=48, points=3))
    alone = run_in_one_process(cases, tmp_path / "alone")
    pooled = run_by_pool(cases, tmp_path / "pool", 1)
    for name in ("case-0", "case-1"):
        one, other = (tmp_path / way / "cases" / name / "tracks.csv" for way in ("alone", "pool"))
        assert one.read_bytes() == other.read_bytes() and one.read_bytes().count(b"\n") == 1 + 4 * 3
    assert alone.run == "one process" and pooled.run == "1 workers"
    assert alone.case_s > 0 and alone.between_s > 0 and pooled.fixed_s > 0 and pooled.peak_mb > 20
    assert alone.disk_kb == pytest.approx(pooled.disk_kb) and alone.disk_kb > 1


def test_targets_compare_runs_in_turn_and_the_cost_is_that_of_so_many_cases():
    rows = [
        CohortRow("one process", 10.0, 0.1, 0.004, 1.0, 1, 80.0, 16.0),
        CohortRow("2 workers", 5.0, 0.1, 0.004, 11.0, 2, 80.0, 16.0),
    ]
    clock, processor, overhead = cohort_targets(rows)
    assert clock.measured == "2.00 x" and clock.met and processor.met and overhead.measured == "4.0 %"
    assert float(processor.measured.split()[0]) == pytest.approx(2 * (104 + 1) / (104 + 11), abs=0.01)
    assert cost_model(rows[1]) == (
        "100000 such cases: 2.89 hours of one core, 1.6 GB of results, 80 MB of memory for each process"
    )


@pytest.mark.slow
def test_the_command_prints_table_goals_and_cost(tmp_path, capsys):
    words = ["benchmark", "cohort", "--cases", "4", "--frames", "4", "--size", "48", "--repeats", "1"]
    assert main([*words, "--json", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr().out
    assert "throughput by processor time" in said and "100000 such cases" in said
    assert len(json.loads((tmp_path / "out.json").read_text())["rows"]) == 2
