"""``python -m agentrl``: the command line."""

from agentrl.cli import main

main()
