"""Reader of video files (.mp4, .avi and others that FFmpeg reads) through PyAV, the extra `video`."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.header_fields import increasing_times

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".gif")
CACHE_BYTES = 64 * 2**20
_PYAV_READS_ANY_METADATA = 19
"""The first major version of PyAV that always reads metadata that is no text."""


@dataclass(frozen=True)
class _VideoIndex:
    """The frames of a video, found by one pass over its packets.

    Attributes:
        timestamps: presentation time of every frame in ticks, increasing.
        keys: timestamps of the key frames.
        in_order: the packets' timestamps are not unique, so frames are numbered as they are decoded from the first.
        grey: the video has no colour.
    """

    timestamps: tuple[int, ...]
    keys: tuple[int, ...]
    in_order: bool
    seconds_per_tick: float
    width: int
    height: int
    grey: bool
    notes: tuple[str, ...]


def read_video(path: Path) -> ImageSequence:
    """Reads a video as grey levels, its luma expanded to 0..255; times are relative to the first frame.

    Frames are counted from the packets, without decoding, not from the header, which may be wrong. Spacing is unknown.

    Raises:
        MissingPackageError: PyAV is not installed.
        InputError: not a video, no frames, or truncated.
    """
    av = _av()
    try:
        with _open(path) as container:
            if not container.streams.video:
                raise InputError(f"{path}: holds no video")
            if container.format.name.endswith("_pipe") or container.format.name == "image2":
                raise InputError(f"{path}: is a picture ({container.format.name.removesuffix('_pipe')}), not a video")
            if container.streams.video[0].codec_context is None:
                raise InputError(f"{path}: cannot be read as a video: its codec is not known")
            index = _index(path, container, container.streams.video[0])
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be read as a video: {error.strerror}") from None
    except (ValueError, ArithmeticError) as error:  # PyAV on headers of nonsense
        raise InputError(f"{path}: cannot be read as a video: damaged header: {error}") from None
    if index.width < 1 or index.height < 1:
        raise InputError(f"{path}: cannot be read as a video: its frames have {index.width} x {index.height} pixels")
    ticks = np.array(index.timestamps, dtype=np.float64)
    times, time_notes = increasing_times((ticks - ticks[0]) * index.seconds_per_tick, "the video's timestamps")
    notes = ["spacing unknown: a video carries none (give the spacing if it is known)", *index.notes, *time_notes]
    if not index.grey:
        notes.append("colour pixels became grey: the video's luma, expanded to 0..255")
    return ImageSequence(
        _VideoFrames(path, index),
        times_s=times if len(ticks) > 1 else None,
        name=path.stem,
        path=path,
        notes=tuple(notes),
    )


def _av() -> ModuleType:
    try:
        import av
    except ImportError:
        raise MissingPackageError("reading a video needs PyAV: pip install av") from None
    return av


def _open(path: Path) -> InputContainer:
    """Opens a video; bytes in its metadata that are no text are passed over.

    PyAV 19 does so by itself, and has no option for it any more.
    """
    av = _av()
    options = {} if int(av.__version__.partition(".")[0]) >= _PYAV_READS_ANY_METADATA else {"metadata_errors": "ignore"}
    return av.open(str(path), **options)


def _index(path: Path, container: InputContainer, stream: VideoStream) -> _VideoIndex:
    notes: list[str] = []
    packets: list[tuple[int | None, bool]] = []
    end = 0
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        if packet.is_corrupt:
            raise InputError(f"{path}: truncated or damaged at frame {len(packets)}")
        packets.append((packet.pts if packet.pts is not None else packet.dts, packet.is_keyframe))
        end = max(end, (packets[-1][0] or 0) + (packet.duration or 0))
    if not packets:
        raise InputError(f"{path}: zero frames: the video holds no pictures")
    time_base = stream.time_base or 0
    found, declared = float(end * time_base), _declared_seconds(container, stream)
    if declared is not None and found < 0.95 * declared and declared - found > 3 * found / len(packets):
        raise InputError(f"{path}: truncated: its header declares {declared:.4g} s of video, {found:.4g} s found")
    stamps = [stamp for stamp, _ in packets if stamp is not None]
    in_order = len(set(stamps)) < len(packets)
    timestamps, seconds = tuple(sorted(stamps)), float(time_base)
    keys = tuple(sorted(stamp for stamp, key in packets if key and stamp is not None))
    if in_order:
        count = _decoded_count(container, stream)
        timestamps, keys, seconds = tuple(range(count)), (0,), declared / count if declared else 0.0
        notes.append(
            "the packets' timestamps are not usable: frames were counted by decoding, "
            "and are spread evenly over the clip"
        )
    if stream.frames and stream.frames != len(timestamps):
        notes.append(f"the header declares {stream.frames} frames, {len(timestamps)} found")
    context, aspect = stream.codec_context, stream.sample_aspect_ratio
    if aspect and aspect != 1:
        notes.append(f"pixels are not square: {float(aspect):.4g} times as wide as high")
    grey = context.format is not None and context.format.name.startswith("gray")
    return _VideoIndex(timestamps, keys, in_order, seconds, context.width, context.height, grey, tuple(notes))


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return container.duration / 1e6
    return None


def _decoded_count(container: InputContainer, stream: VideoStream) -> int:
    container.seek(0)
    return sum(1 for _ in container.decode(stream))


class _VideoFrames:
    """The frames of a video, a `FrameSource` and `ColourFrameSource`.

    Frames are decoded from the last key frame on, and the latest are cached. The cache is bounded in bytes: reading
    backwards costs one seek per full cache, and memory does not grow with the clip.
    """

    def __init__(self, path: Path, index: _VideoIndex) -> None:
        self._path, self._index = path, index
        self._place = {stamp: frame for frame, stamp in enumerate(index.timestamps)}
        self._key_frames = [0] if index.in_order else [self._place[stamp] for stamp in index.keys]
        self.shape = (len(index.timestamps), index.height, index.width)
        self.dtype = np.dtype(np.uint8)
        self._capacity = max(8, CACHE_BYTES // (index.height * index.width))
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._container: InputContainer | None = None
        self._decoded: Iterator[VideoFrame] | None = None
        self._next = 0

    def __getitem__(self, index: int) -> np.ndarray:
        if index < 0:
            index += self.shape[0]
        if index not in self._cache:
            self._decode_to(index)
        return self._cache[index]

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns frame `index` as RGB (H, W, 3) uint8, or None if the video is grey."""
        if self._index.grey:
            return None
        return self._decode_to(index).to_ndarray(format="rgb24")

    def _decode_to(self, index: int) -> VideoFrame:
        """Decodes up to frame `index` and returns it; all decoded frames are cached."""
        key = self._key_frames[max(0, bisect_right(self._key_frames, index) - 1)] if self._key_frames else 0
        try:
            if self._decoded is None or index < self._next or self._next < key:
                self._seek(key)
            picture = self._advance(index)
            if picture is None and key > 0:  # some containers seek to a later key frame
                self._seek(0)
                picture = self._advance(index)
        except _av().FFmpegError as error:
            raise InputError(f"{self._path}: frame {index} cannot be decoded: {error.strerror}") from None
        if picture is None:
            raise InputError(f"{self._path}: frame {index} cannot be decoded: the video is damaged or truncated")
        return picture

    def _advance(self, index: int) -> VideoFrame | None:
        for picture in self._decoded or ():
            frame = self._frame_number(picture)
            if frame is None:
                continue
            self._next = frame + 1
            self._keep(frame, picture.to_ndarray(format="gray"))
            if frame >= index:
                return picture if frame == index else None
        self._decoded = None
        return None

    def _frame_number(self, picture: VideoFrame) -> int | None:
        if self._index.in_order:
            return self._next
        stamp = picture.pts if picture.pts is not None else picture.dts
        return None if stamp is None else self._place.get(stamp)

    def _seek(self, key: int) -> None:
        if self._container is None:
            self._container = _open(self._path)
            self._container.streams.video[0].thread_type = "AUTO"
        stream = self._container.streams.video[0]
        if key == 0:
            self._container.seek(0)
        else:
            self._container.seek(self._index.timestamps[key], stream=stream, backward=True)
        self._decoded = self._container.decode(stream)
        self._next = key

    def _keep(self, frame: int, pixels: np.ndarray) -> None:
        if pixels.shape != self.shape[1:]:
            raise InputError(
                f"{self._path}: frame {frame} is {pixels.shape[1]} x {pixels.shape[0]} pixels, but its header says "
                f"{self.shape[2]} x {self.shape[1]}: a video that changes its size; split it"
            )
        pixels.setflags(write=False)
        self._cache[frame] = pixels
        self._cache.move_to_end(frame)
        while len(self._cache) > self._capacity:
            self._cache.popitem(last=False)
