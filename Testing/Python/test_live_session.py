"""Live sessions over the loopback: newest first, sources that stop, change or send garbage, recording, commands."""

import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pyigtl.comm import OpenIGTLinkClient, OpenIGTLinkServer
from pyigtl.messages import ImageMessage, PointMessage, StringMessage

from live_bench import HEIGHT, WIDTH, Scanner, in_background, speckle, sway
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.sequence_files import read_sequence, write_sequence
from UltrasoundMotionLib.live import LiveRequest, LiveSession, MessageServer, ReplayScanner
from UltrasoundMotionLib.live.commands import LiveCommand, parse_command
from UltrasoundMotionLib.live.connection import MessageStream
from UltrasoundMotionLib.live.recorder import Recorder
from UltrasoundMotionLib.live.source import ImageSource
from UltrasoundMotionLib.tracking import read_tracks_csv
from waiting import MOST_WAITING_S, wait_until

POINTS = np.array([[200.0, 150.0], [600.0, 150.0], [400.0, 300.0]])
LABELS = ("A", "B", "C")


class Run:
    """A session on a thread, with all its updates and notes."""

    def __init__(self, scanner: Scanner | None, **options) -> None:
        self.updates, self.notes = [], []
        given = {"points_px": POINTS, "labels": LABELS} | options.pop("given", {})
        if scanner is not None:
            options["source"] = f"igtl://localhost:{scanner.port}"
        self.session = LiveSession(LiveRequest(**options), on_note=self.notes.append, **given)
        self._thread = in_background(lambda: self.session.run(self.updates.append))
        if scanner is not None:
            scanner.accept()

    @property
    def tracked(self):
        return [update for update in list(self.updates) if update.points is not None]

    @property
    def received(self) -> int:
        return self.updates[-1].source.received if self.updates else 0

    def stop(self) -> None:
        self.session.command(parse_command("stop"))
        self._thread.join(MOST_WAITING_S)
        self.session.close()


@pytest.fixture
def scanner():
    one = Scanner()
    yield one
    one.close()


@pytest.mark.parametrize("rate", [30, pytest.param(60, marks=pytest.mark.slow)])
def test_the_newest_frame_wins_and_points_follow(scanner, rate, tmp_path):
    run = Run(scanner, record=tmp_path / "r.seq.nhdr", out=tmp_path / "t.csv")
    count = 2 * rate
    scanner.clip(count, rate)
    wait_until(lambda: run.received == count and run.tracked[-1].frame.index == count - 1)
    run.stop()
    frames = [update.frame for update in run.tracked]
    assert all(later.index > earlier.index for earlier, later in pairwise(frames))
    assert all(later.time_s > earlier.time_s for earlier, later in pairwise(frames))
    source = run.updates[-1].source
    assert source.received == source.dropped + len(frames) == count
    longest, before = 1, 0
    for update in run.tracked:
        longest, before = max(longest, update.frame.index - before), update.frame.index
        tolerance = 1.1 if longest <= 2 else 4.0  # one image behind, more where a busy machine drops images
        np.testing.assert_allclose(
            update.points.found.positions_px, POINTS + np.subtract(sway(update.frame.index), sway(0)), atol=tolerance
        )
    recorded = read_sequence(tmp_path / "r.seq.nhdr")
    assert len(recorded) == count
    for index in (0, count // 2, count - 1):
        np.testing.assert_array_equal(recorded.frames[index], speckle(shift=sway(index)))
    tracks = read_tracks_csv(tmp_path / "t.csv")
    assert tracks.labels == LABELS and tracks.model == "lucas-kanade"
    np.testing.assert_allclose(
        tracks.positions_px[frames[-1].index], run.tracked[-1].points.found.positions_px, atol=1e-6
    )
    times = tracks.times_s[np.isfinite(tracks.times_s)]
    np.testing.assert_allclose(times, [recorded.times_s[frame.index] for frame in frames], atol=1e-6)


def test_a_slow_taker_gets_the_newest_and_nothing_piles_up(scanner):
    seen = []
    source = ImageSource("localhost", scanner.port, on_frame=seen.append)
    source.start()
    scanner.accept()
    stamps = [1000.0 + number / 30 for number in range(20)]
    for number, stamp in enumerate(stamps):
        scanner.image(speckle(64, 48, sway(number)), stamp)
    wait_until(lambda: source.state().received == 20)
    newest = source.take(1.0)
    assert newest.index == 19 and newest.source_time_s == pytest.approx(stamps[-1], abs=1e-6)
    assert source.state().dropped == 19 and source.take(0.05) is None
    assert [frame.index for frame in seen] == list(range(20))  # a recording gets them all
    np.testing.assert_allclose([frame.time_s for frame in seen], np.subtract(stamps, stamps[0]), atol=1e-6)
    source.close()


def test_a_source_that_ends_and_comes_back_is_taken_up_again(scanner):
    run = Run(scanner)
    scanner.clip(5, 30)
    wait_until(lambda: run.received == 5)
    scanner.drop()
    wait_until(lambda: run.updates[-1].state == "waiting for images")
    assert "ended" in run.updates[-1].text
    scanner.accept()
    before = len(run.tracked)
    scanner.clip(5, 30, first=5)
    wait_until(lambda: run.received == 10 and len(run.tracked) > before)
    run.stop()
    last = run.tracked[-1]
    np.testing.assert_allclose(
        last.points.found.positions_px, POINTS + np.subtract(sway(last.frame.index), sway(0)), atol=1.0
    )
    assert run.updates[-1].source.connections == 2


def test_a_source_that_falls_silent_is_told(scanner):
    run = Run(scanner)
    scanner.clip(2, 30)
    wait_until(
        lambda: run.updates and run.updates[-1].state == "waiting for images" and "no image for" in run.updates[-1].text
    )
    scanner.clip(2, 30, first=2)
    wait_until(lambda: run.updates[-1].state == "tracking")
    run.stop()


def test_garbage_is_told_and_the_session_goes_on(scanner):
    run = Run(scanner)
    scanner.clip(3, 30)
    wait_until(lambda: run.received == 3)
    scanner.send(b"HTTP/1.1 200 OK\r\n" * 20)
    scanner.accept()
    scanner.clip(3, 30, first=3)
    wait_until(lambda: run.received == 6)
    damaged = bytearray(_packed(speckle()))
    damaged[1000] ^= 255
    scanner.send(bytes(damaged))
    scanner.clip(3, 30, first=6)
    wait_until(lambda: run.received == 9)
    run.stop()
    assert run.updates[-1].source.damaged == 2
    assert any("no OpenIGTLink message; connecting again" in note for note in run.notes)
    assert any("checksum is wrong; it was left out" in note for note in run.notes)


def _packed(pixels: np.ndarray) -> bytes:
    from UltrasoundMotionLib.live.openigtlink import image_message

    return image_message(pixels, np.eye(4), time.time(), "Image").pack()


def test_another_size_waits_and_the_first_one_goes_on(scanner, tmp_path):
    run = Run(scanner, record=tmp_path / "r.seq.nhdr")
    scanner.clip(4, 30)
    wait_until(lambda: run.received == 4)
    scanner.clip(4, 30, first=4, width=640, height=480)
    wait_until(lambda: run.updates[-1].state == "image changed")
    assert sum("now 640 x 480 pixels" in note for note in run.notes) == 1
    scanner.clip(4, 30, first=8)
    wait_until(lambda: run.received == 12 and run.tracked[-1].frame.size == (WIDTH, HEIGHT))
    wait_until(lambda: run.tracked[-1].frame.index >= 8)
    run.stop()
    last = run.tracked[-1]
    np.testing.assert_allclose(
        last.points.found.positions_px, POINTS + np.subtract(sway(last.frame.index), sway(0)), atol=1.0
    )
    parts = [read_sequence(tmp_path / name) for name in ("r.seq.nhdr", "r-2.seq.nhdr", "r-3.seq.nhdr")]
    assert [len(part) for part in parts] == [4, 4, 4]
    assert parts[1].frame_size == (640, 480)


def test_points_placed_on_the_new_size_are_followed(scanner):
    run = Run(scanner)
    scanner.clip(2, 30)
    wait_until(lambda: len(run.tracked) > 0)
    scanner.clip(2, 30, width=640, height=480)
    run.session.command(LiveCommand("place", points_px=POINTS[:1] / 2, labels=("A",)))
    scanner.clip(6, 30, first=2, width=640, height=480)
    wait_until(lambda: run.tracked[-1].frame.size == (640, 480))
    run.stop()


def test_a_changed_rate_and_stamps_that_go_back(scanner):
    run = Run(scanner)
    for number in range(6):
        scanner.image(speckle(shift=sway(number)), 1000 + number / 30)
    for number in range(6):
        scanner.image(speckle(shift=sway(number)), 500 + number / 60)
    wait_until(lambda: run.received == 12)
    run.stop()
    times = [update.frame.time_s for update in run.tracked]
    assert np.all(np.diff(times) > 0)
    assert sum("a time stamp did not increase" in note for note in run.notes) == 1


def test_two_sessions_on_one_port_are_told(scanner):
    taken = pytest.raises(OutputError, match=r"cannot be opened.*another live session")
    with LiveSession(LiveRequest(serve="0")) as one, taken:
        LiveSession(LiveRequest(serve=str(one.served_port)))
    with LiveSession(LiveRequest(serve=str(one.served_port))) as two:
        assert two.served_port == one.served_port


def test_programs_get_positions_and_send_points_and_commands(scanner):
    run = Run(scanner, serve="0", ahead=True, given={"points_px": None, "labels": None})
    client = socket.create_connection(("localhost", run.session.served_port))
    stream, got = MessageStream(client), {}
    stopping = []

    def listen():
        while not stopping:
            message = stream.receive()
            if message is not None:
                got[message.device_name] = message

    listener = in_background(listen)
    scanner.clip(3, 30)
    wait_until(lambda: bool(run.updates) and run.updates[-1].state == "waiting for points")
    places = np.concatenate([POINTS * 0.2, np.zeros((3, 1))], axis=1)  # RAS: the scanner's matrix is diagonal
    client.sendall(PointMessage(places, names=list(LABELS), device_name="F").pack())
    time.sleep(0.2)
    scanner.clip(20, 30)
    wait_until(lambda: {"LiveLandmarks", "LiveLandmarksAhead", "LiveState", "AToRas"} <= set(got))
    wait_until(lambda: json.loads(got["LiveState"].string)["frame"] == 22)
    last = run.tracked[-1]
    wait_until(lambda: got["LiveLandmarks"].timestamp == pytest.approx(last.frame.source_time_s, abs=1e-6))
    expected = last.points.found.positions_px * 0.2
    np.testing.assert_allclose(np.array(got["LiveLandmarks"].positions)[:, :2], expected, atol=1e-4)
    assert got["LiveLandmarks"].names == list(LABELS)
    np.testing.assert_allclose(got["AToRas"].matrix[:2, 3], expected[0], atol=1e-4)
    assert got["LiveLandmarksAhead"].timestamp > got["LiveLandmarks"].timestamp
    client.sendall(StringMessage("nonsense", device_name="LiveCommand").pack())
    wait_until(lambda: any("is no command" in note for note in run.notes))
    client.sendall(StringMessage("stop", device_name="LiveCommand").pack())
    wait_until(run.session._stopping.is_set)
    stopping.append(True)
    listener.join(MOST_WAITING_S)
    run.stop()
    client.close()


def test_pyigtls_own_server_and_client_understand_us(monkeypatch):
    """Another implementation of both sides; its client and server share only the messages with ours."""
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # its server takes the signals
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    server = OpenIGTLinkServer(port=port, local_server=True)
    with LiveSession(
        LiveRequest(source=f"igtl://127.0.0.1:{port}", serve="0"), points_px=POINTS, labels=LABELS
    ) as session:
        updates = []
        thread = in_background(lambda: session.run(updates.append))
        client = OpenIGTLinkClient("localhost", session.served_port)
        wait_until(lambda: server.is_connected() and client.is_connected())
        for number in range(6):
            matrix = np.diag([0.2, 0.2, 1, 1])
            image = ImageMessage(speckle(shift=sway(number))[None], matrix, "ras", device_name="Image")
            server.send_message(image, wait=True)
            time.sleep(0.05)
        wait_until(lambda: any(update.points is not None for update in updates))
        message = client.wait_for_message("LiveLandmarks", timeout=MOST_WAITING_S)
        assert message.names == list(LABELS)
        near = POINTS * 0.2
        np.testing.assert_allclose(np.array(message.positions)[:, :2], near, atol=12 * 0.2)
        client.stop()
        session.command(parse_command("stop"))
        thread.join(MOST_WAITING_S)
    server.stop()


def test_positions_go_back_to_the_source(scanner):
    run = Run(scanner, send_back=True)
    scanner.clip(3, 30)
    header = scanner.receive(58)
    assert header[2:14].rstrip(b"\0") == b"POINT" and header[14:34].rstrip(b"\0") == b"LiveLandmarks"
    run.stop()


def test_lost_points_are_told_and_again_takes_them_up(scanner):
    run = Run(scanner)
    scanner.clip(6, 30)
    wait_until(lambda: run.received == 6)
    for _ in range(8):  # another picture
        scanner.image(speckle(seed=7))
    wait_until(lambda: run.tracked[-1].points.lost == LABELS)
    assert run.tracked[-1].state == "lost" and run.tracked[-1].text == "lost: A, B, C"
    run.session.command(parse_command("again"))
    time.sleep(0.2)
    for number in range(4):
        scanner.image(speckle(shift=(number, 0), seed=7))
    wait_until(lambda: run.tracked[-1].frame.index > 13 and not run.tracked[-1].points.lost)
    run.stop()


def test_points_that_cannot_be_placed_leave_the_others(scanner, tmp_path):
    run = Run(scanner)
    scanner.clip(2, 30)
    wait_until(lambda: len(run.tracked) > 0)
    run.session.command(LiveCommand("place", points_px=np.array([[9000.0, 5.0]])))
    run.session.command(parse_command(f"again {tmp_path / 'none.csv'}"))
    scanner.clip(4, 30, first=2)
    wait_until(lambda: len(run.notes) == 2)
    wait_until(lambda: run.received == 6)
    run.stop()
    assert "outside the image" in run.notes[0] and "no such file" in run.notes[1]
    assert run.tracked[-1].points.labels == LABELS


def test_recording_begins_and_ends_by_command(scanner, tmp_path):
    run = Run(scanner)
    scanner.clip(2, 30)
    wait_until(lambda: run.received == 2)
    run.session.command(parse_command(f"record {tmp_path / 'r.seq.nhdr'}"))
    wait_until(lambda: run.updates[-1].recorded == 0)
    scanner.clip(3, 30, first=2)
    wait_until(lambda: run.received == 5 and run.updates[-1].recorded == 3)
    run.session.command(parse_command("record off"))
    wait_until(lambda: run.updates[-1].recorded is None)
    run.session.command(parse_command(f"record {tmp_path / 'r.seq.nhdr'}"))
    wait_until(lambda: any("exists already" in note for note in run.notes))
    run.stop()
    assert len(read_sequence(tmp_path / "r.seq.nhdr")) == 3


def test_a_recording_is_whole_at_any_moment(tmp_path, monkeypatch):
    from test_live_messages import live_frame

    monkeypatch.setattr("UltrasoundMotionLib.live.recorder._HEADER_EVERY_S", 0.0)
    recorder = Recorder(tmp_path / "r.seq.nhdr")
    frame = live_frame(speckle(40, 30))
    for number in range(5):
        recorder.add(replace(frame, index=number, time_s=number / 30))
    wait_until(lambda: recorder.written == 5)
    with (tmp_path / "r.raw").open("ab") as file:
        file.write(b"half a frame")  # as the program was killed
    found = read_sequence(tmp_path / "r.seq.nhdr")
    assert len(found) == 5
    np.testing.assert_allclose(found.times_s, np.arange(5) / 30, atol=1e-9)
    image = sitk.ReadImage(str(tmp_path / "r.seq.nhdr"))  # another reader
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0, :, :, 4], frame.pixels)  # frames as components
    np.testing.assert_allclose(image.GetOrigin()[:3], found.origin_mm, atol=1e-6)
    recorder.close()


def test_a_disk_that_cannot_keep_up_does_not_hold_the_session(tmp_path, monkeypatch):
    from test_live_messages import live_frame

    frame = live_frame(speckle(40, 30))
    monkeypatch.setattr("UltrasoundMotionLib.live.recorder._MOST_WAITING_BYTES", 3 * frame.pixels.nbytes)
    monkeypatch.setattr("UltrasoundMotionLib.live.recorder.Recorder._write", lambda self, frame: time.sleep(0.2))
    recorder = Recorder(tmp_path / "r.seq.nhdr")
    for number in range(10):
        recorder.add(replace(frame, index=number, time_s=number / 30))
    assert recorder.dropped >= 6
    recorder.close()


def test_a_full_disk_ends_the_recording_alone(scanner, tmp_path, monkeypatch):
    def refuse(self, frame):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("UltrasoundMotionLib.live.recorder._Part.write", refuse)
    run = Run(scanner, record=tmp_path / "r.seq.nhdr")
    scanner.clip(6, 30)
    wait_until(lambda: run.received == 6)
    run.stop()
    assert any("the recording stopped after 0 frames" in note and "No space left" in note for note in run.notes)
    assert run.tracked


def test_a_replay_keeps_its_rate_and_begins_again():
    frames = np.stack([speckle(64, 48, sway(number)) for number in range(5)])
    server = MessageServer("localhost", 0)
    scanner = ReplayScanner(ImageSequence(frames, times_s=np.arange(5) / 100, spacing_mm=(0.2, 0.3)), server)
    seen = []
    source = ImageSource("localhost", server.port, on_frame=seen.append)
    source.start()
    wait_until(lambda: server.client_count == 1)
    scanner.start()
    wait_until(lambda: len(seen) >= 12)
    scanner.stop()
    source.close()
    server.close()
    assert scanner.rate_hz == pytest.approx(100)
    assert seen[0].spacing_mm == pytest.approx((0.2, 0.3))
    assert all(any(np.array_equal(frame.pixels, one) for one in frames) for frame in seen)
    with pytest.raises(InputError, match="frame rate is unknown; give it with --replay-rate"):
        ReplayScanner(ImageSequence(frames), server)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"source": "http://x"}, "expected igtl"),
        ({"serve": "x:y"}, "expected PORT"),
        ({"points": "p.csv", "contour": "c.csv"}, "in place of points"),
        ({"replay_rate_hz": 30.0}, "needs a replay"),
        ({"replay": "c.mha", "source": "igtl://scanner:1"}, "this computer's address"),
        ({"model": "nothing"}, "nothing"),
        ({"model": "cotracker3"}, "frame by frame"),
        ({"view": "A9C"}, "A9C"),
    ],
)
def test_requests_that_make_no_sense(options, reason):
    with pytest.raises(InputError, match=reason):
        LiveRequest(**options)


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.nrrd"
    frames = np.stack([speckle(160, 120, sway(number)) for number in range(10)])
    write_sequence(path, ImageSequence(frames, times_s=np.arange(10) / 30, spacing_mm=(0.5, 0.5)))
    return path


@pytest.mark.own_process
def test_the_command_with_a_replay(clip, tmp_path, capsys):
    points = tmp_path / "points.csv"
    points.write_text("label,x,y\nA,60,50\nB,100,70\n")
    out = tmp_path / "t.csv"
    words = ["live", "--replay", str(clip), "--points", str(points), "--out", str(out), "--seconds", "2"]
    assert main([*words, "--record", str(tmp_path / "r.seq.nhdr")]) == 0
    said = capsys.readouterr().out
    assert "images received" in said and "From receipt to positions" in said and "clock is this computer's" in said
    assert read_tracks_csv(out).labels == ("A", "B")
    assert len(read_sequence(tmp_path / "r.seq.nhdr")) > 5


@pytest.mark.own_process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has another signal")
def test_ctrl_c_ends_it_with_whole_files(clip, tmp_path):
    points, out, record = tmp_path / "points.csv", tmp_path / "t.csv", tmp_path / "r.seq.nhdr"
    points.write_text("label,x,y\nA,60,50\nB,100,70\n")
    words = ["live", "--replay", clip, "--points", points, "--out", out, "--record", record]
    command = [sys.executable, "-m", "UltrasoundMotionLib", *map(str, words)]
    root = str(Path(__file__).resolve().parents[2])
    pipe = subprocess.PIPE
    # tests in the background are started with SIGINT ignored; a program that inherits that is never interrupted
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        signal.signal(signal.SIGINT, before)
        wait_until(lambda: (tmp_path / "r.raw").exists() and (tmp_path / "r.raw").stat().st_size > 10 * 160 * 120)
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=MOST_WAITING_S)
    assert process.returncode == 130 and "cancelled" in complaints and "Traceback" not in complaints
    assert "images received" in said
    assert len(read_sequence(record)) >= 10
    assert read_tracks_csv(out).labels == ("A", "B")
    assert not list(tmp_path.glob(".partial*"))


@pytest.mark.own_process
def test_a_replay_that_cannot_be_read_is_told(tmp_path, capsys):
    assert main(["live", "--replay", str(tmp_path / "none.nrrd")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_recording_over_an_input_is_refused(clip, capsys):
    assert main(["live", "--replay", str(clip), "--out", str(clip.with_suffix(".csv")), "--record", str(clip)]) == 2
    assert "would overwrite an input" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "again and again", "record"])
def test_words_that_are_commands_or_not(text):
    if text.startswith("again"):
        assert parse_command(text).points_path == Path("and again")
    else:
        with pytest.raises(InputError, match="is no command"):
            parse_command(text)
