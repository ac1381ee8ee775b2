"""Trained weights: a safetensors file and a card of the same name, checked before they are used."""

from UltrasoundMotionLib.weights.model_card import ModelCard, read_card, write_card
from UltrasoundMotionLib.weights.model_file import LoadedWeights, check_weights, load_weights, save_weights
from UltrasoundMotionLib.weights.model_folder import (
    find_card,
    installed_cards,
    models_folder,
    shipped_cards,
    user_models_folder,
)
from UltrasoundMotionLib.weights.network import NetworkKind, TrainedNetwork, kind_of_card, load_network
from UltrasoundMotionLib.weights.official_checkpoint import OfficialCheckpoint

__all__ = [
    "LoadedWeights",
    "ModelCard",
    "NetworkKind",
    "OfficialCheckpoint",
    "TrainedNetwork",
    "check_weights",
    "find_card",
    "installed_cards",
    "kind_of_card",
    "load_network",
    "load_weights",
    "models_folder",
    "read_card",
    "save_weights",
    "shipped_cards",
    "user_models_folder",
    "write_card",
]
