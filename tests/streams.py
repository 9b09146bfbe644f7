"""Streams and loaders of sources that are given as text, or as paths."""

from collections.abc import Iterable
from pathlib import Path

from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.loading import BatchLoader
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.stream import SampleStream


def make_plan(specs: Iterable[str | Path], **values) -> StreamPlan:
    """A plan of unlabeled samples, in order and once, unless values say otherwise."""
    return StreamPlan(parse_sources(map(str, specs)), **({"labeled": False} | values))


def open_stream(specs: Iterable[str | Path], **values) -> SampleStream:
    """A stream by [`make_plan`]."""
    return SampleStream(make_plan(specs, **values))


def make_loader(
    specs: Iterable[str | Path], *, batch_size: int, multiple: int = 1, num_workers: int = 0, **values
) -> BatchLoader:
    """A loader as in training: shuffled, without end unless values say otherwise."""
    plan = make_plan(specs, **({"repeat": True, "shuffle_buffer": 1000} | values))
    return BatchLoader(plan, batch_size=batch_size, multiple=multiple, num_workers=num_workers)
