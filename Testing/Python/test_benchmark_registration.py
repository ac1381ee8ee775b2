"""`benchmark registration`: wrong requests in one line, rows that outlive an interruption, and real rows on public data
where it is at hand.
"""

import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks import refinement
from UltrasoundMotionLib.lab.benchmarks.peers import find_peer
from UltrasoundMotionLib.lab.benchmarks.registration import benchmark
from UltrasoundMotionLib.lab.benchmarks.registration.benchmark import default_methods, registration_result
from UltrasoundMotionLib.lab.benchmarks.registration.pair_rows import MethodResult, PairResult
from UltrasoundMotionLib.lab.benchmarks.registration.runner import (
    kept_rows,
    method_call,
    method_settings,
    row_file,
    run_method,
    run_pairs,
)
from UltrasoundMotionLib.lab.benchmarks.registration.targets import learned_targets
from UltrasoundMotionLib.lab.registration_datasets import LabelledImage, RegistrationPair
from UltrasoundMotionLib.registration.working_pair import WorkingPair


def row(pair, dice, nonpositive=0.0, seconds=0.5):
    return PairResult(
        pair, {1: dice, 2: dice}, {1: 1.0, 2: float("inf")}, 0.2, nonpositive, 0.3, nonpositive, seconds, seconds, 1000
    )


def refused(capsys, *arguments):
    assert main(["benchmark", "registration", *map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    return said[0]


def test_wrong_requests_are_named(capsys, tmp_path):
    said = refused(capsys, "nonsense", "--data", tmp_path)
    assert "nonsense" in said
    assert "acdc-published" in said
    assert "sometimes" in refused(capsys, "acdc", "--data", tmp_path, "--part", "sometimes")
    assert "hippocampus-one-atlas" in refused(capsys, "acdc", "--data", tmp_path, "--atlas", "hippocampus_001")
    assert "own, whole, changing, labels, got 'heart'" in refused(
        capsys, "acdc", "--data", tmp_path, "--region", "heart"
    )
    assert str(tmp_path / "no" / "r.jsonl") in refused(
        capsys, "acdc", "--data", tmp_path, "--rows", tmp_path / "no" / "r.jsonl"
    )


def test_settings_of_a_method():
    assert method_settings("ours:instance") == ("instance", {})
    assert method_settings("ours:anatomy-guided:refine=no,model=semantic-cardiac,steps=20") == (
        "anatomy-guided",
        {"refine": False, "model": "semantic-cardiac", "steps": 20},
    )
    with pytest.raises(InputError, match="refine"):
        method_settings("ours:anatomy-guided:refine")


def test_rows_outlive_an_interruption(tmp_path):
    kept = row_file(tmp_path / "rows.jsonl", {"method": "greedy", "part": "held-out"})
    other = row_file(kept.path, {"method": "ants", "part": "held-out"})
    kept.append(row("a", 0.7))
    other.append(row("a", 0.6))
    with kept.path.open("a") as file:
        file.write('{"run": {"method": "gre')  # the power went
    kept.append(row("b", 0.8))
    assert kept.read() == {"a": row("a", 0.7), "b": row("b", 0.8)}
    assert other.read() == {"a": row("a", 0.6)}
    with pytest.raises(InputError, match="line 1"):
        (tmp_path / "other.jsonl").write_text("[1]\n")
        row_file(tmp_path / "other.jsonl", {}).read()


def test_rows_of_the_former_name_of_a_part_are_found(tmp_path):
    before = row_file(tmp_path / "rows.jsonl", {"method": "greedy", "part": "left-aside"})
    now = row_file(before.path, {"method": "greedy", "part": "untuned"})
    before.append(row("a", 0.7))
    before.append(row("b", 0.6))
    now.append(row("b", 0.8))
    assert kept_rows(now) == {"a": row("a", 0.7), "b": row("b", 0.8)}
    assert kept_rows(row_file(before.path, {"method": "greedy", "part": "tuned"})) == {}


def test_only_what_is_missing_is_run(tmp_path, capsys):
    kept = row_file(tmp_path / "rows.jsonl", {})
    pair = type("Pair", (), {"name": "a"})()  # nothing of it may be looked at: its row is kept
    kept.append(row("a", 0.7))
    assert run_pairs("ours:no-such-method", [pair], kept) == [row("a", 0.7)]
    assert capsys.readouterr().err == ""


def test_default_methods_are_all_that_are_registered():
    from UltrasoundMotionLib.registration.registry import available_methods

    chosen = default_methods()
    assert chosen[0] == "unregistered"
    assert {name.removeprefix("ours:") for name in chosen} == {
        *("unregistered", "ants", "ants-cc", "ants-bspline", "convexadam", "demons", "elastix", "fireants", "greedy"),
        *("greedy-affine", "niftyreg", "unigradicon"),
        *(method.name for method in available_methods() if method.installed),
    } - {"ssmsr", "ssr"}  # hours for a pair: they run when they are named
    assert len(chosen) == len({name.removeprefix("ours:") for name in chosen})
    assert all(callable(method_call(name)) for name in chosen)


def test_of_the_default_methods_ours_that_cannot_register_are_rows_and_a_named_one_is_an_error(monkeypatch, tmp_path):
    def run_in_child(module, arguments, environment, on_line):
        method, *_ = arguments
        if method == "ours:label-transfer":
            raise InputError("label-transfer knows no such images")
        if method == "ants":
            return {"missing": "pip install antspyx"}
        return {"rows": json.loads(json.dumps([asdict(row("a", 0.7))]))}

    monkeypatch.setattr(benchmark, "run_in_child", run_in_child)
    measured = {one.method: one for one in benchmark.benchmark_registration(tmp_path, "acdc").rows}
    assert tuple(measured) == default_methods()
    assert measured["ours:label-transfer"].missing == "label-transfer knows no such images"
    assert measured["ants"].missing == "pip install antspyx"
    assert measured["greedy"].pairs == (row("a", 0.7),)
    with pytest.raises(InputError, match="knows no such images"):
        benchmark.benchmark_registration(tmp_path, "acdc", methods=["greedy", "ours:label-transfer"])


def test_a_method_that_is_missing_is_a_row_that_says_how_to_get_it():
    found = registration_result(
        [
            MethodResult("greedy", (row("a", 0.7), row("b", 0.5))),
            MethodResult("ours:instance", (row("a", 0.75), row("b", 0.65))),
            MethodResult("ants", (), "comparing with antspyx needs it: pip install it"),
        ],
        "hippocampus-random",
        threads=1,
        part="untuned",
        atlas=None,
    )
    header, _, greedy, instance, ants = found.table().splitlines()
    assert header.split()[-6:] == ["greedy", "95", "%", "interval", "Wilcoxon", "p"]
    assert instance.endswith("+0.100  +0.050 to +0.150         0.5")
    assert greedy.split()[-3:] == ["-", "-", "-"]
    assert "skipped: comparing with antspyx needs it: pip install it" in ants
    content = found.as_dict()
    assert [one["method"] for one in content["methods"]] == ["greedy", "ours:instance", "ants"]
    assert content["methods"][2]["missing"].endswith("pip install it")
    assert content["methods"][1]["cases"]["difference"]["mean"] == pytest.approx(0.1)


def test_goals_of_the_learned_methods():
    def met(protocol, *methods):
        return {target.what.split(": ", maxsplit=1)[1]: target.met for target in learned_targets(protocol, methods)}

    plain = MethodResult("ours:anatomy-guided:refine=no", (row("a", 0.84), row("b", 0.87)))
    folded = MethodResult("ours:anatomy-guided:refine=no", (row("a", 0.84, 0.003, 1.5),))
    refined = MethodResult("ours:anatomy-guided:refine=yes", (row("a", 0.9, seconds=8.0),))
    assert met("hippocampus-random", plain, refined) == {
        "anatomy-guided:refine=no: Dice": True,
        "anatomy-guided:refine=no: non-positive Jacobians": True,
        "anatomy-guided:refine=no: processor seconds a pair": True,
        "anatomy-guided:refine=yes: Dice": True,
        "anatomy-guided:refine=yes: non-positive Jacobians": True,
    }
    assert set(met("acdc", folded).values()) == {False}
    best = MethodResult("greedy", (row("a", 0.85),))
    ours = MethodResult("ours:ltnet:refine=no", (row("a", 0.84),))
    assert not met("hippocampus-one-atlas", best, ours)["ltnet:refine=no: Dice"]
    assert met("hippocampus-random", best, ours) == {}


def test_the_seconds_and_memory_of_a_peers_programs_count():
    """NiftyReg works in programs of its own, whose time the process that waits for them does not spend."""
    labels = np.ones((8, 8, 8), np.uint8)
    one = LabelledImage(*(Volume(array, (1.0,) * 3, (0.0,) * 3, np.eye(3)) for array in (labels * 1.0, labels)))
    burn = "import time; held = b'x' * 300_000_000\nwhile time.process_time() < 0.6: pass"

    def call(fixed, moving):
        subprocess.run([sys.executable, "-c", burn], check=True)
        return DisplacementField.zero(ImageGrid.of(fixed))

    measured = run_method(call, RegistrationPair("a", one, one))
    assert measured.processor_seconds >= 0.6
    assert measured.peak_bytes > 300_000_000


@pytest.mark.slow
def test_rows_of_a_real_patient(capsys, tmp_path, shared_data):
    data, out, kept = shared_data("acdc"), tmp_path / "rows.json", tmp_path / "rows.jsonl"
    assert (
        main(
            [
                "benchmark",
                "registration",
                "acdc",
                "--data",
                str(data),
                "--methods",
                "unregistered",
                "ours:nothing",
                "--pairs",
                "1",
            ]
        )
        == 2
    )
    assert "nothing" in capsys.readouterr().err
    for protocol in ("acdc", "acdc-published"):
        arguments = [
            "benchmark",
            "registration",
            protocol,
            "--data",
            str(data),
            "--methods",
            "unregistered",
            "--pairs",
            "1",
        ]
        assert main([*arguments, "--json", str(out), "--rows", str(kept)]) == 0
        (measured,) = json.loads(out.read_text())["methods"][0]["pairs"]
        assert 0.2 < measured["dice"]["LV"] < 0.95
        assert measured["nonpositive"] == 0
        captured = capsys.readouterr()
        assert "unregistered" in captured.out
        assert captured.err.startswith(f"unregistered: {measured['pair']} (1 of 1): Dice ")
    assert len(kept.read_text().splitlines()) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["demons", "convexadam", "elastix", "greedy", "greedy-affine", "fireants", "niftyreg", "niftyreg-published"],
)  # ANTs takes minutes
def test_a_peer_finds_a_known_motion_of_an_oblique_grid(name):
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0.0], [np.sin(0.3), np.cos(0.3), 0.0], [0.0, 0.0, 1.0]])
    blobs = gaussian_filter(np.random.default_rng(0).normal(size=(36, 40, 38)), 2.5).astype(np.float32)
    fixed = Volume(blobs - blobs.min(), (1.0, 1.2, 1.5), (5.0, -3.0, 2.0), turn, "blobs")
    wanted = np.array([2.0, -1.5, 1.0])  # LPS mm: fixed(x) = moving(x + wanted)
    grid = ImageGrid.of(fixed)
    moving = DisplacementField(np.broadcast_to(-wanted, (*grid.shape, 3)).copy(), grid).warp(fixed)
    try:
        found = find_peer(name, "registration").call(fixed, moving)
    except MissingPackageError as error:
        pytest.skip(str(error))
    inside = found.displacement_mm[8:-8, 8:-8, 8:-8].reshape(-1, 3)
    assert np.abs(inside.mean(axis=0) - wanted).max() < 0.3


def test_refinement_is_measured_on_its_own_grid(monkeypatch):
    labels = np.zeros((12, 14), np.uint8)
    labels[4:8, 3:9] = 1
    place = (1.0, 1.0), (0.0, 0.0), np.eye(2)
    fixed, moving = (
        LabelledImage(Volume(array.astype(np.float32), *place), Volume(array, *place))
        for array in (labels, np.roll(labels, 2, axis=1))
    )
    pair = RegistrationPair("square", fixed, moving)
    images = [torch.from_numpy(one.image.array)[None, None] for one in (fixed, moving)]
    working = WorkingPair(*images, None, None, ImageGrid.of(fixed.image))
    shifts = {"in turns": 2.0, "at once": 0.0}

    def prepared(pair, settings, weights):
        return working, lambda way: torch.tensor([shifts[way], 0.0]).view(1, 2, 1, 1).expand(1, 2, 12, 14).contiguous()

    monkeypatch.setattr(refinement, "_prepared", prepared)
    rows = {row.way: row for row in refinement.measure_refinement([pair]).rows}
    assert rows["in turns"].dice == {"square": 1.0}
    assert rows["at once"].dice["square"] == pytest.approx(4 / 6)
    assert rows["in turns"].std_log_jacobian == rows["in turns"].nonpositive == 0
