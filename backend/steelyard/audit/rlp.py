"""RLP, which lies in :mod:`steelyard.domain.rlp`: the name that older code imports."""

from steelyard.domain.rlp import Item, decode, decode_list, encode, encode_int, integer, string, word

__all__ = ["Item", "decode", "decode_list", "encode", "encode_int", "integer", "string", "word"]
