"""`benchmark official-code`, with a stand-in for the official code that computes the same."""

import json
import textwrap
from pathlib import Path

import pytest

from UltrasoundMotionLib.cli.main import main

STAND_IN = """
    import sys

    import torch

    sys.path.append({tests!r})
    import golden_networks
    from UltrasoundMotionLib.tracking.trackers.echotracker.network import EchoTracker, EchoTrackerConfig
    from UltrasoundMotionLib.tracking.trackers.echotracker.official import convert_echotracker


    class EchoPIPs(torch.nn.Module):
        def state_dict(self):
            stored = golden_networks.golden("echotracker")
            return golden_networks.official_weights(stored["tensors"], stored["output_layers"], torch.float32)

        def load_state_dict(self, tensors):
            self.network = EchoTracker(EchoTrackerConfig())
            self.network.load_state_dict(convert_echotracker(tensors)[0])

        def forward(self, frames, points, iters):
            found = self.network(frames[0] / 127.5 - 1, points[0], iters)
            return [one[None] for one in found], None
"""


@pytest.mark.slow  # three child processes
def test_both_sides_run_with_the_same_weights_and_clip(tmp_path, capsys):
    (tmp_path / "official" / "model").mkdir(parents=True)
    text = textwrap.dedent(STAND_IN).format(tests=str(Path(__file__).parent))
    (tmp_path / "official" / "model" / "echopips.py").write_text(text)
    line = ["benchmark", "official-code", str(tmp_path / "official"), "--model", "echotracker", "--frames", "16"]
    line += ["--points", "2", "--size", "64", "--json", str(tmp_path / "out.json")]
    assert main(line) == 0
    assert "at most half of the official code's" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert row["model"] == "echotracker" and row["frames"] == 16
    assert 0 <= row["difference_px"] < 1e-3 and row["ours_s"] > 0 and row["official_mb"] > 0


@pytest.mark.parametrize(
    ("words", "said"), [(["nowhere"], "nowhere: no such folder"), ([".", "--size", "100"], "multiple of 16, got 100")]
)
def test_what_cannot_be_measured_is_said_in_one_line(words, said, capsys):
    assert main(["benchmark", "official-code", *words, "--model", "echotracker"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkout_of_something_else_is_refused(tmp_path, capsys):
    assert main(["benchmark", "official-code", str(tmp_path), "--model", "pipspp", "--frames", "2"]) == 2
    assert "No module named 'nets'" in capsys.readouterr().err
