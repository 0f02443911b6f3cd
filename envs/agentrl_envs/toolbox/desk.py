"""What every service desk can do."""

from agentrl.errors import ToolError
from agentrl_envs.toolbox.arithmetic import evaluate
from agentrl_envs.toolbox.database import Database


class Desk:
    """The tools of a service desk, its public methods, on the database of one episode."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def calculate(self, expression: str) -> str:
        """Calculate a mathematical expression; the result has at most two decimals.

        Args:
          expression: numbers, + - * /, parentheses and spaces, such as '2 + 2'.
        """
        if not set(expression) <= set("0123456789+-*/(). "):
            raise ToolError("invalid characters in expression")
        return str(round(float(evaluate(expression)), 2))

    def think(self, thought: str) -> str:
        """Note a thought. Nothing is looked up and nothing changes.

        Args:
          thought: what to note.
        """
        return ""

    def transfer_to_human_agents(self, summary: str) -> str:
        """Hand the customer over to a human agent, which ends the conversation.

        Args:
          summary: what the customer wants.
        """
        return "Transfer successful"
