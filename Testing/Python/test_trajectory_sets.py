"""Sets of users' own trajectories: reading, division by patients, trackers run on them, strain against an expert's."""

import json

import numpy as np
import pytest

from trajectory_samples import FRAMES, SIDE, tracks_text, write_set
from UltrasoundMotionLib import ImageSequence, write_sequence
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.gls_agreement import compare_gls, compare_repeats, read_gls_table
from UltrasoundMotionLib.tracking.files.trajectory_set import read_trajectory_set


@pytest.fixture
def folder(tmp_path):
    return write_set(tmp_path / "set")


def test_no_patient_is_on_both_sides_of_the_split(folder):
    found = read_trajectory_set(folder)
    assert found.patients == ("anna", "bert", "cleo")
    for seed in range(6):
        learning, held_out = found.split(0.3, seed)
        assert len(held_out.patients) == 1 and not set(learning.patients) & set(held_out.patients)
        assert len(learning.cases) + len(held_out.cases) == 4
    assert len({found.split(0.3, seed)[1].patients for seed in range(6)}) > 1
    with pytest.raises(InputError, match="3 patients, and 3 of them would be held out"):
        found.split(0.95, 0)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("\n9,,P3", "\n10,,P3", "line 41: frame 10, but c0.seq.nrrd has 10 frames"),
        ("\n2,,P1,41.2000,22.0000,1,1", "\n2,,P1,64.2,22,1,1", "line 11: point P1 is visible at .64.2, 22., outside"),
    ],
)
def test_trajectories_that_do_not_fit_their_clip_name_the_line(folder, old, new, complaint):
    path = folder / "c0.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=complaint):
        read_trajectory_set(folder).cases[0].read()


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("c9,dora,none.mp4,c0.csv", "line 6: clip none.mp4: no such file"),
        ("c0,dora,c0.seq.nrrd,c0.csv", "line 6: case c0 is given twice, first on line 2"),
        ("../x,dora,c0.seq.nrrd,c0.csv", "line 6: case names files"),
        ("c9,,c0.seq.nrrd,c0.csv", "line 6: the label is empty"),
    ],
)
def test_a_wrong_line_of_the_table_is_named(folder, row, complaint):
    with (folder / "cases.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(InputError, match=complaint):
        read_trajectory_set(folder)


def test_the_table_of_trackers_has_their_errors_time_and_memory(folder, tmp_path, capsys):
    out = tmp_path / "rows.json"
    arguments = ["evaluate", "tracks", "--dataset", f"D={folder}", "--models", "lucas-kanade", "--json", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "D (3 patients, 4 clips)" in printed and "peak MB" in printed
    (row,) = json.loads(out.read_text())["rows"]
    assert row["annotation_count"] == 4 * 4 * (FRAMES - 1)
    # pixels of images resized to 256 x 256: four times the clip's own
    assert row["median_trajectory_error_px"] < 0.15 * 256 / SIDE and row["delta_avg"] > 0.9
    assert row["seconds_a_clip"] > 0 and row["peak_bytes"] > 20e6
    by_clip, by_patient = row["delta_avg_by_clip"], row["delta_avg_by_patient"]
    assert by_patient["anna"] == pytest.approx((by_clip["c0"] + by_clip["c1"]) / 2)


def test_accuracy_against_the_phase_begins_on_the_frames_of_the_cycle(folder, tmp_path, capsys):
    (folder / "cases.csv").write_text(
        "case,patient,clip,tracks,cycle_start,cycle_end\nc0,anna,c0.seq.nrrd,c0.csv,1,9\n"
    )
    out = tmp_path / "rows.json"
    assert main(["evaluate", "tracks", "--dataset", str(folder), "--phases", "2", "--json", str(out)]) == 0
    assert [row["phase"] for row in json.loads(out.read_text())["rows"]] == [0.0, 0.5]
    printed = capsys.readouterr().out
    assert "set: points at" in printed and "best" in printed
    assert read_trajectory_set(folder).cases[0].frame_at(0.5, FRAMES) == 5


@pytest.mark.slow
def test_weights_that_are_missing_are_told_in_one_line(folder, capsys):
    assert main(["evaluate", "tracks", "--dataset", str(folder), "--models", "specknet=nowhere.safetensors"]) == 2
    assert "nowhere.safetensors" in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--phases", "4"], "--phases: needs --dataset"),
        (["--dataset", "SET", "--truth", "t.csv"], "--truth: does not go with --dataset"),
        (["--dataset", "SET", "--plot", "p.png"], "add --phases"),
        (["--dataset", "SET", "--dataset", "SET"], "two sets are named set"),
        (["--dataset", "SET", "--models", "kcf", "kcf"], "kcf is given twice"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(folder, capsys, arguments, complaint):
    words = [str(folder) if word == "SET" else word for word in arguments]
    tracks = [] if "--dataset" in words else ["a.csv", "--truth", "b.csv"]
    assert main(["evaluate", "tracks", *tracks, *words]) == 2
    assert complaint in capsys.readouterr().err


def test_agreement_of_strain_by_hand():
    reference = {"a": -20.0, "b": -16.0, "c": -18.0, "d": -15.0}
    found = compare_gls("mine", {"a": -19.0, "b": -17.0, "c": -16.0, "d": None}, reference, [("a", "b")])
    assert found.count == 3 and found.missing == ("d",)
    assert found.mad == pytest.approx(4 / 3) and found.bias == pytest.approx(2 / 3)
    deviation = np.std([1, -1, 2], ddof=1)
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * deviation)
    assert found.mad_low <= found.mad <= found.mad_high
    assert found.retest is not None and found.retest.mean_absolute == pytest.approx(2.0)
    retest = compare_repeats({"a": 1.0, "b": 3.0, "c": 5.0, "d": 4.0}, [("a", "b"), ("c", "d")])
    assert retest is not None and retest.deviation == pytest.approx(np.sqrt((4 + 1) / 2 / 2))
    assert retest.smallest_change == pytest.approx(1.96 * np.sqrt(2) * retest.deviation)


def test_strain_as_a_fraction_is_refused(tmp_path):
    path = tmp_path / "gls.csv"
    path.write_text("case,gls_percent\na,-0.185\nb,-0.2\n")
    with pytest.raises(InputError, match="seem to be fractions"):
        read_gls_table(path)


def test_strain_of_tracked_walls_is_compared_with_the_experts(tmp_path, capsys):
    """A half ellipse that shortens by exactly 20 % and back: its own trajectories give that number."""
    root = tmp_path / "walls"
    root.mkdir()
    angle = np.linspace(np.pi, 2 * np.pi, 13)
    size = 1 - 0.2 * np.sin(np.linspace(0, np.pi, FRAMES + 1)) ** 2
    places = 32 + size[:, None, None] * np.stack([14 * np.cos(angle), 22 * np.sin(angle)], axis=-1)
    frames = np.random.default_rng(0).integers(60, 200, (FRAMES + 1, SIDE, SIDE)).astype(np.uint8)
    write_sequence(root / "w.seq.nrrd", ImageSequence(frames, spacing_mm=(1.0, 1.0)))
    (root / "w.csv").write_text(tracks_text(places))
    (root / "cases.csv").write_text(
        f"case,patient,clip,tracks,cycle_start,cycle_end,view\nw,anna,w.seq.nrrd,w.csv,0,{FRAMES},A4C\n"
    )
    (tmp_path / "expert.csv").write_text("case,gls_percent\nw,-19\n")
    out = tmp_path / "gls.json"
    words = ["evaluate", "gls", "--expert", str(tmp_path / "expert.csv"), "--dataset", str(root), "--json", str(out)]
    assert main([*words, "--measured", f"other={tmp_path / 'expert.csv'}"]) == 0
    content = json.loads(out.read_text())
    assert content["measured"]["the sets' trajectories"]["w"] == pytest.approx(-20, abs=0.01)
    by_name = {row["method"]: row for row in content["methods"]}
    assert by_name["the sets' trajectories"]["mad"] == pytest.approx(1, abs=0.01) and by_name["other"]["mad"] == 0
    assert "limits of agreement" in capsys.readouterr().out
