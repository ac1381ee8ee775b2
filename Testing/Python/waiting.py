"""Waiting for what other processes do."""

import time


def wait_until(condition, seconds=120):
    """Waits for what even a busy machine does in that time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.005)
