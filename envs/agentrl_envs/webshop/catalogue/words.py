"""The words that all kinds of products share: brands, models, and sentences of titles, features and reviews.

In the sentences stand ``{a}`` for an attribute, ``{noun}`` for the product, ``{part}`` for a part of it and ``{use}``
for an occasion. They name no attribute themselves: what a product lacks must not be found in its texts.
"""

# fmt: off
BRAND_STARTS = (
    "Al", "Ard", "Bel", "Bren", "Cas", "Cor", "Dax", "Dun", "Ela", "Elm", "Fal", "Fen", "Gal", "Grim", "Hav", "Holl",
    "Ilo", "Ister", "Jun", "Kar", "Kel", "Lum", "Mar", "Nor", "Ost", "Pel", "Quin", "Ros", "Sel", "Tor", "Ul", "Ven",
    "Wil", "Xan", "Yor", "Zel",
)
BRAND_ENDS = (
    "aro", "bay", "berg", "cott", "croft", "dale", "dell", "eva", "fern", "field", "gate", "grove", "haven", "ique",
    "kin", "lane", "mont", "nova", "ora", "pine", "quay", "ridge", "stad", "tane", "umi", "vale", "wick", "xis",
    "yard", "zora",
)
BRAND_TAILS = ("", "", "", "", "", " Home", " & Co", " Studio", " Works", " Direct", " Supply", " Labs")
MODELS = (
    "Aria", "Breeze", "Comet", "Drift", "Echo", "Flint", "Glide", "Harbor", "Indigo", "Jasper", "Kestrel", "Lagoon",
    "Meridian", "Nimbus", "Onyx", "Pioneer", "Quest", "Ripple", "Summit", "Tempo", "Umber", "Vista", "Willow", "Xeno",
    "Yonder", "Zephyr",
)
# fmt: on

TRAIT_LINES = (
    "{A}: the {part} stays {a} for years, also for {use}",
    "Made to be {a}, so it is ready for {use}",
    "{A} by design: you notice it from the first day on",
    "Customers choose it because it is {a}",
    "{A} in every detail, down to the {part}",
    "We tested it twice to be sure that it is really {a}",
)
HAVING_LINES = (
    "{A}: a detail that others leave out",
    "Comes with {a}: a good idea for {use}",
    "Thanks to {a} it does what it promises",
    "With {a}, which you will soon not want to miss",
    "The {part} goes together with {a} perfectly",
    "Now made with {a}: our customers asked for it",
)
SUITS_LINES = (
    "{A}: this is what it was developed for",
    "A reliable choice for {a} and for {use}",
    "Recommended for {a} by people who know",
    "Whether for {a} or as a present, it never disappoints",
    "Ideal for {a}: see what others write about it",
    "You will like it for {a} as much as for {use}",
)
FILLERS = (
    "In the box: {noun}, a short manual and our friendly service",
    "If anything is wrong with the {part}, write to us and we will make it right",
    "Please check the measurements before you order, the {part} may differ slightly from the picture",
    "A thoughtful present for birthdays and for {use}",
    "Each {part} is inspected by hand before it leaves our house",
    "Satisfaction promised: return it within 30 days if it is not what you hoped for",
)
OPENINGS = (
    "Meet the {brand} {model}.",
    "The {brand} {model} was made with {use} in mind.",
    "{brand} has been making things for {use} since 19{year}.",
    "Looking for {noun} that will keep its promises? Try {brand}.",
    "Our customers know the {model} from {use}.",
    "{Noun}, made simple: this is the {model} by {brand}.",
)
CLOSINGS = (
    "Every {part} is checked before shipping.",
    "Order today and see the difference in the {part}.",
    "Think of it for {use} as well.",
    "Our team answers every question within a day.",
    "Pictures may differ a little from the real {part}.",
    "Thank you for supporting a small company.",
)
MENTIONS = (
    "It is known for being right where it counts: {list}.",
    "In short: {list}.",
    "What people mention most: {list}.",
    "Good to know: {list}.",
)

PRAISE = (
    ("Exactly as described", "The {part} is as described and it arrived a day early."),
    ("Love it", "I use it for {use} and could not be happier."),
    ("Would buy again", "Second one I have bought. The {part} still looks new."),
    ("Great value", "For this price I expected less. {A}: yes, really."),
    ("Recommended", "My sister recommended it for {use}. She was right."),
)
MIDDLING = (
    ("Good but not perfect", "Does the job, though the {part} could be better."),
    ("Okay", "Fine for {use}, nothing special."),
    ("It is what it is", "The picture looked nicer than the {part} does, but I keep it."),
)
BLAME = (
    ("Disappointed", "The {part} gave up after two weeks."),
    ("Not for me", "I wanted it for {use} and sent it back."),
)
