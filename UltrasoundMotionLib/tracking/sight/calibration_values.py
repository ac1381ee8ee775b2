"""Coefficients of the calibration, written by `ultrasound-motion benchmark confidence --fit`.

Fitted to 207 runs on 8 clips: echo-video 0, heart-extreme-01 300, heart-hard-01 300, heart-moderate-01 300, liver 0,
liver-extreme-01 300, liver-hard-01 300, liver-moderate-01 300. Those of siamrpn-ultrasound were fitted again to its
present weights, beside the others as they are: 8 runs on heart-moderate-01 300 and liver-hard-01 300.
"""

INTERCEPT = 1.1862
WEIGHTS = {
    "look_fine": 1.2494,
    "look_middle": 1.0022,
    "look_coarse": 0.3079,
    "recent_fine": 0.4191,
    "recent_middle": 0.0000,
    "recent_coarse": 0.0000,
    "less_than_usual": 2.0559,
    "contrast_lost": -0.0255,
    "contrast_lost_since": -1.7956,
    "contrast_gained": -1.4327,
    "darker": -6.8526,
    "darker_around": 0.0000,
    "darker_than_usual": 0.0000,
    "brighter": 0.0000,
    "beyond_border": 0.0000,
    "off_sector": -1.4770,
    "alone": -0.4927,
    "stepped_alone": -0.3572,
    "picture_change": 0.0000,
    "after_cut": 0.0000,
    "after_cut_unlike": 0.0000,
    "own_confidence": 0.0753,
    "own_lost": -0.3345,
    "unlike": -1.1824,
}
TRACKERS: dict[str, tuple[float, ...]] = {
    "block-matching": (1.2806, 0.1430, -0.4638),
    "kcf": (1.6436, 0.2505, 0.0000),
    "lct": (2.2537, 0.1997, -0.3897),
    "lucas-kanade": (0.8621, 0.1325, 0.0000),
    "lucas-kanade-wall": (1.7256, 0.1128, -1.1801),
    "siamfc-ultrasound": (-0.6776, 0.8802, -0.1387),
    "siamrpn-ultrasound": (-2.0661, 1.0314, 0.0000),
    "specknet": (2.2101, 0.0000, 0.0000),
    "specknet-published": (0.1247, 0.8551, -0.3345),
}
"""Intercept and weights of own_confidence and own_lost by tracker."""
