"""Strain of the heart's wall from tracked points: curves, segments, peaks, timing, quality and uncertainty.

    from UltrasoundMotionLib.strain import contour_from_clicks, longitudinal_strain

    contour = contour_from_clicks(
        [[88, 190], [120, 40], [165, 185]], view="A4C", frame=16, spacing_mm=sequence.spacing_mm
    )
    tracks = track_points(sequence, contour.points_px, query_frame=contour.frame)
    strain = longitudinal_strain(tracks, view="A4C")
    strain.measures.gls_percent, strain.uncertainty, strain.segment_measures, strain.quality

`measure_strain` does what a `StrainRequest` asks for, as the command line and the module do. It calls
`longitudinal_strain` for apical views, `circumferential_strain` for short-axis views, and `layered_strain`, which gives
transverse (radial) strain too, for several layers; `ventricle_strain` combines apical views. `strain.dense_strain`
computes principal strains of a displacement field; it alone needs torch.

Definitions follow Voigt et al. 2015 (EACVI/ASE/Industry standard for 2D speckle tracking); all strain is Lagrangian, in
percent, raw, unless named otherwise.
"""

from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle, CardiacEvents
from UltrasoundMotionLib.strain.contour_strain import circumferential_strain, longitudinal_strain
from UltrasoundMotionLib.strain.ecg_trace import EcgTrace
from UltrasoundMotionLib.strain.find_events import find_events
from UltrasoundMotionLib.strain.layered_strain import LayeredStrain, layered_strain
from UltrasoundMotionLib.strain.measure import MeasuredStrain, measure_strain
from UltrasoundMotionLib.strain.request import StrainRequest
from UltrasoundMotionLib.strain.segment_model import SegmentModel, segment_model
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_measures import GlobalStrainMeasures, SegmentStrainMeasures, StrainMeasures
from UltrasoundMotionLib.strain.strain_result import (
    SegmentQuality,
    SmoothedStrain,
    StrainDrift,
    StrainResult,
    StrainUncertainty,
)
from UltrasoundMotionLib.strain.ventricle_segments import LeftVentricleStrain, ventricle_strain
from UltrasoundMotionLib.strain.wall_contour import WallContour, contour_from_clicks, contour_from_curve

__all__ = [
    "CardiacCycle",
    "CardiacEvents",
    "EcgTrace",
    "GlobalStrainMeasures",
    "LayeredStrain",
    "LeftVentricleStrain",
    "MeasuredStrain",
    "SegmentModel",
    "SegmentQuality",
    "SegmentStrainMeasures",
    "SmoothedStrain",
    "StrainConfig",
    "StrainDrift",
    "StrainMeasures",
    "StrainRequest",
    "StrainResult",
    "StrainUncertainty",
    "WallContour",
    "circumferential_strain",
    "contour_from_clicks",
    "contour_from_curve",
    "find_events",
    "layered_strain",
    "longitudinal_strain",
    "measure_strain",
    "segment_model",
    "ventricle_strain",
]
