"""The names of the rows of Zhu et al. and the figures that the paper prints."""

from __future__ import annotations

UNREGISTERED = "unregistered"
ANTS, NIFTYREG = "ANTs", "NiftyReg"
VOXELMORPH, NEURREG = "VoxelMorph", "NeurReg"
SSR = "SSR (w/o multi-scale)"
SSMSR = "SSMSR (1)"
PEERS = {ANTS: "ants-bspline-published", NIFTYREG: "niftyreg-published"}
"""Names in the registry of peers."""


def scale_name(scale: float) -> str:
    """Returns the paper's name of SSMSR's result at a scale: "SSMSR (1/2)"."""
    return SSMSR if scale == 1 else f"SSMSR (1/{scale:g})"


TABLE_1: dict[str, tuple[float, ...]] = {
    ANTS: (80.86, 78.34, 79.60),
    NIFTYREG: (80.53, 77.92, 79.23),
    VOXELMORPH: (78.92, 75.85, 77.39),
    NEURREG: (78.99, 78.72, 78.86),
    SSR: (80.61, 78.73, 79.67),
    scale_name(2): (77.66, 75.08, 76.37),
    SSMSR: (81.18, 79.13, 80.16),
}
"""Dice of head, of body and their mean, in percent."""

TABLE_2: dict[str, dict[str, tuple[float, float]]] = {
    "myocardium": {
        ANTS: (15.5179, 3.1597),
        VOXELMORPH: (1.2266, 4.7363),
        SSR: (1.2158, 4.7809),
        scale_name(8): (1.6937, 4.2084),
        scale_name(4): (1.3504, 4.4140),
        scale_name(2): (1.0929, 4.7155),
        SSMSR: (0.9206, 5.0881),
    },
    "blood": {
        ANTS: (3.9344, 4.2062),
        VOXELMORPH: (5.8654, 3.3462),
        SSR: (5.7780, 3.3942),
        scale_name(8): (6.8108, 2.3948),
        scale_name(4): (5.6106, 2.7331),
        scale_name(2): (4.5089, 3.3879),
        SSMSR: (3.7944, 4.2519),
    },
}
"""MSE in 1e-3 and NLCC in 1e-1."""
