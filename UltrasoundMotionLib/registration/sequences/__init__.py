"""Dense motion through a sequence: the registration of its frames."""
