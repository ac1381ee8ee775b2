"""A case of a cohort in the scene: its clip with tracks or wall, or its two images with the transform between them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.cohort.corrections import CaseClip, clip_of_case, corrections_of_case, tracks_of_case
from UltrasoundMotionLib.cohort.decisions import TO_RUN
from UltrasoundMotionLib.cohort.review import ReviewedCase
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.displacement_files import read_displacement
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.volume_files import read_volume
from UltrasoundMotionLib.jobs.capabilities.read_clip import ReadClip
from UltrasoundMotionLib.mrml.displacement_transforms import add_displacement_transform
from UltrasoundMotionLib.mrml.image_nodes import adding_image_sequence
from UltrasoundMotionLib.mrml.layer_corrections import layer_corrections, store_corrections
from UltrasoundMotionLib.mrml.layer_editing import LayerEditor
from UltrasoundMotionLib.mrml.node_removal import remove_node, remove_sequence, undone_unless_finished
from UltrasoundMotionLib.mrml.registration_pair import VolumePair, put_under
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.track_links import link_results, removing_results
from UltrasoundMotionLib.mrml.track_nodes import adding_landmarks
from UltrasoundMotionLib.mrml.tracked_wall import LiveWall, TrackedWall
from UltrasoundMotionLib.mrml.tracks_from_nodes import tracks_from_markups
from UltrasoundMotionLib.mrml.views import show_as_acquired, show_over
from UltrasoundMotionLib.mrml.volume_nodes import add_segmentation, add_volume
from UltrasoundMotionLib.mrml.wall_strain import StrainSettings, showing_strain, strain_of_wall
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionLib.strain.measure import split_layers
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.tracking import Correction, PointTracks

_FIELD = "displacement.nrrd"


@dataclass(eq=False)
class OpenedCase:
    """A case in the scene.

    Attributes:
        folder: of the cohort's results.
        case: as it was when it was opened.
        clip: nodes of the clip; None for a registration.
        sequence: the clip.
        landmarks: the tracked points of a case of `track`.
        wall: the tracked wall of a case of `strain`.
        fixed, moving, transform, segmentations: the nodes of a case of `register`.
        tracks, corrections: of landmarks or wall as they were opened, or put back into the results last.
        notes: lines for the user.
    """

    folder: Path
    case: ReviewedCase
    clip: SequenceNodes | None = None
    sequence: ImageSequence | None = None
    landmarks: SequenceNodes | None = None
    wall: TrackedWall | None = None
    fixed: slicer.vtkMRMLScalarVolumeNode | None = None
    moving: slicer.vtkMRMLScalarVolumeNode | None = None
    transform: slicer.vtkMRMLTransformNode | None = None
    segmentations: dict[str, slicer.vtkMRMLSegmentationNode] = field(default_factory=dict)
    tracks: PointTracks | None = None
    corrections: tuple[Correction, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def isThere(self) -> bool:
        """True while its nodes are in the scene."""
        nodes = self._main()
        return bool(nodes) and all(node is not None and node.GetScene() is not None for node in nodes)

    def _main(self) -> list[slicer.vtkMRMLNode]:
        if self.landmarks is not None:
            return [self.clip.sequence, self.clip.proxy, self.landmarks.sequence, self.landmarks.proxy]
        if self.wall is not None:
            return [self.clip.sequence, self.clip.proxy, self.wall.main.sequence, self.wall.curve]
        return [self.fixed, self.moving, self.transform]

    def currentTracks(self) -> PointTracks:
        """Returns the tracks as they are in the scene now."""
        if self.wall is not None:
            return self.wall.tracks(self.sequence)
        return tracks_from_markups(self.landmarks, self.clip, self.sequence)

    def currentCorrections(self) -> tuple[Correction, ...]:
        """Returns what was stated on all frames, the points as they were placed included."""
        return layer_corrections(self.landmarks, self.sequence) if self.landmarks is not None else ()

    def keep(self) -> None:
        """Takes tracks and corrections as they are now for those that the results have."""
        self.tracks, self.corrections = self.currentTracks(), self.currentCorrections()

    @property
    def isCorrected(self) -> bool:
        """True where points were changed since the case was opened, or put back into the results."""
        if self.fixed is not None or not self.isThere:
            return False
        if set(self.currentCorrections()) != set(self.corrections):
            return True
        now, before = self.currentTracks(), self.tracks
        return (
            now.labels != before.labels
            or not np.array_equal(now.visible, before.visible)
            or not np.allclose(now.positions_px, before.positions_px, atol=1e-3, equal_nan=True)
        )

    def closing(self) -> Steps[None]:
        """Removes the case from the scene, with everything that was derived from its results there."""
        if self.fixed is not None:
            for node in (*self.segmentations.values(), self.moving, self.transform, self.fixed):
                yield 0, 1, _("Closing the case")
                if node is not None:
                    remove_node(node)
            return
        if self.landmarks is not None and self.landmarks.sequence.GetScene() is not None:
            yield from removing_results(self.landmarks)
        if self.wall is not None and self.wall.main.sequence.GetScene() is not None:
            yield from self.wall.removing()
        yield 0, 1, _("Closing the case")
        remove_sequence(self.clip)


def clipOf(case: ReviewedCase) -> CaseClip | None:
    """Returns the clip that is read to open a case; None for a registration.

    Raises:
        InputError: the clip is not known; the case cannot be opened.
    """
    if case.case is None:
        raise InputError(f"{case.name}: {case.why_not}")
    return None if case.record.verb == "register" else clip_of_case(case)


def opening(folder: Path, case: ReviewedCase, read: ReadClip | None) -> Steps[OpenedCase]:
    """Adds a case to the scene; nothing of it stays where that fails or is cancelled.

    Args:
        read: the clip of `clipOf`.

    Raises:
        InputError: a file that cannot be read, or that does not fit the others.
    """
    steps = _openingImages(folder, case) if read is None else _openingClip(folder, case, read)
    return undone_unless_finished(slicer.mrmlScene, steps)


def _openingClip(folder: Path, case: ReviewedCase, read: ReadClip) -> Steps[OpenedCase]:
    sequence = replace(clip_of_case(case).applied_to(read.sequence), name=case.name)
    tracks = tracks_of_case(case)
    if len(tracks.positions_px) > len(sequence):
        raise InputError(f"{case.name}: tracks of {len(tracks.positions_px)} frames for a clip of {len(sequence)}")
    tracks = _asLongAs(sequence, tracks)
    clip = yield from adding_image_sequence(slicer.mrmlScene, sequence, grey_levels=read.grey_levels, colour=True)
    opened = OpenedCase(folder, case, clip=clip, sequence=sequence, notes=sequence.notes)
    if case.record.verb == "track":
        opened.landmarks = yield from adding_landmarks(clip, sequence, tracks)
        link_results(clip, opened.landmarks)
        _storeCorrections(opened, tracks)
    else:
        live = LiveWall(clip, sequence, split_layers(tracks.labels, int(case.option("layers") or 1)), _view(case))
        yield from live.showing(tracks)
        opened.wall = live.wall
        yield from _showingStrain(opened)
    opened.keep()
    clip.browser.SetSelectedItemNumber(_mostDoubtfulFrame(tracks))
    show_as_acquired(slicer.mrmlScene, clip.proxy)
    return opened


def _storeCorrections(opened: OpenedCase, tracks: PointTracks) -> None:
    """Stores the corrections of the case with its points; those that its result does not have yet are made there."""
    case, landmarks = opened.case, opened.landmarks
    given = corrections_of_case(case, tracks)
    if case.state != TO_RUN:
        store_corrections(landmarks, opened.sequence, given, tracked=True)
        return
    editor, known = LayerEditor(landmarks, opened.sequence), set(tracks.labels)
    for one in sorted(given, key=lambda each: each.lost):
        if one.label not in known:
            editor.add_point(one.label, one.frame, one.position_px)
            known.add(one.label)
        elif one.lost:
            editor.mark_lost([one.label], [one.frame])
        else:
            editor.place(one.label, one.frame, one.position_px)


def _asLongAs(sequence: ImageSequence, tracks: PointTracks) -> PointTracks:
    """Returns tracks with the clip's times and pixel size; frames at the end that were not reached have no line."""
    missing = len(sequence) - len(tracks.positions_px)
    return PointTracks(
        positions_px=np.pad(tracks.positions_px, ((0, missing), (0, 0), (0, 0)), constant_values=np.nan),
        confidence=np.pad(tracks.confidence, ((0, missing), (0, 0))),
        visible=np.pad(tracks.visible, ((0, missing), (0, 0))),
        labels=tracks.labels,
        query_frame=tracks.query_frame,
        times_s=sequence.times_s,
        spacing_mm=sequence.spacing_mm,
        model=tracks.model,
    )


def _mostDoubtfulFrame(tracks: PointTracks) -> int:
    """Returns the frame on which a point is least certain, as the page of the cohort shows it."""
    known = np.isfinite(tracks.positions_px).all(axis=2)
    return int(np.argmin(np.where(known, tracks.confidence, 1.0).min(axis=1)))


def _view(case: ReviewedCase) -> str:
    return segment_model(case.option("view")).view


def _showingStrain(opened: OpenedCase) -> Steps[None]:
    """Shows the strain of the wall with the options of the case; a wall that cannot be measured stays without."""
    frames = {name: tuple(map(int, opened.case.option(name).split())) for name in ("end_diastole", "end_systole")}
    segments = {name: _texts(opened.case.option(name)) for name in ("accept", "reject")}
    settings = StrainSettings(
        end_diastole_frames=frames["end_diastole"],
        end_systole_frames=frames["end_systole"],
        compensate_drift=opened.case.option("compensate_drift").lower() in ("1", "true", "yes"),
        accept_segments=segments["accept"],
        reject_segments=segments["reject"],
        orientation=opened.case.option("orientation"),
    )
    try:
        strain = strain_of_wall(opened.wall, opened.sequence, settings)
    except InputError as error:
        opened.notes = (*opened.notes, str(error))
        return
    settings.keep(opened.wall)
    yield from showing_strain(opened.wall, opened.sequence, strain)


def _texts(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def _openingImages(folder: Path, case: ReviewedCase) -> Steps[OpenedCase]:
    scene = slicer.mrmlScene
    yield 0, 4, _("Reading the images")
    fixed = read_volume(case.option("fixed"))
    yield 1, 4, _("Reading the images")
    moving = read_volume(case.option("moving"))
    yield 2, 4, _("Reading the displacement")
    field_mm = read_displacement(case.folder / _FIELD).displacement_mm
    yield 3, 4, _("Showing the case")
    if field_mm.shape[:-1] != fixed.array.shape:
        raise InputError(f"{case.name}: the displacement lies on another grid than {case.option('fixed')}")
    opened = OpenedCase(folder, case, notes=(*fixed.notes, *moving.notes))
    opened.fixed = add_volume(scene, fixed, _("{case} fixed").format(case=case.name))
    opened.moving = add_volume(scene, moving, _("{case} moving").format(case=case.name))
    pair = VolumePair.of_images(opened.fixed, opened.moving, fixed, moving)
    name = _("{case} transform").format(case=case.name)
    opened.transform = add_displacement_transform(scene, pair.displacement_grid(field_mm), name)
    put_under(opened.moving, opened.transform)
    labels = {"fixed": case.option("fixed_labels"), "moving": case.option("moving_labels")}
    for which, path in labels.items():
        if path:
            yield 3, 4, _("Showing the case")
            image = opened.fixed if which == "fixed" else opened.moving
            node = add_segmentation(scene, read_volume(path), f"{image.GetName()} labels", image, filled=False)
            opened.segmentations[which] = node
    if "moving" in opened.segmentations:
        opened.segmentations["moving"].SetAndObserveTransformNodeID(opened.transform.GetID())
    show_over(opened.fixed, opened.moving)
    return opened
