"""Importing this registers every method."""

from UltrasoundMotionLib.registration import demons, instance  # noqa: F401
