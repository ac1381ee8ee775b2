"""`register-sequence`: what it writes of clips and of volumes over time, and that wrong input ends in one line."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, map_coordinates

from command_line import assert_refused
from test_registration_rigid_sequence import PLANE, turned, turning_clip
from UltrasoundMotionLib.exchange.motions import read_motion
from UltrasoundMotionLib.exchange.motions.sequences.sequence_files import read_motion_sequence
from UltrasoundMotionLib.images import read_sequence, write_sequence
from UltrasoundMotionLib.images.volume_sequence import VolumeSequence, read_frames
from UltrasoundMotionLib.registration.sequences.register_sequence import register_sequence

FRAMES = 4


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of some frames on an oblique plane, that turns and shifts."""
    path = tmp_path_factory.mktemp("clip") / "clip.seq.nrrd"
    write_sequence(path, turning_clip(FRAMES))
    return path


@pytest.fixture(scope="module")
def wanted(clip):
    """What the library finds of the clip's motion."""
    return register_sequence(read_sequence(clip), deterministic=True)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A disc of label 3 on the reference frame, off the centre."""
    y, x = np.indices((72, 72))
    path = tmp_path_factory.mktemp("labels") / "labels.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray((np.hypot(x - 45, y - 33) < 9).astype(np.uint8) * 3), str(path))
    return path


def test_a_clip_gives_fields_frames_labels_report_and_picture(run, clip, labels, wanted, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    words = {"--out-displacements": "u.seq.nrrd", "--out-warped": "w.seq.nrrd", "--out-labels": "l.seq.nrrd"}
    words |= {"--report": "r.json", "--picture": "p.png"}
    options = [one for flag, name in words.items() for one in (flag, tmp_path / name)]
    code, said, error = run("register-sequence", clip, *options, "--labels", labels, "--deterministic")
    assert (code, error) == (0, "")
    for word in ("Registered 4 frames of clip.seq.nrrd to frame 0 (dense)", "u.seq.nrrd", "cross-correlation"):
        assert word in said
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(words.values())

    sequence = read_sequence(clip)
    motions = read_motion_sequence(tmp_path / "u.seq.nrrd")
    assert motions.index.values == tuple(repr(float(time)) for time in sequence.times_s)
    for frame in range(FRAMES):
        np.testing.assert_allclose(
            motions[frame].field().displacement_mm, wanted.frames[frame].field().displacement_mm, atol=1e-6
        )
    # SimpleITK, given the field of the last frame, takes the motion out as we do
    still = read_sequence(tmp_path / "w.seq.nrrd")
    image = sitk.GetImageFromArray(sequence.frames[3][None].astype(np.float32))
    image.SetSpacing((*sequence.spacing_mm, 1.0))
    image.SetOrigin(sequence.origin_mm)
    image.SetDirection(sequence.direction.ravel().tolist())
    field = sitk.Cast(motions[3].field().to_sitk(), sitk.sitkVectorFloat64)
    theirs = sitk.GetArrayFromImage(sitk.Resample(image, image, sitk.DisplacementFieldTransform(field)))[0]
    inside = theirs > 0
    assert inside.mean() > 0.8
    assert np.abs(theirs - still.frames[3])[inside].max() < 1.0  # 8-bit frames are rounded
    # the disc turns with the tissue
    carried = read_sequence(tmp_path / "l.seq.nrrd")
    matrix, offset = turned(3)
    rows, columns = np.nonzero(carried.frames[3] == 3)
    np.testing.assert_allclose([columns.mean(), rows.mean()], matrix @ [45, 33] + offset, atol=0.4)
    np.testing.assert_array_equal(carried.frames[0], sitk.GetArrayFromImage(sitk.ReadImage(str(labels))))

    report = json.loads((tmp_path / "r.json").read_text())
    assert len(report["frames"]) == FRAMES
    assert report["mean"]["nlcc"] > report["mean"]["nlcc_before"]


def test_a_rigid_clip_gives_matrices(run, clip, tmp_path):
    code, said, _ = run(
        "register-sequence", clip, "--out-displacements", tmp_path / "m.seq.mha", "--method", "rigid", "--reference", 1
    )
    assert code == 0
    assert "to frame 1 (rigid)" in said
    assert (tmp_path / "m.seq.mha").stat().st_size < 3000
    motions = read_motion_sequence(tmp_path / "m.seq.mha")
    sequence = read_sequence(clip)
    point = sequence.origin_mm + PLANE[:, :2] @ (np.array([30.0, 40.0]) * 0.4)
    first, shift = turned(1)
    at_start = (np.array([30.0, 40.0]) - shift) @ first
    matrix, offset = turned(3)
    expected = sequence.origin_mm + PLANE[:, :2] @ ((matrix @ at_start + offset) * 0.4)
    np.testing.assert_allclose(motions[3].points(point), expected, atol=0.04)
    code, _, _ = run("register-sequence", clip, "--out-displacements", tmp_path / "all", "--method", "rigid", "--quiet")
    assert code == 0
    assert sorted(one.name for one in (tmp_path / "all").iterdir()) == [f"frame_000{n}.tfm" for n in range(FRAMES)]


def test_a_folder_of_coarse_fields(run, clip, wanted, tmp_path):
    options = ("--out-displacements", tmp_path / "all", "--coarse", "--frame-files", ".h5", "--quiet")
    assert run("register-sequence", clip, *options, "--deterministic")[0] == 0
    motions = read_motion_sequence(tmp_path / "all")
    assert motions[3].grid.shape[1:] < wanted.frames[3].grid.shape[1:]
    whole = wanted.frames[3].field()
    points = whole.grid.points_lps_mm()[0, 10:-10:9, 10:-10:9].reshape(-1, 3)
    np.testing.assert_allclose(motions[3].points(points), whole.apply_to_points(points), atol=1e-3)


@pytest.mark.parametrize("name", ["v.nii.gz", "v.seq.nrrd", "v.mha"])
def test_volumes_over_time(name, run, tmp_path):
    shape = (12, 20, 18)
    noise = gaussian_filter(np.random.default_rng(6).standard_normal([size + 8 for size in shape]), 1.5)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(float) + 4
    frames = [
        map_coordinates(100 * noise, index - np.reshape([0.3 * t, 0.5 * t, -0.6 * t], (3, 1, 1, 1)), order=3)
        for t in range(3)
    ]
    images = []
    for one in frames:
        image = sitk.GetImageFromArray(one.astype(np.float32))
        image.SetSpacing((1.0, 1.2, 1.5))
        image.SetDirection(PLANE.ravel().tolist())
        image.SetOrigin((3.0, 4.0, 5.0))
        images.append(image)
    path = tmp_path / name
    if name == "v.seq.nrrd":
        header = "\n".join(
            [
                *("NRRD0004", "type: float", "dimension: 4", "space: left-posterior-superior", "sizes: 18 20 12 3"),
                "space directions: "
                + " ".join("(" + ",".join(map(str, step)) + ")" for step in (PLANE * [1.0, 1.2, 1.5]).T)
                + " none",
                *("kinds: domain domain domain list", "endian: little", "encoding: raw", "space origin: (3,4,5)"),
                *('labels: "" "" "" "time"', 'units: "" "" "" "s"', "axis 3 index values:=0.0 0.1 0.25"),
            ]
        )
        path.write_bytes(header.encode() + b"\n\n" + np.stack(frames).astype("<f4").tobytes())
    else:
        sitk.WriteImage(sitk.JoinSeries(images, 0.0, 0.1), str(path))
    found = read_frames(path)
    assert isinstance(found, VolumeSequence)
    assert len(found) == 3
    np.testing.assert_allclose(found.volumes[2].array, frames[2], atol=1e-4)
    np.testing.assert_allclose(found.volumes[0].direction, PLANE, atol=1e-5)
    np.testing.assert_allclose(found.volumes[0].origin_mm, (3, 4, 5), atol=1e-5)
    assert name != "v.seq.nrrd" or found.times_s.tolist() == [0.0, 0.1, 0.25]
    out = tmp_path / "out"
    out.mkdir()
    options = ("--out-displacements", out / "u.seq.nrrd", "--out-warped", out / "w.seq.nrrd", "--quiet")
    assert run("register-sequence", path, *options)[0] == 0
    motion = read_motion_sequence(out / "u.seq.nrrd")[2]
    middle = found.volumes[0].index_to_lps_mm @ [9, 10, 6, 1]
    expected = PLANE @ (np.array([-1.2, 1.0, 0.6]) * [1.0, 1.2, 1.5])
    np.testing.assert_allclose(motion.points(middle[:3]) - middle[:3], expected, atol=0.25)
    still = read_frames(out / "w.seq.nrrd")
    inner = (slice(3, -3), slice(4, -4), slice(4, -4))
    before, after = (np.abs(one[2].array - found[0].array)[inner].mean() for one in (found, still))
    assert after < 0.5 * before


def test_a_cancelled_run_leaves_nothing(run, clip, tmp_path, monkeypatch):
    from UltrasoundMotionLib import registration

    def cancelled(*arguments, progress, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(registration, "register_sequence", cancelled, raising=False)
    code, _, error = run("register-sequence", clip, "--out-displacements", tmp_path / "u.seq.nrrd")
    assert (code, error) == (130, "ultrasound-motion: cancelled\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out-displacements", "u.seq.mha"], "--method dense gives displacement fields: .seq.nrrd"),
        (["--out-displacements", "u.seq.nrrd", "--method", "rigid"], "--method rigid gives matrices: .seq.mha"),
        (["--out-displacements", "u.seq.nrrd", "--reference", "9"], "reference frame 9 does not exist; there are 4"),
        (["--out-displacements", "u.seq.nrrd", "--reference", "-1"], "--reference"),
        (["--out-displacements", "u.seq.nrrd", "--out-labels", "l.nrrd"], "--out-labels needs --labels"),
        (["--out-displacements", "u.seq.nrrd", "--frame-files", ".h5"], "--frame-files"),
        (["--out-displacements", "u.seq.nrrd", "--out-warped", "w.png"], "the warped file of frames must end in"),
        (["--out-displacements", "u.seq.nrrd", "--mode", "frame-to-frame", "--out-warped", "w.nrrd"], "--mode to-ref"),
        (["--out-displacements", "u.seq.nrrd", "--mode", "frame-to-frame", "--method", "rigid"], "--mode"),
    ],
)
def test_wrong_options_end_in_one_line(options, words, run, clip, tmp_path):
    options = [tmp_path / one if one.endswith((".nrrd", ".mha", ".png")) else one for one in options]
    assert_refused(run("register-sequence", clip, *options), words)
    assert list(tmp_path.iterdir()) == []


def test_labels_of_another_size_are_refused(run, clip, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((10, 12), np.uint8)), str(tmp_path / "small.nrrd"))
    outputs = ("--out-displacements", tmp_path / "u.seq.nrrd", "--out-labels", tmp_path / "l.seq.nrrd")
    result = run("register-sequence", clip, *outputs, "--labels", tmp_path / "small.nrrd")
    assert_refused(result, "small.nrrd: the labels must be 72 x 72 as the frames, got (12, 10)")
    folder = tmp_path / "there"
    folder.mkdir()
    assert_refused(run("register-sequence", clip, "--out-displacements", folder), "exists already")


def test_motions_on_the_command_line(run, clip, tmp_path):
    for name, method in (("u.seq.nrrd", "dense"), ("m.seq.mha", "rigid")):
        options = ("--out-displacements", tmp_path / name, "--method", method, "--quiet")
        assert run("register-sequence", clip, *options) == (0, "", "")
    fields, matrices = (read_motion_sequence(tmp_path / name) for name in ("u.seq.nrrd", "m.seq.mha"))
    points = fields.grid.points_lps_mm()[0, 20:-20:8, 20:-20:8].reshape(-1, 3)

    code, said, _ = run("motions", "mean", tmp_path / "u.seq.nrrd", "--out", tmp_path / "mean.h5")
    assert (code, said) == (0, f"wrote a motion to {tmp_path / 'mean.h5'}\n")
    mean = np.mean([motion.points(points) for motion in fields], axis=0)
    np.testing.assert_allclose(read_motion(tmp_path / "mean.h5").points(points), mean, atol=1e-4)

    assert run("motions", "inverse", tmp_path / "u.seq.nrrd", "--out", tmp_path / "back.seq.nrrd", "--quiet")[0] == 0
    back = read_motion_sequence(tmp_path / "back.seq.nrrd")
    np.testing.assert_allclose(back[3].points(fields[3].points(points)), points, atol=0.03)
    assert run("motions", "inverse", tmp_path / "m.seq.mha", "--out", tmp_path / "back.seq.mha", "--quiet")[0] == 0
    exact = read_motion_sequence(tmp_path / "back.seq.mha")
    np.testing.assert_allclose(exact[3].matrix @ matrices[3].matrix, np.eye(4), atol=1e-9)

    names = (tmp_path / "u.seq.nrrd", tmp_path / "back.seq.mha")
    assert run("motions", "compose", *names, "--out", tmp_path / "rest.seq.nrrd", "--quiet")[0] == 0
    rest = read_motion_sequence(tmp_path / "rest.seq.nrrd")
    assert np.abs(rest[3].points(points) - points).max() < 0.1  # mm: the dense motion is the rigid one
    assert np.abs(fields[3].points(points) - points).max() > 1.0

    assert_refused(run("motions", "mean", tmp_path / "mean.h5", "--out", tmp_path / "x.h5"), "takes a sequence")
    assert_refused(run("motions", "compose", names[0], "--out", tmp_path / "x.seq.nrrd"), "takes two or more IN")
    wrong = run("motions", "inverse", tmp_path / "m.seq.mha", "--out", tmp_path / "x.seq.nrrd")
    assert_refused(wrong, ".seq.mha, which is small")
