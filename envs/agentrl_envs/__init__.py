"""Environments that come with agentrl. Importing this package imports none of them."""

from agentrl.registry import register


def register_envs() -> None:
    """Put the environments into Gymnasium's registry (called through the entry point ``gymnasium.envs``)."""
    register("Household-v0", "agentrl_envs.household.env:HouseholdEnv")
    register("Maze-v0", "agentrl_envs.maze:MazeEnv")
