"""The action protocol of tool-integrated reasoning: text, then a tool call between tags; or text alone, the answer."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from agentrl.context.protocols import ActionProtocol, ParsedAction, register_protocol
from agentrl.errors import ConfigError


def tool_tags(tools: Sequence[str]) -> ActionProtocol:
    """Return the protocol whose messages call one of ``tools`` as ``<tool>…</tool>``.

    A closing tag ends the turn. To let an answer end it as well, name ``answer`` among the tools.

    Args:
      tools: names, each a letter followed by letters, digits and underscores.

    Raises:
      ConfigError: no tool, one named twice, or a name that cannot be a tag.
    """
    wrong = [tool for tool in tools if not re.fullmatch(r"[A-Za-z]\w*", tool, re.ASCII)]
    if wrong or not tools or len(set(tools)) < len(tools):
        raise ConfigError(
            f"tools {list(tools)}: expected at least one name, none twice, each a letter followed by letters, digits "
            "and underscores, as in tools:python,search"
        )
    closing = tuple(f"</{tool}>" for tool in tools)
    opening = tuple(f"<{tool}>" for tool in tools)
    calls = ", ".join(f"{begin}…{end}" for begin, end in zip(opening, closing, strict=True))
    instructions = (
        f"Reason step by step. Whenever a tool helps, call it: {calls}. Its output follows inside <result> </result>. "
        "When you know the answer, give it and end your message."
    )
    name = "tools:" + ",".join(tools)
    return ActionProtocol(name, instructions, closing, partial(parse_call, tuple(tools)), str, (*opening, *closing))


def parse_call(tools: tuple[str, ...], text: str) -> ParsedAction:
    """Return the tool call at the end of the text, tags included; without any tag the whole text, which is an answer.

    Valid iff the text has no tag and is not empty, or has exactly one opening and one closing tag, of the same tool,
    with something but white space between them and nothing but white space behind. With any other fault the last
    complete call is sent all the same, and the whole text where there is none.

    Differs from ARPO's released code, which takes the text between the last tags of the whole conversation: this is
    the same for a valid turn, and a turn that only closes a tag is invalid instead of calling a tool with old text.

    >>> parse_call(("python",), "Let me see. <python>2 + 2</python>")
    ParsedAction(action='<python>2 + 2</python>', valid=True)
    >>> parse_call(("python",), "<python>2 + 2")
    ParsedAction(action='<python>2 + 2', valid=False)
    >>> parse_call(("python",), " It is 4. ")
    ParsedAction(action='It is 4.', valid=True)
    """
    names = "|".join(tools)
    marks = re.findall(rf"</?(?:{names})>", text)
    if not marks:
        return ParsedAction(text.strip(), bool(text.strip()))
    # The innermost: no further opening tag inside.
    calls = list(re.finditer(rf"<({names})>((?:(?!<(?:{names})>).)*?)</\1>", text, re.DOTALL))
    calls = [call for call in calls if call[2].strip()]
    if not calls:
        return ParsedAction(text.strip(), False)
    return ParsedAction(calls[-1][0], len(marks) == 2 and not text[calls[-1].end() :].strip())


TOOLS = register_protocol(replace(tool_tags(("python", "search")), name="tools"))
"""With the tools of ARPO (arXiv:2507.19849)."""
