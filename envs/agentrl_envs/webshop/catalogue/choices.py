"""What the options of products offer: colours, sizes, packs and the like."""

from agentrl_envs.webshop.catalogue.kind import Choice


def _each(*values: str) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) for value in values)


_COLOURS = (
    ("black", "jet black", "matte black"),
    ("white", "pure white", "off white"),
    ("blue", "navy blue", "sky blue", "royal blue"),
    ("red", "dark red", "cherry red"),
    ("green", "forest green", "olive green"),
    ("grey", "charcoal grey", "light grey"),
    ("pink", "dusty pink", "hot pink"),
    ("brown", "chestnut brown", "dark brown"),
    ("purple", "deep purple"),
    ("yellow", "mustard yellow"),
    ("orange", "burnt orange"),
    ("beige",),
    ("teal",),
    ("ivory",),
)
COLOURS = Choice(_COLOURS, (2, 7))
FINISHES = Choice(_each("brushed nickel", "matte black", "antique brass", "polished chrome", "bronze"), (2, 4))
WOODS = Choice(_each("walnut", "natural oak", "espresso", "white", "grey wash", "cherry"), (2, 5))
METALS = Choice(_each("gold", "silver", "rose", "black", "copper"), (2, 4))

CLOTHES_SIZES = Choice(_each("xs", "s", "m", "l", "xl", "2xl", "3xl"), (3, 7), True)
SHOE_SIZES = Choice(_each(*(str(size) for size in range(5, 15))), (4, 9), True)
WAISTS = Choice(_each(*(f"{inches}x{length}" for length in (30, 32) for inches in range(28, 42, 2))), (4, 8), True)
BEDS = Choice(_each("twin", "full", "queen", "king", "cot"), (2, 5), True)
RUGS = Choice(_each("2x3 ft", "3x5 ft", "4x6 ft", "5x8 ft", "8x10 ft", "9x12 ft"), (3, 6), True)
CURTAINS = Choice(_each("52x63", "52x84", "52x108", "70x84", "70x96"), (2, 5), True)
PILLOWS = Choice(_each("12x20", "16x16", "18x18", "22x22", "24x24"), (2, 5), True)
POSTERS = Choice(_each("8x10", "12x16", "16x24", "24x36", "30x40"), (2, 5), True)
WIDTHS = Choice(_each("31 in", "39 in", "47 in", "55 in", "63 in"), (2, 4), True)

PACKS = Choice(_each("single", "twin pack", "set of three", "half dozen", "carton of 12"), (2, 4), True)
COUNTS = Choice(_each("10 pieces", "box of 24", "50 count", "case of 100", "bulk 200"), (2, 4), True)
OUNCES = Choice(_each("4 oz sampler", "8 oz bag", "12 ounce", "1 lb family size", "2 pound sack"), (2, 4), True)
FLUID = Choice(_each("1 oz travel", "2 fl oz", "120 ml", "8 ounce value", "half liter"), (2, 4), True)
POUNDS = Choice(_each("1 lb trial", "4 pound", "12 lb", "24 lb sack", "40 pound bulk"), (2, 4), True)
WEIGHTS = Choice(_each("3 lb", "8 lb", "12 lb", "20 lb", "40 lb", "50 lb"), (3, 6), True)
STORAGE = Choice(_each("64 gb", "128 gb", "256 gb", "512 gb", "1 tb"), (2, 4), True)
CABLES = Choice(_each("3 ft", "6 ft", "10 ft", "15 ft", "25 ft"), (2, 4), True)
SCREENS = Choice(_each("24 in", "27 in", "32 in", "43 in", "55 in"), (2, 4), True)
LAPTOPS = Choice(_each("11 in", "13.3 in", "14 in", "15.6 in", "17 in"), (2, 4), True)
LITRES = Choice(_each("5 l", "10 l", "18 l", "26 l", "40 l"), (2, 4), True)
BOTTLES = Choice(_each("12 oz", "18 oz", "24 oz", "32 oz", "40 oz", "64 oz"), (2, 4), True)
QUARTS = Choice(_each("2 qt", "3 qt", "5 qt", "6 qt", "8 qt"), (2, 4), True)
PANS = Choice(_each("8 in", "9.5 in", "10 in", "11 in", "12 in"), (2, 4), True)
PIECES = Choice(_each("4 pc", "6 pc", "10 pc", "15 pc"), (2, 4), True)
THICKNESS = Choice(_each("4 mm", "6 mm", "8 mm", "10 mm", "12 mm"), (2, 4), True)
SHEETS = Choice(_each("80 pages", "120 sheets", "thick 200", "slim 48"), (2, 4), True)
AGES = Choice(_each("ages 3 to 5", "ages 6 to 8", "ages 9 to 12", "ages 13 and up"), (2, 3), True)
JIGSAWS = Choice(_each("60 pc", "300 pc", "550 pc", "1000 pc", "2500 pc"), (2, 4), True)
DOGS = Choice(_each("toy breed", "small breed", "medium breed", "large breed", "giant breed"), (2, 4), True)

RULINGS = Choice(_each("dotted", "college ruled", "blank", "graph paper"), (2, 4))
TIPS = Choice(_each("0.38 mm", "0.5 mm", "0.7 mm", "1.0 mm"), (2, 4), True)
PLUGS = Choice(_each("usb c", "micro usb", "lightning", "hdmi"), (2, 3))
PHONES = Choice(_each("phone 12", "13 mini", "14 pro", "15 plus", "16 max"), (3, 5), True)
SWITCHES = Choice(_each("linear switches", "tactile switches", "clicky switches"), (2, 3))
SCENTS = Choice(
    _each("lavender", "eucalyptus", "vanilla", "citrus", "sandalwood", "rose water", "coconut", "unscented"), (2, 6)
)
SHADES = Choice(_each("fair", "light", "medium beige", "warm tan", "caramel", "espresso"), (3, 6), True)
LIPS = Choice(_each("nude", "berry", "coral", "ruby", "mauve", "plum"), (3, 6))
HAIRS = Choice(_each("jet black", "dark brown", "honey blonde", "auburn", "burgundy", "platinum"), (3, 6))
FLAVOURS = Choice(
    _each("original", "sea salt", "smoky barbecue", "honey mustard", "jalapeno", "garlic herb", "cheddar"), (2, 6)
)
SWEETS = Choice(
    _each("chocolate", "vanilla", "strawberry", "peanut butter", "salted caramel", "mint", "blueberry"), (2, 6)
)
TEAS = Choice(_each("earl grey", "peppermint", "chamomile", "jasmine", "ginger lemon", "rooibos"), (2, 5))
ROASTS = Choice(_each("light roast", "medium roast", "dark roast", "espresso roast"), (2, 4))
GRINDS = Choice(_each("whole bean", "coarse grind", "fine grind"), (2, 3))
MEATS = Choice(_each("chicken", "salmon", "beef", "turkey", "duck", "lamb"), (2, 5))
FIRMNESS = Choice(_each("soft", "medium firm", "extra firm"), (2, 3), True)
PATTERNS = Choice(_each("striped", "floral", "plaid", "solid", "geometric", "paisley"), (2, 5))
FITS = Choice(_each("regular", "tall", "petite"), (2, 3))
HANDS = Choice(_each("left hand", "right hand"), (2, 2))
