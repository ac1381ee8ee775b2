"""The learned landmark trackers, registered by name where their weights are installed.

`siamfc` and `siamrpn` have settings that suit ultrasound, `siamfc-published` and `siamrpn-published` their papers' with
the same weights.

Chosen on the harder half of tuning liver phantoms (seed 100: two hard, two extreme, 64 frames, four landmarks each),
mean error of visible landmarks. Tissue looks alike everywhere, and between two frames a landmark moves by little: with
the paper's share of the cosine window, 0.176, SiamFC jumps to the like of a landmark when a shadow passes, and stays
there (4.3 mm; median 0.41); 0.4 gives 3.8, 0.6 gives 3.3, 0.8 gives 0.9 at the same median. One size, because a probe's
depth stays. SiamRPN by its best proposal, whatever the window's share, gives 4.4 (median 0.78): probabilities near 1
everywhere leave nothing to rank by, and the correction of the box adds nothing to a landmark's place. Placed by its
upsampled score instead: 1.23 (median 0.50) at a share of 0.83, 1.21 (0.62) at 0.9; here 1.16 (0.52) at 0.85.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker
from UltrasoundMotionLib.tracking.registry import TrackerEntry, register_tracker
from UltrasoundMotionLib.weights import shipped_cards

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import SiamFcConfig
    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import SiamRpnConfig


def siamfc_config(**changes: object) -> SiamFcConfig:
    """SiamFC's settings for ultrasound."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import SiamFcConfig

    return SiamFcConfig(**{"window_influence": 0.8, **changes})


def siamrpn_config(**changes: object) -> SiamRpnConfig:
    """SiamRPN's settings for ultrasound."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import SiamRpnConfig

    return SiamRpnConfig(**{"window_influence": 0.85, "upsampling": 8, **changes})


def create_siamfc(
    device: str = "cpu", card_path: str | Path | None = None, config: SiamFcConfig | None = None
) -> OnlineTracker:
    """SiamFC; `card_path` None takes the shipped weights, `config` None `siamfc_config()`."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import SiamFcTracker, siamfc_network
    from UltrasoundMotionLib.weights import find_card
    from UltrasoundMotionLib.weights.card_network import load_card_network

    place = torch.device(device)
    network = load_card_network(card_path or find_card("siamfc"), place, "SiamFcNetwork", siamfc_network)
    return SiamFcTracker(network, config or siamfc_config(), place)


def create_siamfc_published(device: str = "cpu", card_path: str | Path | None = None) -> OnlineTracker:
    """SiamFC with its paper's settings."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import PUBLISHED

    return create_siamfc(device, card_path, PUBLISHED)


def create_siamrpn(
    device: str = "cpu", card_path: str | Path | None = None, config: SiamRpnConfig | None = None
) -> OnlineTracker:
    """SiamRPN; `card_path` None takes the shipped weights, `config` None `siamrpn_config()`."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import SiamRpnTracker, siamrpn_network
    from UltrasoundMotionLib.weights import find_card
    from UltrasoundMotionLib.weights.card_network import load_card_network

    place = torch.device(device)
    network = load_card_network(card_path or find_card("siamrpn"), place, "SiamRpnNetwork", siamrpn_network)
    return SiamRpnTracker(network, config or siamrpn_config(), place)


def create_siamrpn_published(device: str = "cpu", card_path: str | Path | None = None) -> OnlineTracker:
    """SiamRPN with its authors' settings."""
    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import PUBLISHED

    return create_siamrpn(device, card_path, PUBLISHED)


def create_lsdm(device: str = "cpu", card_path: str | Path | None = None) -> OnlineTracker:
    """LSDM; `card_path` None takes the shipped weights."""
    from UltrasoundMotionLib.tracking.trackers.lsdm import create_lsdm as create

    return create(device, card_path)


def create_lsdm_published(device: str = "cpu", card_path: str | Path | None = None) -> OnlineTracker:
    """LSDM's response alone."""
    from UltrasoundMotionLib.tracking.trackers.lsdm import create_lsdm_published as create

    return create(device, card_path)


_TRACKERS = (
    (
        "lsdm",
        "lsdm",
        "long and short diffeomorphic motion lead a Siamese network (Liu et al.), fused with two memories; surest",
        create_lsdm,
    ),
    ("lsdm-published", "lsdm", "LSDM as published, its network's response alone", create_lsdm_published),
    ("siamrpn", "siamrpn", "region proposals by a Siamese network (Li et al. 2018), for ultrasound", create_siamrpn),
    ("siamrpn-published", "siamrpn", "SiamRPN with its authors' settings", create_siamrpn_published),
    ("siamfc", "siamfc", "fully convolutional Siamese network (Bertinetto et al. 2016), for ultrasound", create_siamfc),
    ("siamfc-published", "siamfc", "SiamFC with its paper's settings, three sizes", create_siamfc_published),
)

_installed = {path.stem for path in shipped_cards()}
for _name, _weights, _summary, _create in _TRACKERS:
    if _weights in _installed:  # an installation without the weights does not offer what it cannot run
        register_tracker(TrackerEntry(_name, "landmarks", _summary, _create, weights=_weights))
