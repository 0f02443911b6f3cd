import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agentrl import make
from agentrl.errors import ConfigError, DataError
from agentrl.seeding import generator
from agentrl_envs.webshop.env import WebShopEnv
from agentrl_envs.webshop.expert import read_texts
from agentrl_envs.webshop.nouns import find_tagger
from tests.shared_data import shared_data

SMALL = {"products": 200}


def small_env(**options: Any) -> WebShopEnv:
    env = make("agentrl/WebShop-v0", **{"catalogue": SMALL, **options})
    assert isinstance(env, WebShopEnv)
    return env


def goal_dict(env: WebShopEnv) -> dict[str, Any]:
    return env.tasks.load("train/0").as_dict()


def play(env: WebShopEnv, task: str, actions: list[str]) -> tuple[str, float, dict[str, Any]]:
    observation, info = env.reset(options={"task": task})
    reward = 0.0
    for action in actions:
        observation, reward, *_, info = env.step(action)
    return observation, reward, info


@pytest.mark.parametrize("mode", ["text", "text_rich"])
def test_recorded_episodes(mode: str) -> None:
    """Pages, available actions, rewards and endings, with our own search."""
    folder = shared_data("webshop")
    lines = (folder / "episodes_dev.jsonl").read_text().splitlines()
    episodes = [episode for episode in map(json.loads, lines) if episode["mode"] == mode]
    env = make(
        "agentrl/WebShop-v0",
        data=str(folder),
        goals=[episode["goal"] for episode in episodes],
        prices=str(folder / "prices_seed42.json"),
        dialect="original",
        observation=mode,
    )
    for number, episode in enumerate(episodes):
        observation, info = env.reset(options={"task": f"given/{number}"})
        assert (observation, info["available"]) == (episode["initial_observation"], episode["initial_actions"])
        for step in episode["steps"]:
            observation, reward, done, _, info = env.step(step["action"])
            assert observation == step["observation"]
            assert info["available"] == step["available"]
            assert (reward, done) == (step["reward"], step["done"])


def test_actions_are_understood_as_the_original_does() -> None:
    env = small_env(observation="url")
    for nonsense in (
        "",
        "buy now",
        "think[hmm]",
        "click",
        "click[]",
        "search[]",
        " search[table]",
        "click[search]",
        "[",
    ):
        observation, _, info = play(env, "train/0", [nonsense])
        assert not info["action_valid"], nonsense
        assert observation == "http://127.0.0.1:3000/train-0"
    for words, address in (("Table", "table"), ("a [b]] tail", "a [b]"), ("a  b", "a++b")):
        observation, _, info = play(env, "train/0", [f"search[{words}]"])
        if "[b" in words:
            assert not info["action_valid"], "the last bracket that opens ends the name"
        else:
            assert observation == f"http://127.0.0.1:3000/search_results/train-0/{address}/1"


def test_given_goals_keep_their_limits() -> None:
    env = small_env()
    goals = [goal_dict(env) | {"price_upper": 1.0}, goal_dict(env)]
    given = small_env(goals=goals)
    assert list(given.tasks.ids("given")) == ["given/0", "given/1"]
    assert play(given, "given/0", [])[0].count(goals[0]["instruction_text"]) == 1
    assert given.goal.price_upper == 1.0
    with pytest.raises(DataError, match="the shop has no product 'B'"):
        small_env(goals=[goal_dict(env) | {"asin": "B"}])
    with pytest.raises(DataError, match="the list is empty"):
        small_env(goals=[])


def test_prices_are_drawn_for_the_task_or_given(tmp_path: Path) -> None:
    env = small_env()
    ranged = next(product.asin for product in env.shop.stock if len(product.prices) == 2)
    found = []
    for task in ("train/0", "train/1", "train/0"):
        env.reset(options={"task": task})
        found.append(env.price(ranged))
    assert found[0] == found[2] != found[1]
    low, high = env.shop.product(ranged).price_range
    assert all(low <= price <= high for price in found)
    (tmp_path / "prices.json").write_text(json.dumps({ranged: 3.5}))
    for prices in ({ranged: 3.5}, str(tmp_path / "prices.json")):
        given = small_env(prices=prices)
        given.reset(seed=0)
        assert given.price(ranged) == 3.5
    with pytest.raises(DataError, match="cannot be read"):
        small_env(prices=str(tmp_path / "nothing.json"))
    (tmp_path / "prices.json").write_text("[]")
    with pytest.raises(DataError, match="expected a JSON object of numbers"):
        small_env(prices=str(tmp_path / "prices.json"))


def test_another_search() -> None:
    asked: list[str] = []
    products = [product.asin for product in small_env().shop.stock][:60]

    def search(keywords: str) -> list[str]:
        asked.append(keywords)
        return ["B999999999", *products]

    env = small_env(search=search)
    observation, _, info = play(env, "train/0", ["search[Two Words]"])
    assert asked == ["two words"]
    assert "Total results: 49" in observation, "fifty were found, of which the shop lacks one"
    assert info["available"]["clickables"][2:4] == [asin.lower() for asin in products[:2]]


class _Visible(HTMLParser):
    """What the original's observation takes from a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.clickables: list[str] = []
        self.radios: list[str] = []
        self.has_search_bar = False
        self._is_clickable = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.has_search_bar |= values.get("id") == "search_input"
        self._is_clickable = bool({"btn", "product-link"} & set((values.get("class") or "").split()))
        if values.get("type") == "radio":
            self.radios.append(values["value"] or "")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())
            if self._is_clickable:
                self.clickables.append(data.lower())


def test_html_has_the_same_texts_and_clickables() -> None:
    html, text = small_env(observation="html"), small_env()
    actions = [*text_solution(text), "click[nothing]"]
    for env in (html, text):
        env.reset(options={"task": "train/1"})
    for action in actions:
        page, *_, info = html.step(action)
        plain, *_, again = text.step(action)
        assert info["available"] == again["available"]
        seen = _Visible()
        seen.feed(page)
        assert seen.texts == [part for part in read_texts(plain) if part]
        assert sorted([*seen.clickables, *seen.radios]) == sorted(info["available"]["clickables"])
        assert seen.has_search_bar == info["available"]["has_search_bar"]
        assert read_texts(page) == read_texts(plain)
        if env.state.page == "done":
            break


def text_solution(env: WebShopEnv) -> list[str]:
    env.reset(options={"task": "train/1"})
    return env.solution()


def test_keys_tell_what_text_does_not() -> None:
    env = small_env()
    env.reset(options={"task": "train/1"})
    *way, _ = env.solution()
    keys = [env.reset(options={"task": "train/1"})[1]["anchor_key"]]
    for action in way:
        keys.append(env.step(action)[4]["anchor_key"])
    assert len(set(keys)) == len(keys)
    item = env.shop.product(env.goal.asin)
    pairs = [(name, values[0]) for name, values in item.options.items()]
    if len(pairs) > 1:
        ends = []
        for order in (pairs, pairs[::-1]):
            clicks = [f"click[{value}]" for _, value in order]
            ends.append(play(env, "train/1", [*way[:2], *clicks])[2]["anchor_key"])
        assert ends[0] == ends[1], "the order of choosing does not matter"


def test_buying_says_what_counted() -> None:
    env = small_env()
    env.reset(options={"task": "train/0"})
    _, reward, info = play(env, "train/0", env.solution())
    assert (reward, info["success"], info["score"]) == (1.0, True, 1.0)
    assert info["purchase"]["reward"] == 1.0
    assert info["purchase"]["nouns"] == find_tagger()[1]
    assert info["available"] == {"has_search_bar": False, "clickables": []}


@pytest.mark.parametrize("split", ["train", "valid_seen", "valid_unseen"])
def test_the_expert_that_knows_wins_all(split: str) -> None:
    env = small_env()
    for task in env.tasks.ids(split)[:40]:
        env.reset(options={"task": task})
        assert play(env, task, env.solution())[1] == 1.0, task


@pytest.mark.parametrize(
    ("observation", "expert"), [("text", "informed"), ("text_rich", "novice"), ("html", "informed")]
)
def test_the_honest_expert_buys_something_in_time(observation: str, expert: str) -> None:
    env = small_env(observation=observation, expert=expert)
    scores = []
    for number in range(20):
        page, info = env.reset(options={"task": f"train/{number}"})
        act, ended = env.expert(generator(number, "expert")), False
        while not ended:
            page, _, terminated, truncated, info = env.step(act(page, info))
            ended = terminated or truncated
            assert info["action_valid"]
        scores.append(info["score"])
    assert sum(scores) / len(scores) > 0.7


def test_the_expert_wins_the_real_goals_under_fixed_rules() -> None:
    folder = shared_data("webshop")
    scores = {}
    for dialect in ("fixed", "original"):
        env = make("agentrl/WebShop-v0", data=str(folder), dialect=dialect, split="valid_seen")
        scores[dialect] = []
        for task in env.tasks.ids("valid_seen")[::8]:
            env.reset(options={"task": task})
            actions = env.solution()
            for action in actions:
                *_, info = env.step(action)
            scores[dialect].append(info["score"])
    assert set(scores["fixed"]) == {1.0}
    assert 0.85 < sum(score == 1.0 for score in scores["original"]) / len(scores["original"]) < 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dialect": "new"}, "dialect"),
        ({"observation": "picture"}, "observation"),
        ({"goals": "human"}, "needs data="),
        ({"catalogue": {"colour": 1}}, "takes no argument 'colour'"),
        ({"expert": "wise"}, "expert"),
        ({"goals": "robot"}, "goals"),
    ],
)
def test_unknown_choices_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small_env(**options)
