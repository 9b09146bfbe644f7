"""Labels of several teachers of the same photos become one: their median, unknown where they disagree.

Folders of maps become a folder of maps (`fused_maps`), sets of pseudo labels a set (`fused_sets`). Both are kept in the
run's folder with a record of what they were made from.
"""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from semidepth.common.files import write_whole
from semidepth.common.locks import hold_folder
from semidepth.data.pseudo_labels import read_record
from semidepth.data.reading.sources import count_samples
from semidepth.data.source_spec import Source
from semidepth.training.options.student import StudentOptions
from semidepth.training.recipes.fused_maps import fuse_folders, source_of_maps
from semidepth.training.recipes.fused_sets import fuse_sets, source_of_set

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fusion:
    """Teachers that labeled the same photos, and the folder for their fused labels."""

    teachers: list[Source]
    folder: Path
    agreement: float

    @cached_property
    def counts(self) -> list[int | None]:
        """Number of labels of each teacher."""
        return [count_samples(each, labeled=True) for each in self.teachers]

    @property
    def made_from(self) -> dict[str, Any]:
        """Everything that the fused labels depend on, but for their size."""
        specs = [each.spec for each in self.teachers]
        if self.of_maps:
            return {"maps": specs, "agreement": self.agreement}
        # The files of a fused set hold the photos of its teachers in their order.
        return {"sets": specs, "labels": self.counts, "agreement": self.agreement}

    @property
    def of_maps(self) -> bool:
        """True for folders of maps, False for sets."""
        return self.teachers[0].maps is not None

    @property
    def sources(self) -> list[Source]:
        """The fused labels; the teachers' own where no photo has several."""
        if self.kept.get("photos") == 0:
            return self.teachers
        return [(source_of_maps if self.of_maps else source_of_set)(self.teachers, self.folder)]

    @property
    def kept(self) -> dict[str, Any]:
        """The record in the folder, empty without one."""
        path = self.folder / "record.json"
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    def is_whole(self, **wanted: Any) -> bool:
        """True where all labels are fused that are there now."""
        return self.kept.get("complete") == self.counts and self._differs(wanted) is None

    def begin(self, side: int) -> None:
        """Writes the record; raises ValueError where labels lie there that were made otherwise."""
        wanted = self.made_from | {"side": side}
        before = self._differs(wanted)
        if before is not None:
            raise ValueError(
                f"{self.folder} holds labels fused from {before}, not {wanted}; give another --output_dir."
            )
        self._write(wanted)

    def end(self, photos: int) -> None:
        """Adds to the record that all labels are there, and of how many photos."""
        self._write(self.kept | {"complete": self.counts, "photos": photos})

    def _write(self, record: dict[str, Any]) -> None:
        write_whole(self.folder / "record.json", (json.dumps(record, indent=2) + "\n").encode())

    def _differs(self, wanted: dict[str, Any]) -> dict[str, Any] | None:
        """Returns the origin of the labels in the folder, where it is not what is wanted."""
        before = {name: self.kept.get(name) for name in self.made_from | wanted}
        return before if self.kept and before != self.made_from | wanted else None


def fuse_same_photos(
    sources: Sequence[Source], options: StudentOptions, accelerator: Accelerator, *, size: int
) -> list[Source]:
    """Returns the sources; those with labels of the same photos as a single one, which is made now.

    Args:
        sources: of pseudo labels.
        options: the student's; fused labels are kept in `fused_labels/` of its output folder.
        accelerator: its processes share the photos.
        size: side of the training crop in pixels; fused labels are no larger than it takes.

    Raises:
        ValueError: no photo has two labels that can be fused, or the folder holds labels that were fused otherwise, or
            another run is on it.
    """
    side = math.ceil(size / options.smallest_crop)
    result = []
    for each in _fusions(sources, options):
        if isinstance(each, Fusion):
            _fuse(each, options, accelerator, side)
            result += each.sources
        else:
            result.append(each)
    return result


def fused_before(sources: Sequence[Source], options: StudentOptions) -> list[Source] | None:
    """Returns the sources as [`fuse_same_photos`] does, or None where it has something to fuse first."""
    result = []
    for each in _fusions(sources, options):
        if isinstance(each, Fusion) and not each.is_whole():
            return None
        result += each.sources if isinstance(each, Fusion) else [each]
    return result


def _fuse(fusion: Fusion, options: StudentOptions, accelerator: Accelerator, side: int) -> None:
    hold_folder("output_dir", Path(options.output_dir))  # nothing is written beside another run
    if fusion.is_whole(side=side):
        logger.info("labels fused before are used again: %s", fusion.folder)
        return
    if accelerator.is_main_process:
        fusion.begin(side)
    accelerator.wait_for_everyone()
    fuse = fuse_folders if fusion.of_maps else fuse_sets
    photos = fuse(fusion.teachers, fusion.folder, accelerator, agreement=fusion.agreement, side=side)
    if photos == 0:
        names = ", ".join(each.spec for each in fusion.teachers)
        logger.warning("%s were made from sources of the same names and have no photo in common: all are used", names)
    if accelerator.is_main_process:
        fusion.end(photos)
    accelerator.wait_for_everyone()


def _fusions(sources: Sequence[Source], options: StudentOptions) -> list[Fusion | Source]:
    """The sources with labels of the same photos together; each other one alone."""
    groups: dict[str, list[Source]] = {}
    for number, source in enumerate(sources):
        groups.setdefault(_photos_of(source) or str(number), []).append(source)
    result: list[Fusion | Source] = []
    for group in groups.values():
        sets = [json.dumps(read_record(each), sort_keys=True) for each in group if each.maps is None]
        if len(group) == 1 or len(set(sets)) < len(sets):  # a set that is named twice, as by its parts
            result += group
            continue
        number = sum(isinstance(each, Fusion) for each in result)
        result.append(Fusion(group, Path(options.output_dir) / "fused_labels" / str(number), options.agreement))
    return result


def _photos_of(source: Source) -> str | None:
    """Returns what tells which photos a source labels; None where nothing does."""
    if source.maps is not None:
        return f"images={source.location}"
    record = read_record(source)
    return None if record is None else json.dumps([record.get("sources"), record.get("images")])
