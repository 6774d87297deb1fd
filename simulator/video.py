"""Frames to an mp4 file and back, through PyAV (FFmpeg). The file can be read even if its writer was cut off.

Which frames a film has is settled in one place, `survey`: those that a player shows. An mp4's edit list may hide
others, and its display matrix may have them turned. Frame k is the one with the k-th presentation time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
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
CODECS = frozenset({"h264", "hevc", "mpeg4", "vp9", "av1"})
"""What is decoded; a stranger's file gets no choice among the hundreds that FFmpeg knows."""
MATROSKA = b"\x1a\x45\xdf\xa3"
"""First bytes of mkv and webm."""
FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (8, b"AVI ", "AVI"), (0, b"\x30\x26\xb2\x75", "WMV"), (0, b"FLV", "FLV"), (0, b"OggS", "Ogg"),
    (0, b"\x00\x00\x01\xba", "MPEG"), (0, b"GIF8", "GIF"),
)  # fmt: skip
"""(place, bytes, name) by which other containers are known, none of which is read."""
SEEK_FROM = 200
"""Frames before this one are decoded on the way to a later one; a longer way is cut short."""
LATEST = 1 << 60
"""A presentation time after the end of any film."""
REORDERED = 64
"""Packets within which frames may be stored in another order than they are shown in; codecs allow 16."""
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


@contextmanager
def _opened(path: Path, options: dict[str, str] | None = None) -> Iterator[tuple[Any, Any]]:
    """A film's container, opened with a demuxer's `options`, and its video stream.

    Raises ClipError, also for what FFmpeg raises while it is open.
    """
    import av

    try:
        with path.open("rb") as file:
            start = file.read(16)
            file.seek(0)
            for place, mark, name in FOREIGN:
                if start[place:].startswith(mark):
                    raise ClipError(f"{path}: is a film in {name}; convert it to mp4, such as by ffmpeg")
            # The format is forced: probing would let a playlist in disguise open other files and addresses.
            kind = "matroska" if start.startswith(MATROSKA) else "mp4"
            known = options if kind == "mp4" else None
            with av.open(file, mode="r", format=kind, options=known) as container:
                if not container.streams.video:
                    raise ClipError(f"{path}: holds no video")
                stream = container.streams.video[0]
                context = stream.codec_context
                if context is None or context.codec.canonical_name not in CODECS:
                    raise ClipError(f"{path}: is not encoded as any of {', '.join(sorted(CODECS))}")
                _check_size(path, context.height, context.width)
                context.thread_count = usable_cores()
                context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
                yield container, stream
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ClipError(f"{path}: cannot be read as a video ({reason})") from error


def iterate_video(
    path: Path,
    start: int,
    stop: int,
    size: tuple[int, int] | None = None,
    times: Sequence[int] | np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Frames `start` to `stop` (fewer where the file ends) one by one, upright: uint8 [h, w, 3].

    With a `size` (height, width) what sticks out of its shape is cut off at both sides, and the rest is area-averaged.
    `times` are the presentation times of all frames (`survey`, `regular_times`): with them a late start is not decoded
    up to, and each frame is checked to be the one that was meant. Raises ClipError for a file that is no video, has
    frames too large to read, or lacks one of `times`. A file that was cut off just ends.
    """
    from av.video.reformatter import VideoReformatter

    if times is not None and start >= SEEK_FROM and start < len(times):
        seek, first = int(times[start]), start
    else:
        seek, first = None, 0
    scaler = VideoReformatter()
    with _opened(path) as (container, stream):
        if seek is not None:
            container.seek(seek, stream=stream)
        index = first
        for picture in _decode(container, stream):
            if index >= stop:
                return
            if seek is not None and index == start and picture.pts is not None and picture.pts < seek:
                continue
            if times is not None and index >= len(times):
                return
            if times is not None and picture.pts is not None and picture.pts != times[index]:
                raise ClipError(f"{path}: cannot be decoded at frame {index}")
            index += 1
            if index <= start:
                continue
            _check_size(path, picture.height, picture.width)
            yield _fitted(picture, size, scaler)


def _fitted(picture: Any, size: tuple[int, int] | None, scaler: Any) -> np.ndarray:
    """A decoded frame, upright, cut to the shape of `size` and area-averaged: uint8 [h, w, 3]."""
    turn = _display_turn(picture)
    across = turn is not None and turn[0]
    upright = (picture.width, picture.height) if across else (picture.height, picture.width)
    height, width = size or upright
    tall, wide = covering(upright, (height, width))
    stored = {"width": tall, "height": wide} if across else {"width": wide, "height": tall}
    pixels = scaler.reformat(picture, **stored, format="rgb24", interpolation="AREA").to_ndarray()
    if turn is not None:
        pixels = pixels.swapaxes(0, 1) if turn[0] else pixels
        pixels = pixels[:: -1 if turn[1] else 1, :: -1 if turn[2] else 1]
    top, left = (tall - height) // 2, (wide - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _display_turn(picture: Any) -> tuple[bool, bool, bool] | None:
    """How a frame is turned: whether to swap rows and columns, to mirror rows, to mirror columns; None: not at all.

    By the signs of the display matrix (ISO/IEC 14496-12, 6.2.2: x' = ax + cy, y' = bx + dy), which turns by quarters.
    """
    from av.sidedata.sidedata import Type

    side = picture.side_data.get(Type.DISPLAYMATRIX)  # PyAV before 19 goes through items, and later through their keys
    if side is None:
        return None
    a, b, _, c, d, *_ = (int(value) for value in np.frombuffer(bytes(side), np.int32))
    across = abs(b) > abs(a)
    down, right = (b, c) if across else (d, a)
    turn = (across, down < 0, right < 0)
    return turn if any(turn) else None


def covering(source: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The smallest (height, width) of the shape of `source` that covers `size`."""
    scale = max(size[0] / source[0], size[1] / source[1])
    return max(size[0], round(source[0] * scale)), max(size[1], round(source[1] * scale))


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """What a player shows of a film, by its packets; nothing is decoded."""

    times: np.ndarray
    """int64 [n]: presentation time of each frame, in order, up to the first damaged packet."""
    hidden: int
    """Frames before the last of `times` that an edit list hides."""
    promised: int
    """Frames that the header says there are to be shown; 0 where it does not say."""
    rate: float
    """Frames a second, on average."""

    def __len__(self) -> int:
        return len(self.times)


def survey(path: Path) -> Film:
    """Reads all packets of a film. Raises ClipError for a file that cannot be read as a video."""
    with _opened(path) as (container, stream):
        shown = [(time, place) for show, time, place in _until_damage(_packets(container, stream)) if show]
        rate, stored = float(stream.average_rate or stream.base_rate or 0), int(stream.frames or 0)
    times = np.sort(np.array([time for time, _ in shown], np.int64))
    if stored <= len(shown):
        return Film(times, 0, stored, rate)
    # Whole groups of pictures that an edit list hides are not among the packets, unless it is ignored.
    with _opened(path, {"ignore_editlist": "1"}) as (container, stream):
        every = sorted((time, place) for _, time, place in _until_damage(_packets(container, stream)))
    places = {place for _, place in shown}
    known = [place in places for _, place in every]
    last = max((k for k, is_shown in enumerate(known) if is_shown), default=-1)
    hidden = known.count(False)
    return Film(times, known[:last].count(False) if last >= 0 else hidden, max(0, stored - hidden), rate)


def _until_damage(packets: Iterator[tuple[bool, int, int]]) -> Iterator[tuple[bool, int, int]]:
    """`packets` up to what FFmpeg cannot read: what came before is what there is."""
    import av

    try:
        yield from packets
    except av.error.FFmpegError:
        return


def regular_times(path: Path) -> range | None:
    """The `times` of a film whose frames follow each other evenly, judged by its beginning and its end alone.

    Takes no longer for a long film. Whoever uses it has to know the number of frames from elsewhere, and to take the
    film to be regular only if it is that many. None where the ends do not fit. Raises ClipError.
    """
    import av

    with _opened(path) as (container, stream):
        rate = stream.average_rate
        step = 1 / (rate * stream.time_base) if rate and stream.time_base else Fraction(1, 2)
        try:
            shown = (time for show, time, _ in _packets(container, stream) if show)
            first = list(islice(shown, REORDERED))
            container.seek(LATEST, stream=stream)
            last = [time for show, time, _ in _packets(container, stream) if show]
        except av.error.FFmpegError:
            return None
    if not first or not last or step.denominator != 1 or (max(last) - min(first)) % int(step):
        return None
    return range(min(first), max(last) + 1, int(step))


def _packets(container: Any, stream: Any) -> Iterator[tuple[bool, int, int]]:
    """Whether it is shown, the presentation time, and the place in the file, of each packet up to the first damaged."""
    prefix = _length_bytes(stream.codec_context.codec.canonical_name, stream.codec_context.extradata or b"")
    for packet in container.demux(stream):
        if not packet.size:
            continue
        time = packet.dts if packet.pts is None else packet.pts
        if time is None or packet.is_corrupt or not _is_whole(packet, prefix):
            return
        yield not packet.is_discard, int(time), int(packet.pos or 0)


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a file is, found out without decoding more than its first frame."""

    size: tuple[int, int]
    """(height, width) of frames as they are shown, upright."""
    rate: float
    """Frames a second, on average."""
    frames: int
    """That are shown, and can be read back."""
    promised: int
    """That the header says are shown; 0 where it does not say."""
    hidden: int = 0
    """Frames before the last of these that an edit list hides."""


def probe(path: Path) -> VideoFacts:
    """Raises ClipError for a file that cannot be read as a video."""
    height, width = next(iter(iterate_video(path, 0, 1)), np.zeros((0, 0, 3), np.uint8)).shape[:2]
    if not height:
        raise ClipError(f"{path}: holds no frame")
    film = survey(path)
    return VideoFacts((height, width), film.rate, len(film), film.promised, film.hidden)


def count_frames(path: Path) -> int:
    """Frames that a player shows up to the first damaged one, 0 when none can be read back."""
    try:
        return len(survey(path))
    except ClipError:
        return 0


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
