"""Pictures of products: drawn, since generated products have none and those of the original are elsewhere."""

import colorsys
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from types import MappingProxyType

from agentrl.tasks import content_digest
from agentrl_envs.webshop.site.signs import sign

_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "black": "#2b2d33",
        "white": "#d9dce1",
        "blue": "#2f6fd0",
        "red": "#c8352f",
        "green": "#3f8a4f",
        "grey": "#7d838c",
        "gray": "#7d838c",
        "pink": "#e07aa4",
        "brown": "#7a5236",
        "purple": "#7a4fb5",
        "yellow": "#d9a514",
        "orange": "#e07b2a",
        "beige": "#cdb58f",
        "teal": "#1f8f8f",
        "ivory": "#ddd3b8",
        "gold": "#c79a2e",
        "silver": "#a9b0b8",
        "walnut": "#6b4a34",
        "oak": "#b98d57",
        "cherry": "#8c3b32",
        "copper": "#b46a3c",
        "rose": "#cf8b83",
    }
)


@lru_cache(maxsize=2048)
def draw(category: str, kind: str, colour: str) -> str:
    """Return an SVG picture: the sign of a kind of product, in a tint of its own or in the colour given."""
    digest = int(content_digest(kind), 16)
    hue = digest % 360 / 360
    own = _hex(hue, 0.38, 0.45)
    ink = next((code for name, code in _COLOURS.items() if name in colour), own)
    tilt = digest // 360 % 13 - 6
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" role="img">'
        f"<title>{escape(kind)}</title><style>.light{{fill:{_hex(hue, 0.9, 0.5)}}}</style>"
        f'<rect width="200" height="200" fill="{_hex(hue, 0.95, 0.5)}"/>'
        f'<circle cx="100" cy="104" r="78" fill="{_hex(hue, 0.9, 0.5)}"/>'
        f'<ellipse cx="100" cy="166" rx="50" ry="6" fill="#000" opacity=".08"/>'
        f'<g fill="{ink}" transform="rotate({tilt} 100 104)">{sign(category, kind)}</g></svg>'
    )


def _hex(hue: float, lightness: float, saturation: float) -> str:
    return "#" + bytes(round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, saturation)).hex()
