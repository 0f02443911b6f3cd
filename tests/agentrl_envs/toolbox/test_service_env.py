"""The service desk: how actions are answered, how episodes end, what they earn; on the made-up shop and in small."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentrl import make
from agentrl.errors import ConfigError, DataError
from agentrl.tool import ToolCall
from agentrl_envs.toolbox.customer import PATIENCE, STOP, Customer
from agentrl_envs.toolbox.database import fingerprint
from agentrl_envs.toolbox.env import ToolServiceEnv

THINK = '{"name": "think", "arguments": {"thought": "hm"}}'
CANCEL = {"name": "cancel_pending_order", "kwargs": {"order_id": "#1", "reason": "no longer needed"}}
TABLES = {
    "orders": {
        "#1": {"order_id": "#1", "user_id": "ann", "items": [], "status": "pending", "payment_history": []},
        "#2": {"order_id": "#2", "user_id": "ann", "items": [], "status": "delivered", "payment_history": []},
    },
    "products": {"1": {"name": "Cup", "product_id": "1", "variants": {}}, "2": {"name": "Jug", "product_id": "2"}},
    "users": {"ann": {"email": "a@b.c"}, "bob": {"email": "b@b.c"}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database and three tasks in tau-bench's form."""
    home = tmp_path / "retail"
    home.mkdir()
    transfer = {"name": "transfer_to_human_agents", "kwargs": {"summary": "?"}}
    tasks = [
        {"user_id": "ann", "instruction": "You want #1 cancelled.", "actions": [CANCEL], "outputs": ["1,5", "Red Cup"]},
        {"user_id": "ann", "instruction": "You want a human.", "actions": [transfer], "outputs": []},
        {"user_id": "bob", "instruction": "You want #1 gone.", "actions": [CANCEL, transfer], "outputs": ["1000"]},
    ]
    for name, content in {**TABLES, "tasks_test": tasks, "tools": []}.items():
        (home / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def desk(folder: Path, **options: Any) -> ToolServiceEnv:
    env = make("agentrl/ToolService-v0", world="tau_bench", data=str(folder), briefing=False, **options)
    assert isinstance(env, ToolServiceEnv)
    return env


def play(env: ToolServiceEnv, task: str, *actions: str) -> tuple[str, float, bool]:
    env.reset(options={"task": task})
    observation, reward, terminated = "", 0.0, False
    for action in actions:
        observation, reward, terminated, _, _ = env.step(action)
    return observation, reward, terminated


def test_hash_of_the_whole_database(folder: Path) -> None:
    env = desk(folder)
    env.reset(options={"task": "test/0"})
    assert env.database_hash() == fingerprint(TABLES)
    changed = json.loads(json.dumps(TABLES))
    changed["orders"]["#1"] |= {"status": "cancelled", "cancel_reason": "no longer needed"}
    env.step(ToolCall(CANCEL["name"], CANCEL["kwargs"]).as_action())
    assert env.database_hash() == fingerprint(changed)


def test_reward(folder: Path) -> None:
    """Outputs are compared in lower case; commas are taken from what is said only: "1,5" can be told by no one."""
    env = desk(folder)
    cancel = ToolCall(CANCEL["name"], CANCEL["kwargs"]).as_action()
    assert play(env, "test/2", cancel, "It was 1,000.", "Bye.") == (STOP, 1.0, True)
    assert play(env, "test/2", cancel, "It was 1.000.", "Bye.") == (STOP, 0.0, True)
    assert play(env, "test/2", "It was 1,000.", "Bye.") == (STOP, 0.0, True)
    assert play(env, "test/0", cancel, "1,5 for the red CUP", "Bye.") == (STOP, 0.0, True)
    told = f'[{cancel}, {{"name": "respond", "arguments": {{"content": "1000"}}}}]'
    handed_over = ToolCall("transfer_to_human_agents", {"summary": "?"}).as_action()
    assert play(env, "test/2", told, handed_over) == ("Transfer successful", 1.0, True)


def test_idle_tasks_can_be_left_out(folder: Path) -> None:
    assert desk(folder).world.idle == ("test/1",)
    assert desk(folder, idle=False).tasks.splits == {"test": ("test/0", "test/2")}
    assert play(desk(folder), "test/1", "Bye.") == (STOP, 1.0, True)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("{oops", "Error: not valid JSON"),
        ('{"name": "fly", "arguments": {}}', "Unknown action fly"),
        ('{"name": "think", "arguments": {}}', "Error: think: argument 'thought' is missing"),
        ('{"name": "respond", "arguments": {}}', "Error: respond takes one argument"),
        ('{"name": "get_order_details", "arguments": {"order_id": "#3"}}', "Error: order not found"),
        ('{"name": "transfer_to_human_agents", "arguments": {}}', "Error: "),
        (f'[{THINK}, {{"name": "think"}}]', "Error: a call has the keys"),
    ],
)
def test_refusals_are_answers(folder: Path, action: str, said: str) -> None:
    env = desk(folder)
    env.reset(options={"task": "test/0"})
    before = env.database_hash()
    observation, reward, terminated, _, info = env.step(action)
    assert observation.startswith(said)
    assert (reward, terminated, info["action_valid"], env.database_hash()) == (0.0, False, False, before)


def test_customer_tells_what_it_knows() -> None:
    profile = {"name": {"first": "Ann", "last": "Lee"}, "address": {"zip": "12345"}, "email": "a@b.c"}
    customer = Customer("You are Ann Lee in 12345.", "ann_1", profile)
    assert customer.opening() == "Hello. I am Ann Lee in 12345."
    assert customer.answer("Your name and zip code?", 1) == ("My name is Ann Lee. My zip code is 12345.", 0)
    assert customer.answer("What is your e-mail?", 0)[0] == "I do not know my email by heart."
    assert customer.answer("Shall I proceed?", 0) == ("Yes, please go ahead.", 0)
    assert customer.answer("Done.", 0)[1] == 1
    assert customer.answer("Done.", PATIENCE - 1)[0] == STOP
    assert customer.answer("Can I help you with anything else?", 3) == (STOP, 0)


def test_made_up_shop_is_solved_by_its_expert() -> None:
    env = make("agentrl/ToolService-v0")
    for number in range(60):
        env.reset(options={"task": f"train/{number}"})
        for action in env.solution() or []:
            _, reward, terminated, _, info = env.step(action)
            assert info["action_valid"]
        assert (reward, terminated) == (1.0, True)


def test_briefing_has_policy_and_tools() -> None:
    observation, _ = make("agentrl/ToolService-v0").reset(seed=0)
    for part in ("# Policy", '"name": "cancel_pending_order"', "# The customer"):
        assert part in observation


@pytest.mark.parametrize(
    "options",
    [{"world": "tau_bench"}, {"data": "x"}, {"domain": "airline"}, {"idle": False}, {"world": "mars"}],
    ids=str,
)
def test_refused_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make("agentrl/ToolService-v0", **options)


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"orders\.json"):
        make("agentrl/ToolService-v0", world="tau_bench", data=str(tmp_path))
