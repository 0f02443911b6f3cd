"""What stands in a home and where things lie: facts counted in ALFWorld's 4,027 games.

ALFWorld (Shridhar et al., arXiv:2010.03768) names every receptacle and object type; its games state which receptacle
type may hold which object type (one table for all games) and where every object lies at the start. Rooms follow from
the scene number: kitchens 1-30, living rooms 201-230, bedrooms 301-330, bathrooms 401-430. Only objects that can be
picked up, and desk lamps, and only those that lie in a receptacle, are counted.
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
cabinet 1.00 2 27 13.36
coffeemachine 1.00 1 1 1.00
countertop 1.00 1 4 2.33
diningtable 0.55 1 3 0.73
drawer 0.97 1 27 5.79
fridge 1.00 1 1 1.00
garbagecan 1.00 1 1 1.00
microwave 1.00 1 1 1.00
safe 0.04 1 1 0.04
shelf 0.23 3 3 0.70
sidetable 0.10 1 1 0.10
sinkbasin 1.00 1 1 1.00
stoveburner 1.00 4 6 4.07
toaster 1.00 1 1 1.00
[livingroom]
armchair 0.93 1 3 1.30
cabinet 0.17 1 8 0.72
coffeetable 0.80 1 2 0.98
desk 0.01 1 1 0.01
diningtable 0.47 1 2 0.55
drawer 0.77 1 21 4.05
dresser 0.39 1 2 0.41
garbagecan 1.00 1 1 1.00
ottoman 0.12 1 1 0.12
safe 0.03 1 1 0.03
shelf 0.39 1 14 2.50
sidetable 0.82 1 5 1.67
sofa 1.00 1 2 1.19
tvstand 0.35 1 2 0.41
[bedroom]
armchair 0.19 1 3 0.31
bed 1.00 1 2 1.16
cabinet 0.16 1 4 0.41
countertop 0.03 1 1 0.03
desk 0.71 1 2 0.82
diningtable 0.12 1 1 0.12
drawer 0.96 2 17 5.92
dresser 0.45 1 2 0.51
garbagecan 1.00 1 1 1.00
laundryhamper 0.30 1 1 0.30
safe 0.20 1 1 0.20
shelf 0.68 1 14 3.03
sidetable 0.64 1 2 0.83
[bathroom]
bathtubbasin 0.64 1 1 0.64
cabinet 0.46 2 9 1.99
cart 0.08 1 1 0.08
countertop 0.86 1 2 1.00
drawer 0.55 1 8 2.61
dresser 0.08 1 1 0.08
garbagecan 1.00 1 1 1.00
handtowelholder 1.00 1 4 1.52
shelf 0.25 1 4 0.51
sidetable 0.06 1 1 0.06
sinkbasin 1.00 1 2 1.50
toilet 1.00 1 1 1.00
toiletpaperhanger 1.00 1 1 1.00
towelholder 1.00 1 2 1.30
"""

# object type, mean number: receptacle type, percentage, ...
_HABITS = """
[kitchen]
apple 2.00: fridge 25 countertop 24 diningtable 14 garbagecan 13 microwave 13 sinkbasin 9 sidetable 2
book 0.16: countertop 64 cabinet 15 diningtable 12 drawer 6 shelf 4
bowl 1.96: cabinet 35 fridge 21 countertop 21 diningtable 15 sinkbasin 3 microwave 3 shelf 2
bread 1.59: countertop 56 diningtable 30 fridge 13
butterknife 1.79: countertop 59 diningtable 26 drawer 8 sinkbasin 6 sidetable 1
cellphone 0.28: countertop 47 drawer 37 diningtable 12 shelf 4
creditcard 0.26: countertop 46 drawer 34 shelf 20
cup 1.95: cabinet 23 fridge 21 countertop 21 diningtable 14 sinkbasin 10 microwave 7 shelf 2 sidetable 2
dishsponge 1.96: countertop 26 cabinet 24 drawer 21 diningtable 13 sinkbasin 7 garbagecan 5 shelf 3
egg 1.96: fridge 25 countertop 24 sinkbasin 13 garbagecan 13 microwave 12 diningtable 11 sidetable 1
fork 1.92: countertop 44 diningtable 23 drawer 22 sinkbasin 9 sidetable 1
glassbottle 0.54: cabinet 31 countertop 29 diningtable 12 sinkbasin 9 fridge 7 garbagecan 7 shelf 4
kettle 0.86: stoveburner 41 countertop 26 cabinet 24 diningtable 7 sinkbasin 2
knife 1.85: countertop 50 diningtable 24 drawer 20 sinkbasin 5
ladle 0.65: countertop 42 cabinet 24 drawer 18 diningtable 14 sinkbasin 2
lettuce 1.77: countertop 42 diningtable 28 fridge 24 sinkbasin 5 sidetable 1 garbagecan 1
mug 1.86: countertop 28 coffeemachine 17 cabinet 16 fridge 14 diningtable 10 microwave 7 sinkbasin 6 shelf 2
pan 1.34: stoveburner 53 countertop 32 cabinet 7 diningtable 4 fridge 4
papertowelroll 0.38: countertop 55 garbagecan 17 diningtable 15 shelf 11 sidetable 2
pen 0.13: countertop 40 diningtable 36 drawer 20 garbagecan 4
pencil 0.13: drawer 41 countertop 30 diningtable 20 garbagecan 9
peppershaker 2.07: cabinet 33 countertop 30 diningtable 16 drawer 15 shelf 4 sidetable 2
plate 1.74: cabinet 40 countertop 30 diningtable 15 fridge 10 sinkbasin 2 shelf 2
pot 1.54: stoveburner 74 countertop 14 fridge 4 diningtable 4 cabinet 3
potato 1.93: countertop 29 fridge 26 diningtable 16 sinkbasin 11 microwave 10 garbagecan 7 sidetable 1
saltshaker 1.97: cabinet 31 countertop 31 diningtable 17 drawer 15 shelf 4 sidetable 2
soapbottle 1.93: countertop 32 cabinet 31 diningtable 20 garbagecan 11 shelf 4 sidetable 2 drawer 1
spatula 1.91: countertop 45 diningtable 24 drawer 21 sinkbasin 9
spoon 1.94: countertop 38 drawer 28 diningtable 21 sinkbasin 12 sidetable 2
spraybottle 0.12: countertop 33 cabinet 32 diningtable 23 garbagecan 12
statue 0.33: countertop 55 shelf 41 diningtable 4
tomato 1.99: fridge 33 countertop 30 diningtable 19 garbagecan 9 sinkbasin 7 sidetable 2
vase 0.47: countertop 33 cabinet 32 shelf 32 diningtable 2
winebottle 0.81: countertop 36 cabinet 25 diningtable 24 garbagecan 9 shelf 3 fridge 1
[livingroom]
book 0.47: coffeetable 28 dresser 24 sofa 17 armchair 10 sidetable 9 diningtable 9 drawer 2 tvstand 1
bowl 0.19: diningtable 38 coffeetable 26 tvstand 20 sidetable 8 shelf 8
box 1.21: diningtable 25 sofa 24 coffeetable 22 sidetable 8 cabinet 5 dresser 5 shelf 4 armchair 3 tvstand 3
candle 0.24: sidetable 40 coffeetable 27 diningtable 21 tvstand 5 dresser 3 drawer 3
cellphone 0.45: dresser 20 sidetable 16 coffeetable 15 sofa 13 drawer 12 diningtable 8 armchair 8 ottoman 3 shelf 3
    tvstand 2
creditcard 2.14: sofa 19 coffeetable 15 armchair 13 drawer 13 sidetable 11 diningtable 9 tvstand 7 dresser 6 shelf 6
    ottoman 1
desklamp 0.25: sidetable 91 coffeetable 9
keychain 1.64: coffeetable 19 sidetable 17 drawer 16 sofa 12 armchair 9 diningtable 7 tvstand 7 dresser 6 shelf 5
    ottoman 1
laptop 1.43: sofa 27 coffeetable 23 diningtable 21 dresser 9 sidetable 7 armchair 5 tvstand 5 ottoman 1
newspaper 1.21: sofa 20 coffeetable 17 diningtable 16 sidetable 14 shelf 11 dresser 8 armchair 7 tvstand 3 drawer 2
    ottoman 1
pen 0.38: coffeetable 33 sidetable 22 dresser 22 tvstand 6 drawer 5 garbagecan 4 diningtable 4 shelf 4
pencil 0.32: sidetable 34 coffeetable 29 drawer 9 dresser 6 garbagecan 6 tvstand 6 shelf 5 diningtable 4
pillow 1.15: sofa 79 armchair 21
plate 0.59: diningtable 51 coffeetable 22 shelf 13 sidetable 10 tvstand 2
remotecontrol 1.96: coffeetable 23 sofa 19 sidetable 13 diningtable 10 dresser 9 armchair 9 tvstand 8 drawer 4 shelf 3
    ottoman 1
statue 2.21: coffeetable 25 shelf 20 diningtable 20 sidetable 19 tvstand 8 dresser 8
tissuebox 0.76: coffeetable 33 sidetable 19 diningtable 19 shelf 11 tvstand 7 dresser 4 drawer 3 cabinet 2 garbagecan
    1
vase 1.47: shelf 36 coffeetable 18 diningtable 14 sidetable 11 dresser 10 tvstand 6 cabinet 2
watch 1.06: coffeetable 25 drawer 20 sidetable 18 dresser 11 diningtable 11 tvstand 10 shelf 4 safe 1
wateringcan 0.13: coffeetable 55 shelf 37 sidetable 8
[bedroom]
alarmclock 1.73: desk 34 shelf 22 sidetable 19 dresser 17 diningtable 7 countertop 1
book 1.86: bed 52 desk 19 drawer 12 dresser 5 sidetable 4 cabinet 3 diningtable 3 armchair 2 shelf 1
bowl 0.74: desk 46 shelf 30 dresser 13 diningtable 6 sidetable 4 countertop 2
box 0.08: desk 56 shelf 44
cd 1.80: drawer 28 desk 21 dresser 13 sidetable 12 garbagecan 8 shelf 7 diningtable 6 cabinet 2 armchair 2
cellphone 2.07: bed 29 desk 17 drawer 17 dresser 10 sidetable 9 shelf 8 diningtable 3 armchair 3 safe 3
creditcard 2.03: drawer 30 desk 18 shelf 17 sidetable 16 dresser 12 armchair 3 diningtable 3
desklamp 0.77: desk 37 sidetable 27 dresser 23 shelf 14
keychain 1.93: drawer 26 desk 18 shelf 15 sidetable 15 dresser 13 safe 5 diningtable 4 armchair 3
laptop 1.62: bed 74 desk 19 dresser 3 diningtable 2 armchair 1
mug 0.96: desk 38 shelf 19 sidetable 15 dresser 14 diningtable 9 cabinet 4 countertop 1
pen 2.07: desk 28 drawer 19 shelf 16 dresser 15 sidetable 14 diningtable 6 garbagecan 2
pencil 2.00: desk 24 drawer 18 shelf 17 sidetable 17 dresser 11 diningtable 6 garbagecan 5
pillow 1.69: bed 99
remotecontrol 0.22: drawer 34 desk 29 sidetable 15 countertop 8 armchair 6 diningtable 4 dresser 3 shelf 1
statue 0.20: shelf 43 dresser 27 desk 24 sidetable 5
teddybear 0.26: bed 100
tissuebox 0.25: desk 38 drawer 24 diningtable 15 shelf 12 sidetable 10 dresser 1
vase 0.12: shelf 46 dresser 34 desk 11 sidetable 9
watch 0.13: drawer 31 shelf 20 diningtable 16 desk 15 dresser 12 sidetable 6
[bathroom]
candle 1.86: countertop 31 toilet 30 cabinet 14 drawer 12 shelf 7 sidetable 2 cart 2 dresser 1
cloth 1.93: bathtubbasin 29 cabinet 22 countertop 16 drawer 15 sinkbasin 8 shelf 5 toilet 3 cart 1 dresser 1
dishsponge 0.47: bathtubbasin 19 countertop 19 drawer 18 sinkbasin 10 shelf 9 toilet 9 cart 6 cabinet 5 garbagecan 4
handtowel 1.20: handtowelholder 96 countertop 4
papertowelroll 0.12: countertop 33 toilet 31 shelf 18 garbagecan 12 cart 6
soapbar 1.94: countertop 21 toilet 16 sinkbasin 15 cabinet 12 bathtubbasin 11 drawer 11 garbagecan 7 shelf 4 sidetable
    2 cart 1
soapbottle 1.83: countertop 30 toilet 23 cabinet 21 shelf 9 garbagecan 9 drawer 3 dresser 2 sidetable 1 cart 1
spraybottle 2.02: countertop 32 toilet 26 cabinet 17 garbagecan 10 shelf 7 cart 4 sidetable 3 dresser 2
tissuebox 0.46: countertop 35 shelf 30 drawer 19 cabinet 5 cart 4 sidetable 4 toilet 3
toiletpaper 1.95: toilet 24 countertop 22 cabinet 12 toiletpaperhanger 12 drawer 11 garbagecan 9 shelf 6 cart 2
    dresser 2 sidetable 1
towel 1.14: towelholder 98 countertop 2
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
