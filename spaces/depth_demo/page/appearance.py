"""Theme and style sheet of the page, and the HTML that stands where there is no result."""

import html
from pathlib import Path

import gradio as gr
from predictor import ModelCard
from trust import trust_text

from page.browser_files import browser_file
from page.photo.legend_bar import color_css

TITLE = "How far is everything in this picture?"
SUBTITLE = "One photo in: look at its depth, measure in it, walk around in it."
THEME = gr.themes.Soft(
    primary_hue="indigo", secondary_hue="indigo", neutral_hue="slate", font=["system-ui", "sans-serif"],
    radius_size=gr.themes.sizes.radius_lg,
).set(
    body_text_color_subdued="*neutral_500", block_info_text_color="*neutral_500",
    input_placeholder_color="*neutral_500", input_placeholder_color_dark="*neutral_400",
    background_fill_primary="*neutral_50", block_title_background_fill="transparent",
    block_title_background_fill_dark="transparent",
    block_title_padding="0", block_title_text_color="*body_text_color", block_title_text_color_dark="*body_text_color",
    block_title_text_weight="600", block_info_text_size="*text_sm",
    block_label_background_fill="*background_fill_primary", block_label_background_fill_dark="*neutral_800",
    block_label_text_color="*body_text_color", block_label_text_color_dark="*body_text_color",
    block_label_text_weight="600",
    # White on these and these on the page have a contrast of 4.5 to 1 or more.
    color_accent="*primary_600", checkbox_label_background_fill_selected="*primary_600",
    checkbox_label_background_fill_selected_dark="*primary_600", checkbox_background_color_selected="*primary_700",
    checkbox_background_color_selected_dark="*primary_700", button_primary_background_fill="*primary_600",
    button_primary_background_fill_dark="*primary_600", button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_hover_dark="*primary_700", button_cancel_background_fill="#b91c1c",
    button_cancel_background_fill_hover="#991b1b", button_cancel_background_fill_dark="#b91c1c",
    button_cancel_background_fill_hover_dark="#991b1b", button_cancel_text_color="white",
    button_cancel_text_color_dark="white", button_secondary_background_fill_hover_dark="*neutral_700",
)  # fmt: skip
CSS = browser_file("style.css") + color_css()
HEADING = f"<h1>{TITLE}</h1><p>{SUBTITLE}</p>"


def trust_html(card: ModelCard) -> str:
    """Returns the line on what a model was trained and how far off it is, with a link to its card on the Hub."""
    text = html.escape(trust_text(card.name, card.record))
    if Path(card.place).exists() or "/" not in card.place:
        return f"<p>{text}</p>"
    return f'<p>{text} <a href="https://huggingface.co/{html.escape(card.place)}">Its model card</a></p>'


def placeholder(title: str, text: str) -> str:
    """Returns HTML that stands where a result will be."""
    return f'<div class="placeholder"><div class="bands"></div><b>{title}</b><span>{text}</span></div>'


def refused(refusal: gr.Error) -> str:
    """Returns HTML that says why there is no result.

    Args:
        refusal: its title and message.
    """
    return placeholder(html.escape(refusal.title), html.escape(refusal.message))


EMPTY_IMAGE = placeholder(
    "Depth appears here", "Drop a photo, take one with the camera, paste one, or click an example."
)
EMPTY_VIDEO = placeholder("The clip's depth appears here", "Near is bright, far is dark, in the same colours all over.")


def no_model(reasons: list[str]) -> str:
    """Returns HTML for a page without a model.

    Args:
        reasons: why models that were found are not offered, as HTML.
    """
    return placeholder(
        "There is no model yet",
        "Train one with <code>make demo</code> and start this page again, or name one: "
        "<code>python spaces/depth_demo/app.py --model FOLDER_OR_ID</code>. "
        "On a Hugging Face Space, name it in the variable <code>MODELS</code>."
        + "".join(f"<br><br>{reason}" for reason in reasons),
    )


def progress_html(share: float | None, text: str) -> str:
    """Returns HTML of a progress bar that stands where the result will be.

    Args:
        share: done, between 0 and 1; None where it is not known.
        text: below it.
    """
    value = "" if share is None else f'aria-valuenow="{100 * share:.0f}"'
    bar = '<div class="unknown"></div>' if share is None else f'<div style="width:{100 * min(share, 1):.1f}%"></div>'
    return (
        '<div class="placeholder"><div class="bands"></div>'
        f'<div class="work" role="progressbar" aria-label="Progress" {value}><div class="track">{bar}</div>'
        f"<p>{text}</p></div></div>"
    )
