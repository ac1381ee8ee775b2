"""Deformable registration: a moving image put onto a fixed one, with the displacement field that does it."""

from UltrasoundMotionLib.registration.demons import DemonsConfig
from UltrasoundMotionLib.registration.instance import InstanceConfig
from UltrasoundMotionLib.registration.likeness import LikenessWeights
from UltrasoundMotionLib.registration.method_registry import RegistrationMethod, available_methods, find_method
from UltrasoundMotionLib.registration.register_images import register
from UltrasoundMotionLib.registration.registration import LabelMeasures, Registration, RegistrationMeasures

__all__ = [
    "DemonsConfig",
    "InstanceConfig",
    "LabelMeasures",
    "LikenessWeights",
    "Registration",
    "RegistrationMeasures",
    "RegistrationMethod",
    "available_methods",
    "find_method",
    "register",
]
