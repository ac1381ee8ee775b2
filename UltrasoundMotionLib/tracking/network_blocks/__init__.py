"""Blocks that several point-tracking networks share; they import PyTorch, so listing trackers imports none of them."""
