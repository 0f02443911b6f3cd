"""What environments do instead of answering, in one line each."""

from agentrl.env import Outcome
from agentrl.errors import AgentrlError

MOST_CHARACTERS = 500
"""Characters of an exception's text that are kept."""


class EnvFault(Exception):
    """An environment did not answer as the contract has it. Picklable.

    Attributes:
      kind: the exception's name, ``BadAnswer``, ``TimeLimit`` or ``HostDied``.
      text: what happened, in one line of text that can be written to a file.
      outcome: how the episode ends.
    """

    def __init__(self, kind: str, text: str, outcome: Outcome = Outcome.ENV_ERROR) -> None:
        super().__init__(kind, text, outcome)
        self.kind, self.text, self.outcome = kind, text, outcome

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def bad_answer(text: str) -> EnvFault:
    """Return the fault of an answer that breaks the contract."""
    return EnvFault("BadAnswer", text)


def fault_of(error: BaseException) -> Exception:
    """Return what an environment raised as a fault; agentrl's own errors and faults as they are."""
    if isinstance(error, EnvFault | AgentrlError):
        return error
    return EnvFault(type(error).__name__, one_line(error))


def one_line(said: object) -> str:
    """Return the text of ``said`` in one line of at most ``MOST_CHARACTERS``, without what is no character.

    >>> one_line("first\\n  second \\ud800")
    'first second \\\\ud800'
    """
    try:
        text = str(said)
    except Exception as error:  # an exception may be anybody's
        text = f"(no text: {type(error).__name__} when it was asked for)"
    short = " ".join(text[: 4 * MOST_CHARACTERS].split())[:MOST_CHARACTERS] or "(no text)"
    return short.encode("utf-8", "backslashreplace").decode()
