"""Landmark Tracking: its parameters and logic."""
