"""A demonstrator that knows only what the policy sees: it searches, remembers and then does the goal.

The planner that knows everything is :func:`agentrl_envs.household.solver.solve`.
"""

import re
from collections import Counter

import numpy as np

from agentrl.env import Info
from agentrl.errors import DataError
from agentrl_envs.household.game import Goal, TaskType
from agentrl_envs.household.tables import HABITS, HOLDS, OPENABLE, SENTENCES, STATIONS, TREATMENTS

_INTRO = re.compile(r"you see (?P<things>[^.]*)\.\s+Your task is to: (?P<goal>.*)", re.DOTALL)
_THING = re.compile(r"a (\w+ \d+)")
_SEEN = re.compile(r"(?:On the (\w+ \d+), you see|The (\w+ \d+) is open\. In it, you see) ([^.]*)\.")
_CLOSED = re.compile(r"(?:The (\w+ \d+) is closed|You close (?:the )?(\w+ \d+))\.")
_TAKEN = re.compile(r"You (?:pick up|take) (?:the )?(\w+ \d+) from (?:the )?(\w+ \d+)\.")
_PUT = re.compile(r"You (?:move|put) (?:the )?(\w+ \d+) (?:to|in/on) (?:the )?(\w+ \d+)\.")
_TREATED = re.compile(r"You (heat|cool|clean) (?:the )?(\w+ \d+) using ")


def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(re.escape(sentence).replace(r"\{o\}", r"(?P<o>\w+)").replace(r"\{r\}", r"(?P<r>\w+)") + r"\Z")


_GOALS = [(TaskType(task), _pattern(sentence)) for task, pair in SENTENCES.items() for sentence in pair]


def read_goal(sentence: str) -> Goal:
    """Understand a goal sentence of either official form, like ``put a clean soapbar in cabinet.``

    Raises:
      DataError: the sentence is none of the twelve known ones.
    """
    for task, pattern in _GOALS:
        if match := pattern.match(sentence.strip()):
            return Goal(task, match["o"], match["r"], sentence.strip())
    raise DataError(f"not a known goal sentence: {sentence!r}; expected one like 'put a clean soapbar in cabinet.'")


def kind(name: str) -> str:
    """Return the type of a thing: ``cabinet`` for ``cabinet 2``."""
    return name.split()[0]


def room_of(receptacles: list[str]) -> str:
    """Guess the kind of room from what stands in it."""
    kinds = set(map(kind, receptacles))
    signs = {"fridge": "kitchen", "toilet": "bathroom", "bed": "bedroom"}
    return next((room for sign, room in signs.items() if sign in kinds), "livingroom")


class Memory:
    """What has been seen so far, read from observations alone, whoever acted."""

    def __init__(self, introduction: str) -> None:
        match = _INTRO.search(introduction)
        if match is None:
            raise DataError(f"the first observation must list the room and the task, got {introduction[:80]!r}")
        self.goal = read_goal(match["goal"])
        self.receptacles: list[str] = _THING.findall(match["things"])
        self.contents: dict[str, list[str]] = {}
        """Receptacle -> objects known to be in it."""
        self.seen: set[str] = set()
        """The receptacles that were looked into."""
        self.closed: set[str] = set()
        self.held: str | None = None
        self.treatments: dict[str, set[str]] = {}

    def read(self, observation: str) -> None:
        """Take in one observation."""
        for on, inside, things in _SEEN.findall(observation):
            self.contents[on or inside] = _THING.findall(things)
            self.seen.add(on or inside)
            self.closed.discard(on or inside)
        for closed, shut in _CLOSED.findall(observation):
            self.closed.add(closed or shut)
        if taken := _TAKEN.search(observation):
            self.held = taken[1]
            self._forget(taken[1])
        if put := _PUT.search(observation):
            self.held = None
            self.contents.setdefault(put[2], []).append(put[1])
        if treated := _TREATED.search(observation):
            done = self.treatments.setdefault(treated[2], set())
            done -= {"heat": {"cool"}, "cool": {"heat"}}.get(treated[1], set())
            done.add(treated[1])

    def find(self, wanted: str) -> list[tuple[str, str]]:
        """Return (object, receptacle) for every known object of the type ``wanted``."""
        return [(o, r) for r, things in self.contents.items() for o in things if kind(o) == wanted]

    def _forget(self, thing: str) -> None:
        for things in self.contents.values():
            if thing in things:
                things.remove(thing)


class SearchExpert:
    """A closed-loop demonstrator: call it with each observation and its ``info``.

    It uses the observation and ``info["admissible_actions"]`` only. Unseen places are tried in the order of
    (chance that the object is there) / (turns to look), the chance being the share of such objects found on that type
    of receptacle in ALFWorld's games of that kind of room, divided among its instances; ``rng`` breaks ties, so that
    demonstrations differ.

    Args:
      rng: breaks ties.
      is_informed: know the shares above; without them every place is as good as any other.
    """

    def __init__(self, rng: np.random.Generator, *, is_informed: bool = True) -> None:
        self._rng = rng
        self._is_informed = is_informed
        self._memory: Memory | None = None
        self._possible: frozenset[str] = frozenset()
        self._destination = ""

    def __call__(self, observation: str, info: Info) -> str:
        """Return the next command.

        Raises:
          DataError: the first observation is not a room's introduction, or no admissible commands are given.
        """
        if self._memory is None:
            self._memory = Memory(observation)
            self._weigh(self._memory)
        self._memory.read(observation)
        possible = info.get("admissible_actions")
        if possible is None:
            raise DataError("the search expert needs info['admissible_actions']; the household always lists them")
        self._possible = frozenset(possible)
        return self._choose(self._memory)

    def _weigh(self, memory: Memory) -> None:
        self._habits = HABITS[room_of(memory.receptacles)]
        self._instances = Counter(map(kind, memory.receptacles))
        self._luck = dict(zip(memory.receptacles, self._rng.random(len(memory.receptacles)), strict=True))

    # -- what to do ----------------------------------------------------------------------------------------------

    def _choose(self, memory: Memory) -> str:
        goal, held = memory.goal, memory.held
        if held is None:
            return self._fetch(memory)
        if kind(held) != goal.object:
            return self._put_down(memory, held)
        if goal.task == "look_at_obj_in_light":
            return self._light(memory)
        treatment = TREATMENTS.get(goal.task)
        if treatment and treatment not in memory.treatments.get(held, ()):
            station = self._nearest([r for r in memory.receptacles if kind(r) == STATIONS[treatment]])
            return self._at(station, f"{treatment} {held} with {station}")
        return self._deliver(memory, held)

    def _fetch(self, memory: Memory) -> str:
        goal = memory.goal
        known = memory.find(goal.object)
        if goal.task == "pick_two_obj_and_place":
            self._settle(memory)
            known = [(thing, place) for thing, place in known if place != self._destination]
        if known:
            thing, place = min(known, key=lambda pair: (self._distance(pair[1]), self._luck[pair[1]]))
            return self._at(place, f"take {thing} from {place}")
        wanted = [goal.object]
        if goal.task == "look_at_obj_in_light" and not memory.find(goal.receptacle):
            wanted.append(goal.receptacle)
        return self._search(memory, wanted)

    def _light(self, memory: Memory) -> str:
        lamps = memory.find(memory.goal.receptacle)
        if not lamps:
            return self._search(memory, [memory.goal.receptacle])
        lamp, place = min(lamps, key=lambda pair: self._distance(pair[1]))
        return self._at(place, f"use {lamp}")

    def _deliver(self, memory: Memory, held: str) -> str:
        self._settle(memory)
        return self._at(self._destination, *self._puts(held, self._destination))

    def _put_down(self, memory: Memory, held: str) -> str:
        fitting = [r for r in memory.receptacles if kind(held) in HOLDS.get(kind(r), ())]
        place = self._nearest([r for r in fitting if r not in memory.closed] or fitting or memory.receptacles)
        return self._at(place, *self._puts(held, place))

    def _settle(self, memory: Memory) -> None:
        """Choose the receptacle to deliver to: where most of the wanted objects are, then the one chosen before."""
        count = Counter(place for _, place in memory.find(memory.goal.object))
        places = [r for r in memory.receptacles if kind(r) == memory.goal.receptacle]
        self._destination = max(
            places, key=lambda r: (count[r], r == self._destination, -self._distance(r), r not in memory.closed)
        )

    def _search(self, memory: Memory, wanted: list[str]) -> str:
        """Go and look where the chance per turn to see one of ``wanted`` is best."""
        if len(memory.seen) == len(memory.receptacles):
            memory.seen.clear()  # Somebody else moved things: start over.
        unseen = [r for r in memory.receptacles if r not in memory.seen]
        place = max(unseen, key=lambda r: (self._promise(memory, r, wanted), self._luck[r]))
        return self._at(place, f"open {place}", f"examine {place}")

    def _promise(self, memory: Memory, receptacle: str, wanted: list[str]) -> float:
        """Return (chance to see one of ``wanted`` in ``receptacle``) / (turns to look into it)."""
        if not self._is_informed:
            return 1.0
        type_ = kind(receptacle)
        share = 0.0
        for thing in wanted:
            habit = self._habits.get(thing)
            # Half a percent for places that are possible but were never observed.
            share += max(habit.places.get(type_, 0) if habit else 0, 0.5 * (thing in HOLDS.get(type_, ())))
        turns = 1 if self._distance(receptacle) == 0 else 1 + (type_ in OPENABLE or receptacle in memory.closed)
        return share / self._instances[type_] / turns

    # -- how to get it done --------------------------------------------------------------------------------------

    def _distance(self, receptacle: str) -> int:
        return 0 if f"examine {receptacle}" in self._possible else 1

    def _nearest(self, receptacles: list[str]) -> str:
        return min(receptacles, key=lambda r: (self._distance(r), self._luck[r]))

    def _puts(self, thing: str, place: str) -> tuple[str, str]:
        """Return the command in both dialects."""
        return f"move {thing} to {place}", f"put {thing} in/on {place}"

    def _at(self, place: str, *commands: str) -> str:
        """Return the next command on the way to doing the first possible one of ``commands`` at ``place``."""
        if self._distance(place):
            return f"go to {place}"
        return next((command for command in (*commands, f"open {place}") if command in self._possible), "look")
