"""Tell by a name whether it belongs to depth: of a file, a folder, a tar's member or a column."""

import re
from pathlib import Path

IMAGE_FOLDERS = ("images", "image", "rgb")  # whose mirror is a folder of depth

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_KINDS = {
    "depth": re.compile("depths?|depthmaps?"),
    "disparity": re.compile("disparity|disparities|disp"),
}
# Words that may follow: what is meant is still a depth map, not something about it as in depth_confidence.
_FURTHER = re.compile(
    r"\d+|maps?|images?|img|png|np[yz]|tiff?|jpe?g|exr|pfm|file|path|raw|gt|vis|viz|colou?r|colored|preview|left|right|"
    r"metric|linear|planar|sparse|dense|filled|[cm]?m|(centi|milli)?met(er|re)s?"
)


def says_depth(name: str, kind: str | None = None) -> bool:
    """True for a name that ends in a word for depth or disparity, whatever its spelling.

    Numbers and words such as `map`, `gt` or `mm` may follow: `depth_0001`, `sync_depth_00012`, `proj_depth`, `a_Depth`,
    `Depths`, `depth_map`, `disp`. Not so in `depth_confidence`, `depth_scale` or `depth_of_field`.

    Args:
        name: without folders; an ending such as `.png` does no harm.
        kind: "depth" or "disparity": only the words for this one.
    """
    words = _words(name)
    while words and _FURTHER.fullmatch(words[-1]):
        words.pop()
    return bool(words) and any(pattern.fullmatch(words[-1]) for each, pattern in _KINDS.items() if kind in (None, each))


def looks_like_depth(path: Path, root: Path) -> bool:
    """True for a file that is a depth map by its name or by that of a folder.

    A folder called `depth` counts at any height. One that is only named after depth (`NYU_Depth`, `proj_depth`) does
    not where something nearer to the file says image: a folder of `IMAGE_FOLDERS`, a name as `rgb_0001`, or JPEG, in
    which nobody stores depth.

    Args:
        path: of the file.
        root: the source, whose own name and place do not count.
    """
    if says_depth(path.stem):
        return True
    image = path.suffix.lower() in (".jpg", ".jpeg") or _words(path.stem)[:1] == ["rgb"]
    inside = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    for folder in reversed(inside):
        image = image or folder.lower() in IMAGE_FOLDERS
        if says_depth(folder) and (not image or says_depth(_words(folder)[0])):
            return True
    return False


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
