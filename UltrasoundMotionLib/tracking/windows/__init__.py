"""Windows cut around landmarks, and the tracker that works in them."""
