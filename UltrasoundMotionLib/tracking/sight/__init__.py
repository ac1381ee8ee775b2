"""Visibility and confidence of every tracker's points: changes of the picture, and evidence at each found place."""
