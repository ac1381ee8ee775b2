"""Dense motion through sequences: against known motion, a simulated heart beside OpenCV's flow, and bad input."""

import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.images import ImageSequence, write_sequence
from UltrasoundMotionLib.images.graphics_mask import sector_mask, without_graphics
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import write_volume
from UltrasoundMotionLib.lab.benchmarks.sequence.neighbouring_frames import tissue_tracking_table
from UltrasoundMotionLib.registration import register
from UltrasoundMotionLib.registration.sequences.coupled_motion import laplacian, solve_motion
from UltrasoundMotionLib.registration.sequences.frames import tissue_mask
from UltrasoundMotionLib.registration.sequences.register_sequence import register_sequence, stream_sequence_registration
from UltrasoundMotionLib.registration.sequences.settings import SequenceSettings
from UltrasoundMotionLib.registration.sequences.template_following import TemplateFollower
from UltrasoundMotionLib.simulation import phantom_set


def moved(frame, size=80):
    """Where the points (x, y) of frame 0 are in a frame: turned, stretched and shifted, up to some pixels.

    Linear in frame 0's coordinates.
    """
    matrix = np.eye(2) + frame * np.array([[0.008, -0.012], [0.010, -0.006]])
    return matrix, np.array([0.7, -0.5]) * frame + (np.eye(2) - matrix) @ [size / 2, size / 2]


def textured_clip(frame_count=6, size=80, dtype=np.uint8):
    """Smooth noise that moves as `moved` says, exactly: frame_t(moved(x)) = frame_0(x)."""
    noise = gaussian_filter(np.random.default_rng(4).standard_normal((size + 60, size + 60)), 1.6)
    noise = np.clip(128 + 45 * noise / noise.std(), 0, 255)
    y, x = np.indices((size, size))
    frames = []
    for frame in range(frame_count):
        matrix, offset = moved(frame, size)
        source = np.tensordot(np.linalg.inv(matrix), np.stack([x, y]) - offset[:, None, None], axes=1)
        frames.append(map_coordinates(noise, source[::-1] + 30, order=3))
    frames = np.stack(frames)
    return ImageSequence(np.rint(frames).astype(np.uint8) if dtype == np.uint8 else frames.astype(dtype), (0.4, 0.4))


def inner(size=80):
    y, x = np.indices((size, size))[:, 16 : size - 16 : 5, 16 : size - 16 : 5]
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(float)


@pytest.mark.parametrize("reference_frame", [0, 3])
def test_points_of_the_reference_go_where_the_tissue_goes(reference_frame):
    sequence, points = textured_clip(), inner()
    result = register_sequence(sequence, reference_frame=reference_frame)
    found = result.trajectories(points)
    back_matrix, back_offset = moved(reference_frame)
    at_start = (points - back_offset) @ np.linalg.inv(back_matrix).T
    for frame in range(6):
        matrix, offset = moved(frame)
        error = np.linalg.norm(found[frame] - (at_start @ matrix.T + offset), axis=1)
        assert error.mean() < 0.12, frame
        assert error.max() < 0.6, frame
    np.testing.assert_array_equal(found[reference_frame], points)
    measures = result.frames[5].measures
    assert measures.nlcc > 0.9 > measures.nlcc_before
    assert measures.mse < 0.2 * measures.mse_before
    assert measures.share_nonpositive == 0


def test_the_dense_field_the_points_and_the_field_in_mm_agree():
    sequence = textured_clip(frame_count=3)
    last = register_sequence(sequence).frames[2]
    dense = last.displacement
    assert dense.shape == (80, 80, 2)
    columns, rows = inner().astype(int).T
    np.testing.assert_allclose(last.at(inner()), dense[rows, columns], atol=1e-4)
    np.testing.assert_allclose(last.field().displacement_mm[0, ..., :2], 0.4 * dense, atol=1e-5)
    points_mm = sequence.pixels_to_lps_mm(inner())
    np.testing.assert_allclose(
        last.field(coarse=True).displacement_at(points_mm)[:, :2], 0.4 * last.at(inner()), atol=1e-5
    )


def test_frame_to_frame_is_the_papers_direction():
    """Fixed is the current frame, moving the last one."""
    sequence, points = textured_clip(frame_count=3), inner()
    result = register_sequence(sequence, mode="frame-to-frame")
    (before_matrix, before_offset), (matrix, offset) = moved(1), moved(2)
    at_start = (points - offset) @ np.linalg.inv(matrix).T
    expected = at_start @ before_matrix.T + before_offset - points
    assert np.linalg.norm(result.frames[2].at(points) - expected, axis=1).mean() < 0.1
    assert not result.frames[0].control.any()
    with pytest.raises(InputError, match="to-reference"):
        result.trajectories(points)


def test_a_series_of_volumes():
    noise = gaussian_filter(np.random.default_rng(0).standard_normal((40, 52, 56)), 1.5).astype(np.float32)
    step = np.array([-0.6, 0.5, 0.4])  # (x, y, z) voxels a frame
    grid = np.stack(np.meshgrid(*(np.arange(6, size - 6) for size in noise.shape), indexing="ij")).astype(float)
    frames = [map_coordinates(noise, grid - frame * step[::-1, None, None, None], order=3) for frame in range(4)]
    volumes = [Volume(frame, (1.0, 1.2, 1.5), (0, 0, 0), np.eye(3)) for frame in frames]
    last = register_sequence(volumes).frames[3]
    error = last.displacement[6:-6, 8:-8, 8:-8] - 3 * step
    assert np.linalg.norm(error, axis=-1).mean() < 0.1
    np.testing.assert_allclose(last.field().displacement_mm, last.displacement * [1.0, 1.2, 1.5], atol=1e-5)


@pytest.mark.slow
def test_a_simulated_heart_is_followed_better_than_by_chained_dis_flow():
    peers = pytest.importorskip("UltrasoundMotionLib.lab.benchmarks.peers.opencv")
    pytest.importorskip("cv2", reason="needs the extra benchmark")
    simulated = phantom_set("heart", "hard", 1, 100, frame_count=24, image_size=(160, 160))[0].simulate()
    y, x = (axis[::3] for axis in np.nonzero(simulated.tissue_mask))
    points = np.stack([x, y], axis=1).astype(float)
    truth = simulated.trajectories_px(points)
    ours = register_sequence(simulated.sequence).trajectories(points)
    chained = peers.ChainedDis()
    chained.start(simulated.sequence.frame(0), points)
    flow = np.stack([points, *(chained.update(simulated.sequence.frame(frame)).positions_px for frame in range(1, 24))])
    error, peer_error = (np.linalg.norm(one - truth, axis=2)[1:].mean() for one in (ours, flow))
    assert error < 0.8 * peer_error, (error, peer_error)
    np.testing.assert_allclose(truth[9] - points, simulated.displacement_px(9, points), atol=1e-6)


@pytest.mark.slow
def test_the_benchmark_measures_phantoms_and_clips(tmp_path, capsys):
    pytest.importorskip("cv2", reason="needs the extra benchmark")
    options = [
        "--kind",
        "heart",
        "--difficulty",
        "easy",
        "--count",
        "1",
        "--frames",
        "3",
        "--seed",
        "100",
        "--json",
        str(tmp_path / "b.json"),
    ]
    assert main(["benchmark", "sequence", *options]) == 0
    assert "chained DIS" in capsys.readouterr().out
    rows = {row["method"]: row for row in json.loads((tmp_path / "b.json").read_text())["rows"]}
    assert rows["sequence"]["mean_px"] < min(rows["sequence"]["still"], 0.5)
    table = tissue_tracking_table(textured_clip(frame_count=3), ["demons", "ssr"], pair_count=1, steps=2)
    still, ours, _, demons, network = table.rows
    assert ours.nlcc > 0.9 > still.nlcc
    assert demons.mse < still.mse
    assert 0 < abs(network.mse - still.mse) < abs(demons.mse - still.mse)  # two steps of training bring it nowhere yet
    assert "NLCC" in table.table(markdown=True)


def test_methods_of_the_table_on_a_clip_are_given_its_mask(tmp_path, monkeypatch, capsys):
    clip, given = textured_clip(frame_count=3), []
    write_sequence(tmp_path / "clip.nrrd", clip)
    inside = np.zeros(clip.frames.shape[1:], np.uint8)
    inside[10:50, 20:70] = 1
    write_volume(tmp_path / "mask.nrrd", Volume(inside, (0.4, 0.4), (0.0, 0.0), np.eye(2)))
    write_volume(tmp_path / "small.nrrd", Volume(inside[1:], (0.4, 0.4), (0.0, 0.0), np.eye(2)))
    measured = register_sequence(clip, mode="frame-to-frame", mask=inside).frames[1].measures

    def noted(fixed, moving, **options):
        given.append((options["fixed_mask"].array, options["moving_mask"].array))
        return register(fixed, moving, **options)

    monkeypatch.setattr("UltrasoundMotionLib.registration.register", noted, raising=False)
    table = ["benchmark", "sequence", "--clip", str(tmp_path / "clip.nrrd"), "--methods", "demons", "--pairs", "1"]
    assert main([*table, "--mask", str(tmp_path / "mask.nrrd"), "--json", str(tmp_path / "table.json")]) == 0
    assert main(table) == 0
    (chosen, shown), (tissue, _) = given
    np.testing.assert_array_equal(chosen, inside)
    np.testing.assert_array_equal(shown, sector_mask(without_graphics(clip)))
    np.testing.assert_array_equal(tissue, shown)  # every grey level of this clip is one of tissue
    rows = {row["method"]: row for row in json.loads((tmp_path / "table.json").read_text())["rows"]}
    assert rows["no motion"]["mse"] == pytest.approx(measured.mse_before, rel=1e-5)
    capsys.readouterr()
    assert main([*table, "--mask", str(tmp_path / "small.nrrd")]) == 2
    assert "the mask must be 80 x 80 as the frames, got (80, 79)" in capsys.readouterr().err
    assert main(["benchmark", "sequence", "--mask", str(tmp_path / "mask.nrrd")]) == 2
    assert "--mask needs --clip" in capsys.readouterr().err


def test_streaming_gives_the_same_in_the_order_promised():
    sequence = textured_clip(frame_count=4, dtype=np.float32)
    whole = register_sequence(sequence, reference_frame=2)
    streamed = list(stream_sequence_registration(sequence, reference_frame=2))
    assert [one.frame for one in streamed] == [2, 3, 1, 0]
    for one in streamed:
        np.testing.assert_array_equal(one.control, whole.frames[one.frame].control)


def test_a_full_gpu_hands_over_to_the_cpu(monkeypatch):
    sequence = textured_clip(frame_count=3)
    expected = register_sequence(sequence)
    update, calls = TemplateFollower.update, []

    def fails_once(self, frame):
        calls.append(frame)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return update(self, frame)

    monkeypatch.setattr(TemplateFollower, "update", fails_once)
    result = register_sequence(sequence)
    assert "ran out of memory; continued on the CPU" in result.notes[0]
    for one, other in zip(result.frames, expected.frames, strict=True):
        np.testing.assert_array_equal(one.control, other.control)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_finds_the_same_field():
    sequence = textured_clip()
    on_gpu, on_cpu = (register_sequence(sequence, device=device) for device in ("cuda", "cpu"))
    assert on_gpu.device == "cuda"
    np.testing.assert_allclose(on_gpu.frames[5].control, on_cpu.frames[5].control, atol=0.02)


def test_what_was_finished_is_kept_when_asked():
    def stop(done, total, message):
        if done == 3:
            raise Cancelled("enough")

    sequence = textured_clip(frame_count=5)
    with pytest.raises(Cancelled):
        register_sequence(sequence, progress=stop)
    result = register_sequence(sequence, progress=stop, keep_partial=True)
    assert result.interrupted
    assert result.reached.tolist() == [True, True, True, False, False]
    found = result.trajectories(inner())
    assert np.isfinite(found[:3]).all()
    assert np.isnan(found[3:]).all()


def test_the_mask_is_where_the_reference_counts():
    sequence = textured_clip(frame_count=3)
    frames = np.array(sequence.frames)
    frames[1:, :, 50:] = np.random.default_rng(1).integers(0, 256, frames[1:, :, 50:].shape)  # nonsense on the right
    mask = np.zeros((80, 80))
    mask[:, :50] = 1
    result = register_sequence(ImageSequence(frames, (0.4, 0.4)), mask=mask)
    points = inner()[inner()[:, 0] < 40]
    matrix, offset = moved(2)
    assert np.linalg.norm(result.trajectories(points)[2] - (points @ matrix.T + offset), axis=1).mean() < 0.15
    assert result.frames[2].measures.nlcc > 0.85


def test_tissue_is_what_is_neither_black_nor_white_and_its_surroundings():
    image = np.zeros((60, 60))
    image[30, 30] = 0.5
    image[0, 0] = 1.0
    distance = np.hypot(*(np.indices((60, 60)) - 30))
    np.testing.assert_array_equal(tissue_mask(image), distance <= 16)


def test_the_coupled_system_is_solved():
    torch.manual_seed(0)
    root = torch.randn(1, 2, 2, 7, 9, dtype=torch.float64)
    full = torch.einsum("bikyx,bjkyx->bijyx", root, root)
    tensor = torch.stack([full[:, 0, 0], full[:, 0, 1], full[:, 1, 1]], dim=1)
    force = torch.randn(1, 2, 7, 9, dtype=torch.float64)
    motion = solve_motion(tensor, force, (0.7, 0.4), 100)
    left = torch.einsum("bijyx,bjyx->biyx", full, motion) + laplacian(motion, (0.7, 0.4))
    torch.testing.assert_close(left, force, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reference_frame": 9}, "reference frame 9"),
        ({"mode": "sideways"}, "sideways"),
        ({"mask": np.ones((3, 3))}, r"mask: is \(3, 3\)"),
        ({"mask": np.zeros((80, 80))}, "no voxel"),
        ({"mask": "heart"}, "heart"),
        ({"device": "tpu"}, "tpu"),
        ({"config": object()}, "SequenceSettings"),
    ],
)
def test_bad_arguments_are_named(options, words):
    with pytest.raises(InputError, match=words):
        stream_sequence_registration(textured_clip(frame_count=2), **options)


def test_bad_frames_are_named():
    good = np.random.default_rng(0).random((3, 20, 20)).astype(np.float32)
    with pytest.raises(InputError, match="one frame"):
        register_sequence(ImageSequence(good[:1]))
    with pytest.raises(InputError, match="everywhere"):
        register_sequence(ImageSequence(np.zeros((3, 20, 20), np.uint8)))
    with pytest.raises(InputError, match="at least 8"):
        register_sequence(ImageSequence(good[:, :5, :5]))
    broken = good.copy()
    broken[2, 3, 3] = np.nan
    with pytest.raises(InputError, match="frame 2 holds values that are not finite"):
        register_sequence(ImageSequence(broken))
    volumes = [
        Volume(np.random.default_rng(0).random((9, 9, 9)), (1, 1, 1), (shift, 0, 0), np.eye(3)) for shift in (0, 5)
    ]
    with pytest.raises(InputError, match="frame 1 lies on another grid"):
        register_sequence(volumes)
    with pytest.raises(InputError, match="scales"):
        SequenceSettings(scales=(1,))
