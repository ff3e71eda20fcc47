"""Moving pictures: which frame stands for one, and writing all of them where that is asked for."""

import functools
import hashlib
import io
import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from image_assets.engine.pixels.boxes import Box, iter_boxes
from image_assets.engine.pixels.choice import (
    SVT_MAX_HEIGHT_PX,
    SVT_MAX_WIDTH_PX,
    SVT_MIN_SIDE_PX,
    EncodePolicy,
    Encoding,
    aom_speed,
    svt_quality,
    svt_speed,
)
from image_assets.engine.pixels.cost import Header
from image_assets.engine.pixels.opening import broken, truncation_accepted
from image_assets.engine.pixels.resize import resize
from image_assets.engine.reasons import NotCompressedError, Reason

_MOVING_FORMATS: Final = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
_PAGED_FORMATS: Final = frozenset({"TIFF"})

_AOM_MAX_SPEED: Final = 6
"""Beyond it libavif encodes sequences in aom's real-time mode: 16 x 400 px came back 26 levels
off, and a pan over a photograph scored 71 where speed 6 scores 86 at the same quality."""

_SVT_MOVING: Final = {"hierarchical-levels": "2", "lookahead": "0"}

_WEBP_ALPHA: Final = 0x10  # of the flags in VP8X

_MAX_PLAYS: Final = 65_535
"""WebP's counter has 16 bits; an APNG that plays more often plays that often."""

_DECODED_BYTES_PER_PIXEL: Final = 24
"""The canvas that a decoder composes on, what it was before, and the copy that is converted."""

_ENCODER_BYTES: Final = {
    "svt": (18_000_000, 105),
    "aom": (30_000_000, 260),
    "libwebp": (4_000_000, 52),
}
"""Base and bytes a pixel while an animation is encoded, measured by ``bench/animation.py`` at 256
to 1024 px: SVT speed 5 takes 95 MiB at 1024 x 768, aom speed 6 215, libwebp 41, and 60 frames take
no more than 20. An AVIF with alpha is two such streams."""

_OPAQUE_MODES: Final = frozenset({"1", "L", "RGB", "I;16"})


@dataclass(frozen=True, slots=True)
class Motion:
    """What a source holds besides one picture.

    Attributes:
        kind: ``still``, ``animation``, ``pages`` (TIFF) or ``pictures`` (MPO, HEIF).
        frames: Frames, pages or pictures.
        poster: Index, for Pillow's ``seek``, of the frame that stands for all.
    """

    kind: str
    frames: int
    poster: int = 0

    @property
    def note(self) -> str | None:
        """What a row of a still that is made of it says; None for a still."""
        match self.kind:
            case "animation":
                return f"poster of {self.frames} frames"
            case "pages" | "pictures":
                return f"first of {self.frames} {self.kind}"
        return None


def motion_of(image: Image.Image, frames: int) -> Motion:
    """Tell what an opened source holds; nothing is decoded.

    The poster is the first frame that a person sees. An APNG may carry a default image that is no
    part of its animation, for programs that know no APNG: every current browser shows the
    animation, so the poster is the animation's first frame, and the default image counts nowhere.

    Args:
        image: As `open_source` returned it.
        frames: What Pillow counts.
    """
    if frames < 2:
        return Motion("still", 1)
    if image.format in _MOVING_FORMATS:
        if not image.info.get("default_image"):
            return Motion("animation", frames)
        return Motion("animation" if frames > 2 else "still", frames - 1, poster=1)
    return Motion("pages" if image.format in _PAGED_FORMATS else "pictures", frames)


def seek_poster(image: Image.Image, motion: Motion) -> None:
    """Go to the frame that stands for all.

    Raises:
        NotCompressedError: What comes before it is truncated or corrupt.
    """
    if motion.poster:
        try:
            image.seek(motion.poster)
        except Exception as error:
            raise _broken(error) from error


def _broken(error: Exception) -> Exception:
    """Word whatever Pillow's decoders meet broken frames with; memory is the caller's to tell."""
    if isinstance(error, MemoryError):
        return error
    if isinstance(error, OSError | ValueError | SyntaxError | EOFError):
        return broken(error)
    return NotCompressedError(Reason.CORRUPT, f"The image data cannot be decoded: {error!r}.")


def gif_window(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Return the part of the canvas that a GIF's frame paints; None for other formats."""
    extent = getattr(image, "dispose_extent", None) if image.format == "GIF" else None
    return None if extent is None else tuple(int(side) for side in extent)  # type: ignore[return-value]


def poster_of(image: Image.Image) -> Image.Image:
    """Return the decoded poster; what its frame leaves bare of the canvas is transparent."""
    if image.format == "WEBP" and getattr(image, "is_animated", False):
        if _is_transparent(image):
            return image
        opaque = image.convert("RGB")  # it is opened with alpha, whether it has any or not
        opaque.format = image.format
        return opaque
    window = gif_window(image)
    return image if window is None else Canvas(image.size).clear_unpainted(image, window)


def without_file(image: Image.Image) -> Image.Image:
    """Return a picture apart from the other frames and pages of its file.

    Writers seek in an image that has several: they would take another frame for the poster, or
    write a sequence of one.
    """
    if not getattr(image, "is_animated", False):
        return image
    return image.copy()


class Canvas:
    """What the frames of a GIF have painted so far of the canvas.

    Args:
        size: Of the canvas, pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._painted: Image.Image | None = Image.new("L", size)

    def clear_unpainted(self, image: Image.Image, window: tuple[int, int, int, int]) -> Image.Image:
        """Return a frame with what none has painted transparent, as browsers show it.

        Pillow fills it with the palette's first colour.

        Args:
            image: The next frame, decoded.
            window: What it paints.
        """
        if self._painted is not None:
            self._painted.paste(255, window)
            if self._painted.getextrema()[0] == 255:
                self._painted = None
        if self._painted is None:  # all of it
            return image
        clear = Image.new("RGBA", image.size)
        clear.paste(image.convert("RGBA"), mask=self._painted)
        clear.info, clear.format = image.info, image.format
        return clear


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first pass over all frames finds out, so that encoders can take them one at a time.

    Attributes:
        kept: Index of each frame that differs from the one before it.
        durations_ms: Of each kept frame, its repetitions included; whole milliseconds that add up
            to the whole. 0 and 10 ms are kept as stored: what browsers make of them is theirs.
        plays: How often it is played; 0 is for ever.
        alpha: Whether any pixel of any frame is not opaque.
        frames: Frames that were decoded.
    """

    kept: tuple[int, ...]
    durations_ms: tuple[int, ...]
    plays: int
    alpha: bool
    frames: int


class Reel:
    """The frames of one moving source, decoded anew for every pass: one is in memory at a time.

    Args:
        data: The whole file.
        motion: What it holds.
        convert: Takes a decoded frame, as its format stores it, to upright and the target colour
            space: mode L, RGB or RGBA.
        accept_truncated: Whether frames that cannot be decoded end the animation rather than
            refuse it.
    """

    def __init__(
        self,
        data: bytes,
        motion: Motion,
        format_name: str,
        convert: Callable[[Image.Image], Image.Image],
        accept_truncated: bool = False,
    ) -> None:
        self._data = data
        self.motion = motion
        self._format = format_name
        self._convert = convert
        self._accept_truncated = accept_truncated

    @functools.cached_property
    def survey(self) -> Survey:
        """Decode all frames once.

        Raises:
            NotCompressedError: A frame is truncated or corrupt.
        """
        kept: list[int] = []
        starts_ms: list[float] = []
        end_ms, alpha, last, count = 0.0, False, b"", 0
        plays = 0
        for index, (image, duration_ms) in enumerate(self._decoded()):
            if index == 0:
                plays = self._plays(image)
            frame = self._convert(image)
            digest = hashlib.blake2b(frame.tobytes(), digest_size=16).digest()
            if digest != last:
                kept.append(index)
                starts_ms.append(end_ms)
                last = digest
                alpha = alpha or _is_transparent(frame)
            end_ms += duration_ms
            count += 1
        times = [round(start) for start in [*starts_ms, end_ms]]
        durations = tuple(after - before for before, after in itertools.pairwise(times))
        return Survey(tuple(kept), durations, plays, alpha, count)

    def frames(self) -> Iterator[Image.Image]:
        """Yield the kept frames, converted."""
        kept = frozenset(self.survey.kept)
        for index, (image, _) in enumerate(self._decoded()):
            if index in kept:
                yield self._convert(image)

    def _decoded(self) -> Iterator[tuple[Image.Image, float]]:
        canvas: Canvas | None = None
        last = self.motion.poster + self.motion.frames
        size: tuple[int, int] | None = None
        # As the poster was opened and decoded.
        with truncation_accepted(self._accept_truncated):
            opened = Image.open(io.BytesIO(self._data), formats=(self._format,))
        with opened as image:
            for index in range(self.motion.poster, last):
                is_poster = index == self.motion.poster
                try:
                    with truncation_accepted(self._accept_truncated and is_poster):
                        image.seek(index)
                        window = gif_window(image)
                        image.load()
                except Exception as error:
                    if self._accept_truncated and not is_poster:
                        return
                    raise _broken(error) from error
                # A GIF's later frame may go beyond the canvas, which Pillow then enlarges.
                size = size or image.size
                frame: Image.Image = image.crop((0, 0, *size))
                frame.info = image.info
                if window is not None:
                    canvas = canvas or Canvas(size)
                    frame = canvas.clear_unpainted(frame, window)
                yield frame, float(image.info.get("duration") or 0)

    def _plays(self, image: Image.Image) -> int:
        loop = image.info.get("loop")
        if self._format == "AVIF":
            return avif_plays(self._data)
        if self._format == "GIF":
            # A GIF states how often it is repeated, or nothing where it is not; 0 is for ever.
            return 1 if loop is None else 0 if loop == 0 else min(loop + 1, _MAX_PLAYS)
        return min(int(loop or 0), _MAX_PLAYS)


def _is_transparent(image: Image.Image) -> bool:
    return image.mode == "RGBA" and image.getchannel("A").getextrema()[0] != 255


class Moving(Image.Image):
    """A picture whose frames are made when they are sought, for Pillow's ``save_all``.

    Args:
        reel: Where they come from.
        size: Width and height to resize them to, pixels.
        finish: What the encoder needs done to a resized frame; it keeps the mode.
    """

    format = None
    is_animated = True

    def __init__(
        self,
        reel: Reel,
        size: tuple[int, int],
        finish: Callable[[Image.Image], Image.Image] = lambda frame: frame,
    ) -> None:
        super().__init__()
        self._finish = finish
        self._reel = reel
        self._size = size
        # One mode for all frames: an AVIF's have alpha all or none.
        self._mode = "RGBA" if reel.survey.alpha else "RGB"
        self.n_frames = len(reel.survey.kept)
        self._frames: Iterator[Image.Image] = iter(())
        self._index = -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Go to a frame; back means beginning anew."""
        if not 0 <= frame < self.n_frames:
            raise EOFError(f"no frame {frame}")
        if frame < self._index or self._index < 0:
            self._frames, self._index = self._reel.frames(), -1
        if frame == self._index:
            return
        while self._index < frame:
            image = next(self._frames)
            self._index += 1
        # Display P3, where that is kept: what `to_srgb` leaves in it is the encoder's.
        self.info = dict(image.info)
        resized = resize(image, self._size).convert(self._mode)
        self.im = self._finish(resized).im

    def tell(self) -> int:
        """Return the index of the frame that is shown."""
        return max(0, self._index)


def choose_moving_encoding(
    size: tuple[int, int], format_name: str, quality: int, policy: EncodePolicy, survey: Survey
) -> Encoding:
    """Choose the encoder and its own numbers for a kept animation (``bench/animation.py``).

    AVIF: SVT without the tuning for stills, which makes every frame a key frame (0.9 to 1.7 times
    the bytes at equal SSIMULACRA2). Groups of four frames and no lookahead: the same bytes as its
    defaults at equal score, in 32 MiB where those take 89 (512 x 384 px). One thread, because each
    further one holds frames. aom at the speed that gives its bytes takes 2 to 7 times as long.
    WebP: each frame lossy or lossless, whichever is smaller: a fifth of the bytes of a drawing,
    the same bytes of a film, no more time. ``minimize_size`` would try 18 times as long for it.

    Args:
        size: Width and height, pixels.
        format_name: avif or webp.
        quality: 1 to 100 on the guide's scale.
        policy: The run's.
        survey: Of the source.
    """
    moving: dict[str, Any] = {"save_all": True, "duration": list(survey.durations_ms)}
    if format_name == "webp":
        method = policy.webp_method
        moving |= {"quality": quality, "method": method, "allow_mixed": True, "loop": survey.plays}
        return Encoding("libwebp", quality, method, "WEBP", moving)
    width, height = size
    fits = (
        min(size) >= SVT_MIN_SIDE_PX and width <= SVT_MAX_WIDTH_PX and height <= SVT_MAX_HEIGHT_PX
    )
    moving |= {"subsampling": "4:2:0", "max_threads": 1, "autotiling": False}
    if "svt" in policy.codecs and fits:
        native, speed = svt_quality(quality), svt_speed(policy.avif_speed)
        moving |= {"codec": "svt", "quality": native, "speed": speed, "advanced": _SVT_MOVING}
        return Encoding("svt", native, speed, "AVIF", moving)
    speed = min(_AOM_MAX_SPEED, aom_speed(policy.avif_speed))
    moving |= {"codec": "aom", "quality": quality, "speed": speed}
    return Encoding("aom", quality, speed, "AVIF", moving)


def finish_moving(path: str, encoding: Encoding, survey: Survey) -> int:
    """Complete a kept animation that Pillow wrote, and look whether it is whole.

    Args:
        path: The file.
        encoding: How it was made.
        survey: Of its source.

    Returns:
        The number of frames in it. libwebp joins frames that look alike.

    Raises:
        NotCompressedError: The encoder lost frames.
    """
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        if encoding.pillow_format == "AVIF":
            settle_avif(data, survey)
        elif survey.alpha and data[12:16] == b"VP8X":
            # libwebp says so only where a frame has alpha, and not of the canvas around its frames.
            data[20] |= _WEBP_ALPHA
        file.seek(0)
        file.write(data)
    try:
        with Image.open(path, formats=(encoding.pillow_format,)) as image:
            frames = int(getattr(image, "n_frames", 1))
    except (OSError, ValueError, SyntaxError):
        frames = 0
    wanted = len(survey.kept)
    if not 1 <= frames <= wanted or (encoding.pillow_format == "AVIF" and frames != wanted):
        raise NotCompressedError(
            Reason.ENCODER_FAILED,
            f"Expected an animation of {wanted} frames, received {frames} from {encoding.encoder}.",
        )
    return frames


def moving_note(note: str | None, motion: Motion, survey: Survey, written: int) -> str:
    """Return the note of a kept animation's row.

    Args:
        note: The source's, which says that a still is a poster.
        motion: What the source holds.
        survey: What was decoded of it.
        written: Frames in the rendition.
    """
    says = f"animation of {motion.frames} frames"
    if survey.frames < motion.frames:
        says = f"animation of the first {survey.frames} of {motion.frames} frames, truncated"
    if written < survey.frames:
        says += f", {survey.frames - written} alike joined with the one before"
    return says if note is None or motion.note is None else note.replace(motion.note, says)


def moving_cost_bytes(header: Header, px: int, format_name: str, policy: EncodePolicy) -> int:
    """Return the memory that keeping an animation takes over a worker's base, in bytes.

    It does not depend on the number of frames.

    Args:
        header: Of the source.
        px: Longest side of the rendition, pixels.
        format_name: avif or webp.
        policy: The run's.
    """
    pixels = header.width_px * header.height_px
    shrink = min(1.0, px / max(header.width_px, header.height_px, 1))
    streams = 1
    encoder = "libwebp"
    if format_name == "avif":
        encoder = "svt" if "svt" in policy.codecs else "aom"
        streams = 1 if header.mode in _OPAQUE_MODES and header.format != "GIF" else 2
    base, per_pixel = _ENCODER_BYTES[encoder]
    encode = streams * (base + pixels * shrink * shrink * per_pixel)
    return int(header.size_bytes + pixels * _DECODED_BYTES_PER_PIXEL + encode)


# -- AVIF's container --------------------------------------------------------------------------

_CONTAINERS: Final = frozenset({b"moov", b"trak", b"mdia", b"edts"})


def _boxes_of_movie(
    data: bytes | bytearray, start: int, end: int, depth: int = len(_CONTAINERS)
) -> Iterator[Box]:
    """Yield the boxes of an ISO media file below moov, depth first; stop at what is malformed."""
    for kind, body, box_end in iter_boxes(data, start, end):
        yield kind, body, box_end
        if kind in _CONTAINERS and depth:
            yield from _boxes_of_movie(data, body, box_end, depth - 1)


_LONG: Final = 1  # version of a box whose times have 64 bits
_FOR_EVER: Final = (0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)

# Offset of the duration behind version and flags, with 64-bit and 32-bit times.
_DURATION_OFFSETS: Final = {b"mvhd": (24, 16), b"tkhd": (28, 20)}


def _duration_at(data: bytes | bytearray, box: Box) -> tuple[str, int]:
    kind, body, _ = box
    long, short = _DURATION_OFFSETS[kind]
    return (">Q", body + long) if data[body] == _LONG else (">I", body + short)


def avif_plays(data: bytes) -> int:
    """Return how often an AVIF sequence is played; 0 is for ever, as where it does not say.

    Its edit list says that it repeats and how long one turn takes, its track how long all turns
    take together.
    """
    total = turn = 0
    try:
        for box in _boxes_of_movie(data, 0, len(data)):
            kind, body, _ = box
            if kind == b"tkhd" and not total:
                form, offset = _duration_at(data, box)
                [total] = struct.unpack_from(form, data, offset)
            elif kind == b"elst" and not turn:
                repeats = data[body + 3] & 1
                form = ">Q" if data[body] == _LONG else ">I"
                [turn] = struct.unpack_from(form, data, body + 8)
                if not repeats:
                    return 1
    except (struct.error, IndexError):
        return 0
    if not turn or not total or total in _FOR_EVER:
        return 0
    return min(max(1, -(-total // turn)), _MAX_PLAYS)


def settle_avif(data: bytearray, survey: Survey) -> None:
    """Write into an AVIF sequence, in place, what Pillow's writer has no argument for.

    The clock goes out of it, so that bytes depend on source and recipe alone; the number of plays
    goes in, where libavif wrote "for ever".
    """
    turn = 0
    boxes = list(_boxes_of_movie(data, 0, len(data)))
    for kind, body, _ in boxes:
        if kind in (b"mvhd", b"tkhd", b"mdhd"):
            length = 16 if data[body] == _LONG else 8
            data[body + 4 : body + 4 + length] = bytes(length)
        elif kind == b"elst":
            [turn] = struct.unpack_from(">Q" if data[body] == _LONG else ">I", data, body + 8)
    if not survey.plays or not turn:
        return
    for box in boxes:
        if box[0] in _DURATION_OFFSETS:
            form, offset = _duration_at(data, box)
            struct.pack_into(form, data, offset, turn * survey.plays)
