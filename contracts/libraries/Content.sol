// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "../types/Point.sol";
import {Secp256k1} from "./Secp256k1.sol";

/// @title Content
/// @notice Shape and commitments of the plaintext stream of a version, as `docs/encryption-format.md` defines
/// them, and the content key as `docs/key-delivery.md` does. Counts, lengths and the last flag all follow
/// from the size of the stream.
/// @dev Sizes and lengths are in bytes; leaves and chunks are counted from zero.
library Content {
    /// @notice Thrown when the size of a stream is outside [1, max].
    error Content_SizeOutOfRange(uint64 size, uint64 max);

    /// @notice Thrown when a stream of this many leaves has no leaf `index`.
    error Content_IndexOutOfRange(uint64 index, uint64 leaves);

    /// @notice Thrown when the bytes given for a leaf are not as many as the leaf has.
    error Content_WrongLength(uint256 given, uint256 needed);

    /// @notice Thrown when a Merkle path has more or fewer nodes than lie between leaf `index` and the root
    /// of this many leaves.
    error Content_WrongPathLength(uint256 given, uint64 index, uint64 leaves);

    /// @notice Thrown when a Merkle path of the right length leads to another root than the one committed to.
    error Content_WrongRoot(bytes32 computed, bytes32 committed);

    /// @dev Bytes of every leaf but the last.
    uint64 internal constant LEAF_SIZE = 4096;

    /// @dev Leaves of every chunk but the last: chunks are 1 MiB.
    uint64 internal constant LEAVES_PER_CHUNK = 256;

    /// @dev AES blocks of every leaf but the last.
    uint64 internal constant BLOCKS_PER_LEAF = 256;

    /// @dev Counter of the first data block of a chunk: GCM keeps 1 for the tag.
    uint64 internal constant FIRST_COUNTER = 2;

    /// @dev Greatest size of a stream, 2^32 chunks: the index of a chunk has 32 bits in the nonce.
    uint64 internal constant MAX_SIZE = 2 ** 52;

    string private constant KEY_LABEL = "steelyard/content-key/v1";
    string private constant SALT_LABEL = "steelyard/leaf-salt/v1";
    bytes1 private constant LEAF_PREFIX = 0x00;
    bytes1 private constant NODE_PREFIX = 0x01;

    /// @notice Content key that a delivery opens to: `SHA-256(label || M.x || M.y)` with `M = delivery -
    /// opening`.
    /// @dev Both points are of the curve, as their proofs have shown. With valid proofs `M = kappa*P` is
    /// never infinity.
    /// @custom:reverts Secp256k1_PointAtInfinity when the points are equal
    function key(Point memory delivery, Point memory opening) internal view returns (bytes32) {
        Point memory keyPoint = Secp256k1.subtract(delivery, opening);
        return sha256(abi.encodePacked(KEY_LABEL, keyPoint.x, keyPoint.y));
    }

    /// @notice Number of leaves of a stream.
    /// @custom:reverts Content_SizeOutOfRange when the size is zero or above `MAX_SIZE`
    function leafCount(uint64 size) internal pure returns (uint64) {
        if (size == 0 || size > MAX_SIZE) revert Content_SizeOutOfRange(size, MAX_SIZE);
        return (size - 1) / LEAF_SIZE + 1;
    }

    /// @notice Exact length of leaf `index` of a stream.
    /// @custom:reverts Content_SizeOutOfRange when the size is zero or above `MAX_SIZE`
    /// @custom:reverts Content_IndexOutOfRange when there is no such leaf
    function leafLength(uint64 size, uint64 index) internal pure returns (uint256) {
        uint64 leaves = leafCount(size);
        if (index >= leaves) revert Content_IndexOutOfRange(index, leaves);
        return index + 1 < leaves ? LEAF_SIZE : size - index * LEAF_SIZE;
    }

    /// @notice Reverts unless leaf `index` of a stream exists and has exactly `length` bytes.
    /// @custom:reverts Content_SizeOutOfRange when the size is zero or above `MAX_SIZE`
    /// @custom:reverts Content_IndexOutOfRange when there is no such leaf
    /// @custom:reverts Content_WrongLength when the leaf has another length
    function requireLength(uint64 size, uint64 index, uint256 length) internal pure {
        uint256 needed = leafLength(size, index);
        if (length != needed) revert Content_WrongLength(length, needed);
    }

    /// @notice Nonce of the chunk that leaf `index` is in: 7 zero bytes, the chunk as 32 bits, 1 for the last
    /// chunk, else 0.
    /// @dev The leaf must exist: see `leafLength`.
    function nonce(uint64 size, uint64 index) internal pure returns (uint96) {
        uint64 chunk = index / LEAVES_PER_CHUNK;
        bool last = chunk == (leafCount(size) - 1) / LEAVES_PER_CHUNK;
        return (uint96(chunk) << 8) | (last ? 1 : 0);
    }

    /// @notice Counter of the first AES block of leaf `index` within its chunk.
    function counter(uint64 index) internal pure returns (uint32) {
        return uint32(FIRST_COUNTER + BLOCKS_PER_LEAF * (index % LEAVES_PER_CHUNK));
    }

    /// @notice Salted hash of a leaf's plaintext, the value that the seller commits to.
    function plaintextHash(bytes32 contentKey, uint64 index, bytes memory plaintext)
        internal
        pure
        returns (bytes32)
    {
        bytes32 salt = sha256(abi.encodePacked(SALT_LABEL, contentKey, index));
        return sha256(abi.encodePacked(salt, plaintext));
    }

    /// @notice Hash of a leaf of the content tree.
    /// @param saltedHash `plaintextHash` of the leaf, as committed to.
    function leafHash(uint64 index, bytes calldata ciphertext, bytes32 saltedHash)
        internal
        pure
        returns (bytes32)
    {
        return sha256(abi.encodePacked(LEAF_PREFIX, index, sha256(ciphertext), saltedHash));
    }

    /// @notice Reverts unless `path` leads from `leaf` at `index` to `root` in a Merkle tree of the RFC 6962
    /// shape.
    /// @dev A node has no sibling where its level ends with it on the left side; it is then handed up as it
    /// is.
    /// @param leaves Number of leaves of the tree, more than `index`.
    /// @param path Siblings from the leaf upwards.
    /// @custom:reverts Content_WrongPathLength when the path ends below the root or goes on above it
    /// @custom:reverts Content_WrongRoot when the path ends in another root
    function requireIncluded(bytes32 root, uint64 leaves, uint64 index, bytes32 leaf, bytes32[] calldata path)
        internal
        pure
    {
        bytes32 node = leaf;
        uint256 used;
        // `position` of the node and `last` of its level, while there is a level above.
        (uint64 position, uint64 last) = (index, leaves - 1);
        while (last != 0) {
            if (position % 2 == 1 || position < last) {
                if (used == path.length) revert Content_WrongPathLength(path.length, index, leaves);
                bytes32 sibling = path[used++];
                node = position % 2 == 1 ? _parent(sibling, node) : _parent(node, sibling);
            }
            (position, last) = (position / 2, last / 2);
        }
        if (used != path.length) revert Content_WrongPathLength(path.length, index, leaves);
        if (node != root) revert Content_WrongRoot(node, root);
    }

    function _parent(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(NODE_PREFIX, left, right));
    }
}
