"""Probes and consoles as different scanners have them, drawn at random."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.lab.second_source.console import Console
from UltrasoundMotionLib.lab.second_source.probe import Probe


def draw_probe(rng: np.random.Generator, scene: str) -> Probe:
    """Draws a phased array for a heart, a curved one for a liver."""
    if scene == "echo":
        frequency = rng.uniform(2.0, 3.2)
        return Probe(
            element_count=int(rng.integers(34, 46)),
            pitch_mm=float(rng.uniform(0.36, 0.44)),
            frequency_mhz=float(frequency),
            bandwidth=float(rng.uniform(0.45, 0.7)),
            wave_count=3,
            harmonic=bool(rng.uniform() < 0.5),
            f_number=float(rng.uniform(1.0, 1.6)),
            window_power=float(rng.uniform(0.0, 1.2)),
            attenuation=float(rng.uniform(0.4, 0.6)),
            half_angle=float(rng.uniform(0.68, 0.77)),
            depth_mm=float(rng.uniform(132, 152)),
            line_count=int(rng.integers(104, 136)),
            sample_count=420,
        )
    return Probe(
        element_count=52,
        pitch_mm=float(rng.uniform(0.72, 0.86)),
        radius_mm=float(rng.uniform(48, 60)),
        frequency_mhz=float(rng.uniform(2.2, 3.0)),
        bandwidth=float(rng.uniform(0.45, 0.7)),
        wave_count=3,
        harmonic=bool(rng.uniform() < 0.5),
        f_number=float(rng.uniform(1.5, 2.2)),
        window_power=float(rng.uniform(0.0, 1.2)),
        attenuation=float(rng.uniform(0.4, 0.6)),
        half_angle=float(rng.uniform(0.42, 0.52)),
        depth_mm=float(rng.uniform(128, 145)),
        line_count=int(rng.integers(96, 130)),
        sample_count=420,
    )


def draw_console(rng: np.random.Generator, hard: bool) -> Console:
    """Draws the settings of a scanner's back end; hard ones smear, sharpen, drift and lose more."""
    return Console(
        dynamic_range_db=float(rng.uniform(46, 62)),
        reference_percentile=97.0,
        reference_gray=float(rng.uniform(0.66, 0.8)),
        gamma=float(rng.uniform(1.0, 1.45)),
        persistence=float(rng.uniform(0.05, 0.25)) if hard else 0.05,
        adaptive_gain=float(rng.uniform(0.2, 0.9)),
        edge_enhancement=float(rng.uniform(0.0, 0.7)),
        smoothing=float(rng.uniform(0.3, 1.0)),
        gain_slope_db=(float(rng.uniform(-4, 4)), float(rng.uniform(-5, 4))) if hard else (0.0, 0.0),
        gain_drift_db=float(rng.uniform(-5, 5)) if hard else 0.0,
        jpeg_quality=int(rng.integers(45, 80)) if hard else 90,
    )


def draw_noise_db(rng: np.random.Generator, hard: bool) -> float:
    """Draws the level of the noise, see `ProbeImage`."""
    return float(rng.uniform(-18, -9)) if hard else -22.0
