"""The web shop environment: search, compare, choose and buy by text, as in WebShop."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agentrl.env import Expert, TextEnv, TurnResult, advance, finish
from agentrl.errors import ConfigError, check_choice
from agentrl.making import check_arguments
from agentrl.tasks import TaskRef, TaskSet
from agentrl_envs.webshop.catalogue.goals import GeneratedCatalogue
from agentrl_envs.webshop.given import GivenGoals
from agentrl_envs.webshop.goal import Goal
from agentrl_envs.webshop.html import html_page
from agentrl_envs.webshop.nouns import find_tagger
from agentrl_envs.webshop.original.goals import OriginalGoals
from agentrl_envs.webshop.pages import plain_text, rich_text
from agentrl_envs.webshop.prices import price_of, read_prices
from agentrl_envs.webshop.reward import score_purchase
from agentrl_envs.webshop.shop import Shop, State, url
from agentrl_envs.webshop.stocks import (
    generated_catalogue,
    generated_shop,
    original_goals,
    original_shop,
    original_stock,
    pages_of,
)

OBSERVATIONS = ("text", "text_rich", "html", "url")
SEARCH_ACTION = "search[<keywords>]"
"""How `admissible_actions` lists the search: any words may stand for ``<keywords>``."""
_ACTION = re.compile(r"(.+)\[(.+)\]")


class WebShopEnv(TextEnv):
    """A shop with the rules, pages and rewards of WebShop (arXiv:2207.01206), in native Python.

    On the original's data it answers string by string as the original does. Actions are ``search[keywords]``, on every
    page, and ``click[text]`` on what the page has; all others change nothing. Buying ends the episode with a reward of
    0 to 1 (see `reward.score_purchase`), and it is a success at 1.

    ``info["available"]`` has the original's list of what can be done: ``has_search_bar`` and ``clickables``.
    ``info["admissible_actions"]`` has a ``click[…]`` for each of these that changes something, and on pages with a
    search field ``search[<keywords>]``. After the purchase ``info["purchase"]`` says what the reward consists of, and
    who told the nouns.

    Args:
      data: folder with WebShop's files (see `original.store.OriginalStock`); without it the catalogue is generated.
      catalogue: options of `catalogue.goals.GeneratedCatalogue`; only without ``data``.
      goals: ``"synthetic"``, ``"human"`` (only with ``data``), or a list of goals in WebShop's form: the tasks
        ``given/0``, ``given/1`` and so on.
      prices: price by asin, or a JSON file of it. Prices that are not given are drawn for each task, from its content.
      search: keywords to asins, in place of the index.
      dialect: ``"fixed"``, or ``"original"``, in which 6.6 % of the synthetic goals cannot be fulfilled.
      observation: ``"text"``, ``"text_rich"``, ``"html"`` or ``"url"``.
      split: where ``reset`` draws a goal from; by default the first split there is.
      max_turns: episodes are truncated after this many actions. The original has no limit; 15 is that of most studies.
      render_mode: ``"ansi"`` or None.
      expert: what the demonstrator does: ``"informed"``, it reads, compares and backs out, or ``"novice"``, it takes
        the first product that it can afford.

    Raises:
      DataError: data, goals or prices cannot be read.
      ConfigError: an unknown choice or option, or options that say nothing beside ``data``.
      TaskNotFoundError: an unknown split.
    """

    def __init__(
        self,
        data: str | Path | None = None,
        *,
        catalogue: Mapping[str, Any] | None = None,
        goals: Literal["synthetic", "human"] | Sequence[Mapping[str, Any] | Goal] = "synthetic",
        prices: str | Path | Mapping[str, float] | None = None,
        search: Callable[[str], Sequence[str]] | None = None,
        dialect: Literal["fixed", "original"] = "fixed",
        observation: Literal["text", "text_rich", "html", "url"] = "text",
        split: str | None = None,
        max_turns: int | None = 15,
        render_mode: str | None = None,
        expert: Literal["informed", "novice"] = "informed",
    ) -> None:
        check_choice("dialect", dialect, ("fixed", "original"))
        check_choice("observation", observation, OBSERVATIONS)
        check_choice("expert", expert, ("informed", "novice"))
        self._prices = read_prices(prices)
        self.shop, tasks = _open(data, catalogue, goals, self._prices, search)
        super().__init__(tasks, split=split or next(iter(tasks.splits)), max_turns=max_turns, render_mode=render_mode)
        self.dialect, self.observation = dialect, observation
        self.pages = pages_of(self.shop)
        self._expert = expert
        self._nouns, self._tagger = find_tagger()
        self._goal: Goal
        self._state = State()
        self._purchase: dict[str, Any] | None = None

    @property
    def goal(self) -> Goal:
        """The goal of the episode."""
        return self._goal

    @property
    def state(self) -> State:
        """Where the customer is."""
        return self._state

    def price(self, asin: str) -> float:
        """Return what a product costs in this task, in dollars."""
        assert self.task is not None
        limit = self._goal.price_upper if asin == self._goal.asin else float("inf")
        return price_of(self.shop.product(asin), self._prices, self.task.digest, limit)

    def purchase(self, asin: str, options: Mapping[str, str]) -> tuple[float, dict[str, Any]]:
        """Return what buying a product with these options would be worth, and its parts."""
        product = self.shop.product(asin)
        return score_purchase(self._goal, product, options, self.price(asin), nouns=self._nouns, dialect=self.dialect)

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._goal = self.tasks.load(task.id)
        self._state, self._purchase = State(), None
        return self._observe()

    def _advance(self, action: str) -> TurnResult:
        state = self._move(action)
        if state is None:
            return advance(self._observe(), action_valid=False)
        self._state = state
        if state.page != "done":
            return advance(self._observe())
        reward, details = self.purchase(state.asin, dict(state.options))
        self._purchase = details | {"reward": reward, "nouns": self._tagger}
        return finish(self._observe(), reward=reward, success=reward == 1.0, score=reward)

    def _move(self, action: str) -> State | None:
        """Return where an action leads, or None if it cannot be understood or done."""
        match = _ACTION.match(action)
        if match is None:
            return None
        name, text = match[1], match[2].lower()
        if name == "search":
            return self.shop.search(self._state, text, self.np_random)
        return self.shop.click(self._state, text, self.np_random) if name == "click" else None

    def _observe(self) -> str:
        if self.observation == "url":
            return url(self._state, self._session)
        reward = None if self._purchase is None else self._purchase["reward"]
        parts = self.pages.parts(self._state, self._goal.instruction, reward)
        if self.observation == "text":
            return plain_text(parts)
        if self.observation == "text_rich":
            return rich_text(parts, self._state, self._session)
        return html_page(parts, self._state)

    @property
    def _session(self) -> str:
        """The customer's name in addresses."""
        assert self.task is not None
        return self.task.id.replace("/", "-")

    def _anchor_key(self) -> Hashable:
        assert self.task is not None
        # Which products were looked at is seen in rich text only, and the order of choosing in addresses only.
        state = self._state
        options = state.options if self.observation == "url" else tuple(sorted(state.options))
        visited = state.visited if self.observation == "text_rich" else frozenset()
        return self.task.id, *state._replace(options=options, visited=visited)

    def _info(self, result: TurnResult | None, truncated: bool = False) -> dict[str, Any]:
        info = super()._info(result, truncated)
        info["available"] = {
            "has_search_bar": self._state.page == "index",
            "clickables": list(self.shop.targets(self._state)),
        }
        if self._purchase is not None:
            info["purchase"] = dict(self._purchase)
        return info

    def _admissible_actions(self) -> list[str]:
        if self._state.page == "index":
            return [SEARCH_ACTION]
        return [f"click[{text}]" for text in self.shop.targets(self._state)]

    def _get_state(self) -> tuple[State, dict[str, Any] | None]:
        return self._state, self._purchase

    def _set_state(self, state: tuple[State, dict[str, Any] | None]) -> None:
        assert self.task is not None
        self._goal = self.tasks.load(self.task.id)
        self._state, self._purchase = state

    def _solve(self) -> list[str]:
        from agentrl_envs.webshop.solver import solve

        return solve(self.shop, self._state, self._goal, lambda options: self.purchase(self._goal.asin, options)[0])

    def expert(self, rng: np.random.Generator) -> Expert:
        """Return the honest demonstrator: it reads the pages and knows no more than they say.

        Where observations are addresses only, which say next to nothing, it follows `solution`.
        """
        from agentrl_envs.webshop.expert import Customer

        if self.observation == "url":
            return super().expert(rng)
        return Customer(rng, turns=self.max_turns, is_careful=self._expert == "informed")

    def serve(self, *, task: str | None = None, host: str = "127.0.0.1", port: int = 8000) -> None:
        """Serve the shop as a web site for people until it is interrupted: see `site.server.serve`."""
        from agentrl_envs.webshop.site.server import serve

        serve(self, task=task, host=host, port=port)


def _open(
    data: str | Path | None,
    catalogue: Mapping[str, Any] | None,
    goals: str | Sequence[Mapping[str, Any] | Goal],
    prices: Mapping[str, float],
    search: Callable[[str], Sequence[str]] | None,
) -> tuple[Shop, TaskSet[Goal]]:
    """Return the shop and its goals."""
    if isinstance(goals, str):
        check_choice("goals", goals, ("synthetic", "human"))
    if data is not None:
        if catalogue:
            raise ConfigError(f"catalogue options {sorted(catalogue)} say nothing about given data: leave one out")
        stock = original_stock(str(data))
        shop = Shop(stock, search) if search else original_shop(str(data))
        if not isinstance(goals, str):
            return shop, GivenGoals(goals, stock)
        kind: Literal["synthetic", "human"] = "human" if goals == "human" else "synthetic"
        return shop, OriginalGoals(stock, kind, prices) if prices else original_goals(str(data), kind)
    if goals == "human":
        raise ConfigError("goals='human' needs data=: the generated catalogue has goals of its own, goals='synthetic'")
    check_arguments("catalogue", GeneratedCatalogue, catalogue or {})
    given = (catalogue or {}).items()
    options = {name: value if isinstance(value, Hashable) else tuple(value) for name, value in given}
    generated = generated_catalogue(**options)
    shop = Shop(generated.stock, search) if search else generated_shop(**options)
    return shop, generated if isinstance(goals, str) else GivenGoals(goals, generated.stock)
