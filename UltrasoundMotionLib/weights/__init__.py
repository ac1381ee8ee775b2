"""Trained weights and what is known about them: a safetensors file and a card of the same name, checked before they are
used.
"""

from UltrasoundMotionLib.weights.model_card import ModelCard, read_card, write_card
from UltrasoundMotionLib.weights.model_file import LoadedWeights, check_weights, load_weights, save_weights
from UltrasoundMotionLib.weights.model_folder import find_card, models_folder, shipped_cards

__all__ = [
    "LoadedWeights",
    "ModelCard",
    "check_weights",
    "find_card",
    "load_weights",
    "models_folder",
    "read_card",
    "save_weights",
    "shipped_cards",
    "write_card",
]
