"""Environments that come with agentrl. Importing this package registers them and imports none of them."""

from agentrl.registry import register

register("agentrl/Household-v0", "agentrl_envs.household.env:HouseholdEnv")
register("agentrl/Maze-v0", "agentrl_envs.maze:MazeEnv")
register("agentrl/ToolService-v0", "agentrl_envs.toolbox.env:ToolServiceEnv")
register("agentrl/WebShop-v0", "agentrl_envs.webshop.env:WebShopEnv")
