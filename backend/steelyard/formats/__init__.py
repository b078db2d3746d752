"""What a model or data file holds, told from its content. Nothing is loaded, unpickled or run; see docs/formats.md.

Pure: bytes come through a :class:`~steelyard.formats.window.Window`, which bounds all that is read.
"""
