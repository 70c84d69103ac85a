"""Are the transactions of a history strictly serializable? By the cycles of their dependencies; docs/histories.md explains it."""
