"""One use case per file, over the chain, the store and the pure rules.

The facade is :class:`steelyard.Market`.
"""
