"""Goals in the generated catalogue: fulfilled by their product, missed by its neighbours, in splits by content."""

import pickle
import re

import pytest

from agentrl.errors import ConfigError, TaskNotFoundError
from agentrl_envs.webshop.catalogue.difficulty import DIFFICULTIES
from agentrl_envs.webshop.catalogue.goals import SPLITS, GeneratedCatalogue
from agentrl_envs.webshop.goal import NO_LIMIT, Goal
from agentrl_envs.webshop.nouns import find_tagger
from agentrl_envs.webshop.product import Product
from agentrl_envs.webshop.reward import score_purchase


def fulfils(product: Product, goal: Goal) -> bool:
    """Whether the product has all that the goal asks for, read off its facts."""
    return (
        product.query == goal.query
        and set(goal.attributes) <= set(product.attributes)
        and isinstance(goal.options, dict)
        and all(value in product.options.get(name, ()) for name, value in goal.options.items())
        and product.price_range[1] <= goal.price_upper
    )


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_goal_is_fulfilled_by_its_product(difficulty: str) -> None:
    shop = GeneratedCatalogue(difficulty=difficulty, products=10_000, seed=3)
    nouns, _ = find_tagger()
    for split in SPLITS:
        for number in range(150):
            goal = shop.load(f"{split}/{number}")
            product = shop.stock.get(goal.asin)
            assert product is not None and fulfils(product, goal)
            assert isinstance(goal.options, dict)
            dearest = product.price_range[1]
            reward, _ = score_purchase(goal, product, goal.options, dearest, nouns=nouns, dialect="fixed")
            assert reward == 1.0
            assert product.title == goal.name and goal.attributes


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_neighbours_nearly_fulfil_it(difficulty: str) -> None:
    shop = GeneratedCatalogue(difficulty=difficulty, products=10_000)
    line, near, alone = shop.difficulty.line, 0, 0
    for number in range(300):
        goal = shop.load(f"train/{number}")
        place = shop.stock.number(goal.asin)
        assert place is not None
        first = place // line * line
        others = [shop.stock.product(n) for n in range(first, min(first + line, 10_000)) if n != place]
        misses = [other for other in others if not fulfils(other, goal)]
        near += len(misses)
        alone += bool(misses)
        for miss in misses:
            shown = " / ".join((miss.title, *miss.bullets, miss.description)).lower()
            lacked = set(goal.attributes) - set(miss.attributes)
            assert len(lacked) <= 2 and not any(attribute in shown for attribute in lacked)
    assert alone > {"easy": 0.8, "medium": 0.95, "hard": 0.99}[difficulty] * 300
    assert near > {"easy": 1.1, "medium": 2.0, "hard": 3.5}[difficulty] * 300


def test_instructions_say_all_that_is_asked_for() -> None:
    shop = GeneratedCatalogue(rephrased=0.0)
    for number in range(300):
        goal = shop.load(f"train/{number}")
        text = goal.instruction.lower()
        assert goal.query in text
        assert all(attribute in text for attribute in goal.attributes)
        assert all(value in text for value in goal.values)
        said = re.findall(r"\$(\d+(?:\.\d\d)?)|(\d+(?:\.\d\d)?) dollars", text)
        assert len(said) == (goal.price_upper < NO_LIMIT)
        if said:
            assert float("".join(said[0])) == goal.price_upper


def test_instructions_vary() -> None:
    shop = GeneratedCatalogue(rephrased=1.0)
    goals = [shop.load(f"train/{number}") for number in range(400)]
    assert len({goal.instruction for goal in goals}) == 400
    assert len({" ".join(goal.instruction.lower().split()[:2]) for goal in goals}) >= 12
    named = [attribute in goal.instruction.lower() for goal in goals for attribute in goal.attributes]
    assert 0.5 < sum(named) / len(named) < 0.95


def wishes(shop: GeneratedCatalogue, split: str, number: int) -> set[tuple[str, frozenset[str], frozenset[str]]]:
    goals = (shop.load(f"{split}/{n}") for n in range(number))
    return {(g.query, frozenset(g.attributes), frozenset(g.values)) for g in goals}


def test_no_wish_is_in_two_splits_whatever_seed_and_options() -> None:
    shops = [
        GeneratedCatalogue(seed=seed, difficulty=difficulty, departments=("office", "pets"), products=300)
        for seed in range(2)
        for difficulty in DIFFICULTIES
    ]
    parts = [set().union(*(wishes(shop, split, 150) for shop in shops)) for split in SPLITS]
    assert min(map(len, parts)) > 300
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_pairs_that_are_held_out_are_never_trained() -> None:
    shop = GeneratedCatalogue(departments=("office", "pets"))
    trained = {(query, a) for query, attributes, _ in wishes(shop, "train", 600) for a in attributes}
    for query, attributes, _ in wishes(shop, "valid_unseen", 200):
        assert any((query, attribute) not in trained for attribute in attributes)


@pytest.mark.slow
def test_no_goal_is_in_two_splits_over_100_000_goals() -> None:
    shop = GeneratedCatalogue(products=100_000, num_valid_seen=25_000, num_valid_unseen=25_000)
    numbers = {"train": 50_000, "valid_seen": 25_000, "valid_unseen": 25_000}
    texts = {split: {shop.load(f"{split}/{n}").instruction for n in range(count)} for split, count in numbers.items()}
    assert not texts["train"] & texts["valid_seen"]
    assert not texts["train"] & texts["valid_unseen"]
    assert not texts["valid_seen"] & texts["valid_unseen"]


def test_goals_are_a_pure_function_of_options_and_id() -> None:
    shop = GeneratedCatalogue(products=500, seed=4)
    ids = [f"{split}/{number}" for split in SPLITS for number in range(20)]
    goals = [shop.load(task_id) for task_id in ids]
    again = pickle.loads(pickle.dumps(shop))
    assert [again.load(task_id) for task_id in reversed(ids)] == goals[::-1]
    assert [again.ref(task_id) for task_id in ids] == [shop.ref(task_id) for task_id in ids]
    assert GeneratedCatalogue(products=500, seed=5).load(ids[0]) != goals[0]


@pytest.mark.parametrize("task_id", ["train", "train/-1", "train/07", "test/0", "valid_seen/1000", "train/x"])
def test_unknown_ids_are_refused(task_id: str) -> None:
    with pytest.raises(TaskNotFoundError):
        GeneratedCatalogue().ref(task_id)


@pytest.mark.parametrize(
    "options",
    [
        {"difficulty": "brutal"},
        {"departments": ("cars",)},
        {"departments": "pets"},
        {"products": 0},
        {"line": 0},
        {"hidden": 1.5},
        {"attributes": (0, 1)},
        {"choices": (2, 1)},
        {"limited": -0.1},
        {"rephrased": 2.0},
    ],
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        GeneratedCatalogue(**options)  # type: ignore[arg-type]


def test_a_shop_too_small_for_a_split_says_so() -> None:
    shop = GeneratedCatalogue(products=1, choices=(0, 0), attributes=(1, 1), seed=1)
    with pytest.raises(ConfigError, match="take more products"):
        for split in SPLITS:
            shop.load(f"{split}/0")
