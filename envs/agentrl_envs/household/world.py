"""The rules of the household over a compact, immutable state.

The rules are those of ALFWorld's PDDL domain and text grammar (Shridhar et al., arXiv:2010.03768; games of release
0.4): the same commands are possible, with the same texts, in the same states. Sets of objects are integers whose bit
``i`` stands for ``game.objects[i]``, sets of receptacles likewise, so that a state is a few tuples of integers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from agentrl_envs.household.dialect import CURRENT, Dialect
from agentrl_envs.household.game import Affordance, Game, Quality, TaskType

NOTHING = -1
"""`State.held` of empty hands."""
NOTHING_HAPPENS = "Nothing happens."
"""The answer to a command that is not possible now."""

_STATIONS = {"clean": ("sink", "sinkbasin"), "heat": ("microwave",), "cool": ("fridge",)}
_KNIVES = ("knife", "butterknife")
_MAX_CACHED = 512


class State(NamedTuple):
    """Everything that can influence a later text, command or ending. Hashable and picklable; equal iff the same.

    Left out are the PDDL facts that only keep books (``checked``, ``isOn``). `lying` and `taken` follow ALFWorld's
    notion of an object that lies *next to* a receptacle (see `World`), and are empty where that cannot matter.
    """

    location: int
    held: int
    """Index of the object in hand, or `NOTHING`."""
    opened: int
    """Set of receptacles."""
    contents: tuple[int, ...]
    """Receptacle -> set of objects in it."""
    lying: tuple[int, ...]
    """Location -> set of objects at it (sliceable ones, and those taken from another receptacle there)."""
    taken: tuple[int, ...]
    """Receptacle -> set of objects taken from it and not put back (if another one at its location may hold them)."""
    clean: int
    hot: int
    cool: int
    sliced: int
    toggled: int


Rule = Callable[[State, int, int], tuple[State, str]]
"""A method of `World`: ``rule(state, a, b) -> (next state, text)``."""
Action = tuple[Rule, int, int]
"""A rule and the two indices it is applied to."""


def members(bits: int) -> Iterator[int]:
    """Yield the indices in a set, ascending: the order in which texts list them."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def flagged(flags: Iterable[bool]) -> int:
    """Return the set of the indices whose flag is true."""
    return sum(1 << index for index, flag in enumerate(flags) if flag)


def listing(items: Iterable[str]) -> str:
    """Return ``a, b, and c``; ``nothing`` for no items."""
    names = list(items)
    if len(names) < 2:
        return names[0] if names else "nothing"
    return ", ".join(names[:-1]) + ", and " + names[-1]


def _replaced(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*values[:index], value, *values[index + 1 :])


class World:
    """The rules of one game in one dialect. It holds no state of an episode; its caches may be shared.

    Two facts of ALFWorld's domain look odd and are kept. An object may lie in several receptacles at once, and taking
    it from one leaves it in the others. And an object that was taken from a receptacle and put into another one at
    the same location is *next to* the first: ``look`` lists it.
    """

    def __init__(self, game: Game, dialect: Dialect = CURRENT) -> None:
        self.game = game
        self.dialect = dialect
        self._at: list[list[int]] = [[] for _ in game.locations]
        """Location -> receptacles."""
        for index, receptacle in enumerate(game.receptacles):
            self._at[receptacle.location].append(index)
        self._here = [sum(1 << r for r in found) for found in self._at]
        self._openable = flagged(receptacle.openable for receptacle in game.receptacles)
        self._can = {a: flagged(a in thing.affordances for thing in game.objects) for a in Affordance}
        self._knives = flagged(thing.kind in _KNIVES for thing in game.objects)
        self._fits = [self._fitting(receptacle.kind) for receptacle in game.receptacles]
        """Receptacle -> set of objects that may be put there."""
        self._notable = [self._fitting_beside(r) for r in range(len(game.receptacles))]
        """Receptacle -> set of objects that another receptacle at the same location may hold."""
        self._watched = self._can[Affordance.SLICEABLE] if self._knives & self._can[Affordance.PICKUPABLE] else 0
        goal = game.goal
        self._wanted = flagged(thing.kind == goal.object for thing in game.objects)
        self._targets = [r for r, receptacle in enumerate(game.receptacles) if receptacle.kind == goal.receptacle]
        lamps = flagged(thing.kind == goal.receptacle for thing in game.objects)
        self._lamps = lamps & self._can[Affordance.TOGGLEABLE]
        self._commands: dict[tuple[int, ...], dict[str, Action]] = {}
        self._anywhere = self._find_anywhere()
        self._listings: dict[int, str] = {}

    def _fitting(self, kind: str) -> int:
        return flagged(thing.kind in self.game.can_contain.get(kind, ()) for thing in self.game.objects)

    def _fitting_beside(self, r: int) -> int:
        fitting = 0
        for other in self._at[self.game.receptacles[r].location]:
            if other != r:
                fitting |= self._fits[other]
        return fitting

    # -- what a player sees --------------------------------------------------------------------------------------

    def initial(self) -> State:
        """Return the state in which the game begins."""
        game = self.game
        contents, lying = [0] * len(game.receptacles), [0] * len(game.locations)
        for index, thing in enumerate(game.objects):
            for receptacle in thing.receptacles:
                contents[receptacle] |= 1 << index
            if thing.location is not None:
                lying[thing.location] |= 1 << index & self._watched
        opened = flagged(receptacle.opened for receptacle in game.receptacles)
        qualities = (flagged(quality in thing.qualities for thing in game.objects) for quality in Quality)
        taken = (0,) * len(game.receptacles)
        return State(game.start, NOTHING, opened, tuple(contents), tuple(lying), taken, *qualities)

    def introduction(self, state: State) -> str:
        """Return the first observation."""
        if self._at[state.location]:
            view = self._look(state, 0, 0)[1]
        else:
            names = listing(f"a {receptacle.name}" for receptacle in self.game.receptacles)
            view = f"You are in the middle of a room. Looking quickly around you, you see {names}."
        return f"-= Welcome to TextWorld, ALFRED! =-\n\n{view}\n\nYour task is to: {self.game.goal.sentence}"

    def commands(self, state: State) -> Mapping[str, Action]:
        """Return all commands that are possible, sorted, with what they do. The mapping is shared: do not change it."""
        location, held = state.location, state.held
        nearby = [state.contents[r] for r in self._at[location]]
        if held >= 0 and self._knives >> held & 1:
            nearby.append(state.lying[location])
        key = (location, held, state.opened & self._here[location], *nearby)
        found = self._commands.get(key)
        if found is None:
            if len(self._commands) >= _MAX_CACHED:
                self._commands.clear()
            possible = {command: action for command, action, place in self._anywhere if place != location}
            possible.update(self._find_commands(state))
            found = self._commands[key] = {command: possible[command] for command in sorted(possible)}
        return found

    def apply(self, state: State, command: str) -> tuple[State, str] | None:
        """Return the next state and the answer to ``command``, or None if it is not possible.

        Blanks around the command are ignored; otherwise it must be one of :meth:`commands`, letter by letter.
        """
        action = self.commands(state).get(command.strip())
        if action is None:
            return None
        rule, first, second = action
        return rule(state, first, second)

    def won(self, state: State) -> bool:
        """True if the goal holds in ``state``."""
        task, contents = self.game.goal.task, state.contents
        if task is TaskType.LOOK:
            lit = self._lamps & state.toggled
            return (
                state.held >= 0
                and bool(self._wanted >> state.held & 1)
                and any(contents[r] & lit for r in self._at[state.location])
            )
        wanted = self._wanted
        if task is TaskType.TWO:
            return any((contents[r] & wanted).bit_count() > 1 for r in self._targets)
        if task is TaskType.CLEAN:
            wanted &= state.clean & self._can[Affordance.CLEANABLE]
        elif task is TaskType.HEAT:
            wanted &= state.hot & self._can[Affordance.HEATABLE]
        elif task is TaskType.COOL:
            wanted &= state.cool & self._can[Affordance.COOLABLE]
        return any(contents[r] & wanted for r in self._targets)

    # -- which commands are possible -----------------------------------------------------------------------------

    def _find_anywhere(self) -> list[tuple[str, Action, int]]:
        """Return the commands that are possible everywhere but at one location, with that location (-1: none)."""
        rules: dict[str, Rule] = {"help": self._help, "inventory": self._inventory, "look": self._look}
        found: list[tuple[str, Action, int]] = [(command, (rule, 0, 0), -1) for command, rule in rules.items()]
        for r, receptacle in enumerate(self.game.receptacles):
            found.append((f"go to {receptacle.name}", (self._go, r, 0), receptacle.location))
        return sorted(found, key=lambda row: row[0])

    def _find_commands(self, state: State) -> Iterator[tuple[str, Action]]:
        for r in self._at[state.location]:
            yield from self._at_receptacle(state, r)
        if state.held >= 0:
            yield from self._with_held(state)

    def _at_receptacle(self, state: State, r: int) -> Iterator[tuple[str, Action]]:
        receptacle, objects, inside = self.game.receptacles[r], self.game.objects, state.contents[r]
        name = receptacle.name
        yield f"examine {name}", (self._examine_receptacle, r, 0)
        for o in members(inside & self._can[Affordance.TOGGLEABLE]):
            yield f"use {objects[o].name}", (self._use, o, 0)
        if receptacle.openable:
            if not state.opened >> r & 1:
                yield f"open {name}", (self._open, r, 0)
                return
            yield f"close {name}", (self._close, r, 0)
        if state.held == NOTHING:
            for o in members(inside & self._can[Affordance.PICKUPABLE]):
                yield f"take {objects[o].name} from {name}", (self._take, o, r)
        elif self._fits[r] >> state.held & 1:
            yield self.dialect.put.format(o=objects[state.held].name, r=name), (self._put, state.held, r)

    def _with_held(self, state: State) -> Iterator[tuple[str, Action]]:
        # The domain would let visible objects be examined too, but a stray comma in its variable list ("location,")
        # makes that condition void: in ALFWorld only the object in hand can be examined.
        held = state.held
        thing = self.game.objects[held]
        yield f"examine {thing.name}", (self._examine_object, held, 0)
        treatments = (
            ("clean", Affordance.CLEANABLE, self._clean),
            ("heat", Affordance.HEATABLE, self._heat),
            ("cool", Affordance.COOLABLE, self._cool),
        )
        for verb, affordance, rule in treatments:
            if affordance in thing.affordances:
                for r in self._at[state.location]:
                    receptacle = self.game.receptacles[r]
                    if receptacle.kind in _STATIONS[verb]:
                        yield f"{verb} {thing.name} with {receptacle.name}", (rule, held, r)
        if self._knives >> held & 1:
            for o in members(state.lying[state.location] & self._watched):
                yield f"slice {self.game.objects[o].name} with {thing.name}", (self._slice, o, held)

    # -- what they do --------------------------------------------------------------------------------------------

    def _help(self, state: State, _: int, __: int) -> tuple[State, str]:
        return state, self.dialect.help

    def _inventory(self, state: State, _: int, __: int) -> tuple[State, str]:
        if state.held == NOTHING:
            return state, "You are not carrying anything."
        return state, f"You are carrying: a {self.game.objects[state.held].name}."

    def _look(self, state: State, _: int, __: int) -> tuple[State, str]:
        here, lying = self._at[state.location], state.lying[state.location]
        if not here:
            return state, "You are in the middle of a room. Looking quickly around you, you see nothing."
        names = listing(self.game.receptacles[r].name for r in here)
        beside = [f"a {self.game.objects[o].name}" for o in members(lying) for r in here if state.taken[r] >> o & 1]
        return state, f"You are facing the {names}. Next to it, you see {listing(beside)}."

    def _go(self, state: State, r: int, _: int) -> tuple[State, str]:
        receptacle = self.game.receptacles[r]
        location = self.game.locations[receptacle.location]
        arrived = self.dialect.arrived.format(r=receptacle.name, l=location)
        return state._replace(location=receptacle.location), f"{arrived} {self._sight(state, r)}"

    def _open(self, state: State, r: int, _: int) -> tuple[State, str]:
        after = state._replace(opened=state.opened | 1 << r)
        return after, f"You open the {self.game.receptacles[r].name}. {self._sight(after, r)}"

    def _close(self, state: State, r: int, _: int) -> tuple[State, str]:
        return state._replace(opened=state.opened & ~(1 << r)), f"You close the {self.game.receptacles[r].name}."

    def _take(self, state: State, o: int, r: int) -> tuple[State, str]:
        receptacle, bit = self.game.receptacles[r], 1 << o
        after = state._replace(
            held=o,
            contents=_replaced(state.contents, r, state.contents[r] & ~bit),
            lying=_replaced(state.lying, receptacle.location, state.lying[receptacle.location] & ~bit),
            taken=_replaced(state.taken, r, state.taken[r] | bit & self._notable[r]),
        )
        return after, self.dialect.did_take.format(o=self.game.objects[o].name, r=receptacle.name)

    def _put(self, state: State, o: int, r: int) -> tuple[State, str]:
        receptacle, bit = self.game.receptacles[r], 1 << o
        taken = _replaced(state.taken, r, state.taken[r] & ~bit)
        lying = state.lying[receptacle.location] & ~bit
        if bit & self._watched or any(taken[other] & bit for other in self._at[receptacle.location]):
            lying |= bit
        after = state._replace(
            held=NOTHING,
            contents=_replaced(state.contents, r, state.contents[r] | bit),
            lying=_replaced(state.lying, receptacle.location, lying),
            taken=taken,
        )
        return after, self.dialect.did_put.format(o=self.game.objects[o].name, r=receptacle.name)

    def _use(self, state: State, o: int, _: int) -> tuple[State, str]:
        # A lamp counts as switched on for ever: ALFWorld never says "You turn off".
        return state._replace(toggled=state.toggled | 1 << o), f"You turn on the {self.game.objects[o].name}."

    def _clean(self, state: State, o: int, r: int) -> tuple[State, str]:
        return state._replace(clean=state.clean | 1 << o), self._treated("clean", o, r)

    def _heat(self, state: State, o: int, r: int) -> tuple[State, str]:
        return state._replace(hot=state.hot | 1 << o, cool=state.cool & ~(1 << o)), self._treated("heat", o, r)

    def _cool(self, state: State, o: int, r: int) -> tuple[State, str]:
        return state._replace(cool=state.cool | 1 << o, hot=state.hot & ~(1 << o)), self._treated("cool", o, r)

    def _treated(self, verb: str, o: int, r: int) -> str:
        return f"You {verb} the {self.game.objects[o].name} using the {self.game.receptacles[r].name}."

    def _slice(self, state: State, o: int, knife: int) -> tuple[State, str]:
        text = f"You sliced the {self.game.objects[o].name} with the {self.game.objects[knife].name}."
        return state._replace(sliced=state.sliced | 1 << o), text

    def _examine_receptacle(self, state: State, r: int, _: int) -> tuple[State, str]:
        return state, self._sight(state, r)

    def _sight(self, state: State, r: int) -> str:
        """What examining a receptacle shows."""
        name = self.game.receptacles[r].name
        if not self._openable >> r & 1:
            return f"On the {name}, you see {self._listed(state.contents[r])}."
        if state.opened >> r & 1:
            return f"The {name} is open. In it, you see {self._listed(state.contents[r])}."
        return f"The {name} is closed."

    def _listed(self, objects: int) -> str:
        text = self._listings.get(objects)
        if text is None:
            if len(self._listings) >= _MAX_CACHED:
                self._listings.clear()
            text = self._listings[objects] = listing(f"a {self.game.objects[o].name}" for o in members(objects))
        return text

    def _examine_object(self, state: State, o: int, _: int) -> tuple[State, str]:
        thing = self.game.objects[o]
        if Affordance.CONTAINER in thing.affordances:
            inside = listing(f"a {name}" for name in thing.contents)
            return state, f"This is a normal {thing.name}. In it, you see {inside}."
        is_hot, is_cool, is_clean = state.hot >> o & 1, state.cool >> o & 1, state.clean >> o & 1
        words = ["hot"] * is_hot or ["cool"] * is_cool
        adjective = " and ".join(words + ["clean"] * is_clean)
        if state.sliced >> o & 1:
            return state, f"This is a {adjective} sliced {thing.name}.".replace("a  sliced", "a sliced")
        if adjective:
            return state, f"This is a {'cold' if adjective == 'cool' else adjective} {thing.name}."
        if state.toggled >> o & 1:
            return state, f"This {thing.name} is on."
        return state, f"There's nothing special about {thing.name}."
