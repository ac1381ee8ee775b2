"""The Apply button, whose tool tip gives the reason where it is disabled and which becomes Cancel during a run, with
its progress bar and status line.
"""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from UltrasoundMotionLib.jobs import JobProgress


class ApplyButton:
    """The widgets `applyButton`, `progressBar` and `statusLabel` of a panel."""

    def __init__(self, ui: object, *, onApply: Callable[[], None], onCancel: Callable[[], None]) -> None:
        self._button, self._bar, self._status = ui.applyButton, ui.progressBar, ui.statusLabel
        self._applyText, self._applyTip = self._button.text, self._button.toolTip
        self._onApply, self._onCancel = onApply, onCancel
        self._reason = ""
        self.running = False
        self._bar.visible = False
        self._button.connect("clicked()", self._onClicked)

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._button.disconnect("clicked()", self._onClicked)

    def allow(self, reason: str) -> None:
        """Enables the button, or disables it and shows the reason; an empty reason is none.

        A reason that is known already does not take the place of another message, as that of a run that failed.
        """
        isNew, self._reason = reason != self._reason, reason
        if not self.running:
            self._button.enabled = not reason
            self._button.toolTip = reason or self._applyTip
            if (reason and isNew) or self._status.property("showsReason"):
                self.showStatus(reason)
                self._status.setProperty("showsReason", bool(reason))

    def showStatus(self, text: str) -> None:
        """Shows one line below the button."""
        self._status.setProperty("showsReason", False)
        self._status.text = text
        self._status.toolTip = text

    def begin(self, message: str) -> None:
        """Turns into Cancel."""
        self.running = True
        self._button.text = _("&Cancel")
        self._button.toolTip = _("Stop; what was finished is kept")
        self._button.enabled = True
        self._bar.setRange(0, 0)
        self._bar.format = ""
        self._bar.visible = True
        self.showStatus(message)

    def show(self, progress: JobProgress, unit: str | None = None) -> None:
        """Moves the bar; its text is the share done, the frames (or other units) per second and the time left."""
        self._bar.setRange(0, max(progress.total, 1))
        self._bar.value = progress.done
        self._bar.format = _progressText(progress, unit)

    def stopping(self) -> None:
        """Disables the button after a click on Cancel, until the job has ended."""
        self._button.enabled = False
        self.showStatus(_("Stopping ..."))

    def end(self, message: str) -> None:
        """Turns back into Apply."""
        self.running = False
        self._button.text = self._applyText
        self._bar.visible = False
        reason, self._reason = self._reason, ""
        self.allow(reason)
        if message:
            self.showStatus(message)

    def _onClicked(self) -> None:
        if self.running:
            self.stopping()
            self._onCancel()
        else:
            self._onApply()


def _progressText(progress: JobProgress, unit: str | None = None) -> str:
    """`12 of 30 · 41 frames/s · 3 s left`, as far as it is known."""
    parts = [_("{done} of {total}").format(done=progress.done, total=progress.total)]
    if progress.items_per_second:
        parts.append(_("{rate} {unit}/s").format(rate=f"{progress.items_per_second:.3g}", unit=unit or _("frames")))
    if progress.seconds_left is not None and progress.done < progress.total:
        parts.append(_("{duration} left").format(duration=_durationText(progress.seconds_left)))
    return " \u00b7 ".join(parts)


def _durationText(seconds: float) -> str:
    """`8 s`, `2 min 5 s`, `1 h 12 min`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return _("{seconds} s").format(seconds=whole)
    if whole < 3600:
        return _("{minutes} min {seconds} s").format(minutes=whole // 60, seconds=whole % 60)
    return _("{hours} h {minutes} min").format(hours=whole // 3600, minutes=whole % 3600 // 60)
