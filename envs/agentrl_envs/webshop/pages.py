"""What the pages of the shop say, and how the original turns them into text."""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from agentrl_envs.webshop.product import Product
from agentrl_envs.webshop.shop import BACK, BUY, NEXT, PREVIOUS, SEARCH, Shop, State, url

SEPARATOR = " [SEP] "
_SPACES = " \n\t\f\r"


class Node(NamedTuple):
    """A piece of text on a page."""

    kind: Literal["text", "button", "label", "product"]
    text: str
    name: str = ""
    """The option's name, of a label."""


class Part:
    """Some nodes that always stand together, with their plain text."""

    __slots__ = ("nodes", "text")

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = tuple(shown for node in nodes if (shown := _as_parsed(node)) is not None)
        self.text = SEPARATOR.join(node.text.strip() for node in self.nodes)


def _as_parsed(node: Node) -> Node | None:
    """Return what is left of a node after the original's parsing of its page, or None."""
    if node.text.strip(_SPACES):
        return node
    # White space alone shrinks to one blank, which stays, or to one line break, which is dropped.
    return node._replace(text=" ") if node.text and "\n" not in node.text else None


def _texts(*texts: str) -> Iterable[Node]:
    return (Node("text", text) for text in texts)


def _buttons(*texts: str) -> Iterable[Node]:
    return (Node("button", text) for text in texts)


_BACK, _PREVIOUS, _NEXT, _SEARCH = (Part(_buttons(text)) for text in (BACK, PREVIOUS, NEXT, SEARCH))


class Pages:
    """The pages of a shop.

    Args:
      shop: whose pages they are.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._listing = lru_cache(maxsize=8192)(self._make_listing)
        self._item = lru_cache(maxsize=4096)(self._make_item)
        self._sub_page = lru_cache(maxsize=4096)(self._make_sub_page)
        self._instruction = lru_cache(maxsize=256)(_instruction)

    def parts(self, state: State, instruction: str, reward: float | None = None) -> list[Part]:
        """Return the page of ``state`` for a customer with this ``instruction``; ``reward`` is for the last one."""
        if state.page == "done":
            return [_receipt(state, reward)]
        heading = self._instruction(instruction, state.page == "index")
        if state.page == "index":
            return [heading, _SEARCH]
        if state.page == "item":
            return [heading, self._item(state.asin)]
        if state.page == "sub":
            content = self._sub_page(state.asin, state.sub)
            return [heading, _BACK, _PREVIOUS, *([content] if content.nodes else ())]
        total = len(self._shop.results(state))
        count = Part(_texts(f"Page {state.number} (Total results: {total})"))
        moves = (_PREVIOUS, _NEXT) if state.number > 1 else (_NEXT,)
        return [heading, _BACK, count, *moves, *map(self._listing, self._shop.listed(state))]

    def _make_listing(self, asin: str) -> Part:
        product = self._shop.product(asin)
        return Part((Node("product", product.asin), *_texts(product.title, product.price_tag)))

    def _make_item(self, asin: str) -> Part:
        product = self._shop.product(asin)
        nodes = [*_buttons(BACK, PREVIOUS)]
        for name, values in product.options.items():
            nodes += [Node("text", name), *(Node("label", value, name) for value in values)]
        nodes += _texts(product.title, f"Price: {product.price_tag}", f"Rating: {product.rating}")
        return Part([*nodes, *_buttons("Description", "Features", "Reviews", BUY)])

    def _make_sub_page(self, asin: str, title: str) -> Part:
        return Part(_texts(*sub_page_texts(self._shop.product(asin), title)))


def sub_page_texts(product: Product, title: str) -> list[str]:
    """Return the texts on one of the pages of `shop.SUB_PAGES`."""
    if title == "Description":
        return [product.description]
    if title == "Features":
        return [f" {bullet}" for bullet in product.bullets]
    if title == "Reviews":
        return [text for one in product.reviews for text in (f'"{one.title}"', str(one.score), one.body)]
    attributes = [f" {attribute}" for attribute in product.attributes]
    return [*attributes, product.category, product.query, product.product_category]


def _instruction(instruction: str, is_index: bool) -> Part:
    return Part(_texts("WebShop", "Instruction: ", instruction) if is_index else _texts("Instruction:", instruction))


def _receipt(state: State, reward: float | None) -> Part:
    """Return the last page. The original fills in hardly anything of it."""
    return Part(
        _texts(
            *("Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)"),
            *("Purchased", "asin", state.asin, "options", _as_script(dict(state.options)), "attrs", "None"),
            *("category", "None", "query", "None", "product category", "None", "Target", "asin", "options", "attrs"),
            *("price upper", "instuction text", "category", "product category", "query", "Goal ", "None", "Reward"),
            *("Your score (min 0.0, max 1.0)", str(reward), "Reward Details ", "None"),
        )
    )


def _as_script(options: dict[str, str]) -> str:
    """Return JSON that may stand in HTML, as Flask writes it."""
    text = json.dumps(options, sort_keys=True)
    for letter in "<>&'":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def plain_text(parts: Sequence[Part]) -> str:
    """Return the observation ``text``: all texts, joined by `SEPARATOR`. Chosen options are not to be seen."""
    return SEPARATOR.join([part.text for part in parts])


def rich_text(parts: Sequence[Part], state: State, session: str) -> str:
    """Return the observation ``text_rich``: a line for each text, buttons marked, and what was clicked.

    As in the original an option counts as clicked if its value stands in quotes in the page's address.
    """
    address = url(state, session)
    clicked, lines = [], []
    for node in (node for part in parts for node in part.nodes):
        if node.kind == "text":
            lines.append(node.text)
        elif node.kind == "button":
            lines.append(f"[button] {node.text} [button_]")
        else:
            is_label = node.kind == "label"
            is_clicked = f'"{node.text}"' in address if is_label else node.text in state.visited
            word = "clicked button" if is_clicked else "button"
            lines.append(f"{'  ' if is_label else chr(10)}[{word}] {node.text} [{word}_]")
            if is_label and is_clicked:
                clicked.append(f"You have clicked {node.text}.")
    return "".join(f"{line}\n" for line in (*reversed(clicked), *lines))
