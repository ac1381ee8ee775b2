"""Deformable registration: a moving image put onto a fixed one, with the displacement field that does it."""

from UltrasoundMotionLib.names_on_demand import names_on_demand

_PUBLIC = {
    "DemonsConfig": "demons",
    "InstanceConfig": "instance",
    "LabelTransfer": "learned.label_transfer",
    "transfer_labels": "learned.label_transfer",
    "LikenessWeights": "likeness",
    "RegistrationMethod": "method_registry",
    "available_methods": "method_registry",
    "find_method": "method_registry",
    "register": "register_images",
    "LabelMeasures": "registration",
    "Registration": "registration",
    "RegistrationMeasures": "registration",
    "SequenceConfig": "sequence",
    "register_sequence": "sequence",
    "stream_sequence_registration": "sequence",
    "SequenceRegistration": "sequence_registration",
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

__getattr__ = names_on_demand(__name__, _PUBLIC)
