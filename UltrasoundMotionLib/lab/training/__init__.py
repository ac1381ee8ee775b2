"""Training of point trackers: clips with exact trajectories, impartial motion, and the loop."""
