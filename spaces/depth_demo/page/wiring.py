"""Connects the parts of a tab to plain functions: one typed object in, named updates out.

Gradio hands a handler a dictionary where its inputs are a set, and takes a dictionary of updates back, both keyed by
component. Here the keys are the parts' names in the tab's dataclass, so that a test can call a handler without a page.

Values come in as the browser sent them (`preprocess=False`), and are checked here: gradio's components open uploads and
check ranges themselves, and what they find wrong ends in a traceback or in a message without a remedy.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar, get_type_hints

import gradio as gr
from refusal import Refusal, file_path, number, shown, word, yes_or_no

# How an event of the page runs that is too quick for a progress bar.
QUICK: dict[str, Any] = {"show_progress": "hidden"}
LARGEST = 1e9
# Makes the browser save the file that was made for it.
FETCH = """(file) => {
  const link = Object.assign(document.createElement('a'), {href: file.url, download: file.orig_name});
  document.body.appendChild(link); link.click(); link.remove();
}"""
T = TypeVar("T")


class Page(gr.Blocks):
    """A page that answers in a sentence where gradio's own check of a request ends in a traceback.

    Such requests name files that were never uploaded, or have too few values or values of a wrong shape.
    """

    async def preprocess_data(self, *args: Any, **options: Any) -> Any:
        """Runs gradio's check of a request.

        Raises:
            Refusal: it fails, in whatever way.
        """
        try:
            return await super().preprocess_data(*args, **options)
        except gr.Error:
            raise
        except Exception as error:  # gradio and pydantic raise many kinds here, all because of what was sent
            raise Refusal(
                "What was sent is not what is taken here: files have to be uploaded first, and each value has to be of "
                "the kind that “Use via API” names."
            ) from error


@dataclass
class Latest:
    """What was asked for last, as the server knows it: handlers that are still at work see it change.

    Args:
        number: of the order.
        picture: path; None before the first order.
    """

    number: int = 0
    picture: str | None = None

    def order(self, picture: str | None) -> int:
        """Begins another order for a picture; returns its number."""
        self.number, self.picture = self.number + 1, picture
        return self.number

    def is_other(self, picture: str | None) -> bool:
        """Returns whether another picture was asked for since."""
        return self.number > 0 and picture != self.picture


@dataclass(frozen=True)
class Wiring(Generic[T]):
    """Binds events of a tab to handlers that take one object and return updates by the parts' names.

    Args:
        parts: dataclass of the tab's components.
        asked: dataclass that handlers take. Each field holds the value of the part of the same name. A
            function `read` in its metadata checks what was sent, instead of [`value_of`]; so it has to where a part's
            choices change.
    """

    parts: Any
    asked: type[T]

    def on(
        self,
        event: Callable[..., Any],
        handler: Callable[..., Any],
        updates: type | None,
        *,
        drop_late: bool = False,
        **options: Any,
    ) -> Any:
        """Calls a handler at an event.

        Args:
            event: of a component, or the `then` or `success` of an event before.
            handler: takes an `asked` and returns a dictionary of updates, or yields several of them. Parts that are
                not in it stay as they are.
            updates: TypedDict of the parts that the handler may update; None: it updates nothing.
            drop_late: an answer is not shown where something else was asked for meanwhile; `asked` has `latest`. To
                cancel the event instead would lose those of its kind that wait for it: gradio 6.31 forgets them.
            options: of gradio's event.
        """
        return self._bind(event, self._called(handler, drop_late), self._outputs(updates), options)

    def on_click_in(self, image: gr.Image, handler: Callable[..., Any], updates: type, **options: Any) -> Any:
        """Calls a handler when somebody clicks in an image, with the pixel's (column, row) as its second argument.

        Its answer is not shown where something else was asked for meanwhile, as in [`on_opening`].
        """

        def called(values: dict[Any, Any], event: gr.SelectData) -> Any:
            return self._answer(lambda asked: handler(asked, tuple(event.index)), self.read(values), True)

        return self._bind(image.select, called, self._outputs(updates), options)

    def on_opening(self, page: gr.Blocks, handler: Callable[..., Any], updates: type, **options: Any) -> Any:
        """Calls a handler as the page opens, with the parameters of the page's address as its second argument.

        Its answer is not shown where something else was asked for meanwhile.
        """

        def called(values: dict[Any, Any], request: gr.Request) -> Any:
            return self._answer(lambda asked: handler(asked, dict(request.query_params)), self.read(values), True)

        return self._bind(page.load, called, self._outputs(updates), options)

    def hand_out(self, button: gr.Button, make: Callable[[T], str]) -> None:
        """Makes a button give the browser a file.

        Args:
            button: to be pressed.
            make: returns the path of the file; it may refuse.
        """
        made = gr.File(visible="hidden")
        event = self._bind(
            button.click, lambda values: make(self.read(values)), [made],
            {"show_progress_on": button, "concurrency_id": "file", "concurrency_limit": 2},
        )  # fmt: skip
        event.success(None, made, None, js=FETCH)

    def read(self, values: dict[Any, Any]) -> T:
        """Makes the typed object of what gradio hands over.

        Args:
            values: by component, as the browser sent them.

        Raises:
            Refusal: a value is of a wrong kind.
        """
        found = {}
        for each in fields(self.asked):  # type: ignore[arg-type]
            part = getattr(self.parts, each.name)
            read = each.metadata.get("read")
            found[each.name] = read(values[part]) if read else value_of(part, values[part])
        return self.asked(**found)

    def named(self, updates: Any) -> Any:
        """Turns updates by the parts' names into updates by component, as gradio takes them."""
        if updates is None:
            return None
        if not updates:
            return gr.skip()
        return {getattr(self.parts, name): update for name, update in updates.items()}

    def _inputs(self) -> dict[str, Any]:
        return {each.name: getattr(self.parts, each.name) for each in fields(self.asked)}  # type: ignore[arg-type]

    def _outputs(self, updates: type | None) -> list[Any]:
        return [getattr(self.parts, name) for name in get_type_hints(updates)] if updates else []

    def _bind(self, event: Any, called: Any, outputs: list[Any], options: dict[str, Any]) -> Any:
        inputs = set(self._inputs().values())
        return event(called, inputs, outputs, preprocess=False, api_visibility="private", **options)

    def _answer(self, handler: Callable[[T], Any], asked: Any, drop_late: bool) -> Any:
        number = asked.latest.number if drop_late else 0
        updates = handler(asked)
        return gr.skip() if drop_late and asked.latest.number != number else self.named(updates)

    def _called(self, handler: Callable[..., Any], drop_late: bool) -> Callable[[dict[Any, Any]], Any]:
        def called(values: dict[Any, Any]) -> Any:
            return self._answer(handler, self.read(values), drop_late)

        def yielded(values: dict[Any, Any]) -> Iterator[Any]:
            for updates in handler(self.read(values)):
                yield self.named(updates)

        return yielded if inspect.isgeneratorfunction(handler) else called


def value_of(part: Any, sent: Any) -> Any:
    """Checks what the browser sent for a part of the page.

    Args:
        part: a component.
        sent: its value.

    Returns:
        The path of an upload, the text of a field ("" for an empty one), one of the choices (that which the page
        starts with where nothing was sent), a number or None, and so on.

    Raises:
        Refusal: no such part sends this.
    """
    if isinstance(part, gr.State | gr.BrowserState):
        return sent
    name = part.label or part.elem_id
    if isinstance(part, gr.Image | gr.Video | gr.File):
        return file_path(sent)
    if isinstance(part, gr.Slider):
        return number(sent, name, -LARGEST, LARGEST)
    if isinstance(part, gr.Checkbox):
        return yes_or_no(sent, name, False)
    if isinstance(part, gr.CheckboxGroup):
        known = [value for _, value in part.choices]
        if not isinstance(sent, list) or not all(each in known for each in sent):
            raise Refusal(f"{name} is {shown(sent)}; choose some of {', '.join(map(str, known))}.")
        return sent
    if isinstance(part, gr.Dropdown | gr.Radio):
        return word(sent, name, [value for _, value in part.choices]) or part.value
    return word(sent, name) or ""


def head_of(sent: Any) -> str:
    """Checks the name of a head; "" for none. Heads change with the model: where one is used, it has to be known.

    Raises:
        Refusal: it is no word.
    """
    return word(sent, "Taken") or ""
