"""Theme and style sheet of the page, and the HTML that stands where there is no result."""

import html

import gradio as gr

TITLE = "How far is everything in this picture?"
SUBTITLE = "One photo in, the distance of every pixel out: look at it, measure in it, walk around in it."
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
)  # fmt: skip
CSS = """
.gradio-container {max-width: 1180px !important; margin: auto; box-sizing: border-box}
.gradio-container, .gradio-container main {width: 100%}
footer {margin-top: 1.5rem !important}
footer .divider {display: none !important}
#clip video {max-height: 225px}
#heading {text-align: center; padding: 1.2rem 0 .6rem}
#heading h1 {
  font-size: clamp(1.5rem, 4.5vw, 2.4rem); margin: 0 0 .3rem; line-height: 1.15; font-weight: 750;
  background: linear-gradient(90deg, #6d28d9, #db2777 55%, #f59e0b); -webkit-background-clip: text;
  background-clip: text; color: transparent;
}
.dark #heading h1 {background-image: linear-gradient(90deg, #a78bfa, #f472b6 55%, #fbbf24)}
#heading p {color: var(--body-text-color-subdued); font-size: 1.05rem; margin: 0}
.placeholder {
  display: flex; flex-direction: column; align-items: center; justify-content: center; gap: .6rem; text-align: center;
  min-height: 380px; padding: 2rem 1.5rem; border: 2px dashed var(--border-color-primary);
  border-radius: var(--radius-xl); color: var(--body-text-color-subdued);
}
.placeholder .bands {
  width: 112px; height: 76px; border-radius: 14px;
  background: radial-gradient(
    circle at 50% 105%, #fcfdbf 0 14%, #fc8e64 0 30%, #d9466b 0 46%, #912b81 0 64%, #4a1079 0 82%, #1a1042 0
  );
}
.placeholder b {color: var(--body-text-color); font-size: 1.1rem}
.legend .bar {height: 14px; border-radius: 7px; border: 1px solid var(--border-color-primary)}
.legend .marks {position: relative; height: 1.5em; font-size: .85rem; color: var(--body-text-color)}
.legend .marks span {position: absolute; top: 2px; white-space: nowrap}
#told {min-height: 3.2em} #told p, #found p {font-size: 1.05rem; margin: .2rem 0}
#marked img {cursor: crosshair}
#picture img {position: relative}
#picture img::after {content: ""; position: absolute; inset: 0; background: var(--block-background-fill)} /* broken */
#sheet {
  display: grid; align-items: start; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr);
  grid-template-areas: "picture answer" "settings answer"; grid-template-rows: auto 1fr;
}
#sheet_picture {grid-area: picture} #sheet_answer {grid-area: answer} #sheet_settings {grid-area: settings}
#near label span, #far label span {white-space: nowrap}
.note {font-size: .85rem; color: var(--body-text-color-subdued); margin: .2rem 0 0}
#gallery .caption-label {white-space: normal; text-align: right}
#gallery .preview {position: fixed; inset: 0; z-index: 1000; width: 100vw; height: 100dvh} /* over all of the page */
#gallery .grid-wrap, #gallery .grid-container {height: auto; min-height: 0; max-height: none}
.hint p {color: var(--body-text-color-subdued); margin: 0}
/* Gradio's place in the queue: in the middle at the foot of the box, where gradio would cut it off and fade the box. */
#bar .pending {opacity: 1}
#bar .wrap.minimal {height: 100%; overflow: visible}
#bar .wrap.minimal .progress-text {inset: auto 0 2.6rem; text-align: center; background: none}
.work {width: min(100%, 26rem)}
.work .track {height: 10px; border-radius: 5px; overflow: hidden; background: var(--border-color-primary)}
.work .track div {height: 100%; background: var(--color-accent); transition: width .3s} .work p {margin: .5rem 0 0}
@media (max-width: 860px) {
  #sheet {
    grid-template-columns: minmax(0, 1fr); grid-template-rows: none; grid-template-areas: "picture" "answer" "settings";
  }
  #colors {flex-basis: 100% !important}
  #sheet_answer {scroll-margin-top: 8px}
}
@media (max-width: 600px) {
  #picture, #picture .image-frame {max-height: 240px}
  .gradio-container {padding: 8px !important}
  .placeholder {min-height: 200px}
  #examples .container.gallery {width: 72px} /* four in a row */
  #marked, #marked .image-container {height: auto !important; min-height: 0}
  #gallery .grid-container {grid-template-columns: 1fr !important}
}
"""


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
EMPTY_SCENE = placeholder(
    "The scene appears here", "Choose a picture in the Image tab; the scene is built when you come back."
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


def progress_html(share: float, text: str) -> str:
    """Returns HTML of a progress bar that stands where the result will be.

    Args:
        share: done, between 0 and 1.
        text: below it.
    """
    return (
        '<div class="placeholder"><div class="bands"></div>'
        f'<div class="work" role="progressbar" aria-valuenow="{100 * share:.0f}"><div class="track">'
        f'<div style="width:{100 * min(share, 1):.1f}%"></div></div><p>{text}</p></div></div>'
    )
