"""Waiting for what other processes do."""

import time

MOST_WAITING_S = 300.0
"""Seconds after which what has not happened never will, even on a machine that does much else."""


def wait_until(condition, seconds=MOST_WAITING_S):
    """Waits for a condition; fails when it does not come true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.005)
