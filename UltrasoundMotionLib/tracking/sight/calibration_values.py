"""Coefficients of the calibration, written by `ultrasound-motion benchmark confidence --fit`.

Fitted to 95 runs on 8 clips: echo-video 0, heart-extreme-01 300, heart-hard-01 300, heart-moderate-01 300, liver 0,
liver-extreme-01 300, liver-hard-01 300, liver-moderate-01 300.
"""

INTERCEPT = 0.6234
WEIGHTS = {
    "look_fine": 0.1874,
    "look_middle": 0.6404,
    "look_coarse": 0.7710,
    "recent_fine": 0.6538,
    "recent_middle": 0.0000,
    "recent_coarse": 0.0000,
    "less_than_usual": 3.6052,
    "contrast_lost": 0.0000,
    "contrast_lost_since": -2.1499,
    "contrast_gained": -1.5204,
    "darker": -5.0804,
    "darker_around": 0.0000,
    "darker_than_usual": -1.1435,
    "brighter": 0.0000,
    "beyond_border": 0.0000,
    "off_sector": -1.1307,
    "alone": -0.4997,
    "stepped_alone": -0.1242,
    "picture_change": 0.0000,
    "after_cut": 0.0000,
    "after_cut_unlike": 0.0000,
    "own_confidence": 0.2596,
    "own_lost": -0.0252,
}
TRACKERS: dict[str, tuple[float, ...]] = {
    "block-matching": (-0.4724, 0.4600, 0.0000),
    "kcf": (0.4285, 0.5106, 0.0000),
    "lct": (1.9448, 1.0316, -0.1843),
    "lucas-kanade": (0.5770, 0.2892, 0.0000),
    "lucas-kanade-wall": (1.0407, 1.0445, 0.0000),
    "specknet": (2.1932, 0.4904, 0.0000),
    "specknet-published": (0.6682, 1.4017, 0.0000),
}
"""Intercept and weights of own_confidence and own_lost by tracker."""
