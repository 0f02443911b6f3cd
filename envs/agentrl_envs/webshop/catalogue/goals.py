"""Endless goals in a generated catalogue."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, overload

from agentrl.errors import ConfigError, TaskNotFoundError, nearest
from agentrl.tasks import TaskRef, TaskSet, content_digest
from agentrl_envs.webshop.catalogue.departments import DEPARTMENTS
from agentrl_envs.webshop.catalogue.dice import Dice
from agentrl_envs.webshop.catalogue.difficulty import DIFFICULTIES, Difficulty
from agentrl_envs.webshop.catalogue.phrasing import phrase_wish
from agentrl_envs.webshop.catalogue.stock import GeneratedStock
from agentrl_envs.webshop.catalogue.wish import Wish, draw_wish
from agentrl_envs.webshop.goal import Goal

SPLITS = ("train", "valid_seen", "valid_unseen")
CATEGORIES = tuple(department.category for department in DEPARTMENTS)
_MAX_DRAWS = 10_000


class _Ids(Sequence[str]):
    """The ids of a split, made when asked for: ``<split>/<number>``."""

    def __init__(self, split: str, number: int) -> None:
        self._split, self._number = split, number

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        places = range(self._number)[index]
        if isinstance(places, range):
            return [f"{self._split}/{place}" for place in places]
        return f"{self._split}/{places}"


class GeneratedCatalogue(TaskSet[Goal]):
    """A shop of our own: a stock of products by seed, and goals in it, each a pure function of options and id.

    The product of a goal is drawn evenly from the stock, and the wish is one that it fulfils and its near misses do
    not (see `draw_wish`). The splits are disjoint by content, whatever the seed, the options or the number of workers:
    one pair of a kind of product and an attribute in ten is asked for in `valid_unseen` only; of the other wishes one
    in five, whatever its price limit, is asked for in `valid_seen` only; `train` has the rest.

    Args:
      products: how many products the shop has, a million if you like: they are made when they are looked at.
      difficulty: ``"easy"``, ``"medium"`` or ``"hard"``: the defaults of the next six options.
      line: how many products differ in one thing only (an attribute, the values of an option, the price, the brand).
      hidden: share of attributes that titles leave out.
      attributes: fewest and most attributes that a wish names.
      choices: fewest and most option values that a wish names, where the product has so many options.
      limited: share of wishes with a price limit.
      rephrased: share of attributes that a wish says in other words, of those for which there are some.
      departments: what is sold, of `CATEGORIES`.
      num_train: number of training goals; a goal costs nothing until it is played.
      num_valid_seen: number of goals about pairs that are trained, in combinations that are not.
      num_valid_unseen: number of goals about pairs of kind and attribute that are not trained.
      seed: another seed gives another catalogue and other goals, and keeps the splits apart.

    Raises:
      ConfigError: an unknown name, or a number out of range.
    """

    def __init__(
        self,
        *,
        products: int = 1_000,
        difficulty: str = "medium",
        line: int | None = None,
        hidden: float | None = None,
        attributes: tuple[int, int] | None = None,
        choices: tuple[int, int] | None = None,
        limited: float | None = None,
        rephrased: float | None = None,
        departments: Sequence[str] = CATEGORIES,
        num_train: int = 1_000_000,
        num_valid_seen: int = 1_000,
        num_valid_unseen: int = 1_000,
        seed: int = 0,
    ) -> None:
        _check_names("difficulty", [difficulty], tuple(DIFFICULTIES))
        _check_names("departments", departments, CATEGORIES)
        preset = DIFFICULTIES[difficulty]
        self.difficulty = Difficulty(
            _check_number("line", preset.line if line is None else line, 1, 50),
            _check_share("hidden", preset.hidden if hidden is None else hidden),
            _check_range("attributes", attributes or preset.attributes, 1, 4),
            _check_range("choices", choices or preset.choices, 0, 3),
            _check_share("limited", preset.limited if limited is None else limited),
            _check_share("rephrased", preset.rephrased if rephrased is None else rephrased),
        )
        self.seed = seed
        self.stock = GeneratedStock(
            [department for department in DEPARTMENTS if department.category in departments],
            products=_check_number("products", products, 1, 36**8),
            line=self.difficulty.line,
            hidden=self.difficulty.hidden,
            seed=seed,
        )
        numbers = dict(zip(SPLITS, (num_train, num_valid_seen, num_valid_unseen), strict=True))
        self._splits = MappingProxyType({split: _Ids(split, number) for split, number in numbers.items()})
        self._cached = lru_cache(maxsize=4096)(self._generate)
        self._arguments: dict[str, Any] = {
            "products": products,
            "difficulty": difficulty,
            "line": line,
            "hidden": hidden,
            "attributes": attributes,
            "choices": choices,
            "limited": limited,
            "rephrased": rephrased,
            "departments": tuple(departments),
            "seed": seed,
            **{f"num_{split}": number for split, number in numbers.items()},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(GeneratedCatalogue, **self._arguments), ()

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Task ids by split."""
        return self._splits

    def ref(self, task_id: str) -> TaskRef:
        """Return the address of a goal; making the digest makes the goal.

        Raises:
          TaskNotFoundError: no split holds the id.
        """
        return TaskRef(task_id, self._split_of(task_id), self._cached(task_id)[1])

    def load(self, task_id: str) -> Goal:
        """Return the goal.

        Raises:
          TaskNotFoundError: no split holds the id.
        """
        return self._cached(task_id)[0]

    def _split_of(self, task_id: str) -> str:
        match = re.fullmatch(r"(\w+)/(0|[1-9]\d*)", task_id)
        if match is None or match[1] not in self._splits:
            raise TaskNotFoundError(f"no goal {task_id!r}; ids look like 'train/0', of the splits {SPLITS}")
        if int(match[2]) >= len(self._splits[match[1]]):
            raise TaskNotFoundError(f"{task_id!r} is beyond the {len(self._splits[match[1]])} goals of {match[1]!r}")
        return match[1]

    def _generate(self, task_id: str) -> tuple[Goal, str]:
        split = self._split_of(task_id)
        dice = Dice(self.seed, "shop", "goal", task_id)
        for _ in range(_MAX_DRAWS):
            number = dice.between(0, len(self.stock) - 1)
            wish = self._wish(dice, number)
            if wish.split == split:
                goal = self._goal(dice, number, wish)
                return goal, content_digest(repr(goal))
        raise ConfigError(f"{_MAX_DRAWS:,} draws gave no goal for {task_id!r}: take more products or departments")

    def _wish(self, dice: Dice, number: int) -> Wish:
        line, place = divmod(number, self.difficulty.line)
        designs = self.stock.designs(line)
        others = [design for at, design in enumerate(designs) if at != place]
        return draw_wish(dice, designs[place], others, self.difficulty)

    def _goal(self, dice: Dice, number: int, wish: Wish) -> Goal:
        product = self.stock.product(number)
        return Goal(
            asin=product.asin,
            category=product.category,
            query=product.query,
            name=product.title,
            product_category=product.product_category,
            instruction=phrase_wish(wish, dice, self.difficulty.rephrased),
            attributes=wish.attributes,
            options=dict(wish.options),
            price_upper=wish.limit,
        )


def _check_names(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    if isinstance(names, str) or not names:
        raise ConfigError(f"{option} must be a list of names, got {names!r}")
    for name in names:
        if name not in known:
            raise ConfigError(f"{option}: no {name!r}{nearest(name, known)}")


def _check_number(option: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise ConfigError(f"{option} must be within {least:,} and {most:,}, got {value!r}")
    return value


def _check_range(option: str, value: tuple[int, int], fewest: int, most: int) -> tuple[int, int]:
    if not (len(value) == 2 and fewest <= value[0] <= value[1] <= most):
        raise ConfigError(f"{option} must be (fewest, most) within {fewest} and {most}, got {value!r}")
    return value[0], value[1]


def _check_share(option: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{option} is a share between 0 and 1, got {value!r}")
    return value
