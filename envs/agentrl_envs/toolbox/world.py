"""A company: its database before any episode, its desk, its policy and its customers."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrl.errors import DataError
from agentrl.tasks import TaskSet
from agentrl.tool import ToolCall, ToolResult, tools_of
from agentrl_envs.toolbox.airline import AirlineDesk
from agentrl_envs.toolbox.database import Database, Store
from agentrl_envs.toolbox.desk import Desk
from agentrl_envs.toolbox.generated import POLICY, draw_tasks, generate_tables
from agentrl_envs.toolbox.retail import RetailDesk
from agentrl_envs.toolbox.tasks import RecordedTasks, ServiceTask, read_json, read_tasks

TRANSFER = "transfer_to_human_agents"
_DESKS: dict[str, type[Desk]] = {"retail": RetailDesk, "airline": AirlineDesk}
_TABLES = {"retail": ("orders", "products", "users"), "airline": ("flights", "reservations", "users")}
_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, eq=False)
class World:
    """A company and its customers; shared by all environments of a process, and never changed."""

    store: Store
    desk: type[Desk]
    policy: str
    schemas: list[dict[str, Any]]
    tasks: TaskSet[ServiceTask]

    def call(self, database: Database, call: ToolCall) -> ToolResult:
        """Make a call; whatever goes wrong is an answer, and what had changed until then stays, as in tau-bench."""
        tool = tools_of(self.desk).get(call.name)
        if tool is None:
            return ToolResult(f"Unknown action {call.name}", True)
        try:
            result = tool.call(call.arguments, self.desk(database))
        except Exception as error:  # parts of arguments that are missing or of another type
            result = ToolResult(f"Error: {error}", True)
        try:
            database.settle()
        except (ValueError, RecursionError) as error:  # numbers too long to be printed
            database.abandon()
            result = ToolResult(f"Error: {error}", True)
        return result

    def after(self, task: ServiceTask) -> Database:
        """Return the database after the task's actions, from a fresh one; handing over is left out."""
        database = Database(self.store)
        for action in task.actions:
            if action.name != TRANSFER:
                self.call(database, action)
        return database

    @functools.cached_property
    def idle(self) -> tuple[str, ...]:
        """The tasks for which doing nothing scores 1: nothing is to be told and the database is to stay as it is."""
        ids = [task_id for split in self.tasks.splits.values() for task_id in split]
        tasks = ((task_id, self.tasks.load(task_id)) for task_id in ids)
        return tuple(task_id for task_id, task in tasks if not task.outputs and self.after(task).is_original())


@functools.lru_cache(maxsize=4)
def tau_bench(folder: Path, domain: str) -> World:
    """Return one of tau-bench's two companies, from its files.

    Raises:
      DataError: a file is missing or malformed.
    """
    home = folder / domain
    store = Store({table: read_json(home / f"{table}.json") for table in _TABLES[domain]})
    files = {split: home / f"tasks_{split}.json" for split in _SPLITS}
    tasks = {split: read_tasks(path) for split, path in files.items() if path.exists()}
    if not tasks:
        raise DataError(f"{home} has no tasks_SPLIT.json, expected one or more of {', '.join(_SPLITS)}")
    wiki = home / "wiki.md"
    policy = wiki.read_text(encoding="utf-8") if wiki.exists() else ""
    return World(store, _DESKS[domain], policy, read_json(home / "tools.json"), RecordedTasks(tasks))


@functools.lru_cache(maxsize=4)
def generated(seed: int) -> World:
    """Return a made-up shop with tau-bench's retail desk."""
    tables = generate_tables(seed)
    schemas = [tool.schema for tool in tools_of(RetailDesk).values()]
    return World(Store(tables), RetailDesk, POLICY, schemas, draw_tasks(tables, seed))
