"""Signs for kinds of products: which of the drawings in ``static/signs.svg`` stands for what."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "bottle": "shampoo lotion moisturizer foundation",
        "flask": "bottle",
        "shirt": "shirt jersey hoodie top",
        "dress": "dress",
        "trousers": "jean pant short",
        "shoe": "shoe boot sneaker sandal",
        "rings": "earring",
        "headphones": "headphone",
        "speaker": "speaker",
        "phone": "phone",
        "cable": "cable cord charger",
        "stick": "drive",
        "keyboard": "keyboard",
        "screen": "monitor television tv",
        "bag": "sleeve bag",
        "table": "table desk",
        "chair": "chair sofa stool",
        "rug": "rug",
        "curtain": "curtain",
        "pillow": "pillow",
        "bed": "mattress bed",
        "lamp": "lamp light",
        "frame": "art print",
        "candle": "candle",
        "cup": "coffee tea mug",
        "bars": "bar",
        "pan": "pan",
        "knife": "knife",
        "box": "container box organizer filter can",
        "pot": "cooker",
        "mat": "mat",
        "tent": "tent",
        "backpack": "backpack",
        "dumbbell": "dumbbell",
        "club": "club",
        "paw": "dog cat",
        "pen": "pen",
        "brush": "toothbrush brush",
        "book": "notebook book",
        "lipstick": "lipstick",
        "hair": "hair wig",
        "blocks": "block",
        "puzzle": "puzzle",
        "bear": "plush",
        "die": "game",
        "car": "car",
    }
)
"""Sign to the words, in the singular, that it stands for."""
_SIGN_OF = {word: name for name, words in _WORDS.items() for word in words.split()}
_SIGN_OF_CATEGORY: Mapping[str, str] = MappingProxyType(
    {
        "beauty": "bottle",
        "electronics": "stick",
        "fashion": "shirt",
        "garden": "lamp",
        "grocery": "pouch",
        "kitchen": "pot",
        "office": "pen",
        "pets": "paw",
        "sports": "dumbbell",
        "toys": "blocks",
    }
)
_DRAWING = re.compile(r'<g id="(\w+)">(.*?)</g>', re.DOTALL)


@cache
def signs() -> Mapping[str, str]:
    """Return the drawings by name: SVG elements within 200 by 200."""
    text = (Path(__file__).parent / "static" / "signs.svg").read_text(encoding="utf-8")
    return {name: " ".join(drawing.split()) for name, drawing in _DRAWING.findall(text)}


def sign(category: str, kind: str) -> str:
    """Return the drawing for a kind of product: by the last of its words that has one, else by its department."""
    words = [word.strip(",.'&").lower() for word in kind.split()]
    forms = (form for word in reversed(words) for form in (word, word.removesuffix("s"), word.removesuffix("es")))
    name = next((_SIGN_OF[form] for form in forms if form in _SIGN_OF), None)
    return signs()[name or _SIGN_OF_CATEGORY.get(category, "parcel")]
