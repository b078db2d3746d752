"""Measurements of gas and speed against peers and bare primitives: ``make bench``. Nothing in here asserts a time."""
