"""Learned registration: the images that networks were trained on, and the refinement of their predictions."""
