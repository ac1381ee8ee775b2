"""What is written is whole, never over an input, and read back; what the system refuses is one line."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import COMMAND, assert_refused, speckle, write_clip
from UltrasoundMotionLib.atomic_output import atomic_output, check_output_path, write_text_file
from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.fields import DisplacementField, read_displacement, write_displacement
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images import ImageSequence, Volume, write_sequence, write_volume
from UltrasoundMotionLib.images.writers.image_folder import write_picture

posix = pytest.mark.skipif(os.name != "posix", reason="of POSIX")


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.name.startswith(".partial"))


def test_threads_that_write_one_name_do_not_meet(tmp_path):
    failed = []

    def write(number):
        try:
            for _ in range(20):
                write_text_file(tmp_path / "t.csv", f"{number}\n" * 2000)
        except OutputError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(set((tmp_path / "t.csv").read_text().split())) == 1
    assert not left_in(tmp_path)


def test_what_killed_runs_left_is_removed_and_nothing_else(tmp_path):
    program = (
        "import os, signal, sys; from UltrasoundMotionLib.atomic_output import atomic_output\n"
        "with atomic_output(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.nii.gz")], check=False)
    (killed,) = left_in(tmp_path)
    assert killed.endswith(".nii.gz")
    others = [tmp_path / name for name in (".partial-notes.txt", ".partial-12345678-1-abcdef12.nrrd", "partial.csv")]
    for path in others:
        path.write_text("someone's")
    with atomic_output(tmp_path / "running.csv") as running:
        running.write_text("x")
        write_text_file(tmp_path / "b.csv", "b")  # of this process, which lives
        assert running.exists()
    # this process has looked here already; a new one looks again
    subprocess.run(
        [sys.executable, "-c", program.replace("os.kill(", "(lambda *a: 0)("), str(tmp_path / "c")], check=True
    )
    assert not (tmp_path / killed).exists()
    assert all(path.exists() for path in others)


@pytest.mark.parametrize("name", ["y" * 246 + ".csv", "ü" * 120 + ".seq.nrrd"])
def test_the_longest_names_can_be_written(tmp_path, name):
    write_text_file(tmp_path / name, "x")
    assert (tmp_path / name).read_text() == "x"


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(OutputError, match="too long: 304 bytes"):
        check_output_path(tmp_path / ("y" * 300 + ".csv"))


@posix
def test_devices_pipes_and_folders_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "folder.csv").mkdir()
    for path, words in (
        (tmp_path / "pipe", "pipe"),
        (tmp_path / "link", "device"),
        (tmp_path / "folder.csv", "folder"),
    ):
        with pytest.raises(OutputError, match=words):
            check_output_path(path)


FIELD_GRID = ImageGrid((6, 20, 22), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))


def written_by(kind, path):
    rng = np.random.default_rng(1)
    if kind == "volume":
        write_volume(path, Volume(rng.normal(size=(6, 20, 22)).astype("f4"), (1, 1, 1), (0, 0, 0), np.eye(3)))
    elif kind == "displacement":
        write_displacement(path, DisplacementField(rng.normal(size=(6, 20, 22, 3)).astype("f4"), FIELD_GRID))
    elif kind == "picture":
        write_picture(path, rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    else:
        write_sequence(path, ImageSequence(rng.normal(size=(6, 20, 22)).astype("f4")))


@posix
@pytest.mark.parametrize("kind", ["volume", "displacement", "sequence", "picture"])
def test_a_full_disk_leaves_the_old_file(tmp_path, kind):
    """The limit of a file's size makes the system refuse as a full disk does; C++ libraries do not always say so."""
    endings = (".png",) if kind == "picture" else (".nii", ".nii.gz", ".nrrd", ".mha")
    paths = [tmp_path / f"out{ending}" for ending in endings]
    for path in paths:
        written_by(kind, path)
    before = [path.read_bytes() for path in paths]
    program = """if True:
        import resource, signal, sys
        sys.path.insert(0, sys.argv[1])
        import test_output_files
        from pathlib import Path
        from UltrasoundMotionLib.errors import OutputError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        for name in sys.argv[3:]:
            try:
                test_output_files.written_by(sys.argv[2], Path(name))
            except OutputError as error:
                print(error)
    """
    command = [sys.executable, "-c", program, Path(__file__).parent, kind, *paths]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"{path}: ")
    assert [path.read_bytes() for path in paths] == before
    assert not left_in(tmp_path)


def test_a_displacement_in_a_plane_is_read_by_slicer_as_the_same_motion(slicer_core, tmp_path):
    """Slicer's own storage node, with another motion along each axis and a plane with turned axes."""
    slicer = slicer_core
    grid = ImageGrid((20, 24), (0.5, 0.8), (3.0, -4.0), np.array([[0.0, -1.0], [1.0, 0.0]]))
    field = DisplacementField(np.broadcast_to([2.0, -1.0], (20, 24, 2)).astype("f4"), grid)
    for ending in ("nrrd", "mha"):
        path = tmp_path / f"u.{ending}"
        write_displacement(path, field)
        back = read_displacement(path)
        assert np.array_equal(back.displacement_mm, field.displacement_mm) and back.grid.matches(grid)
        scene = slicer.vtkMRMLScene()
        node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
        storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
        storage.SetFileName(str(path))
        assert storage.ReadData(node)
        x, y = grid.points_lps_mm()[10, 12]
        moved = [0.0, 0.0, 0.0]
        node.GetTransformFromParent().TransformPoint((-x, -y, 0.0), moved)
        np.testing.assert_allclose(moved, (-x - 2.0, -y + 1.0, 0.0), atol=1e-5)


# ---- the verbs

BLOB = np.exp(-(((np.stack(np.meshgrid(*3 * [np.linspace(-1, 1, 12)]))) ** 2).sum(0) * 3))


@pytest.fixture
def tracked(run, clip, points, tmp_path):
    out = tmp_path / "t.csv"
    assert run("track", clip, "--points", points, "--out", out, "--quiet")[0] == 0
    shutil.copy(out, tmp_path / "truth.csv")
    return out


def test_evaluate_does_not_write_over_its_inputs(run, tracked, tmp_path):
    truth = tmp_path / "truth.csv"
    before = truth.read_bytes()
    os.link(truth, tmp_path / "hard.json")
    (tmp_path / "soft.json").symlink_to(truth)
    for target in (truth, tracked, tmp_path / "hard.json", tmp_path / "soft.json", tmp_path / "." / "t.csv"):
        assert_refused(run("evaluate", "tracks", tracked, "--truth", truth, "--json", target), target, "input")
    assert truth.read_bytes() == before and (tmp_path / "hard.json").read_bytes() == before


def test_evaluate_registration_does_not_write_over_label_maps(run, tmp_path):
    labels = tmp_path / "labels.nii.gz"
    write_volume(labels, Volume((BLOB > 0.5).astype("u1"), (1, 1, 1), (0, 0, 0), np.eye(3)))
    before = labels.read_bytes()
    assert_refused(run("evaluate", "registration", labels, "--fixed-labels", labels, "--json", labels), labels, "input")
    assert labels.read_bytes() == before


@posix
def test_a_pipe_is_not_replaced_by_a_report(run, tracked, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert_refused(run("evaluate", "tracks", tracked, "--truth", tracked, "--json", tmp_path / "pipe"), "pipe")
    assert not (tmp_path / "pipe").is_file()


def test_no_output_is_a_frame_of_the_input(run, points, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for index, frame in enumerate(speckle(4)):
        sitk.WriteImage(sitk.GetImageFromArray(frame), str(frames / f"{index:05d}.png"))
    before = (frames / "00000.png").read_bytes()
    command = ["track", frames, "--points", points, "--out", tmp_path / "t.csv", "--overlay"]
    assert_refused(run(*command, frames / "00000.png"), "overwrite a frame of the input")
    assert_refused(run(*command, frames / "overlay.png"), "would be read as one")
    assert (frames / "00000.png").read_bytes() == before
    assert run("track", frames, "--points", points, "--out", frames / "t.csv", "--quiet")[0] == 0


def test_a_pixel_file_that_a_header_names_is_an_input(run, points, tmp_path):
    write_clip(tmp_path / "clip.mhd", speckle(3))
    (tmp_path / "clip.mhd").write_text((tmp_path / "clip.mhd").read_text().replace("clip.raw", "clip.csv"))
    (tmp_path / "clip.raw").rename(tmp_path / "clip.csv")
    command = ["track", tmp_path / "clip.mhd", "--points", points, "--out", tmp_path / "clip.csv"]
    assert_refused(run(*command), "overwrite an input")


def test_clust_results_do_not_replace_annotations(run, tmp_path):
    folder = tmp_path / "ETH-01"
    (folder / "Data").mkdir(parents=True)
    (folder / "Annotation").mkdir()
    for index, frame in enumerate(speckle(3), start=1):
        sitk.WriteImage(sitk.GetImageFromArray(frame), str(folder / "Data" / f"{index:05d}.png"))
    truth = folder / "Annotation" / "ETH-01_1.txt"
    truth.write_text("1 40 40\n3 41.5 40\n")
    command = ["evaluate", "clust", folder, "--results"]
    assert_refused(run(*command, folder / "Annotation", "--model", "lucas-kanade"), truth)
    assert_refused(run(*command, folder / "Annotation", "--json", truth), truth)
    assert truth.read_text() == "1 40 40\n3 41.5 40\n"


# ---- the system says no


def in_shell(line, *arguments, **options):
    return subprocess.run(
        ["bash", "-c", line, "bash", *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def assert_one_line(done, *words):
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("ultrasound-motion: error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


@posix
def test_standard_output_that_is_closed_or_full_is_one_line():
    assert_one_line(in_shell('"$@" >&-', "models", "list"), "standard output is closed")
    if Path("/dev/full").exists():
        for words in (("models", "list"), ("--help",), ("track", "--help")):
            assert_one_line(in_shell('"$@" >/dev/full', *words), "standard output", "No space left")
    both = in_shell('"$@" >&- 2>&-', "models", "list")
    assert (both.returncode, both.stdout, both.stderr) == (2, "", "")


@posix
def test_a_working_folder_that_was_deleted_is_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH")))),
    }
    line = f'cd "{gone}" && rmdir "{gone}" && exec "$@"'
    done = in_shell(line, "track", "c.mha", "--points", "p.csv", "--out", "t.csv", env=environment)
    assert_one_line(done)


def test_names_that_are_too_long_are_one_line(run, clip, points, tmp_path):
    for command in (
        ("track", tmp_path / ("x" * 300 + ".mha"), "--points", points, "--out", tmp_path / "t.csv"),
        ("track", clip, "--points", tmp_path / ("x" * 300 + ".csv"), "--out", tmp_path / "t.csv"),
        ("strain", tmp_path / ("x" * 300 + ".csv"), "--out", tmp_path / "t.csv"),
        ("register", tmp_path / ("x" * 300 + ".nii"), clip, "--out-displacement", tmp_path / "u.nrrd"),
    ):
        assert_refused(run(*command), "x" * 300)
    assert_refused(run("track", clip, "--points", points, "--out", tmp_path / ("y" * 300 + ".csv")), "too long")
    assert run("track", clip, "--points", points, "--out", tmp_path / ("y" * 246 + ".csv"), "--quiet")[0] == 0


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read and write everything")
def test_what_may_not_be_read_or_written_is_one_line(run, clip, points, tmp_path):
    out = tmp_path / "t.csv"
    secret = shutil.copy(clip, tmp_path / "secret.mha")
    secret.chmod(0)
    assert_refused(run("track", secret, "--points", points, "--out", out), secret)
    out.write_text("kept")
    out.chmod(0o400)
    assert_refused(run("track", clip, "--points", points, "--out", out), "protected")
