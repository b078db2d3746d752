// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IChannels} from "../../../contracts/interfaces/IChannels.sol";
import {Meter} from "./support/Meter.sol";

/// @title Trees of receipts, grown by peaks, against the contract's walk along a path
contract ReceiptsTest is Meter {
    bytes32[] private digests;
    // Peaks, largest first, with the number of leaves below each.
    bytes32[] private peaks;
    uint256[] private sizes;

    function setUp() external {
        _start();
    }

    /// @dev All receipts of all trees up to 40, and what is nearly a proof of them.
    function test_proves_everyReceiptOfEveryTree() external {
        vm.pauseGasMetering();
        for (uint64 count = 1; count <= 40; ++count) {
            _append(_receiptDigest(_receipt(count)));
            this.requireTree(count);
        }
    }

    function requireTree(uint64 count) external view {
        bytes32 root = _root();
        for (uint64 sequence = 1; sequence <= count; ++sequence) {
            bytes32[] memory path = _path(0, count, sequence - 1);
            IChannels.Receipt memory r = _receipt(sequence);
            assertTrue(channels.proves(root, r, count, path), "proved");
            assertFalse(channels.proves(~root, r, count, path), "another root");
            // With another number the root is another, whatever the path says.
            assertFalse(channels.proves(root, r, count + 1, path), "one more");
            assertFalse(channels.proves(root, r, count - 1, path), "one less");
            if (path.length != 0) {
                uint256 place = sequence % path.length;
                path[place] ^= bytes32(uint256(1));
                assertFalse(channels.proves(root, r, count, path), "another sibling");
                path[place] ^= bytes32(uint256(1));
                assertFalse(channels.proves(root, r, count, _resized(path, path.length - 1)), "shorter");
            }
            assertFalse(channels.proves(root, r, count, _resized(path, path.length + 1)), "longer");
            r.sequence = sequence == count ? 1 : sequence + 1;
            if (count > 1) assertFalse(channels.proves(root, r, count, path), "another place");
            r.sequence = 0;
            assertFalse(channels.proves(root, r, count, path), "place 0");
            r.sequence = count + 1;
            assertFalse(channels.proves(root, r, count, path), "behind the last");
        }
    }

    /// @dev Every field of a receipt counts, and so do contract and chain.
    function test_proves_refusesAnotherReceipt() external {
        _append(_receiptDigest(_receipt(1)));
        _append(_receiptDigest(_receipt(2)));
        bytes32 root = _root();
        bytes32[] memory path = _path(0, 2, 0);
        for (uint256 i; i < 5; ++i) {
            IChannels.Receipt memory r = _receipt(1);
            if (i == 0) r.channel = 0;
            if (i == 1) r.version = 0;
            if (i == 2) ++r.units;
            if (i == 3) r.request = 0;
            if (i == 4) r.response = 0;
            assertFalse(channels.proves(root, r, 2, path), "a field");
        }
        vm.chainId(block.chainid + 1);
        assertFalse(channels.proves(root, _receipt(1), 2, path), "another chain");
    }

    /// @dev No path shows anything under the root of nothing, nor an inner node as a receipt.
    function test_proves_refusesTheRootOfNothing() external view {
        assertFalse(channels.proves(0, _receipt(1), 0, new bytes32[](0)), "no receipts");
        assertFalse(channels.proves(0, _receipt(1), 1, new bytes32[](0)), "one");
    }

    /// @dev A tree of receipts that are not at the places that they name.
    function test_proves_refusesAReceiptAtAnotherPlace() external {
        _append(_receiptDigest(_receipt(2)));
        assertFalse(channels.proves(_root(), _receipt(2), 1, new bytes32[](0)), "behind the last");
        _append(_receiptDigest(_receipt(1)));
        bytes32 root = _root();
        assertFalse(channels.proves(root, _receipt(1), 2, _path(0, 2, 1)), "the first at the second place");
        assertFalse(channels.proves(root, _receipt(2), 2, _path(0, 2, 0)), "the second at the first place");
    }

    /// @dev Roots made for a path that is too long or too short: a number of receipts has one length of path.
    function test_proves_refusesRootsMadeForOtherPaths() external view {
        IChannels.Receipt memory r = _receipt(1);
        bytes32 leaf = _leaf(_receiptDigest(r));
        bytes32[] memory path = new bytes32[](1);
        path[0] = keccak256("sibling");
        bytes32 root = keccak256(abi.encodePacked(bytes1(0x02), uint64(1), _inner(path[0], leaf)));
        assertFalse(channels.proves(root, r, 1, path), "too long");
        root = keccak256(abi.encodePacked(bytes1(0x02), uint64(2), leaf));
        assertFalse(channels.proves(root, r, 2, new bytes32[](0)), "too short");
    }

    function test_proves_largestTree() external view {
        // A path of 64 siblings under 2^64-1 receipts: the first of them, whose node is always left.
        bytes32[] memory path = new bytes32[](64);
        IChannels.Receipt memory r = _receipt(1);
        bytes32 node_ = keccak256(abi.encodePacked(bytes1(0x00), _receiptDigest(r)));
        for (uint256 i; i < 64; ++i) {
            path[i] = keccak256(abi.encode(i));
            node_ = keccak256(abi.encodePacked(bytes1(0x01), node_, path[i]));
        }
        bytes32 root = keccak256(abi.encodePacked(bytes1(0x02), type(uint64).max, node_));
        assertTrue(channels.proves(root, r, type(uint64).max, path), "proved");
    }

    // --- the tree, from docs/metering.md ------------------------------------------------------------------

    function _receipt(uint64 sequence) private view returns (IChannels.Receipt memory) {
        return IChannels.Receipt({
            channel: keccak256("channel"),
            sequence: sequence,
            version: model.id,
            units: 1 + sequence % 3,
            request: keccak256(abi.encode("request", sequence)),
            response: keccak256(abi.encode("response", sequence))
        });
    }

    /// @dev As a gateway appends: equal peaks merge.
    function _append(bytes32 digest) private {
        digests.push(digest);
        (bytes32 peak, uint256 size) = (_leaf(digest), 1);
        while (sizes.length != 0 && sizes[sizes.length - 1] == size) {
            peak = _inner(peaks[peaks.length - 1], peak);
            size *= 2;
            peaks.pop();
            sizes.pop();
        }
        peaks.push(peak);
        sizes.push(size);
    }

    function _root() private view returns (bytes32) {
        bytes32 top = peaks[peaks.length - 1];
        for (uint256 i = peaks.length - 1; i > 0; --i) {
            top = _inner(peaks[i - 1], top);
        }
        return keccak256(abi.encodePacked(bytes1(0x02), uint64(digests.length), top));
    }

    function _top(uint256 first, uint256 count) private view returns (bytes32) {
        if (count == 1) return _leaf(digests[first]);
        uint256 left = _split(count);
        return _inner(_top(first, left), _top(first + left, count - left));
    }

    /// @dev The largest power of two below the number.
    function _split(uint256 count) private pure returns (uint256 left) {
        left = 1;
        while (left * 2 < count) {
            left *= 2;
        }
    }

    /// @dev The path of the leaf at `index` among `count` leaves from `first`, from the leaf up.
    function _path(uint256 first, uint256 count, uint256 index) private view returns (bytes32[] memory path) {
        if (count == 1) return path;
        uint256 left = _split(count);
        bool isLeft = index < left;
        bytes32[] memory below =
            isLeft ? _path(first, left, index) : _path(first + left, count - left, index - left);
        path = _resized(below, below.length + 1);
        path[below.length] = isLeft ? _top(first + left, count - left) : _top(first, left);
    }

    function _resized(bytes32[] memory from, uint256 length) private pure returns (bytes32[] memory to) {
        to = new bytes32[](length);
        for (uint256 i; i < length && i < from.length; ++i) {
            to[i] = from[i];
        }
    }

    function _leaf(bytes32 digest) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x00), digest));
    }

    function _inner(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
