"""What stands in a home and where things lie: facts read in ALFWorld's 4,027 games.

ALFWorld (Shridhar et al., arXiv:2010.03768) names every receptacle and object type. What a type allows, and which
receptacle type may hold which object type (one table for all games), was read in all games; how much there is and
where it lies at the start was counted in the 3,553 training games only. Rooms follow from the scene number: kitchens
1-30, living rooms 201-230, bedrooms 301-330, bathrooms 401-430. Counted are the objects that lie in a receptacle and
can be picked up, and desk lamps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Fitting:
    """How often a receptacle type stands in a kind of room."""

    share: float
    """Fraction of the games that have at least one."""
    fewest: int
    """Smallest number in a game that has any."""
    most: int
    mean: float
    """Mean number over all games."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How many objects of a type are in a kind of room, and where they lie at the start."""

    mean: float
    """Mean number per game."""
    places: MappingProxyType[str, int]
    """Receptacle type -> percentage of the objects found there, most frequent first; below 1 % left out."""


TASKS = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
ROOMS = ("kitchen", "livingroom", "bedroom", "bathroom")

SENTENCES = MappingProxyType(
    {
        "pick_and_place_simple": ("put some {o} on {r}.", "put a {o} in {r}."),
        "look_at_obj_in_light": ("look at {o} under the {r}.", "examine the {o} with the {r}."),
        "pick_clean_then_place_in_recep": ("put a clean {o} in {r}.", "clean some {o} and put it in {r}."),
        "pick_heat_then_place_in_recep": ("put a hot {o} in {r}.", "heat some {o} and put it in {r}."),
        "pick_cool_then_place_in_recep": ("put a cool {o} in {r}.", "cool some {o} and put it in {r}."),
        "pick_two_obj_and_place": ("put two {o} in {r}.", "find two {o} and put them in {r}."),
    }
)
"""The two sentences of each task, equally frequent: ``{o}`` the object type, ``{r}`` the receptacle type or lamp."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPENABLE = _words("cabinet drawer fridge microwave safe")
CLEANABLE = _words(
    "apple bowl butterknife cloth cup dishsponge egg fork kettle knife ladle lettuce mug pan plate pot "
    "potato soapbar spatula spoon tomato"
)
HEATABLE = _words("apple bread cup egg mug plate potato tomato")
COOLABLE = _words("apple bowl bread cup egg lettuce mug pan plate pot potato tomato winebottle")
SLICEABLE = _words("apple bread egg lettuce potato tomato")
CONTAINERS = _words("bowl box cup mug pan plate pot")
LAMPS = _words("desklamp floorlamp")
TARGETS = _words(
    "armchair bed cabinet cart coffeemachine coffeetable countertop desk diningtable drawer dresser fridge garbagecan "
    "microwave ottoman safe shelf sidetable sofa stoveburner toilet toiletpaperhanger"
)
"""Receptacle types that some official task brings an object to."""

TREATMENTS = MappingProxyType(
    {
        "pick_clean_then_place_in_recep": "clean",
        "pick_heat_then_place_in_recep": "heat",
        "pick_cool_then_place_in_recep": "cool",
    }
)
STATIONS = MappingProxyType({"clean": "sinkbasin", "heat": "microwave", "cool": "fridge"})
"""The receptacle type that does each treatment."""


_HOLDS = """
armchair: book box cellphone cloth creditcard keychain laptop newspaper pillow remotecontrol
bathtubbasin: cloth dishsponge handtowel soapbar
bed: baseballbat basketball book cellphone laptop pillow tennisracket
cabinet: book bowl box candle cd cloth cup dishsponge glassbottle handtowel kettle ladle mug newspaper pan
    peppershaker plate plunger pot saltshaker soapbar soapbottle spraybottle tissuebox toiletpaper vase wateringcan
    winebottle
cart: candle cloth dishsponge handtowel plunger soapbar soapbottle spraybottle tissuebox toiletpaper
coffeemachine: mug
coffeetable: book bowl box candle cellphone creditcard keychain laptop newspaper pen pencil plate remotecontrol
    statue tissuebox vase watch wateringcan
countertop: alarmclock apple book bowl bread butterknife candle cd cellphone cloth creditcard cup dishsponge egg
    fork glassbottle handtowel kettle keychain knife ladle laptop lettuce mug pan pen pencil peppershaker plate pot
    potato remotecontrol saltshaker soapbar soapbottle spatula spoon spraybottle statue tissuebox toiletpaper tomato
    vase winebottle
desk: alarmclock basketball book bowl box cd cellphone cloth creditcard keychain laptop mug pen pencil remotecontrol
    statue tennisracket tissuebox vase watch wateringcan
diningtable: alarmclock apple baseballbat basketball book bowl box bread butterknife candle cd cellphone cloth
    creditcard cup dishsponge egg fork glassbottle kettle keychain knife ladle laptop lettuce mug newspaper pan pen
    pencil peppershaker plate pot potato remotecontrol saltshaker soapbottle spatula spoon spraybottle statue
    tennisracket tissuebox tomato vase watch wateringcan winebottle
drawer: book butterknife candle cd cellphone cloth creditcard dishsponge fork handtowel keychain knife ladle
    newspaper pen pencil peppershaker remotecontrol saltshaker soapbar soapbottle spatula spoon spraybottle
    tissuebox toiletpaper watch wateringcan
dresser: alarmclock basketball book bowl box candle cd cellphone cloth creditcard keychain laptop mug newspaper pen
    pencil plate remotecontrol spraybottle statue tennisracket tissuebox toiletpaper vase watch wateringcan
fridge: apple bowl bread cup egg glassbottle lettuce mug pan plate pot potato tomato winebottle
garbagecan: apple bread cd cloth dishsponge egg handtowel lettuce newspaper pen pencil potato soapbar soapbottle
    spraybottle tissuebox toiletpaper tomato winebottle
handtowelholder: handtowel
laundryhamper: cloth
microwave: apple bowl bread cup egg glassbottle mug plate potato tomato
ottoman: book box cellphone creditcard keychain laptop newspaper pillow remotecontrol
safe: cd cellphone creditcard keychain statue vase watch
shelf: alarmclock book bowl box candle cd cellphone cloth creditcard cup dishsponge glassbottle handtowel kettle
    keychain mug newspaper pen pencil peppershaker plate pot remotecontrol saltshaker soapbar soapbottle spraybottle
    statue tissuebox toiletpaper vase watch wateringcan winebottle
sidetable: alarmclock apple baseballbat basketball book bowl box bread butterknife candle cd cellphone cloth
    creditcard cup dishsponge egg fork handtowel kettle keychain knife laptop lettuce mug newspaper pan pen pencil
    peppershaker plate pot potato remotecontrol saltshaker soapbar soapbottle spatula spoon spraybottle statue
    tennisracket tissuebox toiletpaper tomato vase watch wateringcan winebottle
sinkbasin: apple bowl butterknife cloth cup dishsponge egg fork glassbottle handtowel kettle knife ladle lettuce mug
    pan plate pot potato soapbar spatula spoon tomato
sofa: book box cellphone creditcard keychain laptop newspaper pillow remotecontrol
stoveburner: kettle pan pot
toilet: candle cloth dishsponge handtowel soapbar soapbottle spraybottle tissuebox toiletpaper
toiletpaperhanger: toiletpaper
towelholder: towel
tvstand: tissuebox
"""

# receptacle type, share, fewest, most, mean
_FITTINGS = """
[kitchen]
cabinet 1.00 2 27 13.62
coffeemachine 1.00 1 1 1.00
countertop 1.00 1 4 2.30
diningtable 0.57 1 3 0.76
drawer 0.97 1 27 5.91
fridge 1.00 1 1 1.00
garbagecan 1.00 1 1 1.00
microwave 1.00 1 1 1.00
safe 0.04 1 1 0.04
shelf 0.20 3 3 0.60
sidetable 0.11 1 1 0.11
sinkbasin 1.00 1 1 1.00
stoveburner 1.00 4 6 4.07
toaster 1.00 1 1 1.00
[livingroom]
armchair 0.92 1 3 1.30
cabinet 0.16 1 8 0.68
coffeetable 0.83 1 2 1.01
desk 0.01 1 1 0.01
diningtable 0.48 1 2 0.56
drawer 0.78 1 21 3.95
dresser 0.38 1 2 0.40
garbagecan 1.00 1 1 1.00
ottoman 0.12 1 1 0.12
safe 0.01 1 1 0.01
shelf 0.37 1 14 2.24
sidetable 0.82 1 5 1.66
sofa 1.00 1 2 1.20
tvstand 0.35 1 2 0.42
[bedroom]
armchair 0.19 1 3 0.31
bed 1.00 1 2 1.16
cabinet 0.16 1 4 0.43
countertop 0.03 1 1 0.03
desk 0.70 1 2 0.78
diningtable 0.13 1 1 0.13
drawer 0.96 2 17 5.88
dresser 0.46 1 2 0.52
garbagecan 1.00 1 1 1.00
laundryhamper 0.28 1 1 0.28
safe 0.16 1 1 0.16
shelf 0.68 1 14 3.00
sidetable 0.66 1 2 0.85
[bathroom]
bathtubbasin 0.67 1 1 0.67
cabinet 0.44 2 9 1.93
cart 0.08 1 1 0.08
countertop 0.86 1 2 1.01
drawer 0.58 1 8 2.75
dresser 0.08 1 1 0.08
garbagecan 1.00 1 1 1.00
handtowelholder 1.00 1 4 1.50
shelf 0.25 1 4 0.51
sidetable 0.06 1 1 0.06
sinkbasin 1.00 1 2 1.48
toilet 1.00 1 1 1.00
toiletpaperhanger 1.00 1 1 1.00
towelholder 1.00 1 2 1.31
"""

# object type, mean number: receptacle type, percentage, ...
_HABITS = """
[kitchen]
apple 2.01: countertop 25 fridge 24 diningtable 15 microwave 13 garbagecan 12 sinkbasin 9 sidetable 2
book 0.17: countertop 65 cabinet 14 diningtable 11 drawer 5 shelf 4
bowl 1.96: cabinet 36 countertop 21 fridge 20 diningtable 15 sinkbasin 3 microwave 3 shelf 2
bread 1.58: countertop 55 diningtable 31 fridge 12
butterknife 1.79: countertop 59 diningtable 27 drawer 8 sinkbasin 5 sidetable 1
cellphone 0.21: drawer 43 countertop 41 diningtable 17
creditcard 0.18: countertop 46 drawer 37 shelf 17
cup 1.96: cabinet 23 countertop 21 fridge 21 diningtable 15 sinkbasin 9 microwave 7 sidetable 2 shelf 2
dishsponge 1.97: countertop 26 cabinet 24 drawer 21 diningtable 13 sinkbasin 7 garbagecan 5 shelf 3
egg 1.96: fridge 25 countertop 24 sinkbasin 13 garbagecan 13 microwave 12 diningtable 12 sidetable 2
fork 1.91: countertop 44 diningtable 24 drawer 22 sinkbasin 9 sidetable 2
glassbottle 0.47: cabinet 31 countertop 27 diningtable 14 sinkbasin 9 fridge 9 garbagecan 7 shelf 4
kettle 0.91: stoveburner 41 countertop 25 cabinet 24 diningtable 7 sinkbasin 2
knife 1.85: countertop 48 diningtable 25 drawer 21 sinkbasin 5
ladle 0.68: countertop 41 cabinet 25 drawer 17 diningtable 14 sinkbasin 2
lettuce 1.77: countertop 41 diningtable 28 fridge 23 sinkbasin 5 sidetable 2 garbagecan 1
mug 1.85: countertop 28 coffeemachine 17 cabinet 16 fridge 14 diningtable 10 microwave 7 sinkbasin 6 shelf 1
pan 1.35: stoveburner 52 countertop 33 cabinet 7 diningtable 4 fridge 4
papertowelroll 0.35: countertop 57 diningtable 16 garbagecan 15 shelf 9 sidetable 2
pen 0.13: countertop 39 diningtable 34 drawer 21 garbagecan 5
pencil 0.12: drawer 41 countertop 30 diningtable 19 garbagecan 10
peppershaker 2.08: cabinet 33 countertop 30 diningtable 16 drawer 15 shelf 3 sidetable 2
plate 1.72: cabinet 40 countertop 30 diningtable 16 fridge 9 sinkbasin 2 shelf 2
pot 1.56: stoveburner 73 countertop 14 fridge 4 diningtable 4 cabinet 3
potato 1.93: countertop 28 fridge 26 diningtable 17 sinkbasin 11 microwave 10 garbagecan 6 sidetable 1
saltshaker 1.97: countertop 32 cabinet 32 diningtable 18 drawer 14 shelf 3 sidetable 2
soapbottle 1.93: countertop 32 cabinet 31 diningtable 21 garbagecan 10 shelf 3 sidetable 1 drawer 1
spatula 1.91: countertop 45 diningtable 25 drawer 21 sinkbasin 9
spoon 1.94: countertop 38 drawer 28 diningtable 22 sinkbasin 11 sidetable 2
spraybottle 0.12: countertop 33 cabinet 33 diningtable 22 garbagecan 12
statue 0.27: countertop 51 shelf 44 diningtable 5
tomato 1.99: fridge 33 countertop 30 diningtable 20 garbagecan 9 sinkbasin 7 sidetable 2
vase 0.39: countertop 34 shelf 32 cabinet 31 diningtable 3
winebottle 0.83: countertop 37 cabinet 25 diningtable 24 garbagecan 9 shelf 3 fridge 1
[livingroom]
book 0.47: coffeetable 29 dresser 24 sofa 17 armchair 11 diningtable 9 sidetable 8 drawer 1
bowl 0.19: diningtable 37 coffeetable 27 tvstand 20 sidetable 9 shelf 8
box 1.17: diningtable 26 sofa 24 coffeetable 23 sidetable 8 cabinet 4 shelf 4 dresser 3 armchair 3 tvstand 3
candle 0.23: sidetable 41 coffeetable 28 diningtable 20 tvstand 6 drawer 3 dresser 2
cellphone 0.42: dresser 19 sidetable 17 coffeetable 17 sofa 14 drawer 13 diningtable 9 armchair 4 ottoman 4 shelf 2
    tvstand 2 desk 1
creditcard 2.15: sofa 19 coffeetable 15 drawer 13 armchair 13 sidetable 10 diningtable 9 tvstand 7 dresser 7 shelf 5
    ottoman 1
desklamp 0.25: sidetable 91 coffeetable 9
keychain 1.62: coffeetable 20 sidetable 16 drawer 16 sofa 12 armchair 9 tvstand 7 diningtable 7 dresser 6 shelf 5
    ottoman 1
laptop 1.41: sofa 27 coffeetable 25 diningtable 21 dresser 8 sidetable 7 tvstand 5 armchair 5 ottoman 2
newspaper 1.20: sofa 20 coffeetable 18 diningtable 17 sidetable 14 shelf 11 dresser 8 armchair 7 tvstand 3 drawer 2
    ottoman 1
pen 0.40: coffeetable 34 dresser 22 sidetable 20 tvstand 6 drawer 6 garbagecan 4 shelf 4 diningtable 4
pencil 0.33: sidetable 32 coffeetable 27 drawer 10 dresser 7 garbagecan 6 tvstand 6 shelf 6 diningtable 4
pillow 1.13: sofa 80 armchair 20
plate 0.60: diningtable 50 coffeetable 24 shelf 13 sidetable 11 tvstand 2 dresser 1
remotecontrol 1.94: coffeetable 24 sofa 19 sidetable 13 diningtable 11 dresser 8 tvstand 8 armchair 8 drawer 4 shelf 3
    ottoman 1
statue 2.21: coffeetable 26 shelf 20 diningtable 20 sidetable 19 tvstand 9 dresser 8
tissuebox 0.72: coffeetable 36 diningtable 19 sidetable 19 shelf 11 tvstand 8 drawer 3 dresser 2 garbagecan 1
vase 1.47: shelf 36 coffeetable 20 diningtable 15 sidetable 12 dresser 11 tvstand 5 cabinet 2
watch 1.05: coffeetable 26 drawer 21 sidetable 18 diningtable 11 dresser 11 tvstand 10 shelf 4
wateringcan 0.14: coffeetable 53 shelf 38 sidetable 9
[bedroom]
alarmclock 1.72: desk 34 shelf 21 sidetable 19 dresser 17 diningtable 7 countertop 1
book 1.86: bed 51 desk 19 drawer 12 dresser 5 sidetable 4 cabinet 3 diningtable 2 armchair 2 shelf 2
bowl 0.71: desk 43 shelf 30 dresser 15 diningtable 6 sidetable 4 countertop 2
box 0.09: desk 58 shelf 42
cd 1.79: drawer 28 desk 20 dresser 14 sidetable 13 garbagecan 8 shelf 7 diningtable 6 cabinet 2 armchair 2
cellphone 2.07: bed 29 desk 17 drawer 17 dresser 10 sidetable 10 shelf 8 diningtable 3 armchair 3 safe 2
creditcard 2.03: drawer 29 shelf 18 desk 18 sidetable 16 dresser 12 diningtable 3 armchair 3
desklamp 0.75: desk 35 sidetable 28 dresser 25 shelf 11
keychain 1.93: drawer 26 desk 18 sidetable 16 shelf 16 dresser 13 diningtable 4 safe 4 armchair 3
laptop 1.62: bed 74 desk 19 dresser 4 diningtable 2 armchair 1
mug 0.91: desk 36 shelf 18 sidetable 16 dresser 16 diningtable 9 cabinet 4 countertop 1
pen 2.10: desk 28 drawer 18 shelf 16 dresser 15 sidetable 14 diningtable 6 garbagecan 2
pencil 2.01: desk 24 drawer 18 sidetable 18 shelf 17 dresser 11 diningtable 6 garbagecan 5
pillow 1.69: bed 99
remotecontrol 0.22: drawer 34 desk 29 sidetable 15 countertop 8 armchair 6 diningtable 4 dresser 2 shelf 1
statue 0.21: shelf 43 dresser 27 desk 26 sidetable 5
teddybear 0.27: bed 100
tissuebox 0.26: desk 37 drawer 26 diningtable 15 shelf 12 sidetable 9 dresser 2
vase 0.13: shelf 45 dresser 36 desk 11 sidetable 9
watch 0.15: drawer 31 shelf 20 diningtable 16 desk 15 dresser 11 sidetable 6
[bathroom]
candle 1.85: countertop 31 toilet 30 cabinet 13 drawer 13 shelf 7 sidetable 2 cart 2 dresser 1
cloth 1.95: bathtubbasin 30 cabinet 20 countertop 17 drawer 15 sinkbasin 8 shelf 4 toilet 3 cart 1 dresser 1
dishsponge 0.50: countertop 20 drawer 20 bathtubbasin 18 sinkbasin 10 shelf 10 toilet 8 cart 5 cabinet 5 garbagecan 4
handtowel 1.19: handtowelholder 96 countertop 4
papertowelroll 0.13: countertop 35 toilet 31 shelf 17 garbagecan 11 cart 6
soapbar 1.95: countertop 20 toilet 16 sinkbasin 15 cabinet 12 bathtubbasin 12 drawer 11 garbagecan 7 shelf 4 sidetable
    2 cart 1
soapbottle 1.80: countertop 30 toilet 24 cabinet 20 shelf 9 garbagecan 9 drawer 3 dresser 2 sidetable 1 cart 1
spraybottle 2.01: countertop 32 toilet 27 cabinet 16 garbagecan 10 shelf 7 cart 4 sidetable 3 dresser 2
tissuebox 0.47: countertop 36 shelf 29 drawer 20 cabinet 5 cart 4 sidetable 4 toilet 3
toiletpaper 1.96: toilet 23 countertop 23 toiletpaperhanger 12 drawer 11 cabinet 11 garbagecan 9 shelf 5 dresser 2
    cart 2 sidetable 1
towel 1.14: towelholder 97 countertop 3
"""


def _sections(text: str) -> dict[str, list[str]]:
    """Split a table into its ``[room]`` sections; an indented line continues the one before."""
    sections: dict[str, list[str]] = {}
    for line in text.replace("\n    ", " ").split("\n"):
        if line.startswith("["):
            sections[line[1:-1]] = []
        elif line:
            sections[next(reversed(sections))].append(line)
    return sections


def _read_holds() -> dict[str, frozenset[str]]:
    rows = (row.split(":") for row in _HOLDS.replace("\n    ", " ").strip().split("\n"))
    return {receptacle: frozenset(objects.split()) for receptacle, objects in rows}


def _read_fitting(row: str) -> tuple[str, Fitting]:
    name, share, fewest, most, mean = row.split()
    return name, Fitting(float(share), int(fewest), int(most), float(mean))


def _read_habit(row: str) -> tuple[str, Habit]:
    head, tail = row.split(":")
    name, mean = head.split()
    words = tail.split()
    places = {place: int(share) for place, share in zip(words[::2], words[1::2], strict=True)}
    return name, Habit(float(mean), MappingProxyType(places))


HOLDS: Mapping[str, frozenset[str]] = _read_holds()
"""Receptacle type -> object types it may hold (`canContain`); a toaster, and whatever is not listed, holds nothing."""
FITTINGS = MappingProxyType({room: dict(map(_read_fitting, rows)) for room, rows in _sections(_FITTINGS).items()})
"""Room -> receptacle type -> how often it stands there."""
HABITS = MappingProxyType({room: dict(map(_read_habit, rows)) for room, rows in _sections(_HABITS).items()})
"""Room -> object type -> how many there are and where they lie."""
