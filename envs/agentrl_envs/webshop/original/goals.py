"""The goals in WebShop's data as tasks, in splits that content decides."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from agentrl.errors import DataError, TaskNotFoundError, nearest
from agentrl.storage.files import replacing
from agentrl.tasks import TaskRef, TaskSet, content_digest
from agentrl_envs.webshop.goal import Goal, human_goals, limit, num_synthetic_goals, synthetic_goal
from agentrl_envs.webshop.original.cache import Progress, building
from agentrl_envs.webshop.original.store import OriginalStock
from agentrl_envs.webshop.prices import price_of
from agentrl_envs.webshop.product import Product

SPLITS = ("train", "valid_seen", "valid_unseen")
CANONICAL: Mapping[str, tuple[int, int | None]] = MappingProxyType(
    {"test": (0, 500), "eval": (500, 1500), "train": (1500, None)}
)
"""The splits of the full data: places in the list of human goals, shuffled with seed 233."""
CANONICAL_GOALS = 12_087
_HELD_OUT = 10
"""One kind of products in so many is not trained, and of the goals for others one in so many."""


class Numbers(NamedTuple):
    """Which goals a split has: the number of the product, and the number of the goal among those for it."""

    products: NDArray[np.uint32]
    goals: NDArray[np.uint32]


class _Ids(Sequence[str]):
    """The ids of a split, made when asked for: ``<split>/<asin>/<number of the goal>``."""

    def __init__(self, split: str, numbers: Numbers, asin: Callable[[int], str]) -> None:
        self._split, self._numbers, self._asin = split, numbers, asin

    def __len__(self) -> int:
        return len(self._numbers.goals)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        product, goal = self._numbers.products[index], self._numbers.goals[index]
        return f"{self._split}/{self._asin(int(product))}/{int(goal)}"


class OriginalGoals(TaskSet[Goal]):
    """The goals for the products of a stock.

    A goal's price limit is drawn above the price of its product, which is drawn before where it has a range: both from
    the goal's own content, so that they are the same in every process, and whatever else is drawn.

    The splits are disjoint by content. One kind of products (`Product.query`) in ten, by its hash, is asked for in
    `valid_unseen` only. Of the other goals one in ten, by the hash of instruction (without price limit), attributes and
    options, is in `valid_seen`, and the rest in `train`. So two goals that read the same are never apart.

    The full data's human goals (12,087) have the canonical splits instead: `test`, the first 500 of the list that was
    shuffled with seed 233, `eval`, the next 1,000, and `train`, without those that read like a goal of a split before.

    Args:
      stock: the products.
      kind: ``"synthetic"``, one goal for each choice of all options of a product that has an instruction, or
        ``"human"``.
      prices: of products, by asin; the others are drawn.

    Raises:
      DataError: there are no such goals.
    """

    def __init__(self, stock: OriginalStock, kind: Literal["synthetic", "human"], prices: Mapping[str, float]) -> None:
        self._stock, self._kind, self._prices = stock, kind, prices
        with building(stock.digest) as folder:
            path = folder / f"goals-{kind}.npz"
            if not path.exists():
                self._number(path)
            arrays = np.load(path)
        self._splits: dict[str, Sequence[str]] = {
            split: _Ids(split, Numbers(arrays[f"{split}-products"], arrays[f"{split}-goals"]), stock.asin)
            for split in arrays["splits"].tolist()
        }
        self._counts = Counter(dict(zip(arrays["attributes"].tolist(), arrays["counts"].tolist(), strict=True)))
        self._is_canonical = "test" in self._splits
        self._places = {place for ids in self._splits.values() for place in ids} if self._is_canonical else set()
        if not self._splits:
            raise DataError(f"no {kind} goals in {stock.folder}: the data have none, or their file is missing")
        self._found = lru_cache(maxsize=4096)(self._find)

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Task ids by split; only splits that have a goal."""
        return self._splits

    def ref(self, task_id: str) -> TaskRef:
        """Return the address of a goal; the digest covers all of it but the price limit.

        Raises:
          TaskNotFoundError: there is no such goal in that split.
        """
        return self._found(task_id)[1]

    def load(self, task_id: str) -> Goal:
        """Return the goal."""
        return self._found(task_id)[0]

    def _find(self, task_id: str) -> tuple[Goal, TaskRef]:
        split, _, place = task_id.partition("/")
        asin, _, number = place.partition("/")
        product = self._stock.get(asin)
        if split not in self._splits or product is None or not number.isdecimal():
            raise TaskNotFoundError(
                f"no goal {task_id!r}; ids look like {self._example()!r}{nearest(split, self._splits)}"
            )
        goal = self._goal(product, int(number))
        if goal is None or not self._holds(split, task_id, goal):
            raise TaskNotFoundError(f"no goal {task_id!r}: {asin} has no goal with this number in split {split!r}")
        digest = content_digest(repr(_content(goal)))
        share = sum(1 / max(1, self._counts[attribute]) for attribute in goal.attributes) / len(goal.attributes)
        weighed = replace(goal, weight=share if self._kind == "synthetic" else 1.0)
        price = price_of(product, self._prices, digest)
        return limit(weighed, price, random.Random(digest)), TaskRef(task_id, split, digest)

    def _holds(self, split: str, task_id: str, goal: Goal) -> bool:
        return task_id in self._places if self._is_canonical else _split_of(goal) == split

    def _example(self) -> str:
        return next((ids[0] for ids in self._splits.values() if len(ids)), "train/B000000000/0")

    def _goal(self, product: Product, number: int) -> Goal | None:
        if self._kind == "synthetic":
            return synthetic_goal(product, number) if number < num_synthetic_goals(product) else None
        goals = list(human_goals(product, self._stock.annotations(product.asin)))
        return goals[number] if number < len(goals) else None

    def _all(self) -> Iterator[tuple[int, int, Goal]]:
        """Yield (number of the product, number of the goal, goal) for all."""
        if self._kind == "synthetic":
            for number, product in enumerate(self._stock):
                for at in range(num_synthetic_goals(product)):
                    yield number, at, synthetic_goal(product, at)
        else:
            for number, product in self._stock.annotated():
                for at, goal in enumerate(human_goals(product, self._stock.annotations(product.asin))):
                    yield number, at, goal

    def _number(self, path: Path) -> None:
        """Write which goals each split has, and how often each attribute is asked for."""
        counts: Counter[str] = Counter()
        found: dict[str, tuple[list[int], list[int]]] = {split: ([], []) for split in SPLITS}
        progress = Progress(f"{self._kind} goals numbered")
        listed: list[tuple[int, int, str]] = []
        for count, (product, at, goal) in enumerate(self._all()):
            counts.update(goal.attributes)
            products, numbers = found[_split_of(goal)]
            products.append(product)
            numbers.append(at)
            if self._kind == "human":
                listed.append((product, at, _reads_as(goal)))
            progress(count)
        if self._kind == "human" and len(listed) == CANONICAL_GOALS:
            found = _canonical_splits(listed)
        arrays: dict[str, NDArray[np.generic]] = {
            "splits": np.array([split for split, (products, _) in found.items() if products], "U"),
            "attributes": np.array(list(counts), "U"),
            "counts": np.array(list(counts.values()), np.int64),
        }
        for split, (products, numbers) in found.items():
            arrays[f"{split}-products"] = np.array(products, np.uint32)
            arrays[f"{split}-goals"] = np.array(numbers, np.uint32)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def _canonical_splits(listed: list[tuple[int, int, str]]) -> dict[str, tuple[list[int], list[int]]]:
    """Return the canonical splits of human goals: (product, number, text) in the order of the data."""
    random.Random(233).shuffle(listed)
    taken: set[str] = set()
    found: dict[str, tuple[list[int], list[int]]] = {}
    for split, (first, end) in CANONICAL.items():
        kept = [one for one in listed[first:end] if one[2] not in taken]
        taken |= {text for _, _, text in kept}
        found[split] = [one[0] for one in kept], [one[1] for one in kept]
    return {split: found[split] for split in ("train", "eval", "test")}


def _content(goal: Goal) -> tuple[object, ...]:
    options = sorted(goal.options.items()) if isinstance(goal.options, Mapping) else goal.options
    return goal.asin, goal.query, goal.name, goal.product_category, goal.instruction, goal.attributes, options


def _reads_as(goal: Goal) -> str:
    """Return what the goal asks for, whichever product is meant."""
    return repr((goal.instruction, goal.attributes, sorted(goal.values)))


def _split_of(goal: Goal) -> str:
    if int(content_digest(f"kind {goal.query}"), 16) % _HELD_OUT == 0:
        return "valid_unseen"
    return "valid_seen" if int(content_digest(_reads_as(goal)), 16) % _HELD_OUT == 0 else "train"
