"""A visitor: a task of their own, the pages that they have reached, a cart, and in the end a receipt."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from agentrl.env import Snapshot
from agentrl_envs.webshop.env import WebShopEnv
from agentrl_envs.webshop.shop import State

MOST_VISITORS = 1_000
"""Visitors beyond this number push the one out who was away longest."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was reached; the browser may go back to it at any time.

    Attributes:
      state: where in the shop it is.
      snapshot: the environment at this point.
      reward: what the purchase was worth, on the receipt only.
    """

    state: State
    snapshot: Snapshot
    reward: float | None = None


@dataclass(slots=True)
class Visitor:
    """One episode of the text environment, played page by page.

    Every move is an action of the environment at the page it is made on, so that site and text cannot differ; pages are
    numbered in the order in which they were first reached, 0 being the start.

    Attributes:
      env: the environment.
      name: goes into addresses.
      task: the id of the task.
      pages: what was reached.
      here: the number of the page looked at last.
      cart: the numbers of the pages of products that were put aside.
    """

    env: WebShopEnv
    name: str
    task: str
    pages: list[Page]
    here: int = 0
    cart: list[int] = field(default_factory=list)

    @classmethod
    def enter(cls, env: WebShopEnv, task: str | None) -> "Visitor":
        """Begin an episode in an environment of one's own; without a task one is drawn."""
        env.max_turns = None
        _, info = env.reset(seed=secrets.randbits(32), options={"task": task} if task else None)
        return cls(env, secrets.token_urlsafe(9), info["task_id"], [Page(env.state, env.snapshot())])

    def act(self, number: int, action: str) -> int:
        """Play an action on the page with this number; return the number of the page it leads to."""
        if self.pages[number].reward is not None:
            return number
        self.env.restore(self.pages[number].snapshot)
        _, reward, is_over, _, _ = self.env.step(action)
        state = self.env.state
        known = next((at for at, page in enumerate(self.pages) if page.state == state), None)
        if known is None:
            self.pages.append(Page(state, self.env.snapshot(), reward if is_over else None))
            known = len(self.pages) - 1
        return known

    @property
    def receipt(self) -> int | None:
        """The number of the page of the first purchase, or None."""
        return next((at for at, page in enumerate(self.pages) if page.reward is not None), None)


class Visitors:
    """All visitors of the site.

    Args:
      env: each visitor gets a fork of it.
    """

    def __init__(self, env: WebShopEnv) -> None:
        if env.task is None:
            env.reset(seed=0)
        self._env = env
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()

    def enter(self, task: str | None) -> Visitor:
        """Return a new visitor.

        Raises:
          TaskNotFoundError: there is no such task.
        """
        visitor = Visitor.enter(self._env.fork(), task)
        self._visitors[visitor.name] = visitor
        if len(self._visitors) > MOST_VISITORS:
            self._visitors.popitem(last=False)
        return visitor

    def find(self, name: str) -> Visitor | None:
        """Return the visitor of this name, or None."""
        if name in self._visitors:
            self._visitors.move_to_end(name)
        return self._visitors.get(name)
