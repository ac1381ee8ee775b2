"""Files of points and tracks."""
