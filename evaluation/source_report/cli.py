"""Report on data sources before they are used.

    semidepth data frames/ 'rooms/*.parquet?depth_scale=0.001'
    semidepth data my_photos/ --pictures seen/
    semidepth data 'scenes:indoor?count=96' --json

Says what is found (samples, shards, files that are not read and why), how images and labels are paired, what the
labels' numbers are taken for, how much is unknown, sky or beyond the range, and how far it is in metres, by a few dozen
samples. What looks wrong is a warning with advice. --pictures FOLDER shows three samples of each source: the image, its
label and both over each other.

A source without labels is read without them, and the reason is told; --labels yes insists on them. Training, labeling
and scoring tell the same of their sources when they begin. Exit status: 0, with warnings or without, or 2 where a
source cannot be read.
"""

import dataclasses
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from semidepth.common.commands import Command
from semidepth.common.files import check_folder
from semidepth.common.options import option

if TYPE_CHECKING:
    from semidepth.data.source_spec import Source
    from semidepth.evaluation.source_report.report import SourceReport

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Options of `semidepth data`.

    Raises:
        ValueError: one sentence naming the option, the value and what was expected.
    """

    source: tuple[str, ...] = option(help="sources, as training and scoring take them", positional=True)
    labels: Literal["auto", "yes", "no"] = option("auto", help="read labels; auto: where there are any")
    samples: int = option(32, help="samples of each source that are looked at", metavar="N")
    pictures: Path | None = option(None, help="folder for a picture of each source", metavar="FOLDER")
    json: bool = option(False, help="print JSON")

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"--samples is {self.samples}; give at least 1.")
        if self.pictures is not None:
            check_folder("pictures", self.pictures)


def run(options: DataOptions) -> None:
    """Reports on each source, and prints."""
    from semidepth.data.source_spec import parse_sources  # takes seconds
    from semidepth.evaluation.source_report.pictures import save_pictures

    reports = [_report(source, options) for source in parse_sources(options.source)]
    if options.pictures is not None:
        for path in save_pictures(reports, options.pictures):
            logger.info("wrote %s", path)
    if options.json:
        print(json.dumps([report.as_json() for report in reports], indent=2))
        return
    for report in reports:
        for line in report.lines():
            print(line)
        for finding in report.findings:
            print(f"  warning, {finding.name}: {finding.sentence}")


def _report(source: "Source", options: DataOptions) -> "SourceReport":
    """The report with labels, or without where there are none and they are not insisted on."""
    from semidepth.data.listing import NoLabelsError
    from semidepth.evaluation.source_report.findings import Finding
    from semidepth.evaluation.source_report.report import report_on

    unread: tuple[Finding, ...] = ()
    if options.labels != "no" and source.depth != "none":
        try:
            return report_on(source, labeled=True, most=options.samples)
        except ValueError as error:
            if options.labels == "yes":
                raise
            none = isinstance(error, NoLabelsError)
            if not (none and source.masks):  # masks are labels, too
                logger.warning("read without labels: %s", error)
            if not none:
                unread = (Finding("labels", f"there are labels, and they cannot be read: {error}"),)
    report = report_on(source, labeled=False, most=options.samples)
    return dataclasses.replace(report, findings=unread + report.findings)


COMMAND = Command("semidepth data", DataOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
