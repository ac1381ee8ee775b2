"""Reading back of pictures, animations and videos that were just written."""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.errors import OutputError


def check_picture(path: Path) -> None:
    """Decodes every frame of a .png, .gif or .mp4 file.

    Raises:
        OutputError: it cannot be decoded to its end.
    """
    if path.suffix.lower() == ".mp4":
        _check_video(path)
        return
    from PIL import Image, ImageSequence

    try:
        with Image.open(path) as picture:
            for frame in ImageSequence.Iterator(picture):
                frame.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise OutputError(f"damaged picture: {error}") from error


def _check_video(path: Path) -> None:
    import av

    try:
        with av.open(str(path)) as container:
            if not sum(1 for _ in container.decode(video=0)):
                raise OutputError("a video without frames")
    except av.FFmpegError as error:
        raise OutputError(f"damaged video: {error}") from error
