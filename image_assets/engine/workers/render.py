"""The story of one image: read, open, decode, upright, colour, resize, encode, publish.

Runs in a worker process, which therefore imports neither Dagster nor pandas nor pyarrow.
"""

import contextlib
import dataclasses
import hashlib
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import blurhash
from PIL import Image

from image_assets.engine.errors import RunError
from image_assets.engine.faults import PROCESS_ERRORS, out_of_handles
from image_assets.engine.pixels.animation import (
    Motion,
    Moving,
    Reel,
    Survey,
    choose_moving_encoding,
    finish_moving,
    motion_of,
    moving_cost_bytes,
    moving_note,
    poster_of,
    seek_poster,
    without_file,
)
from image_assets.engine.pixels.choice import PHOTOGRAPH
from image_assets.engine.pixels.colour import Converted, to_srgb
from image_assets.engine.pixels.content import classify
from image_assets.engine.pixels.cost import Header, image_cost_bytes
from image_assets.engine.pixels.encode import (
    EncodePolicy,
    Encoding,
    encode_smallest,
    list_encodings,
    prepare,
)
from image_assets.engine.pixels.formats import OUTPUT_FORMATS
from image_assets.engine.pixels.metadata import Metadata, SourceMetadata, read_metadata
from image_assets.engine.pixels.opening import (
    broken,
    check_parts,
    check_pixels,
    decode,
    open_source,
)
from image_assets.engine.pixels.resize import Box, resize, variant_size
from image_assets.engine.pixels.stated_colour import read_colour
from image_assets.engine.pixels.upright import (
    read_orientation,
    swaps_sides,
    turn_upright,
    upright_box,
)
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets.engine.storage.naming import rendition_path, source_path
from image_assets.engine.storage.store import ChangedWhileReadError, LocalStore

Row = dict[str, Any]

# A placeholder needs no more than this; blurhash is pure Python and costs 1 ms at this size.
_PLACEHOLDER_PX = 16


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """A variant as a worker needs it: name, longest side in px, quality per format, animation."""

    name: str
    px: int
    quality: Mapping[str, int]
    animation: str = "poster"


@dataclass(frozen=True, slots=True)
class RenderSetup:
    """What is the same for every image of a run; handed to a worker once.

    Attributes:
        source_root: Folder of the partition's sources.
        output_root: Output folder.
        partition_key: The partition.
        variants: All variants of the settings, largest first: smaller ones are made from larger.
        policy: How to encode.
        draft_margin: JPEG decode scale, times the largest variant.
        resize_filter: ``lanczos`` or ``bicubic``.
        max_pixels: Limit over all frames.
        max_source_bytes: Limit on the file.
        recipe_digests: By (variant, format).
        max_frames: Limit on the frames of an animation.
        accept_truncated: Render what decodes of a truncated file.
        keep_display_p3: In formats that carry it.
        metadata: ``none``, ``rights`` or ``all``.
        follow_links: Read through symbolic links below the source.
    """

    source_root: str
    output_root: str
    partition_key: str
    variants: tuple[VariantSpec, ...]
    policy: EncodePolicy
    draft_margin: float
    resize_filter: str
    max_pixels: int
    max_source_bytes: int
    recipe_digests: Mapping[tuple[str, str], str]
    max_frames: int = 5_000
    accept_truncated: bool = False
    keep_display_p3: bool = False
    metadata: str = "rights"
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class SourceTask:
    """One source to compress.

    Attributes:
        source_key: Which.
        size_bytes: As listed.
        wanted: The (variant, format) pairs to make.
        current_sha256: Where the file's date changed but everything else is current: the hash
            that the ledger knows. If the bytes still have it, nothing is made again.
        mtime_ns: As listed; what a refusal without reading is remembered by.
    """

    source_key: str
    size_bytes: int
    wanted: tuple[tuple[str, str], ...]
    current_sha256: str | None = None
    mtime_ns: int | None = None


@dataclass(slots=True)
class SourceResult:
    """What became of one source.

    Attributes:
        source_key: Which.
        source: The timing row: one per source.
        outcomes: One row per wanted rendition.
    """

    source_key: str
    source: Row
    outcomes: list[Row] = field(default_factory=list)


class TooDearError(Exception):
    """An image costs more memory than the worker was granted; nothing was decoded."""

    def __init__(self, cost_bytes: int) -> None:
        super().__init__(cost_bytes)
        self.cost_bytes = cost_bytes


class Stopwatch:
    """Collects wall and CPU milliseconds by stage, as ``<stage>_ms`` and ``<stage>_cpu_ms``."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what the block takes to a stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            wall_ms = (time.perf_counter() - wall) * 1e3
            cpu_ms = (time.process_time() - cpu) * 1e3
            self.times[f"{name}_ms"] = self.times.get(f"{name}_ms", 0.0) + wall_ms
            self.times[f"{name}_cpu_ms"] = self.times.get(f"{name}_cpu_ms", 0.0) + cpu_ms


def render_source(task: SourceTask, setup: RenderSetup, grant_bytes: int) -> SourceResult:
    """Make the wanted renditions of one source.

    Args:
        task: What to make.
        setup: The run's.
        grant_bytes: Memory that the image may cost over the worker's base.

    Returns:
        Rows; an image that cannot be compressed is a row with its reason.

    Raises:
        TooDearError: The image needs more than the grant; to be tried with more.
        RunError: The machine refuses to write.
    """
    watch = Stopwatch()
    started = time.perf_counter()
    source: Row = {"source_key": task.source_key, "source_bytes": task.size_bytes}
    result = SourceResult(task.source_key, source)
    try:
        _Source(task, setup, watch, result).render(grant_bytes)
    except NotCompressedError as error:
        result.outcomes = refuse(task, error, setup.recipe_digests, source)
    except MemoryError:
        short = NotCompressedError(
            Reason.OUT_OF_MEMORY,
            f"Expected an image that takes {source.get('cost_bytes', grant_bytes) / 1e6:.0f} MB, "
            f"received one that was refused more than the {grant_bytes / 1e6:.0f} MB that it was "
            "granted (memory_budget_bytes).",
        )
        result.outcomes = refuse(task, short, setup.recipe_digests, source)
    except (TooDearError, RunError):
        raise
    except Exception as error:  # a defect, ours or a library's, that these bytes bring out
        result.outcomes = refuse(task, _defect(error), setup.recipe_digests, source)
    source.update(watch.times)
    source["processing_ms"] = (time.perf_counter() - started) * 1e3
    return result


def _defect(error: Exception) -> NotCompressedError:
    """Word what nobody foresaw, with its place, so that it can be reported."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return NotCompressedError(
        Reason.DEFECT,
        f"The worker met a defect on this image: {error!r} in {Path(last.filename).name}, line "
        f"{last.lineno}.",
    )


_SOURCE_FACTS = (
    "source_sha256",
    "source_width_px",
    "source_height_px",
    "source_frames",
    "content",
    "colour_note",
    "note",
)
"""What every row of a source repeats of it, where it is known."""


def refuse(
    task: SourceTask,
    error: NotCompressedError,
    recipe_digests: Mapping[tuple[str, str], str],
    source: Mapping[str, Any],
    pairs: Sequence[tuple[str, str]] | None = None,
) -> list[Row]:
    """Return the rows of renditions that are not made: of all that is wanted, or of ``pairs``."""
    return [
        {
            "source_key": task.source_key,
            "variant": variant,
            "format": format_name,
            "status": error.status,
            "reason": error.reason.value,
            "message": error.message,
            "source_bytes": source.get("source_bytes", task.size_bytes),
            "source_mtime_ns": source.get("source_mtime_ns", task.mtime_ns),
            "recipe_digest": recipe_digests[variant, format_name],
            **{name: source[name] for name in _SOURCE_FACTS if name in source},
        }
        for variant, format_name in (task.wanted if pairs is None else pairs)
    ]


@dataclass(frozen=True, slots=True)
class _Picture:
    """A decoded source on its way into renditions.

    Attributes:
        converted: Upright, in the target colour spaces.
        reel: Its frames, where it moves.
        metadata: What its renditions keep.
        box: What the source covers of it; None for all.
    """

    converted: Converted
    reel: Reel
    metadata: SourceMetadata
    box: Box | None


class _Source:
    """One source in work: what is wanted of it, and the rows and times that come of it."""

    def __init__(
        self, task: SourceTask, setup: RenderSetup, watch: Stopwatch, result: SourceResult
    ) -> None:
        self.task, self.setup, self.watch, self.result = task, setup, watch, result
        self.row = result.source
        self.store = LocalStore(Path(setup.output_root))
        self.sources = LocalStore(Path(setup.source_root), follow_links=setup.follow_links)

    def render(self, grant_bytes: int) -> None:
        task = self.task
        data = self._read(grant_bytes)
        if task.current_sha256 is not None and self.row["source_sha256"] == task.current_sha256:
            self.result.outcomes = [_skipped(task, pair, self.row) for pair in task.wanted]
            return
        self._render_variants(self._decode(data, grant_bytes))

    def _read(self, grant_bytes: int) -> bytes:
        task, row = self.task, self.row
        if task.size_bytes > self.setup.max_source_bytes:
            raise NotCompressedError(
                Reason.FILE_TOO_LARGE,
                f"Expected at most {self.setup.max_source_bytes:,} bytes, received "
                f"{task.size_bytes:,} (max_source_bytes).",
            )
        if task.size_bytes > grant_bytes:
            raise TooDearError(task.size_bytes)
        with self.watch.stage("read"):
            try:
                content = self.sources.read(source_path(task.source_key))
            except FileNotFoundError as error:
                row["read_errno"] = error.errno
                raise NotCompressedError(
                    Reason.VANISHED, "The file was listed and is no longer there."
                ) from error
            except ChangedWhileReadError as error:
                raise NotCompressedError(
                    Reason.CHANGED_WHILE_READ, "The file changed each time that it was read."
                ) from error
            except OSError as error:
                if error.errno in PROCESS_ERRORS:
                    raise out_of_handles(task.source_key) from error
                # The parent sees from it whether the disk is at fault.
                row["read_errno"] = error.errno
                raise NotCompressedError(
                    Reason.UNREADABLE, f"The file cannot be read: {error.strerror}."
                ) from error
            row["source_bytes"] = len(content.data)
            row["source_mtime_ns"] = content.mtime_ns
            row["source_sha256"] = hashlib.sha256(content.data).hexdigest()
        return content.data

    def _decode(self, data: bytes, grant_bytes: int) -> _Picture:
        """Open within limits, decode, turn upright, convert: what all renditions are made from."""
        setup, row = self.setup, self.row
        image, header = open_source(
            data,
            max_pixels=setup.max_pixels,
            max_frames=setup.max_frames,
            accept_truncated=setup.accept_truncated,
        )
        motion = motion_of(image, header.frames)
        row.update(
            source_format=header.format,
            source_mode=header.mode,
            source_frames=motion.frames,
            source_width_px=header.width_px,
            source_height_px=header.height_px,
            cost_bytes=self._cost_bytes(header, motion, grant_bytes),
        )
        with self.watch.stage("decode"):
            seek_poster(image, motion)
            decoded = decode(
                image,
                header,
                setup.variants[0].px * setup.draft_margin,
                accept_truncated=setup.accept_truncated,
            )
            colour = read_colour(image, data)
            picture = poster_of(decoded.image)
        row["note"] = "; ".join(filter(None, (motion.note, decoded.note))) or None
        metadata = read_metadata(image, setup.metadata)
        orientation = row["orientation"] = read_orientation(image)

        def convert_frame(frame: Image.Image) -> Image.Image:
            upright = turn_upright(frame, orientation)
            converted = to_srgb(upright, colour, keep_display_p3=setup.keep_display_p3)
            return converted.image if converted.wide is None else converted.wide

        width_px, height_px = picture.size
        if header.format in ("JPEG", "MPO"):  # those may be decoded at a smaller scale
            width_px, height_px = header.width_px, header.height_px
        if swaps_sides(orientation):
            width_px, height_px = height_px, width_px
        row["source_width_px"], row["source_height_px"] = width_px, height_px
        box: Box | None = upright_box(picture.size, decoded.extent, orientation)
        try:
            with self.watch.stage("colour"):
                upright = turn_upright(picture, orientation)
                is_plain = upright.mode == "RGB" and "transparency" not in upright.info
                row["content"] = self._classify(upright) if is_plain else None
            if is_plain and colour.may_follow_resize:
                with self.watch.stage("resize"):
                    size = variant_size(width_px, height_px, setup.variants[0].px)
                    upright, box = resize(upright, size, setup.resize_filter, box=box), None
            with self.watch.stage("colour"):
                converted = to_srgb(upright, colour, keep_display_p3=setup.keep_display_p3)
                row["content"] = row["content"] or self._classify(converted.image)
        except (OSError, ValueError, SyntaxError) as error:
            raise broken(error) from error
        row["colour_note"] = converted.note
        whole = data if header.structure is None else header.structure.data
        reel = Reel(whole, motion, header.format, convert_frame, setup.accept_truncated)
        converted = dataclasses.replace(converted, image=without_file(converted.image))
        return _Picture(converted, reel, metadata, box)

    def _classify(self, image: Image.Image) -> str:
        return classify(image) if self.setup.policy.graphics else PHOTOGRAPH

    def _cost_bytes(self, header: Header, motion: Motion, grant_bytes: int) -> int:
        setup = self.setup
        check_pixels(header, setup.max_pixels)
        check_parts(header, setup.max_frames)
        cost = image_cost_bytes(header, setup.variants[0].px, setup.draft_margin)
        if setup.keep_display_p3:  # decoded pixels, those in sRGB and those in Display P3 at once
            cost += cost // 2
        for variant in setup.variants:
            for name in self._formats(variant):
                if _keeps_animation(motion, variant, name):
                    cost = max(cost, moving_cost_bytes(header, variant.px, name, setup.policy))
        if cost > grant_bytes:
            raise TooDearError(cost)
        return cost

    def _formats(self, variant: VariantSpec) -> list[str]:
        return [format_name for name, format_name in self.task.wanted if name == variant.name]

    def _render_variants(self, picture: _Picture) -> None:
        """Resize through the variants from large to small and encode what is wanted of each."""
        setup, row = self.setup, self.row
        image, wide = picture.converted.image, picture.converted.wide
        full_size = (row["source_width_px"], row["source_height_px"])
        box = picture.box
        last = max(index for index, v in enumerate(setup.variants) if self._formats(v))
        for variant in setup.variants[: last + 1]:
            before = self.watch.times.get("resize_ms", 0.0)
            with self.watch.stage("resize"):
                size = variant_size(*full_size, variant.px)
                image = resize(image, size, setup.resize_filter, box=box)
                wide = None if wide is None else resize(wide, size, setup.resize_filter, box=box)
                box = None  # the smaller ones are made from this one
                if variant is setup.variants[0]:
                    row["placeholder"], row["colour"] = describe(image)
            resize_ms = self.watch.times["resize_ms"] - before
            for name in self._formats(variant):
                shown = image if wide is None or not _carries_display_p3(name) else wide
                try:
                    outcome = self._encode(picture, shown, variant, name)
                except NotCompressedError as error:  # of this rendition; the others are made
                    pair = (variant.name, name)
                    [outcome] = refuse(self.task, error, setup.recipe_digests, row, [pair])
                outcome["resize_ms"] = resize_ms
                outcome["placeholder"], outcome["colour"] = row["placeholder"], row["colour"]
                self.result.outcomes.append(outcome)

    def _encode(
        self, picture: _Picture, image: Image.Image, variant: VariantSpec, format_name: str
    ) -> Row:
        """Write one rendition and return its row."""
        setup, source = self.setup, self.row
        quality = variant.quality.get(format_name, 100)
        path = rendition_path(setup.partition_key, self.task.source_key, variant.name, format_name)
        timer = Stopwatch()
        reel, policy = picture.reel, setup.policy
        survey: Survey | None = None
        if _keeps_animation(reel.motion, variant, format_name):
            with self.watch.stage("decode"):
                survey = reel.survey
            prepared: Image.Image = Moving(
                reel, image.size, lambda frame: prepare(frame, format_name, policy)
            )
            encodings: tuple[Encoding, ...] = (
                choose_moving_encoding(prepared.size, format_name, quality, policy, survey),
            )
        else:
            prepared = prepare(image, format_name, policy)
            encodings = list_encodings(
                prepared.size, format_name, quality, policy, source["content"]
            )
        row: Row = {
            "source_key": self.task.source_key,
            "variant": variant.name,
            "format": format_name,
            "status": "written",
            "source_bytes": source["source_bytes"],
            "source_mtime_ns": source["source_mtime_ns"],
            **{name: source[name] for name in _SOURCE_FACTS if name in source},
            "recipe_digest": setup.recipe_digests[variant.name, format_name],
            "width_px": image.width,
            "height_px": image.height,
            "quality": quality,
            "frames": 1,
        }
        try:
            with timer.stage("write"), self.store.publishing(path) as temporary:
                with timer.stage("encode"):
                    metadata = picture.metadata.for_size(image.size)
                    encoding = _encode_to(temporary, prepared, encodings, metadata)
                    if survey is not None:
                        row["frames"] = finish_moving(temporary, encoding, survey)
                        note = moving_note(source["note"], reel.motion, survey, row["frames"])
                        row["note"] = note
                with open(temporary, "rb") as file:
                    row["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
                    row["size_bytes"] = file.tell()
                self._check_unchanged()
        except OSError as error:
            # What is the machine's fault came as RunError: this is the path's own, such as a name
            # too long or an orphan in its place.
            raise NotCompressedError(
                Reason.UNWRITABLE, f"{path} cannot be written: {error.strerror or error}."
            ) from error
        for name in ("write_ms", "write_cpu_ms"):  # the block above holds encoding too
            timer.times[name] -= timer.times[name.replace("write", "encode")]
        for name, value in timer.times.items():
            self.watch.times[name] = self.watch.times.get(name, 0.0) + value
        full_size = (source["source_width_px"], source["source_height_px"])
        is_larger = row["size_bytes"] > source["source_bytes"]
        return {
            **row,
            **timer.times,
            "encoder": encoding.encoder,
            "native_quality": encoding.native_quality,
            "speed": encoding.speed,
            "lossless": encoding.lossless,
            "larger_than_source": image.size == full_size and is_larger,
        }

    def _check_unchanged(self) -> None:
        """Refuse to publish what was made of a file that somebody was still writing.

        Half of it may have been another picture's, and no date told so when it was read.
        """
        read = (self.row["source_bytes"], self.row["source_mtime_ns"])
        if self.sources.has_changed(source_path(self.task.source_key), *read):
            raise NotCompressedError(
                Reason.CHANGED_WHILE_READ, "The file was written to while its renditions were made."
            )


def _carries_display_p3(format_name: str) -> bool:
    output_format = OUTPUT_FORMATS.get(format_name)  # None: a master, which carries everything
    return output_format is None or output_format.carries_display_p3


def _keeps_animation(motion: Motion, variant: VariantSpec, format_name: str) -> bool:
    output_format = OUTPUT_FORMATS.get(format_name)  # None: a master is a still
    carries = output_format is not None and output_format.carries_animation
    return motion.kind == "animation" and variant.animation == "keep" and carries


def _encode_to(
    path: str, image: Image.Image, encodings: tuple[Encoding, ...], metadata: Metadata
) -> Encoding:
    try:
        return encode_smallest(path, image, encodings, metadata)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file system's; Pillow's encoders have no number
        raise NotCompressedError(
            Reason.ENCODER_FAILED,
            f"{encodings[0].encoder} could not encode {image.width} x {image.height} as "
            f"{encodings[0].pillow_format}: {error}.",
        ) from error


def _skipped(task: SourceTask, pair: tuple[str, str], source: Row) -> Row:
    return {
        "source_key": task.source_key,
        "variant": pair[0],
        "format": pair[1],
        "status": "skipped",
        "source_bytes": source["source_bytes"],
        "source_sha256": source["source_sha256"],
        "source_mtime_ns": source["source_mtime_ns"],
    }


def describe(image: Image.Image) -> tuple[str, str]:
    """Return a BlurHash of 4 x 3 components and the mean colour as ``#rrggbb``.

    Args:
        image: Mode L, RGB or RGBA; transparent parts count as white.
    """
    small = image.resize(
        variant_size(image.width, image.height, _PLACEHOLDER_PX), Image.Resampling.BOX
    )
    if small.mode == "RGBA":
        base = Image.new("RGB", small.size, "#ffffff")
        base.paste(small, mask=small.getchannel("A"))
        small = base
    small = small.convert("RGB")
    raw = small.tobytes()
    width, height = small.size
    pixels = [
        [list(raw[3 * (y * width + x) : 3 * (y * width + x) + 3]) for x in range(width)]
        for y in range(height)
    ]
    mean = small.resize((1, 1), Image.Resampling.BOX).tobytes()
    return blurhash.encode(pixels, components_x=4, components_y=3), f"#{mean.hex()}"
