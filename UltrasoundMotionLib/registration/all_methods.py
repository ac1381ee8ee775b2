"""Importing this registers every method."""

from UltrasoundMotionLib.registration import demons, instance, multiscale  # noqa: F401
from UltrasoundMotionLib.registration.learned import ltnet, semantic_method, voxelmorph  # noqa: F401
