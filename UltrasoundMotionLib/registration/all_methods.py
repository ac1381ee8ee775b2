"""Importing this registers every method."""

from UltrasoundMotionLib.registration import demons, instance, multiscale  # noqa: F401
