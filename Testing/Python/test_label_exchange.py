"""Labels in the formats of other programs: read as their own sources say, written, and back; what is lost is said."""

import json
from dataclasses import replace
from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from UltrasoundMotionLib import ImageSequence, Volume, write_sequence, write_volume
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError, MissingPackageError, OutputError
from UltrasoundMotionLib.exchange.labels import (
    Labels,
    PointGroup,
    available_label_formats,
    read_clip_reference,
    read_labels,
    write_labels,
)
from UltrasoundMotionLib.images.writers.image_folder import write_picture
from UltrasoundMotionLib.tracking import PointTracks, read_query_points, write_tracks_csv

WIDTH, HEIGHT, FRAMES = 60, 50, 4


def some_tracks():
    """Three points on four frames: one is missing on a frame, one is hidden on another."""
    positions = np.arange(FRAMES * 3 * 2, dtype=float).reshape(FRAMES, 3, 2) * 1.25 + 3.5
    positions[2, 1] = np.nan
    confidence = np.full((FRAMES, 3), 0.75)
    confidence[0], confidence[2, 1] = 1, 0
    visible = np.isfinite(positions).all(axis=2)
    visible[3, 2] = False
    return PointTracks(positions, confidence, visible, ("a", "b", "c"), 0, model="lucas-kanade")


def some_labels():
    return Labels(some_tracks(), frame_size=(WIDTH, HEIGHT), clip="clip")


@pytest.fixture
def folder(tmp_path):
    """A folder of pictures; the names do not count from 0."""
    path = tmp_path / "pictures"
    path.mkdir()
    for number in range(FRAMES):
        write_picture(path / f"img{7 + number:03d}.png", np.full((HEIGHT, WIDTH), 40 + number, np.uint8))
    return path


@pytest.fixture
def oblique(tmp_path):
    """A clip that lies obliquely in space, 0.2 x 0.3 mm."""
    angle = np.deg2rad(25)
    direction = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    frames = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    sequence = ImageSequence(frames, (0.2, 0.3), np.arange(FRAMES) * 0.1, (10.0, -20.0, 30.0), direction)
    write_sequence(tmp_path / "oblique.nrrd", sequence)
    return tmp_path / "oblique.nrrd"


def assert_same(found, expected, *, atol=1e-6):
    """The same points at the same places; labels in any order."""
    columns = found.columns(expected.tracks.labels)
    assert len(columns) == len(found.tracks.labels)
    np.testing.assert_allclose(found.tracks.positions_px[:, columns], expected.tracks.positions_px, atol=atol)


# Each file below is written by hand after the format's own specification.

COCO = {
    "images": [
        {"id": 11, "file_name": "img007.png", "width": WIDTH, "height": HEIGHT},
        {"id": 12, "file_name": "img009.png", "width": WIDTH, "height": HEIGHT},
    ],
    "categories": [{"id": 1, "name": "valve", "keypoints": ["left", "right"], "skeleton": [[1, 2]]}],
    "annotations": [
        {"id": 1, "image_id": 11, "category_id": 1, "keypoints": [10, 20, 2, 30.5, 21, 1], "num_keypoints": 2},
        {"id": 2, "image_id": 12, "category_id": 1, "keypoints": [12, 22, 2, 0, 0, 0], "num_keypoints": 1},
    ],
}

CVAT_VIDEO = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><size>4</size><original_size><width>60</width><height>50</height></original_size></task></meta>
  <track id="0" label="hinge" source="manual">
    <points frame="0" keyframe="1" outside="0" occluded="0" points="10.50,20.50" z_order="0"></points>
    <points frame="1" keyframe="0" outside="0" occluded="1" points="11.50,21.00" z_order="0"></points>
    <points frame="2" keyframe="1" outside="1" occluded="0" points="11.50,21.00" z_order="0"></points>
  </track>
  <track id="1" label="wall" source="manual">
    <polyline frame="0" keyframe="1" outside="0" occluded="0" points="1.00,2.00;3.00,4.00;5.00,6.00" z_order="0"/>
    <polyline frame="3" keyframe="1" outside="0" occluded="0" points="2.00,2.00;4.00,4.00;6.00,6.00" z_order="0"/>
  </track>
  <track id="2" label="valve" source="manual">
    <skeleton frame="0" keyframe="1" z_order="0">
      <points label="left" keyframe="1" outside="0" occluded="0" points="8.5,9.5"/>
      <points label="right" keyframe="1" outside="1" occluded="0" points="0,0"/>
    </skeleton>
  </track>
  <track id="3" label="box" source="manual">
    <box frame="0" keyframe="1" outside="0" occluded="0" xtl="1" ytl="1" xbr="2" ybr="2" z_order="0"/>
  </track>
</annotations>
"""

CVAT_IMAGES = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <image id="2" name="img009.png" width="60" height="50">
    <points label="hinge" source="manual" occluded="0" points="10.50,20.50" z_order="0"/>
    <polyline label="wall" source="manual" occluded="0" points="1.00,2.00;3.00,4.00" z_order="0"/>
    <skeleton label="valve" source="manual" z_order="0">
      <points label="left" source="manual" outside="0" occluded="1" points="8.50,9.50"/>
    </skeleton>
  </image>
</annotations>
"""

DLC_VIDEO = """scorer,DLC_resnet50,DLC_resnet50,DLC_resnet50,DLC_resnet50,DLC_resnet50,DLC_resnet50
bodyparts,tip,tip,tip,base,base,base
coords,x,y,likelihood,x,y,likelihood
0,10.25,20.5,0.99,1.0,2.0,0.31
1,11.25,21.5,0.97,,,
"""

DLC_PICTURES = """scorer,,,Ann,Ann
bodyparts,,,tip,tip
coords,,,x,y
labeled-data,clip,img007.png,10.25,20.5
labeled-data,clip,img009.png,12.25,22.5
"""


def tracings(apex_first=True):
    """EchoNet's table of a half ellipse with its apex up, on frames 1 and 3."""
    depth = (np.arange(20) + 0.5) / 20
    half = 15 * np.sqrt(1 - (1 - depth) ** 2)
    lines = ["FileName,X1,Y1,X2,Y2,Frame"]
    for frame in (1, 3):
        chords = np.stack([30 - half, 5 + 40 * depth, 30 + half, 5 + 40 * depth], axis=1) + frame
        chords = chords if apex_first else chords[::-1]
        for x1, y1, x2, y2 in [(30 + frame, 5 + frame, 30 + frame, 45 + frame), *chords]:
            lines.append(f"0X1A.avi,{x1:.6f},{y1:.6f},{x2:.6f},{y2:.6f},{frame}")
    return "\n".join(lines) + "\n"


def test_coco_keypoints_are_pixel_indices_and_pictures_are_found_by_name(tmp_path, folder):
    (tmp_path / "c.json").write_text(json.dumps(COCO))
    found = read_labels(tmp_path / "c.json", clip=read_clip_reference(folder))
    assert found.tracks.labels == ("left", "right") and found.groups[0].name == "valve"
    assert found.tracks.positions_px[0].tolist() == [[10, 20], [30.5, 21]]
    assert found.tracks.positions_px[2, 0].tolist() == [12, 22] and np.isnan(found.tracks.positions_px[2, 1]).all()
    assert found.tracks.visible.tolist() == [[True, False], [False, False], [True, False], [False, False]]


def test_coco_without_the_pictures_says_how_frames_were_counted(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(COCO))
    found = read_labels(tmp_path / "c.json")
    assert len(found.tracks.positions_px) == 2 and "in the order of their names" in found.notes[0]


def test_pycocotools_reads_what_is_written(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    labels = replace(some_labels(), groups=(PointGroup("wall", ("a", "b")),))
    write_labels(tmp_path / "out.json", labels, form="coco")
    api = coco.COCO(str(tmp_path / "out.json"))
    wall = next(one for one in api.loadCats(api.getCatIds()) if one["name"] == "wall")
    assert wall["keypoints"] == ["a", "b"] and wall["skeleton"] == [[1, 2]]
    (annotation,) = api.loadAnns(api.getAnnIds(imgIds=[3], catIds=[wall["id"]]))
    assert annotation["keypoints"] == [18.5, 19.75, 2, 0, 0, 0] and annotation["num_keypoints"] == 1
    (image,) = api.loadImgs([3])
    assert (image["width"], image["height"]) == (WIDTH, HEIGHT)
    x, y, width, height = api.loadAnns(api.getAnnIds(imgIds=[1], catIds=[wall["id"]]))[0]["bbox"]
    # COCO's boxes count from the corner: that of pixel indices 3.5 to 6 covers both pixels
    assert (x, y, width, height) == (3.5, 4.75, 3.5, 3.5)


def test_cvat_counts_from_the_corner_of_a_pixel(tmp_path):
    (tmp_path / "v.xml").write_text(CVAT_VIDEO)
    found = read_labels(tmp_path / "v.xml")
    tracks = found.tracks
    assert tracks.labels == ("hinge", "wall/01", "wall/02", "wall/03", "left", "right") and len(tracks.visible) == 4
    assert tracks.positions_px[0, 0].tolist() == [10, 20] and tracks.positions_px[1, 0].tolist() == [11, 20.5]
    assert tracks.visible[:2, 0].tolist() == [True, False] and np.isnan(tracks.positions_px[2:, 0]).all()
    assert tracks.positions_px[3, 1:4].tolist() == [[1.5, 1.5], [3.5, 3.5], [5.5, 5.5]]
    assert tracks.positions_px[0, 4].tolist() == [8, 9] and np.isnan(tracks.positions_px[:, 5]).all()
    assert [(group.name, group.kind) for group in found.groups] == [("wall", "curve"), ("valve", "skeleton")]
    assert "1 box are no points" in " ".join(found.notes) and "1 of 6 shapes are interpolated" in " ".join(found.notes)
    (tmp_path / "i.xml").write_text(CVAT_IMAGES)
    images = read_labels(tmp_path / "i.xml")
    assert images.tracks.positions_px[2, 0].tolist() == [10, 20] and images.frame_names[2] == "img009.png"
    assert images.frame_size == (60, 50) and not images.tracks.visible[2, images.columns(["left"])].any()


@pytest.mark.parametrize("name", ["cvat", "cvat-images"])
def test_cvat_has_its_attributes(tmp_path, folder, name):
    labels = replace(some_labels(), groups=(PointGroup("wall", ("a", "c")),))
    write_labels(tmp_path / "out.xml", labels, form=name, clip=read_clip_reference(folder))
    root = Xml.parse(tmp_path / "out.xml").getroot()
    assert root.findtext("version") == "1.1" and root.findtext("meta/task/original_size/width") == "60"
    shapes = list(root.iter("polyline"))
    assert shapes[0].get("points") == "4.0000,5.2500;9.0000,10.2500" and shapes[3].get("occluded") == "1"
    if name == "cvat":
        points = root.find("track").findall("points")
        assert [(one.get("frame"), one.get("outside")) for one in points] == [
            ("0", "0"), ("1", "0"), ("2", "1"), ("3", "0")
        ]  # fmt: skip
    else:
        assert [one.get("name") for one in root.findall("image")] == [f"img{7 + number:03d}.png" for number in range(4)]


def test_deeplabcut_of_a_video_and_of_pictures(tmp_path, folder):
    (tmp_path / "v.csv").write_text(DLC_VIDEO)
    found = read_labels(tmp_path / "v.csv")
    assert found.tracks.positions_px[0].tolist() == [[10.25, 20.5], [1, 2]] and found.tracks.model == "DLC_resnet50"
    assert found.tracks.confidence[0].tolist() == [0.99, 0.31] and found.tracks.visible[0].tolist() == [True, False]
    assert np.isnan(found.tracks.positions_px[1, 1]).all() and "below 0.6" in found.notes[0]
    (tmp_path / "p.csv").write_text(DLC_PICTURES)
    alone = read_labels(tmp_path / "p.csv")
    assert np.flatnonzero(alone.labelled.any(axis=1)).tolist() == [7, 9] and "in the pictures' names" in alone.notes[0]
    inside = read_labels(tmp_path / "p.csv", clip=read_clip_reference(folder))
    assert np.flatnonzero(inside.labelled.any(axis=1)).tolist() == [0, 2]


def test_deeplabcut_csv_is_pandas_own_layout(tmp_path):
    pandas = pytest.importorskip("pandas")
    write_labels(tmp_path / "out.csv", some_labels(), form="deeplabcut")
    table = pandas.read_csv(tmp_path / "out.csv", header=[0, 1, 2], index_col=0)  # as DeepLabCut reads it
    assert list(table.columns.names) == ["scorer", "bodyparts", "coords"]
    np.testing.assert_allclose(table["lucas-kanade"]["b"]["x"], some_tracks().positions_px[:, 1, 0])
    np.testing.assert_allclose(table["lucas-kanade"]["a"]["likelihood"], [1, 0.75, 0.75, 0.75])


def test_deeplabcut_h5_is_pandas_own_layout(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    assert not any("confidence" in line for line in write_labels(tmp_path / "out.h5", some_labels()))
    table = pandas.read_hdf(tmp_path / "out.h5")
    np.testing.assert_allclose(table["lucas-kanade"]["b"]["y"], some_tracks().positions_px[:, 1, 1])
    assert_same(read_labels(tmp_path / "out.h5"), some_labels())
    index = pandas.MultiIndex.from_tuples([("labeled-data", "clip", "img002.png")])
    columns = pandas.MultiIndex.from_product([["Ann"], ["tip"], ["x", "y"]], names=["scorer", "bodyparts", "coords"])
    pandas.DataFrame([[4.0, 5.0]], index, columns).to_hdf(tmp_path / "CollectedData.h5", key="df_with_missing")
    found = read_labels(tmp_path / "CollectedData.h5")
    assert found.tracks.positions_px[2, 0].tolist() == [4, 5]


def test_h5_without_its_packages_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tables", None)
    with pytest.raises(MissingPackageError, match=r"ultrasound-motion\[deeplabcut\]"):
        write_labels(tmp_path / "out.h5", some_labels())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("apex_first", [True, False])
def test_echonet_tracings_are_a_contour_from_base_over_apex_to_base(tmp_path, apex_first):
    (tmp_path / "VolumeTracings.csv").write_text(tracings(apex_first))
    found = read_labels(tmp_path / "VolumeTracings.csv")
    contour = found.tracks.positions_px[1, found.columns(found.groups[0].labels)]
    assert found.clip == "0X1A" and len(contour) == 40
    assert contour[0, 1] > 40 and contour[-1, 1] > 40 and contour[20, 1] < 8  # y grows downwards: the apex is up
    lost = write_labels(tmp_path / "out_VolumeTracings.csv", found)
    again = read_labels(tmp_path / "out_VolumeTracings.csv")
    assert_same(again, found)
    assert not any("20 chords" in line for line in lost)


def test_a_wall_becomes_chords_on_which_it_lies(tmp_path):
    angle = np.linspace(np.pi, 2 * np.pi, 61)
    wall = np.stack([30 + 15 * np.cos(angle), 45 + 40 * np.sin(angle)], axis=1)
    tracks = PointTracks(
        wall[None], np.ones((1, 61)), np.ones((1, 61), bool), tuple(f"w{number}" for number in range(61)), 0
    )
    labels = Labels(tracks, (PointGroup("wall", tracks.labels),), clip="clip")
    lost = write_labels(tmp_path / "VolumeTracings.csv", labels)
    assert "echonet holds wall as 20 chords across its long axis" in lost
    found = read_labels(tmp_path / "VolumeTracings.csv").tracks.positions_px[0][:40]
    assert np.abs(((found[:, 0] - 30) / 15) ** 2 + ((found[:, 1] - 45) / 40) ** 2 - 1).max() < 0.03


def heart_mask(shape=(128, 128), shift=0):
    y, x = np.mgrid[: shape[0], : shape[1]] - shift
    above = y <= 80
    cavity = above & (((x - 64) / 20) ** 2 + ((y - 80) / 50) ** 2 < 1)
    muscle = above & (((x - 64) / 30) ** 2 + ((y - 80) / 62) ** 2 < 1) & ~cavity
    mask = (cavity + 2 * muscle).astype(np.uint8)
    mask[(y > 80) & (y < 100) & (np.abs(x - 64) < 20)] = 3
    return mask


def overlap(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_camus_masks_become_contours_and_masks_again(tmp_path):
    masks = np.stack([heart_mask(), heart_mask(shift=3)])
    path = tmp_path / "patient0001_4CH_half_sequence_gt.nii.gz"
    write_volume(path, Volume(masks, (0.5, 0.5, 1.0), (0, 0, 0), np.eye(3)))
    found = read_labels(path)
    inner, outer = (found.tracks.positions_px[0, found.columns(group.labels)] for group in found.groups)
    # half a pixel counts: the border of the ellipse, not the outermost pixels' centres
    radius = np.hypot((inner[:, 0] - 64) / 20, (inner[:, 1] - 80) / 50)
    assert abs(np.mean(radius[5:-5]) - 1) * 20 < 0.1
    radius = np.hypot((outer[:, 0] - 64) / 30, (outer[:, 1] - 80) / 62)
    assert abs(np.mean(radius[5:-5]) - 1) * 30 < 0.15
    lost = write_labels(tmp_path / "out.nii.gz", found)
    assert any("rounded" in line for line in lost) and any("1 mm" in line for line in lost)
    import SimpleITK as sitk

    again = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nii.gz")))
    assert again.shape == masks.shape
    for frame in range(2):
        assert overlap(again[frame] == 1, masks[frame] == 1) > 0.985
        assert overlap(again[frame] == 2, masks[frame] == 2) > 0.95


def test_an_empty_mask_is_never_written_for_a_frame_without_contour(tmp_path):
    write_volume(tmp_path / "p_gt.nii.gz", Volume(np.stack([heart_mask()] * 3), (1, 1, 1), (0, 0, 0), np.eye(3)))
    labels = read_labels(tmp_path / "p_gt.nii.gz")
    positions = labels.tracks.positions_px.copy()
    positions[1] = np.nan
    labels = replace(labels, tracks=replace(labels.tracks, positions_px=positions))
    with pytest.raises(InputError, match="frame 1 has no whole contour"):
        write_labels(tmp_path / "out.nii.gz", labels)
    assert not (tmp_path / "out.nii.gz").exists()
    write_labels(tmp_path / "out.nii.gz", labels, frame=2)
    assert read_labels(tmp_path / "out.nii.gz", frame=2).labelled.any(axis=1).tolist() == [False, False, True]


def test_markups_on_an_oblique_clip_are_where_slicer_puts_them(tmp_path, oblique):
    clip = read_clip_reference(oblique)
    lost = write_labels(tmp_path / "out.mrk.json", some_labels(), clip=clip, frame=1)
    assert "markups does not hold the number of the frame, which is 1" in lost
    found = read_query_points(tmp_path / "out.mrk.json", clip.sequence)
    np.testing.assert_allclose(found.points_px, some_tracks().positions_px[1], atol=1e-9)
    slicer = pytest.importorskip("slicer")
    node = slicer.vtkMRMLMarkupsFiducialNode()
    storage = slicer.vtkMRMLMarkupsJsonStorageNode()
    storage.SetFileName(str(tmp_path / "out.mrk.json"))
    assert storage.ReadData(node)
    ras = [node.GetNthControlPointPosition(number) for number in range(3)]
    assert [node.GetNthControlPointLabel(number) for number in range(3)] == ["a", "b", "c"]
    import SimpleITK as sitk

    plane = sitk.Image(WIDTH, HEIGHT, 1, sitk.sitkUInt8)  # the clip's plane, as ITK has it
    plane.SetSpacing((*clip.sequence.spacing_mm, 1.0))
    plane.SetOrigin(clip.sequence.origin_mm)
    plane.SetDirection(clip.sequence.direction.ravel().tolist())
    x, y = some_tracks().positions_px[1, 2]
    expected = plane.TransformContinuousIndexToPhysicalPoint((x, y, 0.0))
    np.testing.assert_allclose(np.array(ras[2]) * (-1, -1, 1), expected, atol=1e-9)


def test_markups_of_several_frames_are_refused(tmp_path, oblique):
    with pytest.raises(InputError, match=r"one frame, and 4 frames are labelled \(0, 1, 2, 3\); choose one"):
        write_labels(tmp_path / "out.mrk.json", some_labels(), clip=read_clip_reference(oblique))


def test_slicer_ultrasound_lines(tmp_path):
    import pydicom

    path = pydicom.examples.get_path("ybr_color")
    clip = read_clip_reference(path)
    uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
    at = clip.sequence.pixels_to_lps_mm([[100, 50], [200, 60.5]])
    content = {
        "SOPInstanceUID": uid,
        "frame_annotations": [
            {
                "frame_number": 3,
                "coordinate_space": "LPS",
                "pleura_lines": [{"rater": "ann", "line": {"points": at.tolist()}}],
                "b_lines": [],
            },
            {
                "frame_number": "4",
                "pleura_lines": [],
                "b_lines": [{"rater": "ann", "line": {"points": (at * (-1, -1, 1)).tolist()}}],
            },
        ],
    }
    (tmp_path / "c.ann.json").write_text(json.dumps(content))
    found = read_labels(tmp_path / "c.ann.json", clip=clip)
    assert [group.name for group in found.groups] == ["pleura-1", "b-line-1"] and found.groups[0].observer == "ann"
    for frame, group in zip((3, 4), found.groups, strict=True):
        points = found.tracks.positions_px[frame, found.columns(group.labels)]
        np.testing.assert_allclose(points, [[100, 50], [200, 60.5]], atol=1e-6)
    write_labels(tmp_path / "out.json", found, form="slicer-ultrasound", clip=clip)
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["SOPInstanceUID"] == uid and [one["frame_number"] for one in written["frame_annotations"]] == [3, 4]
    np.testing.assert_allclose(written["frame_annotations"][1]["b_lines"][0]["line"]["points"], at)
    assert_same(read_labels(tmp_path / "out.json", clip=clip), found)
    content["SOPInstanceUID"] = "1.2.3"
    (tmp_path / "other.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"belongs to the DICOM instance 1\.2\.3"):
        read_labels(tmp_path / "other.json", clip=clip)


EXACT = {
    "tracks": "out.csv", "coco": "out.json", "cvat": "out.xml", "cvat-images": "out.xml", "deeplabcut": "dlc.csv",
    "clust": "out",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(EXACT))
def test_there_and_back(tmp_path, folder, name):
    clip = read_clip_reference(folder)
    labels = some_labels()
    write_labels(tmp_path / EXACT[name], labels, form=name, clip=clip)
    found = read_labels(tmp_path / EXACT[name], clip=clip)
    assert_same(found, labels, atol=1e-3 if name == "clust" else 1e-4)
    keeps = next(one.keeps for one in available_label_formats() if one.name == name)
    if "visible" in keeps:
        np.testing.assert_array_equal(found.tracks.visible, labels.tracks.visible)
    if "confidence" in keeps:
        np.testing.assert_allclose(found.tracks.confidence, labels.tracks.confidence)


@pytest.mark.parametrize("name", ["coco", "cvat", "cvat-images"])
def test_groups_come_back(tmp_path, folder, name):
    clip = read_clip_reference(folder)
    tracks = some_tracks()
    tracks = replace(tracks, labels=("wall/01", "single", "wall/02"))
    labels = Labels(tracks, (PointGroup("wall", ("wall/01", "wall/02")),), frame_size=(WIDTH, HEIGHT))
    write_labels(tmp_path / "out.dat", labels, form=name, clip=clip)
    (tmp_path / "out.dat").rename(tmp_path / f"out.{'json' if name == 'coco' else 'xml'}")
    found = read_labels(tmp_path / f"out.{'json' if name == 'coco' else 'xml'}", clip=clip)
    assert_same(found, labels, atol=1e-4)
    assert [group.labels for group in found.groups] == [("wall/01", "wall/02")]


def test_what_a_format_cannot_hold_is_said(tmp_path):
    lost = write_labels(tmp_path / "out", some_labels())
    assert lost == (
        "clust does not hold the confidence of the positions",
        "clust does not hold that 1 of 11 positions are not visible",
        "clust does not hold the tracker or observer (lucas-kanade)",
    )
    with pytest.raises(OutputError, match="exists already"):
        write_labels(tmp_path / "out", some_labels())


REFUSED = [
    ("echonet", "VolumeTracings.csv", "single points; --connect joins"),
    ("camus", "out.nii.gz", "one contour named endocardium"),
    ("slicer-ultrasound", "out.json", "name the DICOM file with --image"),
    ("markups", "out.mrk.json", "one frame"),
    ("cvat-images", "out.xml", "needs the names and the size"),
]


@pytest.mark.parametrize(("name", "file", "reason"), REFUSED)
def test_what_cannot_be_held_at_all_is_refused_and_nothing_is_written(tmp_path, name, file, reason):
    with pytest.raises(InputError, match=reason):
        write_labels(tmp_path / file, some_labels(), form=name)
    assert not list(tmp_path.iterdir())


BAD = [
    ("c.json", json.dumps({**COCO, "annotations": [{**COCO["annotations"][0], "keypoints": [1, 2]}]}), "has 2 numbers"),
    ("c.json", json.dumps({**COCO, "annotations": [COCO["annotations"][0]] * 2}), "no track_id of its own"),
    ("c.json", json.dumps({**COCO, "categories": [{"id": 1, "name": "box"}]}), "boxes or masks only"),
    ("c.json", json.dumps({"a": 1}), "of no format of labels"),
    ("v.xml", CVAT_VIDEO.replace("1.1</version>", "2.0</version>"), "version 2.0, expected 1.1"),
    ("v.xml", CVAT_VIDEO.replace("10.50,20.50", "10.50"), "hinge on frame 0: points must be"),
    ("v.xml", CVAT_VIDEO.replace("</annotations>", ""), "not valid XML"),
    ("d.csv", DLC_VIDEO.replace("11.25", "x"), "line 5: holds a value"),
    ("d.csv", DLC_VIDEO.replace("0.97", "1.97"), "expected 0 to 1"),
    ("d.csv", DLC_VIDEO.replace("coords,x,y", "coords,x,z"), "tip has no column y"),
    ("t.csv", tracings().replace(",1\n", ",one\n", 1), "line 2: expected FileName"),
    ("t.csv", tracings() + "other.avi,1,2,3,4,0\n", "tracings of 2 videos"),
]


@pytest.mark.parametrize(("file", "text", "reason"), BAD)
def test_a_bad_file_is_one_sentence(tmp_path, file, text, reason):
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=reason) as raised:
        read_labels(tmp_path / file)
    assert str(tmp_path / file) in str(raised.value) and "\n" not in str(raised.value)


def test_labels_of_another_clip_are_refused_or_doubted(tmp_path, folder):
    clip = read_clip_reference(folder)
    content = {**COCO, "images": [{**one, "width": 640} for one in COCO["images"]]}
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"640 x 50 pixels, .* is 60 x 50"):
        read_labels(tmp_path / "c.json", clip=clip)
    (tmp_path / "d.csv").write_text(DLC_VIDEO.replace("10.25", "400"))
    assert "1 of 2 positions lie outside" in " ".join(read_labels(tmp_path / "d.csv", clip=clip).notes)
    (tmp_path / "far.csv").write_text(DLC_VIDEO.replace("\n1,", "\n9,"))
    with pytest.raises(InputError, match=r"frame 9 is labelled, .* has 4 frames"):
        read_labels(tmp_path / "far.csv", clip=clip)


def test_convert_on_the_command_line(tmp_path, folder, capsys):
    write_tracks_csv(tmp_path / "t.csv", some_tracks())
    assert main(["convert", str(tmp_path / "t.csv"), str(tmp_path / "o.xml"), "--image", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "note: cvat does not hold the confidence" in out and "tracks to cvat: 3 points on 4 of 4 frames" in out
    assert main(["convert", str(tmp_path / "o.xml"), str(tmp_path / "o.json")]) == 2
    assert "--to (slicer-ultrasound, coco)" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "o.xml"), str(tmp_path / "o.json"), "--to", "coco", "--quiet"]) == 0
    assert main(["convert", str(tmp_path / "o.json"), str(tmp_path / "o.csv"), "--quiet"]) == 0
    again = read_labels(tmp_path / "o.csv").tracks.positions_px
    np.testing.assert_allclose(again, some_tracks().positions_px, atol=1e-4)
    assert main(["convert", str(tmp_path / "t.csv"), str(tmp_path / "t.csv")]) == 2
    assert "would overwrite an input" in capsys.readouterr().err
    points = ["convert", str(tmp_path / "t.csv"), str(tmp_path / "p.csv"), "--to", "points", "--frame", "2"]
    assert main(points) == 0 and "number of the frame, which is 2" in capsys.readouterr().out
    assert (tmp_path / "p.csv").read_text().splitlines()[1] == "a,18.500000,19.750000"


def test_track_takes_points_of_any_format_on_their_own_frame_only(tmp_path, folder, capsys):
    (tmp_path / "c.json").write_text(json.dumps(COCO))
    words = ["track", str(folder), "--points", str(tmp_path / "c.json"), "--out", str(tmp_path / "o.csv")]
    assert main([*words, "--query-frame", "1"]) == 2
    assert "has no point on frame 1; it has points on 0, 2: give --query-frame 0" in capsys.readouterr().err
    assert main([*words, "--query-frame", "0"]) == 0
    assert "2 points of frame 0 (coco)" in capsys.readouterr().out
    first = (tmp_path / "o.csv").read_text().splitlines()[1:3]
    assert [line.split(",")[2:5] for line in first] == [["left", "10.0", "20.0"], ["right", "30.5", "21.0"]]


def test_evaluate_takes_a_truth_of_any_format(tmp_path, capsys):
    write_tracks_csv(tmp_path / "t.csv", some_tracks())
    for name, file in (("coco", "truth.json"), ("cvat", "truth.xml"), ("deeplabcut", "truth_dlc.csv")):
        write_labels(tmp_path / file, some_labels(), form=name)
        assert main(["evaluate", "tracks", str(tmp_path / "t.csv"), "--truth", str(tmp_path / file)]) == 0
        last = capsys.readouterr().out.splitlines()[-1].split()
        assert last[4:9] == ["1.000"] * 5 and last[10] == "0.000"  # of the same places: all within 1 px


def test_the_docs_name_every_format_and_where_it_counts_from():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "Docs" / "how-to" / "exchange-labels.md").read_text()
    for one in available_label_formats():
        assert f"| `{one.name}` |" in page, one.name
