"""Landmark trackers: a few places of the anatomy, each followed with a window around it through minutes of breathing."""
