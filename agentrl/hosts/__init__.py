"""Where environments live: in this thread, in threads, or in processes that may be killed."""

from agentrl.hosts.base import EnvHost as EnvHost
from agentrl.hosts.base import HostedEnv as HostedEnv
from agentrl.hosts.base import as_host as as_host
from agentrl.hosts.base import make_host as make_host
from agentrl.hosts.faults import EnvFault as EnvFault
from agentrl.hosts.inline import InlineHost as InlineHost
from agentrl.hosts.options import HostOptions as HostOptions
