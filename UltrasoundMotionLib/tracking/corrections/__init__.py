"""Corrections of several frames at once: what a user states, the tracks between them, and where doubt is left."""
