"""Find what looks wrong in samples of a source, each with advice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from semidepth.data.listing import LOOKS_LIKE_DEPTH, THAT_ARE_MASKS, LeftOut, Listing
from semidepth.data.source_spec import Source
from semidepth.evaluation.source_report.edges import EdgeFit, Edges, edge_fit, measure
from semidepth.evaluation.source_report.looking import Looked
from semidepth.evaluation.source_report.surfaces import roughness, runs_the_wrong_way

LARGE_M, SMALL_M = 250.0, 0.06  # a median depth beyond these is another unit than metres
LARGEST_M, LEAST_M = 20_000.0, 1e-3
OUTLIER = 1000.0  # times the 99th percentile, or a part of the first
FAR_CAP = 0.1  # of the known pixels at one value
SKY_INDOORS, INDOORS_M = 0.03, 12.0
FLAT = 1e-4  # of the largest depth: a label that varies less is constant
COARSE = 24  # different numbers in a label
ROUGH = 0.2  # see `roughness`
DENSE = 0.3  # known pixels
UNFIT = 0.07  # mean rank above chance below which labels do not fit
# Of files that may belong to a set; notes, tables of text and hidden files beside one are no finding.
DATA_ENDINGS = tuple(
    f".{ending}" for line in (
        "jpg jpeg png webp avif heic heif hif bmp tif tiff gif jp2 ppm pgm dng cr2 cr3 nef arw raw npy npz exr pfm hdr",
        "dpt mat h5 hdf5 zip tar gz tgz 7z rar parquet arrow tfrecord mp4 mov avi mkv webm bin",
    ) for ending in line.split()
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong: its name, a sentence with advice, and the part of the source, "" for all of it."""

    name: str
    sentence: str
    part: str = ""


@dataclass(frozen=True)
class Seen:
    """A source, its samples with their edges, its files (None where it has none here) and their fit, for the checks."""

    source: Source
    looked: Looked
    listing: Listing | None
    edges: tuple[Edges | None, ...]
    fit: EdgeFit | None

    @property
    def depths(self) -> list[Tensor]:
        """Labels of the samples, (h, w) metres each."""
        return [look.depth for look in self.looked.samples if look.depth is not None]

    @property
    def in_metres(self) -> bool:
        """True where labels have a unit."""
        return self.source.invariant is None and not any(look.pseudo for look in self.looked.samples)


def seen(source: Source, looked: Looked, listing: Listing | None) -> Seen:
    """Measures the fit of edges, and returns it with the rest that the checks need."""
    edges = tuple(None if look.depth is None else measure(look.image, look.depth) for look in looked.samples)
    return Seen(source, looked, listing, edges, edge_fit(edges))


def findings(found: Seen) -> tuple[Finding, ...]:
    """Runs all checks; returns nothing for a source that looks as it should."""
    return tuple(finding for check in _CHECKS for finding in check(found))


def known(depth: Tensor) -> np.ndarray:
    """Finite depths of a label, (N,) metres."""
    values = depth.numpy()
    return values[np.isfinite(values)]


def _broken(found: Seen) -> Iterator[Finding]:
    broken = found.looked.broken
    if broken:
        total = len(broken) + len(found.looked.samples)
        yield Finding(
            "broken samples", f"{len(broken)} of {total} samples cannot be used and will be skipped; first {broken[0]}"
        )


def _left_out(found: Seen) -> Iterator[Finding]:
    listing = found.listing
    if listing is None:
        return
    amiss = tuple(each for each in listing.left_out if _may_belong(each, bool(found.depths)))
    if amiss:
        told = replace(listing, left_out=amiss).told()
        yield Finding(
            "files left out",
            f"{len(listing.used)} files are read; left out are {told}: rename or convert them if they belong to the "
            "set, else move them away",
        )


def _may_belong(left: LeftOut, labeled: bool) -> bool:
    """True for a file that is left out and may belong to the set, or stands for something that is amiss."""
    if left.reason in ("hidden", THAT_ARE_MASKS) or left.reason.startswith("not of split"):
        return False
    if left.reason == LOOKS_LIKE_DEPTH and not labeled:
        return False  # labels of photos that are used without
    return "ending" not in left.reason or left.path.suffix.lower() in DATA_ENDINGS


def _unit(found: Seen) -> Iterator[Finding]:
    values = [each for depth in found.depths if (each := known(depth)).size]
    if not values or not found.in_metres:
        return
    middle = float(np.median([np.median(each) for each in values]))
    top = float(max(map(np.max, values)))
    scale = found.source.depth_scale
    given = f"depth_scale is {scale:g}" if scale is not None else "no depth_scale is given"
    if middle > LARGE_M:
        unit, factor = ("millimetres", 0.001) if middle / 1000 > 0.2 else ("centimetres", 0.01)
        yield Finding(
            "unit",
            f"the median depth is {middle:.4g} m, which looks like {unit} taken for metres ({given}): say "
            f"depth_scale={(scale or 1) * factor:g}, or invariant=scale if the unit is not known",
        )
    elif 0.9 <= top <= 1.0 and middle < 0.9 and found.source.kind != "disparity":
        yield Finding(
            "unit",
            f"all depths lie between 0 and {top:.4g} m, as numbers do that were normalised to 1 ({given}): say "
            "depth_scale=METRES if 1 stands for a distance, or invariant=scale",
        )
    elif middle < SMALL_M:
        yield Finding(
            "unit",
            f"the median depth is {middle:.3g} m, too near for a photo ({given}): the scale may have been applied "
            "twice; say depth_scale=METRES for one stored unit, or invariant=scale if the unit is not known",
        )


def _direction(found: Seen) -> Iterator[Finding]:
    depths = found.depths
    if len(depths) >= 3 and runs_the_wrong_way(depths):
        kind = found.source.coding().meaning
        other = "kind=disparity" if kind != "disparity" else "kind=depth"
        yield Finding(
            "direction",
            f"labels read as {kind} look inverted: near things come out far; say {other} if that is what is stored",
        )


def _edges(found: Seen) -> Iterator[Finding]:
    fit = found.fit
    if fit is not None and fit.better is not None:
        yield Finding(
            "edges",
            f"labels fit the edges of their pictures better if taken as {fit.better} ({fit.samples} samples): write "
            "them as the pictures lie",
        )
    elif fit is not None and _dense(found) and fit.samples >= 6 and fit.fit - fit.by_chance + 2 * fit.unsure < UNFIT:
        yield Finding(
            "edges",
            f"labels do not fit the edges of their pictures, no better than those of other pictures ({fit.samples} "
            "samples): look whether each label belongs to its picture",
        )
    looks = zip(found.looked.samples, found.edges, strict=True)
    turned = [edges for look, edges in looks if look.orientation != 1 and look.depth is not None]
    if fit is not None and fit.better is None and len(turned) < len(found.depths):
        own = edge_fit(turned)
        if own is not None and own.better is not None:
            other = "upright" if (found.source.label_frame or "stored") == "stored" else "stored"
            yield Finding(
                "edges",
                f"labels of photos with an EXIF orientation fit better if taken as {own.better} ({own.samples} "
                f"samples): say label_frame={other}",
            )


def _dense(found: Seen) -> bool:
    """True where enough is known for edges; a lidar's rows, seen from beside the camera, have few that fit."""
    return float(np.mean([(~depth.isnan()).float().mean() for depth in found.depths])) > DENSE


def _constant(found: Seen) -> Iterator[Finding]:
    flat = [depth for depth in found.depths if (values := known(depth)).size and np.ptp(values) <= FLAT * values.max()]
    if len(flat) > 0.1 * len(found.depths):
        yield Finding(
            "constant labels",
            f"{len(flat)} of {len(found.depths)} labels have one depth everywhere: look whether the right files or "
            "column is read",
        )
    depths = found.depths
    if len(depths) >= 3 and not flat and all(_equal(depths[0], depth) for depth in depths[1:]):
        images = [look.image for look in found.looked.samples]
        if not all(image.shape == images[0].shape and bool((image == images[0]).all()) for image in images):
            yield Finding("equal labels", f"all {len(depths)} labels are the same map: look how they were written")


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def _far_end(found: Seen) -> Iterator[Finding]:
    values = [each for depth in found.depths if (each := known(depth)).size and np.ptp(each) > FLAT * each.max()]
    if len(values) < 2:
        return
    far = max(float(each.max()) for each in values)
    shares = np.array([np.mean(each >= far * (1 - 1e-5)) for each in values])
    if shares.mean() > FAR_CAP and (shares > 0.01).sum() >= max(2, 0.2 * len(shares)):
        yield Finding(
            "far end",
            f"{shares.mean():.0%} of the known pixels have the same farthest depth, {far:.4g} m: it is likely a "
            f"sensor's end, a sky or a code; say max_depth_m={far * 0.999:.4g}, or unknown= or sky= with the number "
            "as it is stored",
        )


def _sky(found: Seen) -> Iterator[Finding]:
    samples = [look for look in found.looked.samples if look.depth is not None]
    if not samples:
        return
    domains = {look.domain for look in samples}
    skies = [look.depth.isinf() for look in samples if look.depth is not None]
    share = float(np.mean([float(sky.float().mean()) for sky in skies]))
    if share <= SKY_INDOORS:
        return
    far = [float(np.quantile(values, 0.95)) for depth in found.depths if (values := known(depth)).size]
    near = bool(far) and found.in_metres and float(np.median(far)) < INDOORS_M
    if domains == {"indoor"} or (near and "outdoor" not in domains and _low(skies)):
        yield Finding(
            "sky indoors",
            f"{share:.0%} of the pixels are sky, and the rest looks like rooms: if they are pixels without a depth, "
            "say zero=unknown, or unknown= with the number as it is stored",
        )


def _low(skies: Sequence[Tensor]) -> bool:
    """True where sky is not in the upper half, as it is outdoors."""
    places = [float(sky.nonzero()[:, 0].float().mean()) / len(sky) for sky in skies if sky.any()]
    return bool(places) and float(np.median(places)) > 0.4


def _sane(found: Seen) -> Iterator[Finding]:
    wild = 0
    example = ""
    for look in found.looked.samples:
        values = known(look.depth) if look.depth is not None else np.zeros(0)
        if not values.size:
            continue
        near, far = (float(each) for each in np.quantile(values, (0.01, 0.99)))
        # Inverse depth close to 0 may stand for any distance.
        too_far = values.max() > (OUTLIER * far) and found.source.kind != "disparity"
        too_far |= found.in_metres and found.source.kind != "disparity" and far < LARGEST_M < values.max()
        too_near = values.min() < near / OUTLIER or (found.in_metres and values.min() < LEAST_M < near)
        if too_far or too_near:
            wild += 1
            example = example or f"{look.origin} from {values.min():.3g} to {values.max():.3g} m"
    if wild:
        yield Finding(
            "no sane depth",
            f"{wild} of {len(found.depths)} labels have values that are no depth ({example}): the files may be "
            "damaged; name codes with unknown=, or give min_depth_m and max_depth_m",
        )
    label = found.looked.label
    if label is not None and label.negative > 0.01:
        yield Finding(
            "no sane depth",
            f"{label.negative:.0%} of the numbers of the first label are negative, which is taken for unknown: if "
            "they are a code, name it with unknown=; if they are depth, it may be log_depth or of another frame",
        )
    if label is not None and label.swapped:
        yield Finding(
            "no sane depth",
            "the two bytes of the first label's numbers look exchanged: write them in the order of the file's format",
        )
    rough = [depth for depth in found.depths if (roughness(depth.numpy()) or 0) > ROUGH]
    if len(rough) > 0.2 * len(found.depths):
        yield Finding(
            "no sane depth",
            f"{len(rough)} of {len(found.depths)} labels look like noise: neighbouring pixels have unrelated depths; "
            "the type of the numbers may be wrong",
        )


def _coarse(found: Seen) -> Iterator[Finding]:
    values = [each for depth in found.depths if (each := known(depth)).size > 1000]
    coarse = [each for each in values if 1 < len(np.unique(each)) < COARSE]
    if values and len(coarse) > 0.5 * len(values):
        yield Finding(
            "coarse labels",
            f"{len(coarse)} of {len(values)} labels have fewer than {COARSE} different depths: they may be a picture "
            "of depth, or classes, and not depth itself",
        )


_CHECKS: tuple[Callable[[Seen], Iterator[Finding]], ...] = (
    _left_out, _broken, _unit, _direction, _edges, _constant, _far_end, _sky, _sane, _coarse,
)  # fmt: skip
