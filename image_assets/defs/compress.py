"""The compression: one graph of three ops behind many assets.

``resolve_plan`` decides, ``compress_shard`` works, ``publish`` records. Every size and format of an
image comes from one decode, which is why these assets are made together; any subset of them can
be selected, and nothing else is then written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
from dagster import OpExecutionContext

from image_assets.defs.config import COMPRESS, compress_config, config_fields, resolve_config
from image_assets.defs.failures import told_in_one_sentence
from image_assets.defs.keys import OWNERS, RAW_IMAGES, format_key, kind_tags, variant_key
from image_assets.defs.metadata import (
    RENDITION_COLUMNS,
    VARIANT_COLUMNS,
    format_metadata,
    schema_metadata,
    variant_metadata,
)
from image_assets.defs.partitions import BACKFILL_POLICY
from image_assets.defs.progress import ProgressLog, limited_logger
from image_assets.defs.resources import LibraryResource
from image_assets.engine.pixels.codecs import CODECS_OF_FORMAT, codec_versions
from image_assets.engine.pixels.formats import OUTPUT_FORMATS
from image_assets.engine.planning.plan import Plan
from image_assets.engine.planning.recipe import PIPELINE_VERSION
from image_assets.engine.planning.settings import Settings
from image_assets.engine.run.partition import (
    PartitionJob,
    ShardResult,
    compress_shard,
    plan_partition,
    publish_partition,
)

_GROUP: Final = "renditions"


@dataclass(frozen=True, slots=True)
class ShardTask:
    """What one op hands to the next: the job and the plan, never images.

    ``job`` carries the run id that planned. A run re-executed from its failed step goes on under
    it, so that the tables of a result stay together.
    """

    job: PartitionJob
    plan: Plan
    shard: int
    result: ShardResult | None = None


def compress_asset(
    settings: Settings, partitions_def: dg.DailyPartitionsDefinition
) -> dg.AssetsDefinition:
    """The assets ``size_variants/*`` and ``compressed/*``, any subset of which can be made."""
    variants = {variant_key(name): name for name in settings.variant_names}
    formats = {format_key(name): name for name in settings.formats}
    names = {_output_name(key): key for key in (*variants, *formats)}
    graph = _compress_graph(settings, variants, formats)
    return dg.AssetsDefinition.from_graph(
        graph,
        keys_by_output_name=names,
        keys_by_input_name={"raw_images": RAW_IMAGES},
        internal_asset_deps={
            name: {RAW_IMAGES} if key in variants else set(variants) for name, key in names.items()
        },
        can_subset=True,
        partitions_def=partitions_def,
        backfill_policy=BACKFILL_POLICY,
        group_name=_GROUP,
        owners_by_output_name=dict.fromkeys(names, OWNERS),
        descriptions_by_output_name={
            name: _variant_description(variants[key])
            if key in variants
            else _format_description(formats[key])
            for name, key in names.items()
        },
        metadata_by_output_name={
            name: schema_metadata(VARIANT_COLUMNS if key in variants else RENDITION_COLUMNS)
            for name, key in names.items()
        },
        tags_by_output_name={
            name: kind_tags("pillow") if key in variants else kind_tags("pillow", formats[key])
            for name, key in names.items()
        },
        code_versions_by_output_name={
            name: _code_version(formats.get(key)) for name, key in names.items()
        },
    )


def _compress_graph(
    settings: Settings, variants: dict[dg.AssetKey, str], formats: dict[dg.AssetKey, str]
) -> dg.GraphDefinition:
    outputs = [_output_name(key) for key in (*variants, *formats)]

    @dg.op(
        name="resolve_plan",
        config_schema=config_fields(settings),
        ins={"raw_images": dg.In(dg.Nothing)},
        out=dg.DynamicOut(),
        description="Checks settings and folders, then turns the preset into a plan.",
    )
    def resolve_plan_op(
        context: OpExecutionContext, library: LibraryResource
    ) -> Iterator[dg.DynamicOutput[ShardTask]]:
        keys = context.assets_def.keys
        selected_formats = tuple(name for key, name in formats.items() if key in keys)
        selected_variants = tuple(name for key, name in variants.items() if key in keys)
        with told_in_one_sentence():
            # First, so that a wrong number ends the run before anything is read.
            preset = resolve_config(context.op_config, settings)
            opened = library.open_library()
            job = PartitionJob(
                source=opened.source,
                output=opened.output,
                partition_key=context.partition_key,
                layout=opened.layout,
                settings=settings,
                preset=preset,
                variants=_variants_to_make(
                    settings, preset.keep_masters, selected_variants, selected_formats
                ),
                formats=selected_formats,
                run_id=context.run.run_id,
                relist=False,
            )
            plan = plan_partition(job)
        context.log.info(_plan_sentence(job, plan))
        for shard in range(plan.shards):
            yield dg.DynamicOutput(ShardTask(job, plan, shard), mapping_key=f"shard_{shard}")

    @dg.op(name="compress_shard", description="Compresses what is not current of one shard.")
    def compress_shard_op(context: OpExecutionContext, task: ShardTask) -> ShardTask:
        logger = limited_logger(context.log)
        with told_in_one_sentence():
            result = compress_shard(
                task.job,
                task.plan,
                task.shard,
                on_progress=ProgressLog(context.log),
                logger=logger,
            )
        return ShardTask(task.job, task.plan, task.shard, result)

    @dg.op(
        name="publish",
        out={name: dg.Out(dg.Nothing, is_required=False) for name in outputs},
        description="Compacts the ledger, lists orphans, writes the run's tables.",
    )
    def publish_op(
        context: OpExecutionContext, tasks: list[ShardTask]
    ) -> Iterator[dg.Output[None]]:
        job, plan = tasks[0].job, tasks[0].plan
        shards = [task.result for task in tasks if task.result is not None]
        with told_in_one_sentence():
            result = publish_partition(job, plan, shards)
        # Variants before formats: Dagster wants the order of the graph, not of the selection.
        selected = context.selected_output_names
        for key, name in variants.items():
            if _output_name(key) in selected:
                yield dg.Output(None, _output_name(key), metadata=variant_metadata(job, name))
        for key, name in formats.items():
            if _output_name(key) in selected:
                metadata = format_metadata(job, result, name)
                yield dg.Output(None, _output_name(key), metadata=metadata)

    @dg.graph(
        name=COMPRESS,
        config=compress_config(settings),
        out={name: dg.GraphOut() for name in outputs},
        description=(
            "One decode per image feeds every size and format. Config, all of it optional: "
            "ops: {compress: {config: {preset: quality, full_avif_quality: 70}}}"
        ),
    )
    def compress(raw_images: Any) -> dict[str, Any]:
        published = publish_op(resolve_plan_op(raw_images).map(compress_shard_op).collect())
        if len(outputs) == 1:
            return {outputs[0]: published}
        return {name: getattr(published, name) for name in outputs}

    return compress


def _variants_to_make(
    settings: Settings, keep_masters: bool, variants: tuple[str, ...], formats: tuple[str, ...]
) -> tuple[str, ...]:
    # A format is made in every size. A size alone has files only where masters are kept; without
    # them nothing is rendered, and its table stays what it is.
    if formats:
        return settings.variant_names
    return variants if keep_masters else ()


def _output_name(key: dg.AssetKey) -> str:
    """The op output of an asset; Dagster allows no slash there."""
    return "__".join(key.path)


def _plan_sentence(job: PartitionJob, plan: Plan) -> str:
    if not job.wanted():
        return (
            f"{job.partition_key}: nothing to make. Sizes have no files of their own: select "
            "assets below `compressed` too, or set keep_masters."
        )
    if plan.images:
        return (
            f"{job.partition_key}: {plan.images} images, preset {job.preset.name}, "
            f"{plan.max_workers} workers, {plan.chunk_size} images a chunk, memory budget "
            f"{plan.memory_budget_bytes / 1e6:.0f} MB."
        )
    if job.layout.is_flat and job.layout.flat_partition != job.partition_key:
        return (
            f"{job.partition_key}: no images. This source has no day folders; all its images are "
            f"partition {job.layout.flat_partition}."
        )
    return f"{job.partition_key}: no images to compress in {job.source}."


def _code_version(format_name: str | None) -> str:
    """Changes when the same settings would give other bytes, as the recipe does."""
    if format_name is None:
        return f"pipeline {PIPELINE_VERSION}"
    codecs = codec_versions()
    parts = [f"{name} {codecs[name]}" for name in CODECS_OF_FORMAT[format_name] if name in codecs]
    return ", ".join([f"pipeline {PIPELINE_VERSION}", *parts])


def _variant_description(variant: str) -> str:
    return (
        f"Every photograph of the day at size `{variant}`: upright, in sRGB, never enlarged. The "
        "table has one row per source with dimensions, placeholder and mean colour; the files "
        "are in the assets below `compressed`. With `keep_masters` a lossless file is kept too."
    )


def _format_description(format_name: str) -> str:
    return (
        f"Every photograph of the day in every size as {OUTPUT_FORMATS[format_name].description}. "
        "Only what is missing, failed, changed or was made with other settings is made again."
    )
