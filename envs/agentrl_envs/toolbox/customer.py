"""A customer who follows a script: the facts of a task, told when they are asked for."""

import functools
import re
from collections.abc import Mapping
from typing import Any

STOP = "###STOP###"
PATIENCE = 5
"""The customer leaves after this many messages in a row that ask nothing."""
_FAREWELL = re.compile(r"\b(bye|goodbye|(anything|something) else|have an? \w+ (day|evening|trip|flight))\b")
_PERSONS = (
    (r"\b[Yy]ou are\b", "I am"),
    (r"\b[Yy]ou were\b", "I was"),
    (r"\b[Yy]ou(?='(?:re)\b)", "I"),
    (r"\bI're\b", "I'm"),
    (r"\b[Yy]ou(?='(?:ve|d|ll)\b)", "I"),
    (r"\byourself\b", "myself"),
    (r"\byours\b", "mine"),
    (r"\byour\b", "my"),
    (r"\bYour\b", "My"),
    (r"\b(to|for|with|of|from|at|by|let|give|tell|ask|help|asks|wants) you\b", r"\1 me"),
    (r"\b[Yy]ou\b", "I"),
)


@functools.lru_cache(maxsize=1024)  # a customer is made wherever a world is restored
def in_first_person(instruction: str) -> str:
    """Return a brief "You want …" as the customer would say it.

    >>> in_first_person("You are Ann. You want to return your cup; they gave it to you.")
    'I am Ann. I want to return my cup; they gave it to me.'
    """
    for pattern, replacement in _PERSONS:
        instruction = re.sub(pattern, replacement, instruction)
    return instruction


class Customer:
    """Says what it wants, names itself when asked, agrees to everything, and takes leave when the agent does.

    Args:
      instruction: the brief. The customer knows of itself only what stands there.
      user_id: of the customer.
      profile: the customer's entry in the database.
    """

    def __init__(self, instruction: str, user_id: str, profile: Mapping[str, Any]) -> None:
        self._request = in_first_person(instruction)
        name, address = profile.get("name", {}), profile.get("address", {})
        facts = {
            "user id": (user_id, "My user id is {}."),
            "email": (profile.get("email"), "My email is {}."),
            "name": (" ".join(name.values()), "My name is {}."),
            "zip": (address.get("zip"), "My zip code is {}."),
        }
        self._facts = {
            asked: said.format(fact) if fact and fact in instruction else f"I do not know my {asked} by heart."
            for asked, (fact, said) in facts.items()
        }

    def opening(self) -> str:
        """Return the first message."""
        return f"Hello. {self._request}"

    def answer(self, message: str, ignored: int) -> tuple[str, int]:
        """Return the reply to a message, and how many messages in a row have asked nothing.

        A message asks if it has a question mark. The reply is STOP to one that takes leave, or offers anything else,
        and once ``ignored`` reaches PATIENCE.
        """
        asked = message.lower().replace("user_id", "user id").replace("e-mail", "email")
        ignored = 0 if "?" in message else ignored + 1
        if _FAREWELL.search(asked) or ignored >= PATIENCE:
            return STOP, ignored
        if ignored:
            return "Thank you. Do you need to know more from me?", ignored
        told = [fact for word, fact in self._facts.items() if word in asked]
        if told:
            return " ".join(told), 0
        if re.search(r"\b(yes|confirm|proceed|go ahead|correct|okay|ok|agree)\b", asked):
            return "Yes, please go ahead.", 0
        return f"As I said: {self._request}", 0
