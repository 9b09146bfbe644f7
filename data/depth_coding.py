"""Say what the stored numbers of a depth map mean."""

from dataclasses import dataclass
from typing import Literal, get_args

from semidepth.data.orientation import LabelFrame

DepthKind = Literal["depth", "disparity", "log_depth"]
Invariance = Literal["scale", "affine"]
Zero = Literal["unknown", "sky", "value"]
LabelType = Literal["synthetic", "dense", "pseudo", "sparse"]


@dataclass(frozen=True)
class DepthCoding:
    """The meaning of a depth map's stored numbers.

    They are compared with `zero`, `unknown` and `sky` as stored. Then number * scale + shift is depth, inverse depth,
    or the natural logarithm of depth.

    Args:
        kind: what the numbers are; None: not said, taken for depth.
        scale: metres per stored unit (`disparity`: inverse metres; `log_depth`: of the logarithm). Integers need it,
            unless they are `invariant`; floats default to 1.
        shift: added after the scale.
        invariant: what is not known of the numbers. `scale`: a factor, so that the result is no metres. `affine`: a
            factor and a summand. Inverse depth that is negative somewhere is then moved to begin at 0; depth needs
            `near`.
        near: of affine depth, the nearest pixel's distance as a share of the farthest's: the maker leaves it open, and
            without it there is no inverse depth. The result is in units of the farthest distance.
        zero: what a stored 0 means. By default `unknown` for integers and for depth, else `value`: in inverse depth
            infinitely far, which is sky.
        unknown: further stored numbers that mean unknown, such as 65535 or -1.
        sky: stored numbers that mean sky.
        min_depth_m: nearer than this becomes unknown, in metres.
        max_depth_m: farther than this becomes unknown, in metres; sky stays.

    Raises:
        ValueError: values that do not go together.
    """

    kind: DepthKind | None = None
    scale: float | None = None
    shift: float = 0.0
    invariant: Invariance | None = None
    near: float | None = None
    zero: Zero | None = None
    unknown: tuple[float, ...] = ()
    sky: tuple[float, ...] = ()
    min_depth_m: float | None = None
    max_depth_m: float | None = None

    def __post_init__(self) -> None:
        """Checks what can be checked without a map."""
        for name, allowed in (("kind", DepthKind), ("invariant", Invariance), ("zero", Zero)):
            value = getattr(self, name)
            if value is not None and value not in get_args(allowed):
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(get_args(allowed))}")
        affine_depth = self.invariant == "affine" and self.meaning == "depth"
        if self.invariant == "affine" and self.meaning == "log_depth":
            raise ValueError(
                "log_depth of an unknown factor has no depth: the base is missing; give depth_scale and invariant=scale"
            )
        if affine_depth and self.near is None:
            raise ValueError(
                "depth of an unknown summand has no inverse depth; give near=SHARE, the nearest distance as a share of "
                "the farthest, such as 0.1"
            )
        if self.near is not None and not affine_depth:
            raise ValueError("near is for kind=depth with invariant=affine; leave it out")
        if self.near is not None and not 0 < self.near < 1:
            raise ValueError(f"near is {self.near}; it must be between 0 and 1")
        if self.invariant is not None and (self.min_depth_m is not None or self.max_depth_m is not None):
            raise ValueError("min_depth_m and max_depth_m are metres, which invariant labels do not have; drop them")

    @property
    def meaning(self) -> DepthKind:
        """Returns what the numbers are; depth if nothing is said."""
        return self.kind or "depth"

    @property
    def per_map(self) -> bool:
        """True where a number's depth depends on the other numbers of its map."""
        return self.invariant == "affine"


METRES = DepthCoding()


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Options of a source that say how its labels are stored; most are fields of `DepthCoding`.

    Where `depth_scale` and `depth_shift` are None, a row's own are taken. `key` names the array of an `.npz` or the
    channel of an `.exr`. `map` is a map's file, `{}` standing for its photo's name. `stretch` is for maps whose aspect
    ratio is not quite their photos': they cover them all the same. `label_frame` says how
    the labels of photos with an EXIF orientation lie, see `orientation`. `labels` is their type, see `label_types`.
    """

    key: str | None = None
    kind: DepthKind | None = None
    depth_scale: float | None = None
    depth_shift: float | None = None
    invariant: Invariance | None = None
    near: float | None = None
    zero: Zero | None = None
    unknown: tuple[float, ...] = ()
    sky: tuple[float, ...] = ()
    min_depth_m: float | None = None
    max_depth_m: float | None = None
    map: str | None = None
    stretch: bool = False
    label_frame: LabelFrame | None = None
    labels: LabelType | None = None

    def coding(self, scale: float | None = None, shift: float | None = None) -> DepthCoding:
        """The meaning of the numbers in a row's depth.

        Args:
            scale: of the row, where the source gives none.
            shift: of the row: it is a pseudo label, stored over its own range, so that 0 is a value.

        Raises:
            ValueError: options that do not go together.
        """
        return DepthCoding(
            kind=self.kind,
            scale=scale if self.depth_scale is None else self.depth_scale,
            shift=(shift or 0.0) if self.depth_shift is None else self.depth_shift,
            invariant=self.invariant,
            near=self.near,
            zero=self.zero or (None if shift is None else "value"),
            unknown=self.unknown,
            sky=self.sky,
            min_depth_m=self.min_depth_m,
            max_depth_m=self.max_depth_m,
        )
