"""Credit over episodes that share their first turns: forests, their nodes and subtrees."""
