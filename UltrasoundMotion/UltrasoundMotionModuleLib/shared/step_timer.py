"""Short steps on the scene outside a run, such as an undo, while the application stays alive."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import qt

from UltrasoundMotionLib.errors import UltrasoundMotionError
from UltrasoundMotionLib.steps import StepRunner, Steps

_STEP_BUDGET_S = 0.015
"""Longest time that steps may block the application at a time."""


class StepTimer:
    """Runs steps a slice at a time, one piece of work after the other.

    Work in the background (reading what is shown) gives way to work that the user has asked for.
    """

    def __init__(self, onFailed: Callable[[str], None], onIdle: Callable[[], None]) -> None:
        """`onFailed` is called with the message of an error, `onIdle` after each piece of work."""
        self._onFailed, self._onIdle = onFailed, onIdle
        self._runner: StepRunner[Any] | None = None
        self._onEnd: Callable[[Any], None] | None = None
        self._isBackground = False
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self.onTimeout)

    @property
    def running(self) -> bool:
        """True while there is work of any kind."""
        return self._runner is not None

    @property
    def busy(self) -> bool:
        """True while there is work that the user has asked for."""
        return self._runner is not None and not self._isBackground

    def run(self, steps: Steps, onEnd: Callable[[Any], None], *, background: bool = False) -> None:
        """Starts work in place of work in the background; `onEnd` is called with its result."""
        self.close()
        self._runner, self._onEnd, self._isBackground = StepRunner(steps), onEnd, background
        self._timer.start()

    def close(self) -> None:
        """Ends the work where it stands."""
        self._timer.stop()
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def finish(self) -> None:
        """Goes on with the work until it has ended, where there is no time left for a pause."""
        while self.running:
            self.onTimeout()

    def disconnect(self) -> None:
        """Ends the work and the timer."""
        self.close()
        self._timer.disconnect("timeout()", self.onTimeout)

    def onTimeout(self) -> None:
        """Goes on with the work for a short while."""
        runner = self._runner
        if runner is None:
            self._timer.stop()
            return
        try:
            runner.advance(_STEP_BUDGET_S)
        except Exception as error:
            if not isinstance(error, UltrasoundMotionError):
                logging.exception("steps on the scene failed", exc_info=error)
            self.close()
            self._onFailed(str(error))
            self._onIdle()
            return
        if runner.finished and self._runner is runner:
            self._runner = None
            self._timer.stop()
            self._onEnd(runner.result)
            self._onIdle()
