"""The index: a fold of the chain's log into a database, and who keeps it up to date (docs/index.md)."""
