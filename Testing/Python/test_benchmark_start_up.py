"""`benchmark start-up`: processor seconds of whole processes, of this checkout and of another one in turns."""

import sys

import pytest

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks import start_up

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not report a child's processor time")

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


@pytest.fixture
def other_checkout(tmp_path):
    """A checkout whose command line needs 0.3 s of the processor."""
    package = tmp_path / "other" / "UltrasoundMotionLib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(BUSY)
    return tmp_path / "other"


def test_two_checkouts_are_measured_in_turns(other_checkout, monkeypatch):
    commands = {"alone": ["-c", "pass"], "help": ["-m", "UltrasoundMotionLib", "--help"]}
    monkeypatch.setattr(start_up, "_commands", lambda folder: commands)
    result = start_up.benchmark_start_up(runs=1, beside=other_checkout)
    assert [(row.command, row.checkout, len(row.seconds)) for row in result.rows] == [
        ("alone", "this", 1),
        ("help", "this", 1),
        ("help", str(other_checkout), 1),
    ]
    alone, _, other = result.rows
    assert other.least > 0.25 and alone.least > 0  # it computes for 0.3 s


def test_a_command_that_fails_and_a_folder_without_a_checkout_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(start_up, "_commands", lambda folder: {"wrong": ["-c", "raise SystemExit('no input')"]})
    with pytest.raises(InputError, match="no input"):
        start_up.benchmark_start_up(runs=1)
    with pytest.raises(InputError, match=f"{tmp_path}: no checkout"):
        start_up.benchmark_start_up(runs=1, beside=tmp_path)


def test_its_commands_are_of_the_command_line_and_find_their_files(tmp_path):
    from UltrasoundMotionLib.cli.main import build_parser

    for name, command in start_up._commands(tmp_path).items():
        if command[0] == "-m" and name != "--version":
            verb, *rest = command[2:]
            assert build_parser(verb).parse_args([verb, *rest]).verb == verb == name.split()[0]
    assert {path.name for path in tmp_path.iterdir()} == {"f.nrrd", "m.nrrd", "clip.nrrd", "points.csv"}
