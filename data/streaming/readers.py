"""One reader of one source: its rows, their order, and how to resume in the middle.

A pass over a source is a plan for each reader: segments (shard, first row, step). A source with at least as many
shards as readers is dealt out by shards, else every shard by rows, so that any number of readers shares it without gap
or overlap. Rows are shuffled undecoded in a buffer. The state of a reader is its place in the plan, the buffer as
references (shard, row), and the buffer's random generator: a few kilobytes whatever the images weigh.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from semidepth.data.reading.rows import Row
from semidepth.data.reading.sources import OpenedSource, open_source
from semidepth.data.streaming.plan import StreamPlan

logger = logging.getLogger(__name__)

Segment = tuple[int, int, int]  # shard, first row, step
Reference = tuple[int, int]  # shard, row
State = dict[str, Any]


def plan_pass(
    shards: int, *, epoch: int, reader: int, readers: int, seed: Sequence[int] | None, rotate: bool
) -> list[Segment]:
    """One reader's share of one pass.

    Args:
        shards: of the source.
        epoch: number of the pass.
        reader: from 0.
        readers: that share the pass.
        seed: of the order of shards, the same for all readers; None keeps the files' order.
        rotate: exchange the shares from pass to pass, so that a reader whose share was empty gets another.

    Returns:
        Segments, which over all readers hold every row of every shard exactly once.
    """
    order = list(range(shards))
    if seed is not None:
        order = np.random.default_rng([*seed, epoch]).permutation(shards).tolist()
    if rotate:
        reader = (reader + epoch) % readers
    if shards >= readers:
        return [(shard, 0, 1) for shard in order[reader::readers]]
    # The first row of the n-th shard goes to reader n, so that shards of a single row are spread, too.
    return [(shard, (reader - place) % readers, readers) for place, shard in enumerate(order)]


class SourceReader:
    """One reader of one source: undecoded rows of pass after pass, in an order that can be resumed anywhere.

    Args:
        plan: of the stream.
        index: number of the source in the plan.
        reader: number of this reader, from 0.
        readers: number of readers that share the source.
    """

    def __init__(self, plan: StreamPlan, index: int, reader: int, readers: int) -> None:
        self.source = plan.sources[index]
        self._opened: OpenedSource = open_source(self.source, labeled=plan.labeled, size=plan.size)
        self._seed = (plan.seed, index)
        # The same for all readers; a resumed run keeps its own.
        self._order_seed = self._seed if plan.shuffle_buffer else None
        # Endless scenes are all new and drawn at random already.
        self._buffer_size = 0 if self.source.endless else plan.buffer_of_each
        self._repeat = plan.repeat
        self._reader = reader
        self.readers = readers
        self.start_pass(0)

    def start_pass(self, epoch: int, plan: list[Segment] | None = None) -> None:
        """Starts a pass, by the usual plan unless another is given."""
        self.epoch = epoch
        self._given_plan = plan
        self._plan = self._usual_plan(epoch, self._reader, self.readers) if plan is None else plan
        self._segment, self._row = 0, 0
        self._held: list[Row] = []
        self._references = np.zeros((max(self._buffer_size, 1), 2), dtype=np.int64)
        self._draining = False
        share = (self._reader + epoch) % self.readers if self._repeat else self._reader
        self._rng = np.random.default_rng([*self._seed, epoch, share])
        self._incoming = self._read()

    def __next__(self) -> tuple[Reference, Row] | None:
        """The next row of this pass with its place in the source; None at the pass's end.

        Each row that comes in takes the place of a random held one, which goes out; at the end the held ones go out
        in random order.
        """
        if self._buffer_size == 0 and not self._held:
            return next(self._incoming, None)
        while not self._draining:
            item = next(self._incoming, None)
            if item is None:
                order = self._rng.permutation(len(self._held))
                self._held = [self._held[place] for place in order]
                self._references = self._references[order]
                self._draining = True
            elif len(self._held) < self._buffer_size:
                self._references[len(self._held)] = item[0]
                self._held.append(item[1])
            else:
                place = int(self._rng.integers(len(self._held)))
                shard, number = self._references[place].tolist()
                out = self._held[place]
                self._references[place], self._held[place] = item
                return (shard, number), out
        if not self._held:
            return None
        shard, number = self._references[len(self._held) - 1].tolist()
        return (shard, number), self._held.pop()

    def state(self) -> State:
        """The position of this reader, for [`restore`]; small, and never changed afterwards."""
        return {
            "files": self._opened.files,
            "order_seed": self._order_seed,
            "reader": self._reader,
            "readers": self.readers,
            "epoch": self.epoch,
            "plan": self._given_plan,
            "segment": self._segment,
            "row": self._row,
            "held": self._references[: len(self._held)].copy(),
            "draining": self._draining,
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, states: Sequence[State]) -> None:
        """Resumes at the positions of the readers of an earlier run.

        Args:
            states: of all readers of this source in that run, in order. If there were as many as now, this reader goes
                on as its predecessor; else all that was left of their passes is dealt out anew.
        """
        # Readers may be in different passes, so the order of those to come cannot change with the options either.
        self._order_seed = None if states[0]["order_seed"] is None else tuple(states[0]["order_seed"])
        if any(state["files"] != self._opened.files for state in states):
            last = max(state["epoch"] for state in states)
            logger.warning(
                "source %s has %d files and had %d: what was left of the pass cannot be told, a new one starts",
                self.source.spec, self._opened.files, states[0]["files"],
            )  # fmt: skip
            self.start_pass(last + 1)
        elif len(states) == self.readers:
            self._continue(states[self._reader])
        elif self.source.endless:
            self._skip_used(states)
        else:
            self._take_share(states)

    def _continue(self, state: State) -> None:
        self.start_pass(state["epoch"], None if state["plan"] is None else [tuple(part) for part in state["plan"]])
        self._segment, self._row = state["segment"], state["row"]
        self._hold([(shard, row) for shard, row in state["held"]])
        self._draining = state["draining"]
        self._rng.bit_generator.state = state["rng"]

    def _take_share(self, states: Sequence[State]) -> None:
        """Reads this reader's share of the rows that earlier readers had left, up to the farthest one's pass."""
        last = max(state["epoch"] for state in states)
        segments: list[Segment] = []
        held: list[Reference] = []
        for state in states:
            segments += self._left_over(state, last)
            held += [(shard, row) for shard, row in state["held"]]
        if len(segments) >= self.readers:
            share = segments[self._reader :: self.readers]
        else:
            share = [(shard, first + self._reader * step, step * self.readers) for shard, first, step in segments]
        self.start_pass(last, share)
        self._hold(held[self._reader :: self.readers])

    def _left_over(self, state: State, last: int) -> list[Segment]:
        left: list[Segment] = []
        for number, (shard, first, step) in enumerate(self._plan_of(state, state["epoch"])):
            if number == state["segment"]:
                left.append((shard, max(first, state["row"]), step))
            elif number > state["segment"]:
                left.append((shard, first, step))
        for epoch in range(state["epoch"] + 1, last + 1):
            left += self._plan_of(state, epoch)
        return left

    def _plan_of(self, state: State, epoch: int) -> list[Segment]:
        """Segments of a reader of an earlier run in one pass."""
        if epoch == state["epoch"] and state["plan"] is not None:
            return [(shard, first, step) for shard, first, step in state["plan"]]
        return self._usual_plan(epoch, state["reader"], state["readers"])

    def _skip_used(self, states: Sequence[State]) -> None:
        """Continues endless shards beyond the farthest row that any reader has read."""
        farthest = max(state["row"] for state in states)
        shard, _, step = self._usual_plan(0, self._reader, self.readers)[0]
        self.start_pass(0, [(shard, farthest, step)])

    def _usual_plan(self, epoch: int, reader: int, readers: int) -> list[Segment]:
        plan = plan_pass(
            self._opened.num_shards, epoch=epoch, reader=reader, readers=readers, seed=self._order_seed,
            rotate=self._repeat,
        )  # fmt: skip
        return plan[:1] if self.source.endless else plan

    def _read(self) -> Iterator[tuple[Reference, Row]]:
        """Rows of the plan from the present place on."""
        while self._segment < len(self._plan):
            shard, first, step = self._plan[self._segment]
            for number, row in self._opened.rows(shard, max(first, self._row), step):
                self._row = number + step
                yield (shard, number), row
            self._segment, self._row = self._segment + 1, 0

    def _hold(self, references: Sequence[Reference]) -> None:
        """Reads the rows of a buffer again, each shard once from its first row that is wanted to its last."""
        wanted: dict[int, dict[int, list[int]]] = {}  # a row can be held twice, from one pass and the next
        for place, (shard, number) in enumerate(references):
            wanted.setdefault(int(shard), {}).setdefault(int(number), []).append(place)
        found: dict[int, Row] = {}
        for shard, places in wanted.items():
            for number, row in self._opened.rows(shard, min(places)):
                found |= dict.fromkeys(places.get(number, []), row)
                if number >= max(places):
                    break
        if len(found) < len(references):
            raise ValueError(
                f"source {self.source.spec!r} lacks {len(references) - len(found)} rows that a checkpoint refers to; "
                "its files have changed since: put them back, or give another --output_dir."
            )
        self._held = [found[place] for place in range(len(references))]
        self._references = np.zeros((max(self._buffer_size, len(references), 1), 2), dtype=np.int64)
        if references:
            self._references[: len(references)] = references
