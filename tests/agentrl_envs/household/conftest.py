import pytest

from agentrl_envs.household.game import Affordance, Game, Goal, Object, Receptacle, TaskType
from agentrl_envs.household.games import OfficialGames
from tests.shared_data import shared_data

A = Affordance


@pytest.fixture(scope="session")
def official() -> OfficialGames:
    return OfficialGames(shared_data("alfworld", "alfworld_games_all.jsonl.xz"))


@pytest.fixture
def kitchen() -> Game:
    """A small kitchen with everything that is odd: shared spots, an egg in two places, a shut microwave."""
    return Game(
        id="train/made/by_hand",
        receptacles=(
            Receptacle("countertop 1", "countertop", 1),
            Receptacle("fridge 1", "fridge", 2, openable=True),
            Receptacle("microwave 1", "microwave", 3, openable=True),
            Receptacle("sinkbasin 1", "sinkbasin", 4),
            Receptacle("stoveburner 2", "stoveburner", 5),
            Receptacle("stoveburner 1", "stoveburner", 5),
        ),
        objects=(
            Object(
                "apple 1", "apple", (1,), 2, frozenset({A.PICKUPABLE, A.CLEANABLE, A.HEATABLE, A.COOLABLE, A.SLICEABLE})
            ),
            Object("egg 1", "egg", (0, 2), 1, frozenset({A.PICKUPABLE, A.HEATABLE, A.SLICEABLE})),
            Object("knife 1", "knife", (0,), 1, frozenset({A.PICKUPABLE, A.CLEANABLE})),
            Object("pan 1", "pan", (4,), 5, frozenset({A.PICKUPABLE, A.CONTAINER}), contents=("fork 1", "spoon 1")),
            Object("statue 1", "statue", (0,), 1),
        ),
        locations=("loc 6", "loc 5", "loc 4", "loc 3", "loc 2", "loc 1"),
        start=0,
        can_contain={
            "countertop": frozenset({"apple", "egg", "knife", "pan"}),
            "fridge": frozenset({"apple", "egg", "pan"}),
            "microwave": frozenset({"apple", "egg"}),
            "sinkbasin": frozenset({"apple", "knife", "pan"}),
            "stoveburner": frozenset({"pan"}),
        },
        goal=Goal(TaskType.HEAT, "apple", "countertop", "put a hot apple in countertop."),
    )
