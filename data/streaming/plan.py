"""The settings of a stream of samples, from the command down to the reader of one source."""

from dataclasses import dataclass

from semidepth.data.source_spec import Source


@dataclass(frozen=True)
class StreamPlan:
    """The sources of a stream and how this process reads them.

    By default one process reads every sample once, in the order of the files.

    Args:
        sources: parsed.
        labeled: whether samples carry depth.
        size: side of the square that scenes are rendered at where their source does not say, in pixels; for
            batches also the side of the crop.
        seed: random seed for the order, the crops and flips, and the choice of endless scenes.
        shuffle_buffer: undecoded rows to shuffle among, over all sources; 0 keeps the order of the files.
        repeat: start over after each pass, without end, each pass in a new order.
        rank: number of this process.
        world_size: number of processes, which share each pass without overlap.
        weights: one positive number per source: how often it is read, relative to the others; only with `repeat`.
            None reads sources in proportion to their sizes, or in turn where a size is not known.
        smallest_crop: batches hold random squares with a side from this share of the shorter side up to all of it.
        flip_probability: of each sample of a batch, left to right.
        at_least: unlabeled images may be decoded smaller, their shorter side no less than this, in pixels.

    Raises:
        ValueError: no source, or a value out of range.
    """

    sources: tuple[Source, ...]
    labeled: bool
    size: int | None = None
    seed: int = 0
    shuffle_buffer: int = 0
    repeat: bool = False
    rank: int = 0
    world_size: int = 1
    weights: tuple[float, ...] | None = None
    smallest_crop: float = 1.0
    flip_probability: float = 0.5
    at_least: int | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("no source was given; name at least one, e.g. 'scenes:indoor'")
        if not 0 <= self.rank < self.world_size:
            raise ValueError(
                f"rank {self.rank} does not fit a world of {self.world_size}; it must be from 0 to world_size - 1"
            )
        if self.shuffle_buffer < 0 or self.seed < 0:
            raise ValueError(f"shuffle_buffer {self.shuffle_buffer} and seed {self.seed} must not be negative")
        if not 0 < self.smallest_crop <= 1:
            raise ValueError(f"smallest_crop is {self.smallest_crop}; it must be a share above 0, at most 1")
        if not 0 <= self.flip_probability <= 1:
            raise ValueError(f"flip_probability is {self.flip_probability}; it must be from 0 to 1")
        weights = self.weights
        if weights is not None and (len(weights) != len(self.sources) or min(weights) <= 0 or not self.repeat):
            raise ValueError(
                f"weights {list(weights)} do not fit {len(self.sources)} sources; give a positive number for each, "
                "and repeat"
            )

    @property
    def restarts_each(self) -> bool:
        """True if each source starts over on its own: with weights or an endless source there is no common pass."""
        return self.repeat and (self.weights is not None or any(source.endless for source in self.sources))

    @property
    def buffer_of_each(self) -> int:
        """Rows that are shuffled among in each source that has an end."""
        buffered = sum(not source.endless for source in self.sources)
        return max(1, self.shuffle_buffer // max(1, buffered)) if self.shuffle_buffer else 0
