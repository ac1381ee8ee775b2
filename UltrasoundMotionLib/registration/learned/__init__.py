"""Registration that learns: networks, what they were trained on, and the test-time refinement of what they give."""
