"""Frames to an mp4 file and back, through PyAV (FFmpeg). The file can be read even if its writer was cut
off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.cores import usable_cores
from reverie.simulator.errors import ClipError
from reverie.simulator.world import TICKS_PER_SECOND

QUALITY = 18
"""Constant rate factor of x264; 0 is lossless."""
KEY_FRAME_EVERY = 100
FRAGMENT_MICROSECONDS = 1_000_000
"""How much of a recording a crash can cost."""
CODECS = frozenset({"h264", "hevc", "mpeg4"})
"""What is decoded; a stranger's file gets no choice among the hundreds that FFmpeg knows."""
MAX_FRAME_PIXELS = 4096 * 2304
MAX_BYTES = 2 << 30
"""Most memory that one read may fill with frames."""


class VideoWriter:
    """Writes uint8 [h, w, 3] frames to a fragmented mp4 (H.264, 20 Hz). Raises OSError when the disk is full.

    `lossless` keeps every bit of the RGB values (x264's RGB mode, which browsers do not play).
    """

    def __init__(self, path: Path, size: tuple[int, int], *, lossless: bool = False) -> None:
        import av

        self.path, self.size, self.frames = path, size, 0
        height, width = size
        options = {
            "movflags": "frag_keyframe+empty_moov+default_base_moof",
            "frag_duration": str(FRAGMENT_MICROSECONDS),
            "flush_packets": "1",
        }
        with _os_errors():
            self._container = av.open(str(path), mode="w", format="mp4", options=options)
        quality = {"qp": "0"} if lossless else {"crf": str(QUALITY)}
        stream: Any = self._container.add_stream(
            "libx264rgb" if lossless else "libx264",
            rate=TICKS_PER_SECOND,
            options={"preset": "veryfast", "tune": "zerolatency", "threads": "1"} | quality,
        )
        stream.width, stream.height = width, height
        stream.pix_fmt = "rgb24" if lossless else "yuv420p"
        stream.gop_size = KEY_FRAME_EVERY
        self._stream = stream

    def write(self, frame: np.ndarray) -> None:
        """Appends a frame."""
        import av

        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self.frames
        with _os_errors():
            self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def close(self) -> None:
        """Writes what the encoder still holds."""
        with _os_errors():
            try:
                self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()


def iterate_video(path: Path, start: int, stop: int, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """Frames `start` to `stop` (fewer where the file ends) one by one: uint8 [h, w, 3].

    With a `size` (height, width) what sticks out of its shape is cut off at both sides, and the rest is area-averaged.
    Raises ClipError for a file that is no video or
    has frames too large to read. A file that was cut off just ends.
    """
    import av

    try:
        # The format is forced: probing would let a playlist in disguise open other files and addresses.
        with path.open("rb") as file, av.open(file, format="mp4") as container:
            if not container.streams.video:
                raise ClipError(f"{path}: holds no video")
            stream = container.streams.video[0]
            if stream.codec_context is None or stream.codec_context.name not in CODECS:
                raise ClipError(f"{path}: is not encoded as any of {', '.join(sorted(CODECS))}")
            _check_size(path, stream.codec_context.height, stream.codec_context.width)
            stream.codec_context.thread_count = usable_cores()
            stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
            for index, picture in enumerate(_decode(container, stream)):
                if index >= stop:
                    return
                if index < start:
                    continue
                _check_size(path, picture.height, picture.width)
                height, width = size or (picture.height, picture.width)
                tall, wide = covering((picture.height, picture.width), (height, width))
                picture = picture.reformat(width=wide, height=tall, format="rgb24", interpolation="AREA")
                top, left = (tall - height) // 2, (wide - width) // 2
                yield np.ascontiguousarray(picture.to_ndarray()[top : top + height, left : left + width])
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ClipError(f"{path}: cannot be read as a video ({reason})") from error


def covering(source: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The smallest (height, width) of the shape of `source` that covers `size`."""
    scale = max(size[0] / source[0], size[1] / source[1])
    return max(size[0], round(source[0] * scale)), max(size[1], round(source[1] * scale))


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a file is, found out without decoding more than its first frame."""

    size: tuple[int, int]
    rate: float
    """Frames a second, on average."""
    frames: int
    """That can be read back."""
    promised: int
    """That the header says there are; 0 where it does not say."""


def probe(path: Path) -> VideoFacts:
    """Raises ClipError for a file that cannot be read as a video."""
    import av

    height, width = next(iter(iterate_video(path, 0, 1)), np.zeros((0, 0, 3), np.uint8)).shape[:2]
    if not height:
        raise ClipError(f"{path}: holds no frame")
    with path.open("rb") as file, av.open(file, mode="r", format="mp4") as container:
        stream = container.streams.video[0]
        rate, promised = float(stream.average_rate or stream.base_rate or 0), int(stream.frames or 0)
    return VideoFacts((height, width), rate, count_frames(path), promised)


def count_frames(path: Path) -> int:
    """Frames up to the first damaged one, 0 when none can be read back."""
    import av

    count = 0
    try:
        with path.open("rb") as file, av.open(file, mode="r", format="mp4") as container:
            context: Any = container.streams.video[0].codec_context
            prefix = _length_bytes(context.name, context.extradata or b"")
            for packet in container.demux(video=0):
                if packet.is_corrupt or not _is_whole(packet, prefix):
                    break
                count += packet.size > 0
    except (av.error.FFmpegError, OSError, ValueError, IndexError):
        return 0
    return count


def _length_bytes(codec: str, header: bytes) -> int:
    """Bytes of the number before each part of a packet in an mp4, by the codec's header; 0 where there is none.

    ISO/IEC 14496-15: `lengthSizeMinusOne` of avcC and hvcC. Headers of these begin with a version, 1.
    """
    place = {"h264": 4, "hevc": 21}.get(codec)
    return (header[place] & 3) + 1 if place is not None and len(header) > place and header[0] == 1 else 0


def _is_whole(packet: Any, prefix: int) -> bool:
    """Whether the parts of a packet are as long as it says; those of one overwritten with zeros are not."""
    if not prefix or not packet.size:
        return True
    data, place = bytes(packet), 0
    while place + prefix < len(data):
        length = int.from_bytes(data[place : place + prefix])
        if not length:
            return False
        place += prefix + length
    return place == len(data)


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turns FFmpeg's errors, not all of which are, into OSError."""
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded pictures up to the end or, in a file that was cut off, up to the first damage after a good
    one.
    """
    import av

    decoded = 0
    try:
        for picture in container.decode(stream):
            yield picture
            decoded += 1
    except av.error.FFmpegError:
        if not decoded:
            raise


def _check_size(path: Path, height: int, width: int) -> None:
    if not 0 < height * width <= MAX_FRAME_PIXELS:
        raise ClipError(f"{path}: frames of {width} x {height} pixels are not read")
