// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Receipts
/// @notice Membership in a tree of receipts: a Merkle mountain range, bagged from the right, of RFC 6962 shape. See docs/metering.md.
library Receipts {
    /// @dev Whether the receipt of a digest is number `sequence`, from 1, of the `count` under `root`. Walks as RFC 9162 2.1.3.2: `index` and
    /// `last` are the places of the node and of the last one in their row; a node that is last in its row without a sibling is lifted.
    function proves(bytes32 root, bytes32 digest, uint64 sequence, uint64 count, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        if (sequence == 0 || sequence > count) return false;
        uint256 index = sequence - 1;
        uint256 last = count - 1;
        bytes32 node = keccak256(abi.encodePacked(bytes1(0x00), digest));
        for (uint256 i; i < path.length; ++i) {
            if (last == 0) return false;
            if (index % 2 == 1 || index == last) {
                node = keccak256(abi.encodePacked(bytes1(0x01), path[i], node));
                while (index % 2 == 0 && index != 0) {
                    index /= 2;
                    last /= 2;
                }
            } else {
                node = keccak256(abi.encodePacked(bytes1(0x01), node, path[i]));
            }
            index /= 2;
            last /= 2;
        }
        return last == 0 && keccak256(abi.encodePacked(bytes1(0x02), count, node)) == root;
    }
}
