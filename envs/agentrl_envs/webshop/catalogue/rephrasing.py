"""Attributes in other words, for wishes that do not name what they mean."""

REPHRASED = {
    "waterproof": "keep$ water out completely",
    "water resistant": "can take a little rain",
    "leak proof": "never drip$ in a bag",
    "bpa free": "contain$ no bisphenol",
    "dishwasher safe": "can go in the dishwasher",
    "machine washable": "can go in the washing machine",
    "wrinkle resistant": "need$ no ironing",
    "non slip": "do@ not slide around",
    "slip resistant": "grip$ well on wet ground",
    "lightweight": "weigh$ next to nothing",
    "heavy duty": "can take hard use",
    "foldable": "fold$ up small",
    "noise cancelling": "keep$ outside sounds away",
    "sweat resistant": "survive$ hard training",
    "long lasting": "last$ the whole day",
    "hands free": "can be used without holding it",
    "fast charging": "charge$ quickly",
    "easy assemble": "can be put together in minutes",
    "space saving": "take$ up little room",
    "stain resistant": "forgive$ spills",
    "pet friendly": "can live with cats and dogs",
    "energy saving": "use$ little power",
    "energy efficient": "use$ little electricity",
    "eco friendly": "go@ easy on the environment",
    "cruelty free": "was never tested on animals",
    "vegan": "contain$ nothing from animals",
    "fragrance free": "ha^ no smell",
    "oil free": "contain$ no oils",
    "alcohol free": "contain$ no alcohol",
    "sulfate free": "do@ without sulfates",
    "paraben free": "do@ without parabens",
    "gluten free": "contain$ no gluten",
    "sugar free": "contain$ no sugar",
    "dairy free": "contain$ no milk",
    "nut free": "contain$ no nuts",
    "caffeine free": "will not keep me awake",
    "low sodium": "ha^ little salt",
    "high protein": "ha^ plenty of protein",
    "grain free": "contain$ no grain",
    "usda organic": "carr% the organic seal",
    "fair trade": "pay$ farmers fairly",
    "rechargeable": "can be charged again",
    "scratch resistant": "do@ not get scratches",
    "rust proof": "never rust$",
    "rust resistant": "hardly rust$",
    "airtight": "close$ without letting air in",
    "microwave safe": "can go in the microwave",
    "oven safe": "can go in the oven",
    "touchless": "open$ without being touched",
    "breathable": "let$ air through",
    "moisture wicking": "carr% sweat away",
    "quick dry": "dr% fast",
    "reflective": "can be seen in headlights",
    "height adjustable": "can be set higher or lower",
    "hypoallergenic": "do@ not irritate",
    "dimmable": "can be turned down softly",
    "non toxic": "contain$ nothing poisonous",
    "chew proof": "survive$ teeth",
    "no pull": "stop$ a dog from dragging",
    "self cleaning": "clean$ without help",
    "ultra quiet": "make$ hardly a sound",
    "refillable": "can be filled again",
    "quick drying": "dr% quickly",
    "stackable": "can be put on top of each other",
    "shock resistant": "survive$ a fall",
    "drop proof": "survive$ falling on stone",
}
"""Attribute to what comes after "that"; the signs become the endings of the verb: of one thing or of several."""

_ENDINGS = {"$": ("s", ""), "@": ("es", ""), "^": ("s", "ve"), "%": ("ies", "y")}


def rephrase(attribute: str, *, is_plural: bool) -> str | None:
    """Return what an attribute means, to come after "that"; None where only the attribute itself will do.

    >>> rephrase("waterproof", is_plural=False), rephrase("quick dry", is_plural=True)
    ('keeps water out completely', 'dry fast')
    """
    text = REPHRASED.get(attribute)
    if text is None:
        return None
    for sign, endings in _ENDINGS.items():
        text = text.replace(sign, endings[is_plural])
    return text.replace("was never", "were never") if is_plural else text
