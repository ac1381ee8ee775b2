"""The line under Apply that sums a result up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from UltrasoundMotionLib.registration import Registration
    from UltrasoundMotionLib.registration.sequences.sequence_registration import SequenceRegistration


def sequenceSummary(result: SequenceRegistration) -> str:
    """`40 frames in 12.1 s on cpu; mean squared difference 0.012 before, 0.0031 after`."""
    measures = result.mean_measures()
    text = _("{count} frames in {seconds} s on {device}; mean squared difference {before} before, {after} after")
    return text.format(
        count=len(result),
        seconds=f"{result.seconds:.1f}",
        device=result.device,
        before=f"{measures.mse_before:.2g}",
        after=f"{measures.mse:.2g}",
    )


def pairSummary(result: Registration) -> str:
    """`local cross-correlation 0.41 to 0.78; Dice 0.59 to 0.84; nothing folds; 5.3 s on cpu`, and what was done beyond
    what was asked.
    """
    measures = result.measures
    parts = [
        _("local cross-correlation {before} to {after}").format(
            before=f"{measures.lncc_before:.2f}", after=f"{measures.lncc:.2f}"
        )
    ]
    if measures.labels:
        before, after = (
            np.nanmean([getattr(one, name) for one in measures.labels.values()]) for name in ("dice_before", "dice")
        )
        parts.append(_("Dice {before} to {after}").format(before=f"{before:.2f}", after=f"{after:.2f}"))
    folded = measures.jacobian.share_nonpositive
    parts.append(_("{share} of it folds").format(share=f"{folded:.2%}") if folded else _("nothing folds"))
    inside = measures.jacobian_inside
    if inside is not None and inside.share_nonpositive > 0:
        parts.append(
            _("inside the {where} {share} folds").format(where=measures.inside, share=f"{inside.share_nonpositive:.2%}")
        )
    parts.append(_("{seconds} s on {device}").format(seconds=f"{measures.seconds:.1f}", device=measures.device))
    return "; ".join([*parts, *result.notes])
