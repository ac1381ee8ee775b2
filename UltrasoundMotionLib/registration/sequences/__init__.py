"""Dense motion through a sequence."""
