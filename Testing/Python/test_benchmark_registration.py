"""`benchmark registration`: wrong requests in one line, and real rows on public data where it is at hand."""

import json

from UltrasoundMotionLib.cli.main import main


def test_an_unknown_protocol_is_named(capsys, tmp_path):
    assert main(["benchmark", "registration", "nonsense", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "nonsense" in said[0]
    assert "acdc" in said[0]


def test_rows_of_a_real_patient(capsys, tmp_path, shared_data):
    data, out = shared_data("acdc"), tmp_path / "rows.json"
    assert main(["benchmark", "registration", "acdc", "--data", str(data), "--methods", "unregistered", "ours:nothing", "--pairs", "1"]) == 2
    assert "nothing" in capsys.readouterr().err
    arguments = ["benchmark", "registration", "acdc", "--data", str(data), "--methods", "unregistered", "--pairs", "1", "--json", str(out)]
    assert main(arguments) == 0
    (row,) = json.loads(out.read_text())["methods"][0]["pairs"]
    assert 0.2 < row["dice"]["LV"] < 0.95
    assert row["nonpositive"] == 0
    assert "unregistered" in capsys.readouterr().out
