"""The main job on one machine, told in sentences: ``python -m steelyard.demo`` (``make demo``).

Needs the extra ``demo``.
"""
