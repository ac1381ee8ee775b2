"""Demons (Thirion; Vercauteren et al.) of SimpleITK, through our own `register`."""

from __future__ import annotations

from UltrasoundMotionLib.fields import DisplacementField
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import peer


@peer("demons", "SimpleITK's demons, by `register`", kind="registration", whole={"search_region": "whole"})
def demons(fixed: Volume, moving: Volume, search_region: str = "auto") -> DisplacementField:
    """Registers on the CPU, with the method's default settings."""
    from UltrasoundMotionLib.registration import register

    return register(fixed, moving, method="demons", search_region=search_region, device="cpu").displacement
