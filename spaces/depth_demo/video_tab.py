"""The tab for clips."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
from appearance import EMPTY_VIDEO, progress_html
from clips import LIMITS_TEXT, Clip, depth_of_clip, duration, look_at
from color_maps import DEFAULT_COLOR_MAP
from coloring import legend_html
from image_tab import COLOR_CHOICES, head_choices, unopened
from work import ROUTER, DepthWork

SETTLED_S = 1.0


def build(work: DepthWork) -> None:
    """Lays out the tab and connects it."""
    cards = [work.models.card(name) for name in work.models.names]
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            clip = gr.Video(label="Clip", sources=["upload", "webcam"], height=300, elem_id="clip")
            unopened(clip)
            facts = gr.Markdown(LIMITS_TEXT, elem_id="facts")
            model = gr.Dropdown([(card.label, card.name) for card in cards], value=cards[0].name, label="Model",
                                elem_id="video_model", filterable=False)  # fmt: skip
            domain = gr.Radio(
                head_choices(cards[0].domains), value=ROUTER, label="Head", visible=cards[0].choosable,
                elem_id="video_domain", info="One for the whole clip.",
            )  # fmt: skip
            color_map = gr.Dropdown(COLOR_CHOICES, value=DEFAULT_COLOR_MAP, label="Colours", elem_id="video_colors")
            beside = gr.Checkbox(True, label="Side by side with the clip", elem_id="beside")
            with gr.Row():
                run = gr.Button("Make depth clip", variant="primary", elem_id="make", min_width=140, scale=2)
                cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel", min_width=90)
        with gr.Column(scale=3, min_width=300):
            empty = gr.HTML(EMPTY_VIDEO, elem_id="video_empty")
            bar = gr.HTML(visible=False, elem_id="bar")
            result = gr.Video(show_label=False, interactive=False, visible=False, elem_id="result",
                              buttons=["download"])  # fmt: skip
            legend = gr.HTML(visible=False, elem_id="video_legend")
            told = gr.Markdown(visible=False, elem_id="video_told")
    shown = [empty, bar, result, legend, told, run, cancel]
    hide, show = gr.update(visible=False), gr.update(visible=True)
    idle = [gr.update(interactive=True), gr.update(interactive=False)]

    def make(path: str | None, name: str, head: str, colors: str, both: bool) -> Iterator[list[Any]]:
        """Shows how far the work is, then the clip."""
        look_at(path)
        try:
            begun: list[Any] = [hide, show, hide, hide, hide, gr.update(interactive=False), gr.update(interactive=True)]
            for step in depth_of_clip(work.models, str(path), name, head, colors, both):
                if isinstance(step, Clip):
                    yield finished(step, colors)
                    return
                html = progress_html(step.done / max(step.frames, 1), step.text)
                yield [begun[0], gr.update(value=html, visible=True), *begun[2:]]
                begun = [gr.skip()] * len(shown)
        except gr.Error as error:
            yield [show, hide, hide, hide, hide, *idle]
            raise error

    def finished(made: Clip, colors: str) -> list[Any]:
        bar_html = legend_html(made.limits, colors, metric=made.metric)
        return [
            hide, hide, gr.update(value=made.path, visible=True), gr.update(value=bar_html, visible=True),
            gr.update(value=made.text, visible=True), *idle,
        ]  # fmt: skip

    def look(path: str | None) -> str:
        """What the clip is, or why it is not taken, before any work."""
        if not path:
            return LIMITS_TEXT
        info = look_at(path)
        sound = "with sound" if info.has_audio else "without sound"
        return f"{duration(info.duration_s)}, {info.frames} frames of {info.width} x {info.height}, {sound}."

    running = run.click(
        make, [clip, model, domain, color_map, beside], shown, api_visibility="private", show_progress="hidden",
        concurrency_id="clip", concurrency_limit=1,
    )  # fmt: skip

    def reset(wait_s: float = 0.0) -> list[Any]:
        time.sleep(wait_s)
        return [show, hide, hide, hide, hide, *idle]

    # Twice: a step that was on its way when the work was cancelled may arrive after the first.
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
    cancel.click(reset, None, shown, cancels=[running], **quiet).then(lambda: reset(SETTLED_S), None, shown, **quiet)
    clip.change(look, clip, facts, api_visibility="private", show_progress="hidden")

    def heads(name: str) -> Any:
        card = work.models.card(name)
        return gr.update(choices=head_choices(card.domains), value=ROUTER, visible=card.choosable)

    model.input(heads, model, domain, api_visibility="private", show_progress="hidden")
