"""Metered use between two parties: what each may believe, sign and serve. Pure: no disk, no network, no clock (docs/gateway.md)."""
