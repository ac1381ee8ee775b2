"""Live tracking: images that arrive over OpenIGTLink are tracked as they come, and positions are sent back.

    from UltrasoundMotionLib.live import LiveRequest, LiveSession

    with LiveSession(LiveRequest(source="igtl://localhost:18944", points="points.csv")) as session:
        session.run(print)

`source.py` receives every frame and keeps the newest, `live_tracker.py` follows the points through the frames it can
take, `recorder.py` writes all frames, `server.py` sends positions to other programs, and `replay.py` is a simulated
scanner. Messages are packed and parsed by pyigtl (`openigtlink.py`).
"""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "LiveFrame": "frame",
    "LiveRequest": "request",
    "LiveSession": "session",
    "LiveUpdate": "update",
    "MessageServer": "server",
    "ReplayScanner": "replay",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605

__getattr__ = lazy_attributes(__name__, _PUBLIC)
