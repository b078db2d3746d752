"""The content store: one small interface, an embedded store, Kubo, and the UnixFS code that both stand on.

Nothing that a store returns is believed before it is hashed. See docs/store.md.
"""
