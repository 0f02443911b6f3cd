"""The observation ``html``: pages with the ids, classes and names by which programs find things in the original's."""

from collections.abc import Sequence
from html import escape
from itertools import count

from agentrl_envs.webshop.pages import Node, Part
from agentrl_envs.webshop.shop import SEARCH, State

_PAGE = '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n</head>\n<body>\n{}\n</body>\n</html>'
_SEARCH_FORM = (
    '<form id="form-buscar" method="post">\n'
    '<input id="search_input" class="form-control" type="text" name="search_query" placeholder="Search..." required>\n'
    '<button class="btn btn-success" type="submit">{}</button>\n</form>'
)


def html_page(parts: Sequence[Part], state: State) -> str:
    """Return the page as HTML.

    The markup is our own: the search field has the id ``search_input``, buttons the class ``btn``, products the class
    ``product-link``, option values are radio buttons with a label each, named like the option. The visible texts, in
    their order, are those of the observation ``text``; the chosen options are checked, which is to be seen here only.
    """
    chosen, numbers = dict(state.options), count()
    nodes = [node for part in parts for node in part.nodes]
    return _PAGE.format("\n".join(_element(node, chosen, next(numbers)) for node in nodes))


def _element(node: Node, chosen: dict[str, str], number: int) -> str:
    text = escape(node.text)
    if node.kind == "button":
        if node.text == SEARCH:
            return _SEARCH_FORM.format(text)
        return f'<form method="post">\n<button type="submit" class="btn">{text}</button>\n</form>'
    if node.kind == "product":
        return f'<a class="product-link" href="#{text}">{text}</a>'
    if node.kind == "label":
        name, checked = escape(node.name), " checked" if chosen.get(node.name) == node.text else ""
        radio = f'<input type="radio" id="radio_{number}" name="{name}" value="{text}"{checked}>'
        return f'{radio}\n<label for="radio_{number}">{text}</label>'
    return f"<p>{text}</p>"
