"""From conversations to token ids and back: chat templates, context policies and action parsers."""

from agentrl.context.append import AppendContext as AppendContext
from agentrl.context.base import Context as Context
from agentrl.context.base import Conversation as Conversation
from agentrl.context.base import Feed as Feed
from agentrl.context.build import make_context as make_context
from agentrl.context.build import named_context as named_context
from agentrl.context.build import named_protocol as named_protocol
from agentrl.context.build import register_context as register_context
from agentrl.context.chat import ChatFormat as ChatFormat
from agentrl.context.chat import strips_thoughts as strips_thoughts
from agentrl.context.inline import InlineContext as InlineContext
from agentrl.context.protocols import ActionProtocol as ActionProtocol
from agentrl.context.protocols import ParsedAction as ParsedAction
from agentrl.context.protocols import action_protocol as action_protocol
from agentrl.context.protocols import register_protocol as register_protocol
from agentrl.context.tool_tags import tool_tags as tool_tags
from agentrl.context.window import WindowContext as WindowContext
