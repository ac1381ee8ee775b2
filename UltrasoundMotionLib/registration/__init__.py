"""Deformable registration: a moving image put onto a fixed one, with the displacement field that does it."""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "DemonsConfig": "methods.demons",
    "InstanceConfig": "methods.instance",
    "LabelTransfer": "methods.ltnet.label_transfer",
    "transfer_labels": "methods.ltnet.label_transfer",
    "LikenessWeights": "likeness",
    "RegistrationMethod": "registry",
    "available_methods": "registry",
    "find_method": "registry",
    "register": "register_images",
    "LabelMeasures": "registration",
    "Registration": "registration",
    "RegistrationMeasures": "registration",
    "SequenceConfig": "sequences.register_sequence",
    "register_sequence": "sequences.register_sequence",
    "stream_sequence_registration": "sequences.register_sequence",
    "SequenceRegistration": "sequences.sequence_registration",
}

__all__ = [
    "DemonsConfig",
    "InstanceConfig",
    "LabelMeasures",
    "LabelTransfer",
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
    "transfer_labels",
]

__getattr__ = lazy_attributes(__name__, _PUBLIC)
