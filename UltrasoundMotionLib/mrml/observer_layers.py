"""Layers of several observers on one clip: a tracked point list for each, shown together, and their disagreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.observers import ObserverDisagreement, PairAgreement, compare_observers
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.layer_corrections import (
    corrections_as_arrays,
    has_own_corrections,
    layer_corrections,
    restore_attributes,
    stored_attributes,
)
from UltrasoundMotionLib.mrml.markups_display import point_color
from UltrasoundMotionLib.mrml.node_removal import remove_node, undone_unless_finished
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.mrml.table_nodes import add_chart, add_series, add_table
from UltrasoundMotionLib.mrml.track_links import image_of, is_result, link_results
from UltrasoundMotionLib.mrml.track_nodes import adding_landmarks
from UltrasoundMotionLib.mrml.tracks_from_nodes import reading_tracks
from UltrasoundMotionLib.steps import Steps, not_cancelled, run_steps
from UltrasoundMotionLib.tracking.files.observers_csv import ObserverTracks

_OBSERVER_ATTRIBUTE = "UltrasoundMotion.Observer"
_DISAGREEMENT_ROLE = "ultrasoundMotionDisagreement"
_ADDING = "adding tables and chart"
_MOST_LINES = 12


def observer_of(landmarks: SequenceNodes) -> str:
    """Returns the name of the observer whose layer a tracked point list is; empty where it is nobody's."""
    return landmarks.sequence.GetAttribute(_OBSERVER_ATTRIBUTE) or ""


def set_observer(landmarks: SequenceNodes, name: str) -> None:
    """Makes a tracked point list the layer of an observer.

    Raises:
        InputError: the name is empty, or the clip has a layer of this observer already.
    """
    name = " ".join(name.split())
    if not name:
        raise InputError("observer: enter a name")
    others = [layer for layer in layers_on(image_of(landmarks)) if layer.sequence is not landmarks.sequence]
    if any(observer_of(layer) == name for layer in others):
        raise InputError(f"observer: {name} has a layer on this clip already; choose it, or enter another name")
    landmarks.sequence.SetAttribute(_OBSERVER_ATTRIBUTE, name)


def layers_on(image: SequenceNodes) -> list[SequenceNodes]:
    """Returns the tracked point lists of a clip, in the order in which they were made."""
    layers = []
    for proxy in nodes_of_class(image.scene, "vtkMRMLMarkupsFiducialNode"):
        if is_result(proxy):
            landmarks = find_sequence_nodes(proxy)
            if image_of(landmarks).sequence is image.sequence:
                layers.append(landmarks)
    return layers


def named_layers(image: SequenceNodes) -> dict[str, SequenceNodes]:
    """Returns the layers of a clip that are an observer's, by name."""
    return {observer_of(layer): layer for layer in layers_on(image) if observer_of(layer)}


def add_layer(source: SequenceNodes, sequence: ImageSequence, observer: str) -> SequenceNodes:
    """`adding_layer` at once."""
    return run_steps(adding_layer(source, sequence, observer))


def adding_layer(source: SequenceNodes, sequence: ImageSequence, observer: str) -> Steps[SequenceNodes]:
    """Adds a layer of an observer that begins as a copy of a tracked point list, its corrections included.

    Raises:
        InputError: the name is empty, or the clip has a layer of this observer already.
    """
    name = " ".join(observer.split())
    image = image_of(source)
    if not name:
        raise InputError("observer: enter a name")
    if name in named_layers(image):
        raise InputError(f"observer: {name} has a layer on this clip already; choose it, or enter another name")
    tracks = yield from reading_tracks(source, image, sequence)
    attributes = stored_attributes(source) if has_own_corrections(source) else {}
    layer = yield from adding_landmarks(image, sequence, tracks, name=f"{sequence.name} landmarks of {name}")
    was_modifying = layer.sequence.StartModify()
    link_results(image, layer)
    layer.sequence.SetAttribute(_OBSERVER_ATTRIBUTE, name)
    restore_attributes(layer, attributes)
    layer.sequence.EndModify(was_modifying)
    yield 1, 2, "adding the layer"
    put_in_folder(image.scene, image.proxy, [layer.proxy], f"{sequence.name} observers")
    return layer


def show_layers(image: SequenceNodes, shown: SequenceNodes, *, together: bool) -> None:
    """Shows one layer, or all in different colours; only the one that is worked on can be dragged."""
    layers = layers_on(image)
    for number, layer in enumerate(layers):
        display = layer.proxy.GetDisplayNode()
        was_modifying = display.StartModify()
        display.SetVisibility(together or layer.sequence is shown.sequence)
        if len(layers) > 1:
            display.SetSelectedColor(*point_color(number))  # control points are selected by default
            display.SetColor(*point_color(number))
        display.SetPointLabelsVisibility(layer.sequence is shown.sequence and _has_few_points(layer))
        display.EndModify(was_modifying)


def _has_few_points(layer: SequenceNodes) -> bool:
    return layer.proxy.GetNumberOfControlPoints() <= 24


def observer_tracks(layer: SequenceNodes, sequence: ImageSequence) -> ObserverTracks:
    """`reading_observer` at once."""
    return run_steps(reading_observer(layer, sequence))


def reading_observer(layer: SequenceNodes, sequence: ImageSequence) -> Steps[ObserverTracks]:
    """Reads the tracks of a layer with what its observer stated; the points as first placed count as corrected."""
    tracks = yield from reading_tracks(layer, image_of(layer), sequence)
    corrections = layer_corrections(layer, sequence)
    return ObserverTracks(tracks, *corrections_as_arrays(corrections, tracks.labels, len(tracks.positions_px)))


def disagreement_of(image: SequenceNodes, sequence: ImageSequence) -> ObserverDisagreement:
    """`finding_disagreement` at once."""
    return run_steps(finding_disagreement(image, sequence))


def finding_disagreement(image: SequenceNodes, sequence: ImageSequence) -> Steps[ObserverDisagreement]:
    """Compares the layers of a clip's observers, see `compare_observers`.

    Where all observers share the frame on which the points were placed, that frame is no statement of theirs and is
    left out of what was placed by hand.

    Raises:
        InputError: fewer than two observers have a layer.
    """
    found: dict[str, ObserverTracks] = {}
    for name, layer in named_layers(image).items():
        found[name] = yield from reading_observer(layer, sequence)
    placed = {name: one.placed.copy() for name, one in found.items()}
    starts = {one.tracks.query_frame for one in found.values()}
    if len(starts) == 1:
        for mask in placed.values():
            mask[min(starts)] = False
    return compare_observers({name: one.tracks for name, one in found.items()}, placed)


@dataclass(frozen=True)
class DisagreementNodes:
    """Nodes of a disagreement.

    Attributes:
        table: a row per frame: time, mean over the points, each point.
        summary: a row per pair of observers, over all positions and over those placed by hand.
        chart: the mean and each point over time.
        found: what they show.
    """

    table: slicer.vtkMRMLTableNode
    summary: slicer.vtkMRMLTableNode
    chart: slicer.vtkMRMLPlotChartNode
    found: ObserverDisagreement


def add_disagreement(image: SequenceNodes, sequence: ImageSequence) -> DisagreementNodes:
    """`adding_disagreement` at once."""
    return run_steps(adding_disagreement(image, sequence))


def adding_disagreement(image: SequenceNodes, sequence: ImageSequence) -> Steps[DisagreementNodes]:
    """Adds the disagreement of a clip's observers as tables and a chart, in place of the last ones.

    Raises:
        InputError: see `finding_disagreement`.
    """
    found = yield from finding_disagreement(image, sequence)
    yield from not_cancelled(_removing_disagreement(image))
    return (yield from undone_unless_finished(image.scene, _adding_nodes(image, sequence, found)))


def _adding_nodes(
    image: SequenceNodes, sequence: ImageSequence, found: ObserverDisagreement
) -> Steps[DisagreementNodes]:
    scene, name = image.scene, f"{sequence.name} disagreement"
    time, unit = ("time (s)", "s") if found.times_s is not None else ("frame", "")
    columns: dict[str, np.ndarray] = {
        time: np.arange(len(found.distance)) if found.times_s is None else np.asarray(found.times_s),
        "mean": found.by_frame,
    }
    titles = {label: f"{label} (point)" if label in columns else label for label in found.labels}
    columns |= {titles[label]: found.distance[:, number] for number, label in enumerate(found.labels)}
    units = {time: unit} | dict.fromkeys(["mean", *titles.values()], found.unit)
    table = add_table(scene, name, columns, units)
    yield 1, 4, _ADDING
    summary = add_table(scene, f"{name} summary", _summary_columns(found), _summary_units(found))
    yield 2, 4, _ADDING
    series = []
    for number, label in enumerate(found.labels[:_MOST_LINES]):
        series.append(add_series(table, (time, titles[label]), label, color=point_color(number)))
        yield 2, 4, _ADDING
    series.append(add_series(table, (time, "mean"), "mean", color=(0.15, 0.15, 0.15), width=4.0))
    chart = add_chart(scene, name, series, time, f"distance of observers ({found.unit})")
    yield 3, 4, _ADDING
    put_in_folder(scene, image.proxy, [table, summary, chart], f"{sequence.name} observers")
    for node in (table, summary, chart, *series):
        image.sequence.AddNodeReferenceID(_DISAGREEMENT_ROLE, node.GetID())
    return DisagreementNodes(table, summary, chart, found)


def _removing_disagreement(image: SequenceNodes) -> Steps[None]:
    count = image.sequence.GetNumberOfNodeReferences(_DISAGREEMENT_ROLE)
    nodes = [image.sequence.GetNthNodeReference(_DISAGREEMENT_ROLE, number) for number in range(count)]
    image.sequence.RemoveNodeReferenceIDs(_DISAGREEMENT_ROLE)
    for done, node in enumerate(nodes):
        yield done, count, "removing the last disagreement"
        if node is not None:
            remove_node(node)


def _summary_columns(found: ObserverDisagreement) -> Mapping[str, np.ndarray | Sequence[str]]:
    pairs: tuple[PairAgreement, ...] = found.pairs
    return {
        "observers": [" - ".join(pair.observers) for pair in pairs],
        "positions": ["placed by both" if pair.placed else "all" for pair in pairs],
        "number": np.array([pair.count for pair in pairs]),
        "mean distance": np.array([pair.mean for pair in pairs]),
        "standard deviation": np.array([pair.std for pair in pairs]),
        "95th percentile": np.array([pair.percentile_95 for pair in pairs]),
        "largest": np.array([pair.maximum for pair in pairs]),
        **{
            f"{name} {axis}": np.array([getattr(pair, attribute)[number] for pair in pairs])
            for number, axis in enumerate("xy")
            for name, attribute in (("bias", "bias"), ("lower limit", "lower"), ("upper limit", "upper"))
        },
        "same visibility (%)": np.array([100 * pair.visibility for pair in pairs]),
    }


def _summary_units(found: ObserverDisagreement) -> dict[str, str]:
    lengths = ("mean distance", "standard deviation", "95th percentile", "largest")
    axes = [f"{name} {axis}" for axis in "xy" for name in ("bias", "lower limit", "upper limit")]
    return dict.fromkeys([*lengths, *axes], found.unit) | {"same visibility (%)": "%"}
