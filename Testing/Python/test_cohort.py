"""Cohorts: manifests, cases in folders of their own, resuming, failures, crashes, parts, tables and SLURM."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cohort_samples import FRAMES, SIDE, rows_of, run_cases, write_clips
from trajectory_samples import speckle_clip
from UltrasoundMotionLib import ImageSequence, write_sequence
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.cohort.case_run import finished, run_case
from UltrasoundMotionLib.cohort.manifest import read_manifest
from UltrasoundMotionLib.cohort.pool import run_pool
from UltrasoundMotionLib.cohort.run import run_cohort
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.exchange.labels.chords import contour_of_chords
from UltrasoundMotionLib.exchange.labels.mask_contours import contour_of_cavity
from waiting import wait_until


@pytest.fixture
def manifest(tmp_path):
    return write_clips(tmp_path / "in", 3)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of clips that no test changes."""
    return write_clips(tmp_path_factory.mktemp("clips"), 3).parent


def test_cases_are_run_as_the_command_line_runs_them_and_not_again(manifest, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["cohort", str(manifest), "--out", str(out), "--workers", "1"]
    with manifest.open("a") as file:
        file.write("broken,points.csv,points.csv\n")
    assert main(words) == 2
    printed = capsys.readouterr().out
    assert "3 of 4 cases finished (0 before), 1 failed" in printed
    (failure,) = rows_of(out / "failures.csv")
    assert failure["case"] == "broken" and "points.csv" in failure["reason"] and "\n" not in failure["reason"]
    assert not (out / "cases" / "broken").exists()
    assert (out / "failed" / "broken.txt").read_text().splitlines()[0] == failure["reason"]
    record = json.loads((out / "cases" / "case-0" / "done.json").read_text())
    assert record["name"] == "case-0" and (out / "cases" / "case-0" / "log.txt").is_file()
    alone = tmp_path / "alone.csv"
    one = ["track", str(manifest.parent / "c1.seq.nrrd"), "--points", str(manifest.parent / "points.csv"), "--out"]
    assert main([*one, str(alone), "--quiet"]) == 0
    assert (out / "cases" / "case-1" / "tracks.csv").read_bytes() == alone.read_bytes()
    measures = {(row["case"], row["measure"]): float(row["value"]) for row in rows_of(out / "summary.csv")}
    assert measures["case-0", "frames"] == FRAMES and 0 <= measures["case-2", "visible_share"] <= 1
    page = (out / "summary.html").read_text()
    assert "4 cases" in page and "broken" in page and page.count("data:image/png;base64") == 3
    stamps = {path: path.stat().st_mtime_ns for path in (out / "cases").glob("case-*/done.json")}
    assert main(words) == 2 and "(3 before)" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    # a changed input, a damaged result: these cases only
    frames = speckle_clip(9, 0.4)[0][:FRAMES, :SIDE, :SIDE]
    write_sequence(manifest.parent / "c0.seq.nrrd", ImageSequence(frames))
    with (out / "cases" / "case-1" / "tracks.csv").open("a") as file:
        file.write("x")
    main(words)
    changed = {path.parent.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {"case-0", "case-1"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("case,input,points,colour\na,c0.seq.nrrd,points.csv,red\n", "line 1: unknown column 'colour'"),
        ("input,points\nc0.seq.nrrd,points.csv\n", "line 1: has no column case"),
        ("case,input,points\na,c0.seq.nrrd,points.csv\na,c0.seq.nrrd,points.csv\n", "line 3: case a is given twice"),
        ("case,input,points\na,c0.seq.nrrd,points.csv\nA,c0.seq.nrrd,points.csv\n", "differ in capitals only"),
        ("case,input,points\n../a,c0.seq.nrrd,points.csv\n", "line 2: case names a folder"),
        ("case,input,points\na,none.mp4,points.csv\n", "line 2: input: .*none.mp4: no such file"),
        ("case,input\na,c0.seq.nrrd\n", "line 2: track needs points"),
        ("case,verb,input\na,paint,c0.seq.nrrd\n", "line 2: verb must be one of track, strain, register"),
        (
            "case,verb,fixed,moving,points\na,register,c0.seq.nrrd,c0.seq.nrrd,points.csv\n",
            "register has no option points",
        ),
        ("case,input,points,offline\na,c0.seq.nrrd,points.csv,maybe\n", "line 2: offline must be yes or no"),
        ("case,input,points\n", "holds no case"),
        ("case,input,points\ncon.1,c0.seq.nrrd,points.csv\n", "case names a folder, so it cannot be 'con.1'"),
        ("case,input,points\na.,c0.seq.nrrd,points.csv\n", "case names a folder, so it cannot be 'a.'"),
        (
            "case,input,points\na,none.mp4,points.csv\nb,c0.seq.nrrd,points.csv\nc,no.mp4,points.csv\n"
            "b,c1.seq.nrrd,points.csv\n",
            r"line 2: input: .*none.mp4: no such file \(and 2 more lines have faults: 4, 5\)",
        ),
    ],
)
def test_a_manifest_is_checked_whole_before_anything_runs(clips, text, complaint):
    manifest = clips / "checked.csv"
    manifest.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_manifest(manifest)


def test_parquet_is_read_as_the_csv_is(manifest, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    manifest.write_text("case,input,points,spacing_mm,offline\na,c0.seq.nrrd,points.csv,0.5 0.25,yes\n")
    table = {
        "case": ["a"],
        "input": ["c0.seq.nrrd"],
        "points": ["points.csv"],
        "spacing_mm": [[0.5, 0.25]],
        "offline": [True],
    }
    path = manifest.with_suffix(".parquet")
    parquet.write_table(pyarrow.table(table), path)
    assert [case.words for case in read_manifest(path)] == [case.words for case in read_manifest(manifest)]
    assert "--offline" in read_manifest(path)[0].words


def die_on_one(words):
    """Runs a case, but one of them takes its process with it."""
    if any("c1.seq.nrrd" in word for word in words):
        os.kill(os.getpid(), signal.SIGKILL)
    return main(words)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="processes are killed by a signal here")
def test_a_process_that_dies_takes_one_case_with_it(manifest, tmp_path):
    out = tmp_path / "out"
    (out / "cases").mkdir(parents=True)
    records = []
    run_pool(read_manifest(manifest), out, die_on_one, workers=2, on_record=records.append)
    reasons = {record.name: record.reason for record in records}
    assert sorted(record.name for record in records) == ["case-0", "case-1", "case-2"], "every case once"
    assert "crashed or was killed" in reasons["case-1"] and not reasons["case-0"] and not reasons["case-2"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the run is killed by a signal here")
def test_a_run_that_is_killed_ten_times_does_every_case_once_and_none_by_half(tmp_path):
    """Killed at random moments, some before the first case and some between two; then it goes on to its end."""
    manifest, out = write_clips(tmp_path / "in", 24), tmp_path / "out"
    words = [sys.executable, "-m", "UltrasoundMotionLib", "cohort", str(manifest), "--out", str(out), "--workers", "2"]
    cases, random = read_manifest(manifest), np.random.default_rng(3)
    stamps: dict[Path, int] = {}
    for number in range(10):
        child = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        wanted = len(stamps) + 2 * (number % 2)
        wait_until(
            lambda child=child, wanted=wanted: (
                child.poll() is not None or len(list(out.glob("cases/case-*/done.json"))) >= wanted
            )
        )
        time.sleep(random.uniform(0, 0.3))
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if not out.exists():
            continue
        folders = [path.name for path in (out / "cases").iterdir() if not path.name.startswith(".")]
        whole = [case.name for case in cases if finished(case, out) is not None]
        assert sorted(folders) == sorted(whole), "a folder under a case's name is a whole result"
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "nothing is done twice"
        stamps = {path: path.stat().st_mtime_ns for path in out.glob("cases/case-*/done.json")}
    assert len(stamps) >= 5
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "nothing is done twice"
    assert len(list(out.glob("cases/case-*/done.json"))) == 24 and not list(out.glob("cases/.partial-*"))
    assert {row["case"] for row in rows_of(out / "summary.csv")} == {case.name for case in cases}


def without_room(words):
    """Runs a case, but the disk is full when the second one is written."""
    if any("c1.seq.nrrd" in word for word in words):
        print(f"ultrasound-motion: error: {words[-1]}: cannot be written: {os.strerror(errno.ENOSPC)}", file=sys.stderr)
        return 2
    return main(words)


def test_a_disk_that_is_full_stops_the_run_in_a_sentence_and_it_goes_on_later(manifest, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(OutputError, match="the disk is full: 1 cases are finished and kept; free some space") as caught:
        run_cohort(read_manifest(manifest), out, without_room, workers=1)
    assert "\n" not in str(caught.value)
    stamp = (out / "cases" / "case-0" / "done.json").stat().st_mtime_ns
    assert not (out / "cases" / "case-1").exists()
    outcome = run_cohort(read_manifest(manifest), out, main, workers=1)
    assert len(outcome.records) == 3 and not outcome.failures
    assert (out / "cases" / "case-0" / "done.json").stat().st_mtime_ns == stamp


def writes_nothing_in(part):
    """A writer for which the disk is full as soon as a file's name has this part."""
    write_text, write_bytes = Path.write_text, Path.write_bytes

    def refuse(write):
        def writes(self, *given, **named):
            if part in self.name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
            return write(self, *given, **named)

        return writes

    return refuse(write_text), refuse(write_bytes)


@pytest.mark.parametrize("part", ["log.txt", "done.json", "csv"])
def test_a_result_that_does_not_fit_leaves_nothing_and_the_one_before_it_stays(manifest, tmp_path, part, monkeypatch):
    out = run_cases(manifest, tmp_path / "out")
    case = read_manifest(manifest)[0]
    before = (out / "cases" / "case-0" / "tracks.csv").read_bytes()
    (out / "cases" / "case-2" / "done.json").unlink()
    for name, write in zip(("write_text", "write_bytes"), writes_nothing_in(part), strict=True):
        monkeypatch.setattr(Path, name, write)
    for one in (case, read_manifest(manifest)[2]):
        record = run_case(one, out, main)
        assert os.strerror(errno.ENOSPC) in record.reason and "\n" not in record.reason
    monkeypatch.undo()
    assert not list((out / "cases").glob(".*")), "nothing half written"
    assert (out / "cases" / "case-0" / "tracks.csv").read_bytes() == before and finished(case, out) is not None
    assert finished(read_manifest(manifest)[2], out) is None, "a result without its record is none"


@pytest.mark.usefixtures("without_pool")
def test_an_input_that_goes_while_the_cohort_runs_fails_its_case_alone(manifest, tmp_path):
    cases, out = read_manifest(manifest), tmp_path / "out"
    (manifest.parent / "c1.seq.nrrd").unlink()
    outcome = run_cohort(cases, out, main, workers=1)
    (failure,) = outcome.failures
    assert failure.name == "case-1" and "c1.seq.nrrd" in failure.reason and len(outcome.records) == 3


@pytest.mark.slow
def test_parts_make_a_whole(manifest, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["cohort", str(manifest), "--out", str(out), "--workers", "1"]
    assert main([*words, "--part", "1/2"]) == 0
    assert sorted(path.name for path in (out / "cases").iterdir()) == ["case-0", "case-2"]
    assert not (out / "summary.csv").exists()
    assert main(["cohort", "summary", str(manifest), "--out", str(out)]) == 2
    assert main([*words, "--part", "2/2"]) == 0
    assert main(["cohort", "summary", str(manifest), "--out", str(out)]) == 0
    assert "3 of 3 cases finished" in capsys.readouterr().out


@pytest.mark.slow
def test_the_commands_of_the_schedulers_in_the_documentation_run(manifest, tmp_path, monkeypatch):
    """The lines that Snakemake and Nextflow run, with their placeholders filled in."""
    page = (Path(__file__).parents[2] / "Docs" / "how-to" / "run-a-cohort.md").read_text()
    lines = re.findall(r'(?:shell|script): "ultrasound-motion ([^"]*)"', page)
    assert len(lines) == 4
    (tmp_path / "cases.csv").write_text(
        manifest.read_text().replace(",c", ",in/c").replace(",points.csv", ",in/points.csv")
    )
    monkeypatch.chdir(tmp_path)
    for part, whole in (lines[:2], lines[2:]):
        for number in (1, 2):
            filled = part.replace("{wildcards.k}/50", f"{number}/2").replace("$k/50", f"{number}/2")
            assert main(filled.replace("$launchDir", str(tmp_path)).split()) == 0
        assert main(whole.replace("$launchDir", str(tmp_path)).split()) == 0
        assert len({row["case"] for row in rows_of(tmp_path / "RESULTS" / "summary.csv")}) == 3
        shutil.rmtree(tmp_path / "RESULTS")


@pytest.mark.slow
def test_the_parts_are_submitted_as_an_array_of_jobs(manifest, tmp_path):
    pytest.importorskip("submitit")
    from UltrasoundMotionLib.cohort.slurm import parse_settings, submit_parts

    out = tmp_path / "out"
    out.mkdir()
    jobs = submit_parts(manifest, out, 2, settings={"timeout_min": 5}, cluster="local")
    assert len(jobs) == 2
    wait_until(lambda: len(list(out.glob("cases/case-*/done.json"))) == 3)
    assert main(["cohort", "summary", str(manifest), "--out", str(out), "--quiet"]) == 0
    assert parse_settings(["timeout_min=120", "slurm_partition=cpu"]) == {"timeout_min": 120, "slurm_partition": "cpu"}
    with pytest.raises(InputError, match="expected NAME=VALUE"):
        parse_settings(["cpu"])
    with pytest.raises(InputError, match="--engine slurm"):
        submit_parts(manifest, out, 2, settings={"no_such_setting": 1}, cluster="debug")


def test_a_folder_of_clips_becomes_a_manifest(manifest, tmp_path, capsys):
    folder = manifest.parent
    assert main(["cohort", "scan", str(folder), "--out", str(tmp_path / "found.csv")]) == 2
    assert "3 clips, but no points beside them; c0.seq.nrrd needs c0_points.csv" in capsys.readouterr().err
    for number in range(3):
        (folder / f"c{number}_points.csv").write_text((folder / "points.csv").read_text())
    (folder / "lonely_points.csv").write_text("label,x,y\na,1,1\n")
    path = tmp_path / "found.csv"
    assert main(["cohort", "scan", str(folder), "--out", str(path)]) == 0
    said = capsys.readouterr().out
    assert "wrote 3 cases" in said and "note: left out: lonely" in said
    assert [case.name for case in read_manifest(path)] == ["c0", "c1", "c2"]
    assert main(["cohort", "scan", str(tmp_path / "found.csv"), "--out", str(path)]) == 2


def test_acdc_becomes_registrations_of_systole_onto_diastole(tmp_path):
    import SimpleITK as sitk

    for name in ("patient001", "patient002"):
        folder = tmp_path / "acdc" / "training" / name
        folder.mkdir(parents=True)
        (folder / "Info.cfg").write_text("ED: 1\nES: 12\nGroup: DCM\n")
        for frame in ("01", "12"):
            for ending in ("", "_gt"):
                image = sitk.GetImageFromArray(np.zeros((2, 4, 4), np.int16))
                sitk.WriteImage(image, str(folder / f"{name}_frame{frame}{ending}.nii.gz"))
    path = tmp_path / "acdc.csv"
    assert main(["cohort", "scan", str(tmp_path / "acdc"), "--out", str(path), "--quiet"]) == 0
    cases = read_manifest(path)
    assert [case.verb for case in cases] == ["register"] * 2
    options = dict(cases[0].options)
    assert options["fixed"].endswith("patient001_frame01.nii.gz") and options["moving"].endswith("frame12.nii.gz")
    assert options["moving_labels"].endswith("frame12_gt.nii.gz")


def ventricle(apex_up=True):
    """A half ellipse, from the base on the left over the apex to the base on the right."""
    angle = np.linspace(np.pi, 2 * np.pi, 401)
    sign = 1 if apex_up else -1
    return np.stack([64 + 20 * np.cos(angle), 80 + sign * 50 * np.sin(angle)], axis=1)


def distance_to(curve, points):
    return np.linalg.norm(points[:, None] - curve, axis=2).min(axis=1).max()


@pytest.mark.parametrize("flipped", [False, True])
def test_chords_of_a_traced_ventricle_become_its_wall(flipped):
    depth = np.linspace(0.02, 0.999, 20)
    half = 20 * np.sqrt(1 - depth**2)
    chords = np.stack([64 - half, 80 - 50 * depth, 64 + half, 80 - 50 * depth], axis=1)
    chords = np.concatenate([[[64, 30, 64, 80]], chords[::-1] if flipped else chords])
    found = contour_of_chords(chords)
    assert found.shape == (49, 2) and distance_to(ventricle(), found) < 1.0
    assert found[0, 0] < 50 and found[-1, 0] > 78 and found[24, 1] < 34


def test_the_border_of_a_cavity_becomes_its_wall():
    y, x = np.mgrid[:128, :128]
    above = y <= 80
    cavity = above & (((x - 64) / 20) ** 2 + ((y - 80) / 50) ** 2 < 1)
    muscle = above & (((x - 64) / 30) ** 2 + ((y - 80) / 62) ** 2 < 1) & ~cavity
    mask = cavity + 2 * muscle
    mask[81:100, 44:85] = 3
    found = contour_of_cavity(mask, cavity=1, muscle=2)
    assert distance_to(ventricle(), found) < 1.5 and found[0, 0] < 50 and found[-1, 0] > 78
    with pytest.raises(InputError, match="no border of label 1 with label 2"):
        contour_of_cavity(np.where(mask == 2, 0, mask), cavity=1, muscle=2)
