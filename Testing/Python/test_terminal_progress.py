"""The progress bar of the command line."""

import io

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_terminal_with_rate_and_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("UltrasoundMotionLib.cli.terminal_progress.time.monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    with TerminalProgress("tracking", stream=terminal) as progress:
        now[0] += 0.5
        progress(5, 100, "")
        now[0] += 1.4
        progress(19, 100, "")
        assert terminal.getvalue() == "", "nothing in the first two seconds"
        now[0] += 0.6
        progress(25, 100, "")
        assert (
            terminal.getvalue()
            == "\rtracking [#######.....................] 25/100 frames (25%), 10.0 frames/s, 7.5 s left"
        )
        progress(26, 100, "")
        assert "26/100" not in terminal.getvalue(), "not more than ten times a second"
    assert terminal.getvalue().endswith("\r"), "wiped at the end"
    assert terminal.getvalue().split("\r")[-2].strip() == ""


def test_progress_is_sparse_in_a_log(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("UltrasoundMotionLib.cli.terminal_progress.time.monotonic", lambda: now[0])
    log, silent = io.StringIO(), io.StringIO()
    with (
        TerminalProgress("tracking", stream=log) as progress,
        TerminalProgress("tracking", stream=silent, quiet=True) as quiet,
    ):
        for done in range(1, 601):
            now[0] += 0.1
            progress(done, 600, "")
            quiet(done, 600, "")
    assert len(log.getvalue().splitlines()) == 4
    assert "\r" not in log.getvalue()
    assert silent.getvalue() == ""


def test_durations_read_easily():
    assert [duration(value) for value in (0.0421, 3.25, 42.4, 185, 3725)] == [
        "0.042 s",
        "3.2 s",
        "42 s",
        "3:05 min",
        "1:02 h",
    ]
