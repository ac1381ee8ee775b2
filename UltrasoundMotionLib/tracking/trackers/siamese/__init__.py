"""`siamfc` and `siamrpn`: Siamese trackers for single landmarks, with their papers' settings, and for ultrasound.

Settings for ultrasound were chosen with earlier, wider networks on the harder half of tuning liver phantoms (seed 100:
two hard, two extreme, 64 frames, four landmarks each), mean error of visible landmarks in mm. Tissue looks alike
everywhere, and between two frames a landmark moves by little: with the paper's share of the cosine window, 0.176,
SiamFC jumps to a look-alike when a shadow passes, and stays there (4.3; median 0.41); 0.4 gives 3.8, 0.6 gives 3.3, 0.8
gives 0.9 at the same median. One size, because a probe's depth stays. SiamRPN by its best proposal, whatever the
window's share, gives 4.4 (median 0.78): probabilities near 1 everywhere leave nothing to rank by, and the correction of
the box adds nothing to a landmark's position. Placed by its upsampled score instead: 1.23 (median 0.50) at a share of
0.83, 1.21 (0.62) at 0.9; here 1.16 (0.52) at 0.85.

The networks that are shipped now, on one hard and one extreme of these livers (7 landmarks): SiamFC 3.2 at 0.176, 0.54
at 0.4, 0.53 at 0.8; SiamRPN 1.90 by its best proposal, 0.83 by its score. On livers of another simulator, which nothing
is chosen by, the published settings are the better ones (Docs/results/landmarks.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import SiamFcConfig, SiamFcTracker
    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetwork
    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import SiamRpnConfig, SiamRpnTracker
    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import SiamRpnNetwork


def _build_siamfc(configuration: Mapping[str, Any]) -> SiamFcNetwork:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetwork, SiamFcNetworkConfig

    return SiamFcNetwork(from_plain(SiamFcNetworkConfig, configuration["network"]))


def _build_siamrpn(configuration: Mapping[str, Any]) -> SiamRpnNetwork:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import SiamRpnNetwork, SiamRpnNetworkConfig

    return SiamRpnNetwork(from_plain(SiamRpnNetworkConfig, configuration["network"]))


SIAMFC = NetworkKind("SiamFcNetwork", _build_siamfc)
SIAMRPN = NetworkKind("SiamRpnNetwork", _build_siamrpn)


def _ultrasound_siamfc() -> SiamFcConfig:
    """Returns SiamFC's settings for ultrasound."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import SiamFcConfig

    return SiamFcConfig(window_influence=0.8)


def siamfc_published() -> SiamFcConfig:
    """Returns the paper's settings, its three sizes included."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import PUBLISHED

    return PUBLISHED


def _ultrasound_siamrpn() -> SiamRpnConfig:
    """Returns SiamRPN's settings for ultrasound."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import SiamRpnConfig

    return SiamRpnConfig(window_influence=0.85, upsampling=8)


def _siamrpn_published() -> SiamRpnConfig:
    """Returns its authors' settings."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import PUBLISHED

    return PUBLISHED


@tracker(
    "siamrpn-ultrasound",
    "region proposals by a Siamese network (Li et al. 2018), settings of this project for ultrasound",
    kind="landmarks",
    rank=15,
    settings=_ultrasound_siamrpn,
    weights="siamrpn",
    network=SIAMRPN,
    use="comparison with the paper's settings",
)
def create_siamrpn_ultrasound(setup: TrackerSetup) -> SiamRpnTracker:
    """Makes the tracker."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import SiamRpnTracker

    return SiamRpnTracker(setup.network, setup.settings, torch.device(setup.device))


@tracker(
    "siamrpn",
    "region proposals by a Siamese network (Li et al. 2018), with its authors' settings",
    kind="landmarks",
    rank=14,
    settings=_siamrpn_published,
    weights="siamrpn",
    network=SIAMRPN,
    use="comparison: a baseline of lsdm",
)
def create_siamrpn(setup: TrackerSetup) -> SiamRpnTracker:
    """Makes the tracker."""
    return create_siamrpn_ultrasound(setup)


@tracker(
    "siamfc-ultrasound",
    "fully convolutional Siamese network (Bertinetto et al. 2016), settings of this project for ultrasound",
    kind="landmarks",
    rank=17,
    settings=_ultrasound_siamfc,
    weights="siamfc",
    network=SIAMFC,
    use="comparison with the paper's settings",
)
def create_siamfc_ultrasound(setup: TrackerSetup) -> SiamFcTracker:
    """Makes the tracker."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import SiamFcTracker

    return SiamFcTracker(setup.network, setup.settings, torch.device(setup.device))


@tracker(
    "siamfc",
    "fully convolutional Siamese network (Bertinetto et al. 2016), with its paper's settings, three sizes",
    kind="landmarks",
    rank=16,
    settings=siamfc_published,
    weights="siamfc",
    network=SIAMFC,
    use="comparison: a baseline of lsdm",
)
def create_siamfc(setup: TrackerSetup) -> SiamFcTracker:
    """Makes the tracker."""
    return create_siamfc_ultrasound(setup)
