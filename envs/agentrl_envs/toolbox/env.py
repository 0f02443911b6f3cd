"""A customer-service desk: tools on a company's database, a policy, and a customer to talk to."""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agentrl.env import TextEnv, TurnResult, advance, finish
from agentrl.errors import ConfigError, check_choice
from agentrl.tasks import TaskRef
from agentrl.tool import Malformed, ToolCall, ToolResult, read_action
from agentrl_envs.toolbox.customer import PATIENCE, STOP, Customer
from agentrl_envs.toolbox.database import Database
from agentrl_envs.toolbox.tasks import RecordedTasks, ServiceTask
from agentrl_envs.toolbox.world import TRANSFER, World, generated, tau_bench

RESPOND = "respond"
_FORMAT = """Call a tool by a JSON object {"name": …, "arguments": {…}} and nothing else, or several by a list of such \
objects. Anything that does not begin with { or [ is said to the customer."""


class ToolServiceEnv(TextEnv):
    """Help a customer by calling tools; the reward is 1 if the database and what was said are as they should be.

    An action is one call ``{"name": …, "arguments": {…}}``, a list of calls, or text to the customer, which the call
    ``respond {"content": …}`` says too. A call of several tools is answered line by line. What cannot be done is
    answered "Error: …", with ``action_valid`` False.

    The episode ends when the customer leaves or is handed over. The reward is then 1.0 iff the hash of the database
    is that after the task's own actions on a fresh one, and each of the task's outputs, in lower case, occurs in some
    message to the customer, in lower case and without commas; else 0.0. That is tau-bench's rule (arXiv:2406.12045).

    Args:
      world: ``"generated"``, a made-up shop, or ``"tau_bench"``.
      data: folder with tau-bench's files, ``retail/…`` and ``airline/…``; only for ``"tau_bench"``.
      domain: ``"retail"`` or ``"airline"``; the made-up shop is retail.
      idle: False leaves out the tasks for which doing nothing scores 1.0 (`World.idle` lists them).
      briefing: whether the first observation begins with the policy, the tools and how to call them.
      seed: of the made-up shop.
      split: where ``reset`` draws a task from; by default the first split there is.

    Raises:
      ConfigError: options that do not go together.
      DataError: a file is missing or malformed.
    """

    _task: ServiceTask
    _database: Database
    _customer: Customer
    _ignored: int
    _told: frozenset[str]
    _is_over: bool

    def __init__(
        self,
        *,
        world: Literal["generated", "tau_bench"] = "generated",
        data: str | Path | None = None,
        domain: Literal["retail", "airline"] = "retail",
        idle: bool = True,
        briefing: bool = True,
        seed: int = 0,
        split: str | None = None,
        **rest: Any,
    ) -> None:
        check_choice("world", world, ("generated", "tau_bench"))
        check_choice("domain", domain, ("retail", "airline"))
        if (world == "tau_bench") != (data is not None):
            raise ConfigError(f"world is {world!r} and data is {data!r}: the folder belongs to 'tau_bench' alone")
        if data is None and (domain != "retail" or not idle):
            raise ConfigError(
                "the generated shop has domain 'retail', and no list of idle tasks: they need 'tau_bench'"
            )
        self.world: World = generated(seed) if data is None else tau_bench(Path(data).resolve(), domain)
        tasks = self.world.tasks
        if not idle and isinstance(tasks, RecordedTasks):
            tasks = tasks.without(self.world.idle)
        super().__init__(tasks, split=next(iter(tasks.splits)) if split is None else split, **rest)
        self._has_briefing = briefing

    @property
    def policy(self) -> str:
        """What the agent has to keep to."""
        return self.world.policy

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The schemas of the tools, as chat templates take them."""
        return self.world.schemas

    def database_hash(self) -> str:
        """Return SHA-256 of the whole database as tau-bench prints it: see `database.fingerprint`."""
        return self._database.hash()

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._set_state(({}, 0, frozenset(), False))
        opening = self._customer.opening()
        if not self._has_briefing:
            return opening
        tools = "\n".join(json.dumps(schema["function"], ensure_ascii=False) for schema in self.tools)
        return f"{self.policy.strip()}\n\n# Tools\n\n{tools}\n\n{_FORMAT}\n\n# The customer\n\n{opening}"

    def _advance(self, action: str) -> TurnResult:
        read = read_action(action)
        if isinstance(read, Malformed):
            return advance(f"Error: {read.reason}", action_valid=False)
        calls = [ToolCall(RESPOND, {"content": read})] if isinstance(read, str) else read
        results: list[ToolResult] = []
        for call in calls:
            results.append(self._call(call))
            if self._is_over:
                break
        observation = "\n".join(result.text for result in results)
        valid = not any(result.is_error for result in results)
        if not self._is_over:
            return advance(observation, action_valid=valid)
        reward = self._reward()
        return finish(observation, reward=reward, success=reward == 1.0, action_valid=valid)

    def _call(self, call: ToolCall) -> ToolResult:
        if call.name != RESPOND:
            result = self.world.call(self._database, call)
            self._is_over = call.name == TRANSFER and not result.is_error
            return result
        content = call.arguments.get("content")
        if set(call.arguments) != {"content"} or not isinstance(content, str):
            return ToolResult("Error: respond takes one argument, the text 'content'", True)
        said = content.lower().replace(",", "")
        self._told |= {output for output in self._task.outputs if output.lower() in said}
        reply, self._ignored = self._customer.answer(content, self._ignored)
        self._is_over = STOP in reply
        return ToolResult(reply)

    def _reward(self) -> float:
        right = self._database.hash() == self.world.after(self._task).hash()
        return float(right and self._told == set(self._task.outputs))

    def _anchor_key(self) -> Hashable:
        assert self.task is not None
        return self.task.id, self._database.key(), tuple(sorted(self._told)), self._ignored, self._is_over

    def _get_state(self) -> Any:
        return self._database.save(), self._ignored, self._told, self._is_over

    def _set_state(self, state: Any) -> None:
        assert self.task is not None
        changed, self._ignored, self._told, self._is_over = state
        self._database = Database(self.world.store, changed)
        self._task = self.tasks.load(self.task.id)
        profile = self.world.store.tables["users"].get(self._task.user_id, {})
        self._customer = Customer(self._task.instruction, self._task.user_id, profile)

    def _solve(self) -> list[str] | None:
        """Return the task's own calls, but those that are refused, then what is to be told and a farewell.

        None where neither all of the calls nor the last of them lead to the wanted database any more.
        """
        calls = [call for call in self._task.actions if call.name != TRANSFER]
        wanted = self.world.after(self._task).hash()
        plans = (self._plan(calls[start:], wanted) for start in range(len(calls) + 1))
        plan = next((plan for plan in plans if plan is not None), None)
        if plan is None:
            return None
        actions = [call.as_action() for call in plan]
        missing = [output for output in self._task.outputs if output not in self._told]
        told = [f"What you wanted to know: {'; '.join(missing)}."] if missing else []
        handed_over = [call.as_action() for call in self._task.actions if call.name == TRANSFER]
        if handed_over and self._ignored + len(told) < PATIENCE:
            return [*actions, *told, handed_over[-1]]
        return [*actions, " ".join([*told, "All is done. Goodbye."])]

    def _plan(self, calls: list[ToolCall], wanted: str) -> list[ToolCall] | None:
        """Return which of the calls are not refused from here, or None if they do not lead to the wanted hash."""
        database = Database(self.world.store, self._database.save())
        accepted = [call for call in calls if not self.world.call(database, call).is_error]
        return accepted if database.hash() == wanted else None
