"""Deformable registration: a moving image put onto a fixed one, with the displacement field that does it."""

from UltrasoundMotionLib.registration.demons import DemonsConfig
from UltrasoundMotionLib.registration.instance import InstanceConfig
from UltrasoundMotionLib.registration.likeness import LikenessWeights
from UltrasoundMotionLib.registration.method_registry import RegistrationMethod, available_methods, find_method
from UltrasoundMotionLib.registration.register_images import register
from UltrasoundMotionLib.registration.registration import LabelMeasures, Registration, RegistrationMeasures
from UltrasoundMotionLib.registration.sequence import SequenceConfig, register_sequence, stream_sequence_registration
from UltrasoundMotionLib.registration.sequence_registration import SequenceRegistration

__all__ = [
    "DemonsConfig",
    "InstanceConfig",
    "LabelMeasures",
    "LikenessWeights",
    "Registration",
    "RegistrationMeasures",
    "RegistrationMethod",
    "SequenceConfig",
    "SequenceRegistration",
    "available_methods",
    "find_method",
    "register",
    "register_sequence",
    "stream_sequence_registration",
]
