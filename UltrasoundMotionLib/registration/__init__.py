"""Deformable registration: a moving image put onto a fixed one, with the displacement field that does it."""

from typing import Any

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "LabelTransfer": "label_transfer",
    "transfer_labels": "label_transfer",
    "LikenessWeights": "likeness_weights",
    "DemonsSettings": "methods.demons",
    "InstanceSettings": "methods.instance",
    "register": "register_images",
    "LabelDoubt": "registration",
    "LabelMeasures": "registration",
    "Registration": "registration",
    "RegistrationMeasures": "registration",
    "RegistrationMethod": "registry",
    "available_methods": "registry",
    "find_method": "registry",
    "RegisterRequest": "request",
    "SequenceRequest": "request",
    "register_sequence": "sequences.register_sequence",
    "stream_sequence_registration": "sequences.register_sequence",
    "SequenceRegistration": "sequences.sequence_registration",
    "SequenceSettings": "sequences.settings",
}
_FORMER_NAMES = {
    "DemonsConfig": "DemonsSettings",
    "InstanceConfig": "InstanceSettings",
    "SequenceConfig": "SequenceSettings",
}
"""Kept for one release."""

__all__ = [
    "DemonsSettings",
    "InstanceSettings",
    "LabelDoubt",
    "LabelMeasures",
    "LabelTransfer",
    "LikenessWeights",
    "RegisterRequest",
    "Registration",
    "RegistrationMeasures",
    "RegistrationMethod",
    "SequenceRegistration",
    "SequenceRequest",
    "SequenceSettings",
    "available_methods",
    "find_method",
    "register",
    "register_sequence",
    "stream_sequence_registration",
    "transfer_labels",
]

_find = lazy_attributes(__name__, _PUBLIC)


def __getattr__(name: str) -> Any:
    return _find(_FORMER_NAMES.get(name, name))
