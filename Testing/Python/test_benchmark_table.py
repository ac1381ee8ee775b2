"""What all benchmarks share: rows that outlive an interruption, one table, statistics over cases, peers that may be
missing, and the list of benchmarks.
"""

import json
import sys
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from UltrasoundMotionLib.errors import InputError, MissingPackageError, OutputError
from UltrasoundMotionLib.evaluation.case_statistics import CaseStatistics, paired_difference
from UltrasoundMotionLib.lab.benchmarks import peers
from UltrasoundMotionLib.lab.benchmarks.landmarks import benchmark_landmarks, landmark_cases
from UltrasoundMotionLib.lab.benchmarks.peers import available_peers, find_peer, import_package, peer
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column, Target, target_table
from UltrasoundMotionLib.lab.benchmarks.trackers import benchmark_trackers, run_timed
from UltrasoundMotionLib.tracking import registry
from UltrasoundMotionLib.tracking.clip_tracker import ClipTracks


@dataclass(frozen=True)
class Measured:
    case: str
    dice: dict[str, float]
    seconds: tuple[float, ...] = ()
    note: str | None = None


def row_file(path, run, **options):
    return RowFile(path, Measured, run, case=lambda row: row.case, **options)


numbers = st.floats(allow_nan=False)


@given(
    st.lists(
        st.builds(
            Measured,
            case=st.text(),
            dice=st.dictionaries(st.text(), numbers),
            seconds=st.lists(numbers).map(tuple),
            note=st.none() | st.text(),
        ),
        unique_by=lambda row: row.case,
        max_size=4,
    )
)
@settings(max_examples=50)
@pytest.mark.slow
def test_rows_are_read_as_they_were_appended(tmp_path_factory, rows):
    kept = row_file(tmp_path_factory.mktemp("rows") / "rows.jsonl", {"threads": 1, "pairs": (1, 2), "part": None})
    for row in rows:
        kept.append(row)
    assert kept.read() == {row.case: row for row in rows}


def test_a_cut_line_costs_only_its_own_row_and_a_later_row_replaces_an_earlier_one(tmp_path):
    kept = row_file(tmp_path / "rows.jsonl", {"seed": 1})
    kept.append(Measured("a", {"LV": 0.5}))
    kept.append(Measured("b", {"LV": 0.6}))
    kept.path.write_bytes(kept.path.read_bytes()[:-9])
    assert list(kept.read()) == ["a"]
    kept.append(Measured("c", {"LV": 0.7}))
    kept.append(Measured("a", {"LV": 0.9}))
    assert kept.read() == {"a": Measured("a", {"LV": 0.9}), "c": Measured("c", {"LV": 0.7})}


def test_a_kept_row_is_not_measured_again_and_runs_are_not_mixed(tmp_path):
    kept = row_file(tmp_path / "rows.jsonl", {"seed": 1})
    measured = []

    def measure():
        measured.append(1)
        return Measured("a", {"LV": 0.5})

    assert kept.row("a", measure) == kept.row("a", measure) == Measured("a", {"LV": 0.5})
    assert len(measured) == 1
    assert row_file(kept.path, {"seed": 2}).read() == {}
    with pytest.raises(InputError, match=r"rows.jsonl, line 1: is of a run with other settings"):
        row_file(kept.path, {"seed": 2}, one_run=True).read()
    kept.path.write_text('{"run": {"seed": 1}, "row": {"case": "a"}}\n')
    with pytest.raises(InputError, match=r"rows.jsonl, line 1: no row of this benchmark .Measured needs dice"):
        kept.read()
    with pytest.raises(OutputError, match="does not exist"):
        row_file(tmp_path / "no" / "rows.jsonl", {}).append(Measured("a", {}))


def test_statistics_of_cases_leave_out_what_is_not_finite():
    found = CaseStatistics.of([1.0, float("nan"), 2.0, 6.0, float("inf")])
    assert (found.count, found.mean, found.median) == (3, 3.0, 2.0)
    assert found.std == pytest.approx(np.sqrt((4 + 1 + 9) / 2))
    assert CaseStatistics.of([4.0]).std is None
    assert CaseStatistics.of([]) == CaseStatistics(0, None, None, None)


def by_case(values):
    return {f"case {index}": float(value) for index, value in enumerate(values)}


def test_the_interval_of_a_proportion_is_the_binomial_one():
    # Differences of 0 and 1 drawn n times with replacement sum to a binomial number, whose quantiles are known.
    count, ones = 40, 12
    found = paired_difference(by_case([5.0] * ones + [4.0] * (count - ones)), by_case([4.0] * count))
    low, high = stats.binom.ppf([0.025, 0.975], count, ones / count) / count
    assert found.mean == pytest.approx(ones / count)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    two = paired_difference({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 1.0})
    assert (two.mean, two.low, two.high) == (0.5, 0.0, 1.0)  # a quarter of the draws is twice the first case
    same = paired_difference(by_case([3.0, 9.0, 1.0]), by_case([2.0, 8.0, 0.0]))
    assert (same.mean, same.low, same.high) == (1.0, 1.0, 1.0)


def test_the_interval_agrees_with_scipy():
    generator = np.random.default_rng(4)
    reference = generator.normal(10, 3, 30)
    values = reference + generator.gamma(2.0, 0.5, 30) - 0.6
    found = paired_difference(by_case(values), by_case(reference))
    expected = stats.bootstrap(
        (values, reference),
        lambda one, other, axis: np.mean(one - other, axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=100_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = expected.high - expected.low
    assert found.mean == pytest.approx(np.mean(values - reference))
    assert abs(found.low - expected.low) < 0.03 * width
    assert abs(found.high - expected.high) < 0.03 * width
    unpaired = np.std(values) / np.sqrt(30)
    assert width < 2 * unpaired, "pairs share what makes a case hard; the interval is of their difference"


def test_the_signed_rank_test_counts_all_signs_of_the_ranks():
    """By hand: of the 2^5 signs of the ranks 1 to 5, three on each side have a sum as small or smaller."""
    reference = by_case([0.0] * 5)
    found = paired_difference(by_case([1.0, -2.0, 3.0, 4.0, 5.0]), reference)
    sums = [
        sum(rank for rank, sign in zip(range(1, 6), signs, strict=True) if sign) for signs in product((0, 1), repeat=5)
    ]
    assert found.p_value == pytest.approx(2 * sum(one <= 2 for one in sums) / 32)
    assert paired_difference(by_case([1.0, 1.0]), by_case([1.0, 1.0])).p_value == 1


def test_differences_are_of_common_finite_cases_and_the_same_each_time():
    values = {"a": 1.0, "b": 3.0, "c": 8.0, "only here": 100.0, "lost": float("nan")}
    reference = {"lost": 1.0, "c": 6.0, "b": 2.0, "a": 1.0, "only there": -100.0}
    found = paired_difference(values, reference)
    assert (found.count, found.mean) == (3, 1.0)
    assert found == paired_difference(values, reference)
    assert found != paired_difference(values, reference, seed=1, draws=50)
    assert paired_difference({"a": 1.0}, {"a": 2.0}) is None
    assert paired_difference(values, {"x": 2.0, "a": 1.0}) is None


@dataclass(frozen=True)
class Row:
    group: str
    tracker: str
    errors: tuple[float, ...]
    found: int = 3


COLUMNS = (
    Column("clips", "group"),
    Column("tracker", "tracker", names_method=True),
    Column("mean", lambda row: np.mean(row.errors), 2, unit="mm"),
    Column("found", "found"),
)
CASES = CaseMeasure(
    "mm", lambda row: by_case(row.errors), method=lambda row: row.tracker, group=lambda row: row.group, digits=1
)
ROWS = (
    Row("easy", "ours", (1.0, 2.0)),
    Row("easy", "peer", (2.0, 4.0)),
    Row("hard", "ours", (3.0, 5.0)),
    Row("hard", "peer", (3.0, 4.0)),
)


def test_one_table_as_text_markdown_and_json():
    result = BenchmarkResult(
        COLUMNS, ROWS, (Target("goal", "under 1", "2", False),), {"seed": 7}, cases=CASES, against="peer"
    )
    lines = result.table().splitlines()
    assert lines[0].split() == [
        *("clips", "tracker", "mean", "mm", "found", "mm", "per", "case", "std", "median"),
        *("minus", "peer", "95", "%", "interval", "Wilcoxon", "p"),
    ]
    assert lines[2].split() == ["easy", "ours", "1.50", "3", "1.5", "0.7", "1.5", "-1.5", "-2.0", "to", "-1.0", "0.5"]
    assert lines[3].split() == ["easy", "peer", "3.00", "3", "3.0", "1.4", "3.0", "-", "-", "-"]
    assert lines[4].split()[-5:-1] == ["+0.5", "+0.0", "to", "+1.0"], "compared with the peer of its own group"
    assert [line.count("|") for line in result.table(markdown=True).splitlines()] == [11] * 6
    content = json.loads(json.dumps(result.as_dict()))
    assert (content["seed"], content["targets"][0]["met"]) == (7, False)
    assert content["rows"][0]["tracker"] == "ours"
    assert content["rows"][0]["cases"]["values"] == {"case 0": 1.0, "case 1": 2.0}
    assert content["rows"][0]["cases"]["difference"] == {
        "count": 2,
        "mean": -1.5,
        "low": -2.0,
        "high": -1.0,
        "p_value": 0.5,
    }
    assert "difference" not in content["rows"][1]["cases"]
    assert target_table(result.targets).splitlines()[2].split()[-2:] == ["2", "NO"]


def test_columns_of_cases_come_only_with_cases_and_a_missing_method_is_a_row():
    single = BenchmarkResult(COLUMNS, (Row("easy", "ours", (1.0,)),), cases=CASES, against="peer")
    assert single.table().splitlines()[0].split() == ["clips", "tracker", "mean", "mm", "found"]
    alone = BenchmarkResult(COLUMNS, ROWS[:1], cases=CASES, against="peer", missing={"peer": "pip install peer"})
    lines = alone.table().splitlines()
    assert lines[0].split()[-1] == "median"
    assert lines[3].split() == ["-", "peer", "skipped:", "pip", "install", "peer", "-", "-", "-", "-"]
    assert alone.as_dict()["missing"] == {"peer": "pip install peer"}


def test_a_peer_is_one_decorated_file_and_settings_are_what_it_is_called_with(monkeypatch):
    known = available_peers("registration")  # which imports all files
    monkeypatch.setattr(peers._REGISTRIES["registration"], "_entries", dict(peers._REGISTRIES["registration"]._entries))

    @peer("toy", "a toy", kind="registration", settings={"speed": 3})
    def toy(fixed, moving, speed):
        return fixed, moving, speed

    found = find_peer("toy", "registration")
    assert found.call(1, 2) == (1, 2, 3)
    assert (found.summary, found.settings) == ("a toy", {"speed": 3})
    assert {one.name for one in available_peers("registration")} == {"toy", *(one.name for one in known)}
    assert "toy" not in [one.name for one in available_peers("tracking")]
    with pytest.raises(InputError, match="registered already"):
        peer("toy", "another", kind="registration")(toy)
    with pytest.raises(
        InputError, match="no registration peer named none; choose one of ants, ants-bspline, ants-bspline-published,"
    ):
        find_peer("none", "registration")


def test_a_package_that_is_missing_says_how_to_install_it(monkeypatch):
    with pytest.raises(MissingPackageError, match=r'needs it: pip install --editable "\.\[elastix\]"'):
        import_package("no_such_package_at_all", "itk-elastix", extra="elastix")
    monkeypatch.setitem(sys.modules, "cv2", None)
    chosen = benchmark_trackers(["lucas-kanade"], ["opencv-lk"])
    assert [one.name for one in chosen.trackers] == ["lucas-kanade"]
    assert chosen.missing == {"opencv-lk": 'comparing with OpenCV needs it: pip install --editable ".[benchmark]"'}


def test_default_trackers_are_all_that_are_registered():
    from UltrasoundMotionLib.tracking.registry import available_trackers

    names = [one.name for one in benchmark_trackers(None, []).trackers]
    assert names == [entry.name for entry in available_trackers()]
    landmarks = [one.name for one in benchmark_trackers(None, [], kind="landmarks").trackers]
    assert landmarks == [entry.name for entry in available_trackers() if entry.kind == "landmarks"]
    assert set(landmarks) < set(names)


class WholeClip:
    """A whole-clip tracker of two frames at a time that leaves points where they are."""

    frames_at_most = 2

    def track(self, frames, query_points):
        shape = (len(frames), len(query_points))
        positions = np.broadcast_to(query_points, (*shape, 2))
        return ClipTracks(positions.astype(np.float64), np.ones(shape), np.ones(shape, dtype=bool))


@pytest.mark.slow
def test_a_whole_clip_tracker_takes_part_like_an_online_one(monkeypatch):
    registry.available_trackers()  # which imports all files
    monkeypatch.setattr(registry.TRACKERS, "_entries", dict(registry.TRACKERS._entries))
    registry.tracker("toy", "a toy", kind="landmarks", online=False)(lambda setup: WholeClip())
    (toy,) = benchmark_trackers(["toy"], []).trackers
    assert "toy" in [one.name for one in benchmark_trackers(None, [], kind="landmarks").trackers]
    assert toy.ours and not toy.online
    (case,) = landmark_cases(("easy",), count=1, seed=3, frame_count=5)
    row = benchmark_landmarks([case], [toy]).rows[-1]
    assert row.measures.tracking_error == row.measures.no_tracking_error
    assert row.speed.one > 0
    assert run_timed(toy, case.sequence, case.truth)[0].model == "toy"


def test_every_benchmark_is_found_and_takes_markdown_and_json(capsys):
    from UltrasoundMotionLib.cli.main import main

    assert main(["benchmark", "--help"]) == 0
    said = capsys.readouterr().out
    names = (
        *("tracking", "landmarks", "wires", "disk", "round-trip", "speed", "memory", "scene", "playback"),
        *(
            "registration",
            "sequence",
            "strain",
            "motion-bias",
            "query-phase",
            "ablation",
            "semantic-ablation",
            "semantic-faces",
            "semantic-hearts",
            "lsdm-ablation",
        ),
    )
    for name in names:
        assert f"    {name}" in said
        assert main(["benchmark", name, "--help"]) == 0
        options = capsys.readouterr().out
        assert "--markdown" in options
        assert "--json" in options
