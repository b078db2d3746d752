"""The chain: a plain JSON-RPC reader, the contracts' calls and logs, and the one place that signs."""
