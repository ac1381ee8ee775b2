"""Table 1 of the semantically guided paper on a small folder in Helen's layout, and the parts that it is made of."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("PIL", reason="faces are read by Pillow: pip install --editable '.[plot]'")
from PIL import Image

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.lab.benchmarks.semantic_faces import landmark_rows
from UltrasoundMotionLib.lab.benchmarks.semantic_faces.faces import face_pairs
from UltrasoundMotionLib.lab.benchmarks.semantic_faces.flownet import flow_after_affine, load_flownet
from UltrasoundMotionLib.lab.benchmarks.semantic_faces.landmark_rows import affine_map, drift_field
from UltrasoundMotionLib.lab.benchmarks.semantic_faces.point_drift import PointDriftSettings, point_drift
from UltrasoundMotionLib.lab.benchmarks.semantic_faces.shape_regression import ShapeRegressionSettings, learn_shapes
from UltrasoundMotionLib.lab.helen_faces import FACE_SHAPE, Face, face_names, read_face, read_landmarks
from UltrasoundMotionLib.registration.methods.semantic import TWO_STEP
from UltrasoundMotionLib.weights import load_network

PARTS = {2: (-18, -25, 12, 4), 3: (18, -25, 12, 4), 4: (-18, -12, 8, 4), 5: (18, -12, 8, 4), 6: (0, 5, 7, 14)}
MOUTH = {7: (0, 28, 14, 3), 8: (0, 32, 10, 2), 9: (0, 36, 14, 3)}
SIZE = (360, 300)


def ellipse(centre: tuple[float, float], part: tuple[float, float, float, float], size=SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return ((x - centre[0] - part[0]) / part[2]) ** 2 + ((y - centre[1] - part[1]) / part[3]) ** 2 < 1


def label_maps(centre: tuple[float, float], size=SIZE) -> np.ndarray:
    """The eleven maps of a face: 0 background, 1 skin, 2 to 9 its parts, 10 hair."""
    maps = np.zeros((11, *size), np.uint8)
    maps[10][ellipse(centre, (0, -60, 60, 25), size)] = 255
    maps[1][ellipse(centre, (0, 0, 50, 62), size)] = 255
    maps[10][maps[1] > 0] = 0
    for number, part in {**PARTS, **MOUTH}.items():
        inside = ellipse(centre, part, size)
        maps[:, inside] = 0
        maps[number][inside] = 255
    maps[0][maps[1:].max(0) == 0] = 255
    return maps


def outline(centre: tuple[float, float]) -> np.ndarray:
    """194 landmarks around a face and its parts."""
    parts = [(0, 0, 50, 62), *PARTS.values(), *MOUTH.values()]
    counts = [194 // len(parts) + (place < 194 % len(parts)) for place in range(len(parts))]
    found = []
    for (x, y, across, down), count in zip(parts, counts, strict=True):
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        found.append(np.column_stack([x + across * np.cos(angle), y + down * np.sin(angle)]) + centre)
    return np.concatenate(found)


def write_face(folder: Path, number: int, centre: tuple[float, float], size=SIZE) -> str:
    """Writes image, label maps and annotation of a face, and returns its name."""
    name, maps = f"{1000 + number}_1", label_maps(centre, size)
    for place in (folder / "images", folder / "labels" / name, folder / "annotation"):
        place.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(number)
    grey = np.tensordot(np.linspace(40, 230, 11), maps / 255.0, 1) + random.normal(0, 3, size)
    Image.fromarray(np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)).save(
        folder / "images" / f"{name}.jpg", quality=95
    )
    for label, values in enumerate(maps):
        Image.fromarray(values).save(folder / "labels" / name / f"{name}_lbl{label:02d}.png")
    lines = "\n".join(f"{x:.2f} , {y:.2f}" for x, y in outline(centre))
    (folder / "annotation" / f"{number}.txt").write_text(f"{name}\n{lines}\n")
    return name


def write_helen(folder: Path) -> list[str]:
    """Writes three exemplars, a tuning and a testing face."""
    centres = [(150, 170), (140, 180), (165, 160), (150, 190), (120, 175)]
    names = [write_face(folder, number, centre) for number, centre in enumerate(centres)]
    for text, chosen in (("exemplars", names[:3]), ("tuning", names[3:4]), ("testing", names[4:])):
        (folder / f"{text}.txt").write_text("".join(f"{place} , {name}\n" for place, name in enumerate(chosen, 1)))
    return names


def test_a_face_has_seven_labels_in_a_window_around_it(tmp_path):
    names = write_helen(tmp_path)
    assert face_names(tmp_path) == (tuple(names[:3]), tuple(names[3:]))
    face = read_face(tmp_path, names[0], read_landmarks(tmp_path / "annotation"))
    assert face.image.shape == face.labels.shape == FACE_SHAPE
    assert face.image.dtype == np.float32 and face.image.min() >= 0 and face.image.max() <= 1
    maps = label_maps((150, 170))
    top, left = 170 - 160, 150 - 130  # the box of the labels is centred on the face
    window = (slice(top, top + 320), slice(left, left + 260))
    for label in range(1, 7):
        np.testing.assert_array_equal(face.labels == label, maps[label][window] > 0)
    np.testing.assert_array_equal(face.labels == 7, maps[7:10].max(0)[window] > 0)
    assert not face.labels[maps[10][window] > 0].any()  # hair is background
    np.testing.assert_allclose(face.landmarks, outline((150, 170)) - (left, top), atol=0.006)
    near_border = read_face(tmp_path, names[4])  # the window is moved into the image
    np.testing.assert_array_equal(near_border.labels == 6, label_maps((120, 175))[6][15:335, 0:260] > 0)
    assert near_border.landmarks is None


def test_an_image_smaller_than_the_window_is_continued_by_its_border(tmp_path):
    name, maps = write_face(tmp_path, 1, (90, 100), (200, 180)), label_maps((90, 100), (200, 180))
    face = read_face(tmp_path, name)
    np.testing.assert_array_equal(face.labels[60:260, 40:220] == 6, maps[6] > 0)
    assert (face.labels[:60] == 0).all() and face.image[0, 0] == face.image[60, 40]


def refused(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bad_files_are_one_line_each(tmp_path):
    names = write_helen(tmp_path)
    maps, name = tmp_path / "labels" / names[0], names[0]
    assert "nothing.jpg: no such file" in refused(read_face, tmp_path, "nothing")
    eyes = maps / f"{name}_lbl04.png"
    whole = eyes.read_bytes()
    eyes.unlink()
    assert f"{eyes}: no such file" in refused(read_face, tmp_path, name)
    eyes.write_bytes(whole[: len(whole) // 2])
    assert f"{eyes}: cannot be read as an image" in refused(read_face, tmp_path, name)
    Image.new("RGB", SIZE[::-1]).save(eyes)
    assert "mode RGB; a label map is an 8-bit grey PNG" in refused(read_face, tmp_path, name)
    Image.new("L", (30, 20)).save(eyes)
    assert "30 x 20 pixels, its image has 300 x 360" in refused(read_face, tmp_path, name)
    for label, values in enumerate(label_maps((150, 170))):
        Image.fromarray(values // 255).save(maps / f"{name}_lbl{label:02d}.png")
    assert "the label maps reach 1; probabilities from 0 to 255 are expected" in refused(read_face, tmp_path, name)
    for label in range(11):
        Image.new("L", SIZE[::-1], 255 if label == 0 else 0).save(maps / f"{name}_lbl{label:02d}.png")
    assert "no pixel is labelled as face" in refused(read_face, tmp_path, name)


def test_bad_lists_and_landmarks_are_one_line_each(tmp_path):
    names = write_helen(tmp_path)
    notes = tmp_path / "annotation" / "1.txt"
    whole = notes.read_text()
    notes.write_text("\n".join(whole.splitlines()[:150]))
    assert "1.txt: 149 points, Helen's annotation has 194; it may be cut short" in refused(read_landmarks, notes.parent)
    notes.write_text(whole.replace(" , ", " ; "))
    assert "1.txt: holds a line that is no point" in refused(read_landmarks, notes.parent)
    notes.write_text(whole)
    points = read_landmarks(notes.parent)
    assert "has no landmarks among" in refused(read_face, tmp_path, names[0], {})
    assert "do not lie on its labelled face" in refused(read_face, tmp_path, names[0], {names[0]: 3 * points[names[0]]})
    assert "no annotation files" in refused(read_landmarks, tmp_path / "images")
    (tmp_path / "testing.txt").write_text(f"1 , {names[0]}\n")
    assert f"{names[0]} is among the exemplars and among the faces to measure" in refused(face_names, tmp_path)
    (tmp_path / "testing.txt").write_text(f"{names[4]}\n")
    assert "testing.txt: expected lines NUMBER , NAME" in refused(face_names, tmp_path)
    (tmp_path / "tuning.txt").unlink()
    assert "tuning.txt: no readable text" in refused(face_names, tmp_path)


def test_every_face_is_fixed_once_and_moves_once():
    faces = [Face(str(number), np.zeros((4, 4), np.float32), np.zeros((4, 4), np.uint8)) for number in range(7)]
    pairs = [pair.name.split(" < ") for pair in face_pairs(faces)]
    assert [fixed for fixed, _ in pairs] == [str(number) for number in range(7)]
    assert sorted(moving for _, moving in pairs) == [str(number) for number in range(7)]
    assert all(fixed != moving for fixed, moving in pairs)
    with pytest.raises(InputError, match="pairs of faces need two or more"):
        face_pairs(faces[:1])


@pytest.mark.training
def test_the_command_trains_measures_and_keeps(tmp_path, monkeypatch, capsys):
    small = ShapeRegressionSettings(stages=2, ferns=5, pixels=20, starts=2, test_starts=2)
    monkeypatch.setattr(
        landmark_rows, "learn_shapes", lambda images, shapes, _, progress: learn_shapes(images, shapes, small, progress)
    )
    monkeypatch.setitem(sys.modules, "ptlflow", None)
    write_helen(tmp_path / "helen")
    table, out = tmp_path / "table.json", tmp_path / "out"
    words = ["--data", str(tmp_path / "helen"), "--out", str(out), "--epochs", "1", "--batch", "2", "--threads", "1"]
    words += ["--methods", "esr-cpd", "flownet", "published", "poly-affine", "--json", str(table)]
    landmarks = ["--landmarks", str(tmp_path / "helen" / "annotation")]
    assert main(["benchmark", "semantic-faces", *words, *landmarks]) == 0
    printed = capsys.readouterr().out
    assert "1 epochs of 3 faces from seed 1; 2 pairs measured" in printed
    content = json.loads(table.read_text())
    assert "pip install" in content["missing"]["flownet"]
    rows = {row["variant"]: row for row in content["rows"]}
    assert list(rows) == ["no registration", "esr-cpd", "published", "poly-affine"]
    noses = [label_maps(centre)[6] > 0 for centre in ((150, 190), (120, 175))]
    windows = [noses[0][30:350, 20:280], noses[1][15:335, 0:260]]
    overlap = 2 * (windows[0] & windows[1]).sum() / sum(window.sum() for window in windows)
    assert rows["no registration"]["dice"]["nose"] == pytest.approx(overlap, abs=1e-6)
    assert rows["published"]["parameters"] == rows["poly-affine"]["parameters"] > 2.5e6
    load_network(out / "published" / "semantic-faces-published.json", TWO_STEP)
    assert main(["benchmark", "semantic-faces", *words]) == 0  # esr-cpd needs landmarks, also where it has its row
    again = json.loads(table.read_text())
    assert "needs landmarks" in again["missing"]["esr-cpd"]
    assert again["rows"][1:] == content["rows"][2:]


def bent(points: np.ndarray) -> np.ndarray:
    return points + 0.15 * np.column_stack([np.sin(2 * points[:, 1]), np.cos(1.5 * points[:, 0])])


def test_point_drift_finds_a_smooth_displacement_without_knowing_partners():
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (80, 2)) * 40 + 100
    target = bent((points - 100) / 40) * 40 + 103
    drift = point_drift(points, target[np.random.default_rng(1).permutation(80)])
    before, after = (np.linalg.norm(one - target, axis=1).mean() for one in (points, drift(points)))
    assert after < 0.2 * before
    field = drift_field(points, target, torch.zeros(1, 1, 150, 160))
    assert field.shape == (1, 2, 150, 160)
    place = np.array([[70.0, 120.0]])
    np.testing.assert_allclose(field[0, :, 120, 70], (point_drift(points, target)(place) - place)[0], atol=1e-4)
    with pytest.raises(InputError, match="two sets of three points"):
        point_drift(points[:2], target)


def test_point_drift_is_that_of_pycpd():
    pycpd = pytest.importorskip("pycpd", reason="another implementation to compare with: pip install pycpd")
    points = np.random.default_rng(0).normal(size=(60, 2))
    points = (points - points.mean(0)) / np.sqrt(np.square(points - points.mean(0)).sum() / 60)
    target = bent(points)
    target = (target - target.mean(0)) / np.sqrt(np.square(target - target.mean(0)).sum() / 60)
    other = pycpd.DeformableRegistration(
        X=target, Y=points, alpha=3.0, beta=2.0, w=0.1, max_iterations=20, tolerance=1e-12
    )
    expected, _ = other.register()
    found = point_drift(points, target, PointDriftSettings(iterations=20, tolerance=0.0))(points)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_shape_regression_finds_landmarks_that_move_and_turn():
    random = np.random.default_rng(0)
    template = np.array([[-9.0, -6.0], [9.0, -6.0], [0.0, 2.0], [-6.0, 10.0], [6.0, 10.0]])

    def drawn() -> tuple[np.ndarray, np.ndarray]:
        angle, scale = random.uniform(-0.3, 0.3), random.uniform(0.85, 1.15)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shape = template @ turn.T + 32 + random.uniform(-6, 6, 2)
        y, x = np.mgrid[:64, :64]
        image = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 12) for px, py in shape)
        return image.astype(np.float32), shape

    faces = [drawn() for _ in range(60)]
    shapes = np.stack([shape for _, shape in faces])
    settings = ShapeRegressionSettings(stages=4, ferns=40, pixels=60, starts=8)
    cascade = learn_shapes([image for image, _ in faces], shapes, settings)
    errors, rests = [], []
    for image, shape in (drawn() for _ in range(10)):
        errors.append(np.linalg.norm(cascade.predict(image) - shape, axis=1).mean())
        rests.append(np.linalg.norm(shapes.mean(0) - shape, axis=1).mean())
    assert np.mean(errors) < 0.5 * np.mean(rests)
    with pytest.raises(InputError, match="two images or more with landmarks"):
        learn_shapes([faces[0][0]], shapes[:1], settings)


def test_flownet_is_asked_as_ptlflow_wants_it(monkeypatch):
    asked = []

    def model(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        images = inputs["images"]
        asked.append(images)
        return {"flows": torch.tensor([1.5, -0.5]).view(1, 1, 2, 1, 1).expand(1, 1, 2, *images.shape[-2:])}

    model.to, model.eval = lambda device: model, lambda: model
    made = []
    ptlflow = SimpleNamespace(get_model=lambda name, ckpt_path: made.append((name, ckpt_path)) or model)
    monkeypatch.setitem(sys.modules, "ptlflow", ptlflow)
    flow = load_flownet()
    assert made == [("flownet2", "things")]
    fixed, moving = torch.rand(2, 1, 1, 40, 48)
    turned = torch.tensor([[1.1, 0.0, 2.0], [0.0, 0.9, -1.0]])
    field = flow_after_affine(flow, fixed, moving, turned)
    assert asked[0].shape == (1, 2, 3, 20, 24)
    assert torch.allclose(asked[0][0, 0, 2], torch.nn.functional.avg_pool2d(fixed, 2)[0, 0])
    x, y = 10, 20  # the flow of half the size is 3 and -1 pixels; then the affine map
    expected = (1.1 * (x + 3.0) + 2.0 - x, 0.9 * (y - 1.0) - 1.0 - y)
    np.testing.assert_allclose(field[0, :, y, x], expected, rtol=1e-5)
    points = np.random.default_rng(0).random((9, 2))
    np.testing.assert_allclose(
        affine_map(points, points @ turned[:, :2].numpy().T + turned[:, 2].numpy()), turned, atol=1e-6
    )
    monkeypatch.setitem(sys.modules, "ptlflow", None)
    with pytest.raises(MissingPackageError, match=r"comparing with FlowNet needs it: pip install .*\[flownet\]"):
        load_flownet()
