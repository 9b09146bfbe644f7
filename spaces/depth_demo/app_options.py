"""Options of the page. Light to import."""

from dataclasses import dataclass
from pathlib import Path

from semidepth.common.options import option
from semidepth.prediction.options import RUNTIME_HELP, Runtime


@dataclass(frozen=True, kw_only=True)
class AppOptions:
    """Options of the page."""

    model: tuple[str, ...] = option(
        (), metavar="MODEL", help="Hub ids or folders; default: semidepth's and trained ones"
    )
    outputs: Path = option(Path("outputs"), help="folder in which trained models are looked for")
    device: str | None = option(None, help="default: cuda where there is one, else cpu")
    runtime: Runtime = option("torch", help=RUNTIME_HELP)
    host: str | None = option(None, help="address to serve on; default: gradio's")
    port: int | None = option(None, help="default: the first free one that gradio finds")
    trust_remote_code: bool = option(False, help="run code that models of --model bring along")
    mcp: bool = option(False, help="serve the endpoints as MCP tools, too; needs gradio[mcp]")
