"""Tracks with known errors for the tests of evaluation."""

import argparse

import numpy as np

from UltrasoundMotionLib.tracking import (
    PointTracks,
)


def make_tracks(positions, visible=None, labels=None, query_frame=0, spacing_mm=None):
    positions = np.asarray(positions, dtype=float)
    known = np.all(np.isfinite(positions), axis=2)
    visible = known if visible is None else np.asarray(visible)
    labels = labels or tuple("abcdefghij"[: positions.shape[1]])
    return PointTracks(positions, known.astype(float), visible, labels, query_frame, spacing_mm=spacing_mm)


def run_verb(module, *words):
    parser = argparse.ArgumentParser()
    module.fill_parser(parser)
    arguments = parser.parse_args([str(word) for word in words])
    return arguments.run(arguments)
