"""The review of a cohort: the list, decisions, corrections of tracks, strain and registrations, and their runs."""

import csv
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from cohort_samples import FRAMES, rows_of, run_cases, wall_tracks, write_clips
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.cohort.decisions import ACCEPTED, CORRECTED, decide, read_decision
from UltrasoundMotionLib.cohort.manifest import manifest_notes, read_manifest
from UltrasoundMotionLib.cohort.review import next_doubtful, read_case, read_review
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking import Correction, read_tracks_csv, write_corrections_csv, write_tracks_csv

pytestmark = pytest.mark.usefixtures("without_pool")


@pytest.fixture
def manifest(tmp_path):
    return write_clips(tmp_path / "in", 3)


@pytest.fixture
def out(manifest, tmp_path):
    """The results of three tracked clips."""
    return run_cases(manifest, tmp_path / "out")


def set_doubts(out, doubts):
    """Writes into the results how doubtful each case is."""
    for path in (out / "cases").glob("*/done.json"):
        doubt = doubts.get(path.parent.name, 0.0)
        content = json.loads(path.read_text()) | {"doubt": doubt, "doubts": ["a: confidence 0.2"] if doubt else []}
        path.write_text(json.dumps(content))


def stamps_of(out):
    return {path.parent.name: path.stat().st_mtime_ns for path in (out / "cases").glob("*/done.json")}


def correct(out, name, x, y):
    one = read_case(out, name)
    corrections = [Correction(FRAMES - 1, "a", (x, y))]
    decide(
        out,
        one.record,
        one.base,
        CORRECTED,
        options={"corrections": "corrections.csv"},
        files={"corrections.csv": lambda path: write_corrections_csv(path, corrections)},
        by="anna",
    )


def test_the_list_has_the_doubtful_cases_first_with_their_reasons_and_files(out, manifest, capsys):
    set_doubts(out, {"case-2": 0.8, "case-1": 0.9})
    assert main(["cohort", "review", str(out)]) == 0
    assert "3 cases: 3 not reviewed" in capsys.readouterr().out
    listed = json.loads((out / "review.json").read_text())
    assert [entry["case"] for entry in listed["cases"]] == ["case-1", "case-2", "case-0"]
    first = listed["cases"][0]
    assert first["why"] == ["a: confidence 0.2"] and first["state"] == "not reviewed" and first["model"]
    assert first["inputs"] == {
        "input": str(manifest.parent / "c1.seq.nrrd"),
        "points": str(manifest.parent / "points.csv"),
    }
    assert (out / first["results"][0]).is_file()
    assert [row["case"] for row in rows_of(out / "review.csv")] == ["case-1", "case-2", "case-0"]
    found = read_review(out)
    assert next_doubtful(found).name == "case-1" and next_doubtful(found, frozenset({"case-1"})).name == "case-2"
    assert next_doubtful(found, frozenset({"case-1", "case-2"})) is None


def test_decisions_are_kept_and_shown_and_hold_for_what_was_looked_at(out, manifest, capsys):
    review = ["cohort", "review", str(out)]
    assert main([*review, "--case", "case-0", "--state", "accept", "--by", "anna", "--note", "follows well"]) == 0
    assert main([*review, "--case", "case-1", "--state", "reject"]) == 0
    assert "1 not reviewed, 1 accepted, 1 rejected" in capsys.readouterr().out
    (accepted,) = [row for row in rows_of(out / "review.csv") if row["state"] == "accepted"]
    assert accepted["by"] == "anna" and accepted["note"] == "follows well" and accepted["at"].startswith("20")
    run = ["cohort", str(manifest), "--out", str(out), "--workers", "1"]
    before = stamps_of(out)
    assert main(run) == 0
    assert stamps_of(out) == before, "a decision alone runs nothing again"
    states = {row["case"]: row["review"] for row in rows_of(out / "summary.csv")}
    assert states == {"case-0": "accepted", "case-1": "rejected", "case-2": "not reviewed"}
    page = (out / "summary.html").read_text()
    assert "1 not reviewed, 1 accepted, 1 rejected" in page
    assert "n = 2<br>" in page and "Without the 1 that were rejected" in page, "rejected cases are not counted"
    # another result is not what was accepted
    write_clips(manifest.parent, 3)
    (manifest.parent / "points.csv").write_text("label,x,y\na,22,24\nb,30,22\n")
    assert main(run) == 0
    assert {row["review"] for row in rows_of(out / "summary.csv")} == {"not reviewed"}
    # the same result again is
    assert main([*review, "--case", "case-0", "--state", "accept", "--quiet"]) == 0
    os.utime(manifest.parent / "points.csv")
    assert main(run) == 0 and stamps_of(out) != before
    assert read_case(out, "case-0").state == ACCEPTED
    assert main([*review, "--case", "case-0", "--state", "reopen", "--quiet"]) == 0
    assert read_case(out, "case-0").state == "not reviewed"


@pytest.mark.parametrize("by_manifest", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_corrected_tracks_come_back_and_only_they_are_run_again(out, manifest, by_manifest, capsys):
    original = (out / "cases" / "case-1" / "tracks.csv").read_bytes()
    points = (manifest.parent / "points.csv").read_bytes()
    before = stamps_of(out)
    correct(out, "case-1", 30.0, 20.0)
    assert [one.state for one in read_review(out)] == ["not reviewed", "not reviewed", "to run"]
    if by_manifest:
        assert main(["cohort", str(manifest), "--out", str(out), "--workers", "1"]) == 0
        assert "(2 before)" in capsys.readouterr().out
    else:
        assert main(["cohort", "review", str(out), "--apply", "--workers", "1"]) == 0
        said = capsys.readouterr().out
        assert "1 cases were run again, 0 of them failed" in said and "2 not reviewed, 1 corrected" in said
    after = stamps_of(out)
    assert {name for name in before if after[name] != before[name]} == {"case-1"}
    tracks = read_tracks_csv(out / "cases" / "case-1" / "tracks.csv")
    assert tracks.positions_px[FRAMES - 1, 0].tolist() == [30.0, 20.0]
    assert (out / "reviewed" / "case-1" / "original" / "tracks.csv").read_bytes() == original
    assert (manifest.parent / "points.csv").read_bytes() == points
    # neither command runs it again, and a second correction keeps the first result
    assert main(["cohort", "review", str(out), "--apply", "--workers", "1"]) == 0
    assert main(["cohort", str(manifest), "--out", str(out), "--workers", "1"]) == 0
    assert stamps_of(out) == after
    assert {row["case"]: row["review"] for row in rows_of(out / "summary.csv")}["case-1"] == "corrected"
    correct(out, "case-1", 31.0, 21.0)
    assert main(["cohort", "review", str(out), "--apply", "--workers", "1"]) == 0
    assert (out / "reviewed" / "case-1" / "original" / "tracks.csv").read_bytes() == original
    # reopened, it is as the manifest asks
    assert main(["cohort", "review", str(out), "--case", "case-1", "--state", "reopen"]) == 0
    assert main(["cohort", "review", str(out), "--apply", "--workers", "1"]) == 0
    assert (out / "cases" / "case-1" / "tracks.csv").read_bytes() == original


def test_a_correction_that_fails_keeps_the_result_before_it_and_is_said(out, capsys):
    correct(out, "case-1", 300.0, 20.0)
    assert main(["cohort", "review", str(out), "--apply", "--workers", "1"]) == 2
    assert "case-1: " in capsys.readouterr().out
    assert (out / "reviewed" / "case-1" / "original" / "tracks.csv").is_file()
    assert not (out / "cases" / "case-1").exists(), "the result of another request is not taken for this one's"
    assert read_case(out, "case-1").state == "to run"
    correct(out, "case-1", 30.0, 20.0)
    assert main(["cohort", "review", str(out), "--apply", "--workers", "1"]) == 0
    assert read_case(out, "case-1").state == CORRECTED


def test_a_correction_is_of_the_request_that_was_corrected(out, manifest):
    correct(out, "case-1", 30.0, 20.0)
    (manifest.parent / "points.csv").write_text("label,x,y\na,22,24\nb,30,22\n")
    assert main(["cohort", str(manifest), "--out", str(out), "--workers", "1", "--quiet"]) == 0
    one = read_case(out, "case-1")
    assert one.state == "not reviewed" and not one.record.correction and one.decision is not None


def test_strain_is_corrected_by_its_tracks_and_follows_tracks_that_were_corrected(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        wall_tracks(tmp_path / "in" / f"{name}.csv")
    table = tmp_path / "in" / "strain.csv"
    table.write_text("case,verb,tracks\na,strain,a.csv\nb,strain,b.csv\n")
    out = tmp_path / "out"
    assert main(["cohort", str(table), "--out", str(out), "--workers", "1", "--quiet"]) == 0
    before = read_case(out, "a").record.measures["gls_percent"]
    one = read_case(out, "a")
    tracks = read_tracks_csv(one.case.files[0])
    first = tracks.positions_px[:1]
    tracks = replace(tracks, positions_px=first + 0.5 * (tracks.positions_px - first))
    decide(
        out,
        one.record,
        one.base,
        CORRECTED,
        options={"tracks": "tracks.csv"},
        files={"tracks.csv": lambda path: write_tracks_csv(path, tracks)},
    )
    stamps = stamps_of(out)
    assert main(["cohort", "review", str(out), "--apply", "--workers", "1", "--quiet"]) == 0
    after = read_case(out, "a")
    assert after.state == CORRECTED and abs(after.record.measures["gls_percent"]) < 0.7 * abs(before)
    assert stamps_of(out)["b"] == stamps["b"]
    # of tracks that have changed, strain is measured again
    wall_tracks(tmp_path / "in" / "b.csv")
    os.utime(tmp_path / "in" / "b.csv", ns=(1, 1))
    assert read_case(out, "b").state == "to run"
    assert main(["cohort", "review", str(out), "--apply", "--workers", "1", "--quiet"]) == 0
    assert stamps_of(out)["b"] != stamps["b"] and read_case(out, "b").state == "not reviewed"
    (tmp_path / "in" / "b.csv").unlink()
    gone = read_case(out, "b")
    assert "no such file" in gone.why_not and gone.case is None
    assert main(["cohort", "review", str(out), "--apply", "--workers", "1"]) == 2


@pytest.mark.slow
def test_a_registration_is_run_with_other_options_and_then_looked_at(tmp_path, capsys):
    import SimpleITK as sitk

    rng = np.random.default_rng(1)
    blob = np.exp(-(((np.mgrid[:24, :24] - 12) / 5.0) ** 2).sum(axis=0)) * 100
    for name, shift in (("fixed", 0), ("moving", 2)):
        image = np.roll(blob, shift, axis=1) + rng.normal(0, 0.5, blob.shape)
        sitk.WriteImage(sitk.GetImageFromArray(image.astype(np.float32)), str(tmp_path / f"{name}.nrrd"))
    table, out = tmp_path / "cases.csv", tmp_path / "out"
    table.write_text("case,verb,fixed,moving,method\np,register,fixed.nrrd,moving.nrrd,demons\n")
    run_cases(table, out)
    review = ["cohort", "review", str(out), "--case", "p", "--state"]
    assert main([*review, "rerun", "--set", "initial_transform=rigid"]) == 0
    assert "1 to run" in capsys.readouterr().out
    assert main(["cohort", "review", str(out), "--apply", "--workers", "1", "--quiet"]) == 0
    one = read_case(out, "p")
    assert one.record.correction == {"initial_transform": "rigid"} and one.state == "not reviewed", "nobody has seen it"
    assert main([*review, "accept", "--quiet"]) == 0
    one = read_case(out, "p")
    assert one.state == ACCEPTED and read_decision(out, "p").options == {"initial_transform": "rigid"}
    assert main(["cohort", str(table), "--out", str(out), "--workers", "1"]) == 0
    assert "(1 before)" in capsys.readouterr().out, "an accepted correction stays in the results"
    assert main([*review, "rerun", "--set", "colour=red"]) == 2
    assert "register has no option colour" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "give the folder of the results"),
        (["OUT/none"], "is no folder of a cohort's results"),
        (["OUT", "--case", "case-0"], "--case and --state go together"),
        (["OUT", "--state", "accept"], "--case and --state go together"),
        (["OUT", "--case", "none", "--state", "accept"], "no case none is finished"),
        (["OUT", "--case", "case-0", "--state", "accept", "--set", "model=x"], "--set COLUMN=VALUE and --state rerun"),
        (["OUT", "--case", "case-0", "--state", "rerun"], "--set COLUMN=VALUE and --state rerun"),
        (["OUT", "--case", "case-0", "--state", "rerun", "--set", "model"], "expected COLUMN=VALUE"),
        (["OUT", "--note", "x"], "needs --case NAME --state STATE"),
    ],
)
def test_a_review_that_makes_no_sense_is_refused_in_a_line(out, words, complaint, capsys):
    capsys.readouterr()
    assert main(["cohort", "review", *(word.replace("OUT", str(out)) for word in words)]) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1
    assert not (out / "reviewed").exists() or not list((out / "reviewed").glob("*/decision.json"))


def test_a_decision_that_cannot_be_read_is_said(out, manifest, capsys):
    (out / "reviewed" / "case-0").mkdir(parents=True)
    (out / "reviewed" / "case-0" / "decision.json").write_text('{"state": "perhaps"}')
    for words in (["cohort", "review", str(out)], ["cohort", str(manifest), "--out", str(out)]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "decision.json: holds no decision of a review" in said and said.count("\n") == 1
    assert main(["cohort", str(manifest), "--out", str(out), "--apply"]) == 2
    assert "--apply: is an option of `cohort review OUT`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sizes", "notes"),
    [
        (["0.3 0.3", "0.3 0.3", "0.3 0.3"], []),
        (["", "", ""], []),
        (["0.3 0.3", "", "0.2 0.2"], ["1 of 3 cases of track have none (case-1)"]),
        (["0.3 0.3", "30 30", "0.2 0.2"], ["30 to 30 mm for a pixel of case-1 is not that of an ultrasound image"]),
        (["0.3 0.3", "0.02 0.02", "0.2 0.2"], ["0.02 mm in case-1 but 0.3 mm in case-0; are both in mm?"]),
    ],
)
def test_pixel_sizes_that_are_probably_not_meant_are_said(manifest, sizes, notes):
    lines = list(csv.reader(manifest.read_text().splitlines()))
    manifest.write_text(
        "case,input,points,spacing_mm\n"
        + "".join(f"{','.join(line)},{size}\n" for line, size in zip(lines[1:], sizes, strict=True))
    )
    found = manifest_notes(read_manifest(manifest))
    assert len(found) == len(notes) and all(note in line for note, line in zip(notes, found, strict=True))


def test_a_reviewers_file_that_is_gone_is_said(out):
    correct(out, "case-1", 30.0, 20.0)
    (out / "reviewed" / "case-1" / "corrections.csv").unlink()
    one = read_case(out, "case-1")
    assert "no such file" in one.why_not and one.state == "to run"
    with pytest.raises(InputError, match="no case case-9"):
        read_case(out, "case-9")
