"""Units and definitions of all measures, as the JSON report states them."""

SOURCE = (
    "Voigt et al. 2015, Definitions for a common standard for 2D speckle tracking echocardiography: consensus document"
    " of the EACVI/ASE/Industry Task Force to standardize deformation imaging, Eur Heart J Cardiovasc Imaging 16:1-11,"
    " where not said otherwise"
)

DEFINITIONS: dict[str, tuple[str, str]] = {
    "gls_percent": (
        "%",
        "global longitudinal strain: 100 (L(ES) - L(ED)) / L(ED), L the length of the whole contour (rejected segments"
        " left out)",
    ),
    "gls_segment_mean_percent": (
        "%",
        "the standard's other way: the mean of the accepted segments' end-systolic strain",
    ),
    "end_systolic_percent": (
        "%",
        "strain at end-systole (aortic valve closure; here the smallest contour unless given)",
    ),
    "peak_systolic_percent": ("%", "most negative strain from end-diastole to end-systole"),
    "positive_peak_percent": ("%", "largest stretching from end-diastole to end-systole; 0 when there is none"),
    "peak_percent": ("%", "most negative strain of the whole cycle"),
    "post_systolic_percent": ("%", "most negative strain after end-systole"),
    "post_systolic_index_percent": (
        "%",
        "100 (peak - end-systolic) / peak when the peak comes after end-systole, else 0 (Kukulski et al. 2003)",
    ),
    "time_to_peak_s": ("s", "from end-diastole to the peak of the whole cycle"),
    "frames_to_peak": ("frames", "the same in frames"),
    "peak_systolic_rate_per_s": (
        "1/s",
        "fastest shortening in systole, the derivative of Lagrangian strain over the true frame times",
    ),
    "peak_diastolic_rate_per_s": ("1/s", "fastest lengthening after end-systole"),
    "drift_percent": ("%", "strain at the next end-diastole, which should be 0, before any compensation"),
    "natural_strain": ("%", "100 ln(L(t) / L(ED))"),
    "smoothed": (
        "",
        "the same from displacements smoothed along the wall and in time; quality and rejection always come from the"
        " raw ones",
    ),
    "confidence": ("", "mean confidence of the tracker over the segment's points in the cycle, 0 to 1"),
    "lost_share": ("", "part of the segment's points missing for longer than the gap limit, 0 to 1"),
    "forward_backward_px": ("px", "median distance from its start after tracking a point there and back"),
    "roughness_percent": (
        "%",
        "how unlike their neighbours the points move, as the error of the segment's strain that this would make",
    ),
    "uncertainty": ("% points", "standard deviation of the error of gls_percent, and its 95 % interval"),
}
"""(unit, definition) by name."""
