"""Deformable Registration: its parameters, presets and logic."""
