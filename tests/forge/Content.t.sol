// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Content} from "../../contracts/libraries/Content.sol";
import {Secp256k1} from "../../contracts/libraries/Secp256k1.sol";
import {Point} from "../../contracts/types/Point.sol";
import {Test} from "./utils/Test.sol";
import {Witness, Witnesses} from "./utils/Witnesses.sol";

/// @dev Gives the library its calldata, and its reverts a frame.
contract ContentHarness {
    function leafCount(uint64 size) external pure returns (uint64) {
        return Content.leafCount(size);
    }

    function leafLength(uint64 size, uint64 index) external pure returns (uint256) {
        return Content.leafLength(size, index);
    }

    function requireLength(uint64 size, uint64 index, uint256 length) external pure {
        Content.requireLength(size, index, length);
    }

    function leafHash(uint64 index, bytes calldata ciphertext, bytes32 saltedHash)
        external
        pure
        returns (bytes32)
    {
        return Content.leafHash(index, ciphertext, saltedHash);
    }

    function key(Point memory delivery, Point memory opening) external view returns (bytes32) {
        return Content.key(delivery, opening);
    }

    function requireIncluded(bytes32 root, uint64 leaves, uint64 index, bytes32 leaf, bytes32[] calldata path)
        external
        pure
    {
        Content.requireIncluded(root, leaves, index, leaf, path);
    }
}

contract ContentTest is Test {
    /// @dev One stream of `content.json`, its keys in alphabetical order as the decoder needs them.
    struct Stream {
        uint256 chunks;
        bytes32 ciphertextDigest;
        bytes32 contentRoot;
        bytes32 firstLeaf;
        bytes32 firstSalt;
        bytes32 key;
        bytes32 lastLeaf;
        uint256 lastLeafLength;
        bytes32 lastSalt;
        uint256 leaves;
        bytes32 leavesDigest;
        string name;
        bytes32 plaintextDigest;
        uint256 size;
        bytes32 tagsDigest;
    }

    uint64 private constant MAX = 2 ** 52;

    ContentHarness private harness = new ContentHarness();

    // ---- geometry

    function test_TheGeometryOfTheVectors() external view {
        Stream[] memory rows =
            abi.decode(vm.parseJson(vm.readFile("tests/vectors/content.json"), ".streams"), (Stream[]));
        for (uint256 i = 0; i < rows.length; ++i) {
            uint64 size = uint64(rows[i].size);
            uint64 last = Content.leafCount(size) - 1;
            assertEq(last + 1, rows[i].leaves, rows[i].name);
            assertEq(Content.leafLength(size, last), rows[i].lastLeafLength, rows[i].name);
            assertEq(Content.nonce(size, last), ((rows[i].chunks - 1) << 8) + 1, rows[i].name);
        }
    }

    function testFuzz_LeavesAndLengthsCoverTheStream(uint64 size, uint64 index) external view {
        size = uint64(bound(size, 1, MAX));
        uint64 leaves = harness.leafCount(size);
        index = uint64(bound(index, 0, leaves - 1));
        assertTrue(uint256(leaves) * 4096 >= size && uint256(leaves - 1) * 4096 < size, "count");
        uint256 length = harness.leafLength(size, index);
        assertEq(length, index == leaves - 1 ? size - 4096 * uint256(leaves - 1) : 4096, "length");
        harness.requireLength(size, index, length);
    }

    function test_RevertWhen_TheSizeIsOutOfRange() external {
        assertEq(harness.leafCount(1), 1);
        assertEq(harness.leafCount(MAX), 2 ** 40);
        uint64[3] memory bad = [0, MAX + 1, type(uint64).max];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Content.Content_SizeOutOfRange.selector, bad[i], MAX));
            harness.leafCount(bad[i]);
            vm.expectRevert(abi.encodeWithSelector(Content.Content_SizeOutOfRange.selector, bad[i], MAX));
            harness.leafLength(bad[i], 0);
        }
    }

    function testFuzz_RevertWhen_ThereIsNoSuchLeaf(uint64 size, uint64 index) external {
        size = uint64(bound(size, 1, MAX));
        uint64 leaves = harness.leafCount(size);
        index = uint64(bound(index, leaves, type(uint64).max));
        vm.expectRevert(abi.encodeWithSelector(Content.Content_IndexOutOfRange.selector, index, leaves));
        harness.leafLength(size, index);
        vm.expectRevert(abi.encodeWithSelector(Content.Content_IndexOutOfRange.selector, leaves, leaves));
        harness.leafLength(size, leaves);
    }

    function test_RevertWhen_TheLengthIsNotExact() external {
        _expectLength(4095, 4096);
        harness.requireLength(5000, 0, 4095);
        _expectLength(4097, 4096);
        harness.requireLength(5000, 0, 4097);
        _expectLength(903, 904);
        harness.requireLength(5000, 1, 903);
        _expectLength(4096, 904);
        harness.requireLength(5000, 1, 4096);
    }

    function test_TheNonceHasTheChunkAndTheFlag() external pure {
        uint64 mebibyte = 2 ** 20;
        assertEq(Content.nonce(1, 0), 1, "one byte");
        assertEq(Content.nonce(mebibyte, 255), 1, "one full chunk");
        assertEq(Content.nonce(mebibyte + 1, 255), 0, "the first of two");
        assertEq(Content.nonce(mebibyte + 1, 256), 0x101, "the last of two");
        assertEq(Content.nonce(3 * mebibyte, 511), 0x100, "the middle one");
        assertEq(Content.nonce(3 * mebibyte, 512), 0x201, "the last of three");
        assertEq(Content.nonce(MAX, 2 ** 40 - 1), 0xFFFFFFFF01, "the last chunk possible");
        assertEq(Content.nonce(MAX, 2 ** 40 - 257), 0xFFFFFFFE00, "the last but one");
    }

    function test_TheCounterStartsAtTwoInEachChunk() external pure {
        assertEq(Content.counter(0), 2);
        assertEq(Content.counter(1), 258);
        assertEq(Content.counter(255), 65282);
        assertEq(Content.counter(256), 2);
        assertEq(Content.counter(2 ** 40 - 1), 65282);
    }

    // ---- hashes

    function test_TheHashesOfTheVectors() external view {
        Witness[] memory rows = Witnesses.load();
        assertTrue(rows.length >= 20, "vectors");
        for (uint256 i = 0; i < rows.length; ++i) {
            Witness memory w = rows[i];
            assertEq(harness.key(Point(w.dx, w.dy), Point(w.wx, w.wy)), w.key, w.name);
            bool same = Content.plaintextHash(w.key, uint64(w.leaf), w.plaintext) == w.salted;
            assertEq(same, !w.fraud, w.name);
            bytes32 leaf = harness.leafHash(uint64(w.leaf), w.ciphertext, w.salted);
            harness.requireIncluded(
                w.contentRoot, harness.leafCount(uint64(w.size)), uint64(w.leaf), leaf, w.path
            );
        }
    }

    function test_RevertWhen_DeliveryAndOpeningAreEqual() external {
        Point memory p = Secp256k1.nums();
        vm.expectRevert(abi.encodeWithSelector(Secp256k1.Secp256k1_PointAtInfinity.selector, p.x));
        harness.key(p, p);
    }

    // ---- paths

    function test_EveryLeafOfSmallTreesIsIncluded() external view {
        for (uint256 n = 1; n <= 20; ++n) {
            bytes32[] memory leaves = _leaves(n);
            bytes32 root = _root(leaves, 0, n);
            for (uint256 i = 0; i < n; ++i) {
                harness.requireIncluded(root, uint64(n), uint64(i), leaves[i], _path(leaves, i, 0, n));
            }
        }
    }

    function testFuzz_RevertWhen_OneBitIsChanged(uint256 n, uint256 i, uint256 place, uint8 bit) external {
        n = bound(n, 2, 40);
        i = bound(i, 0, n - 1);
        bytes32[] memory leaves = _leaves(n);
        bytes32[] memory path = _path(leaves, i, 0, n);
        bytes32 root = _root(leaves, 0, n);
        bytes32 leaf = leaves[i];
        place = bound(place, 0, path.length + 1);
        bytes32 flip = bytes32(uint256(1) << bit);
        if (place == path.length) leaf ^= flip;
        else if (place == path.length + 1) root ^= flip;
        else path[place] ^= flip;
        vm.expectPartialRevert(Content.Content_WrongRoot.selector);
        harness.requireIncluded(root, uint64(n), uint64(i), leaf, path);
    }

    function test_RevertWhen_TheRootIsAnother() external {
        vm.expectRevert(
            abi.encodeWithSelector(Content.Content_WrongRoot.selector, bytes32("leaf"), bytes32("root"))
        );
        harness.requireIncluded("root", 1, 0, "leaf", new bytes32[](0));
    }

    function testFuzz_RevertWhen_TheIndexIsAnother(uint256 n, uint256 i, uint256 j) external {
        n = bound(n, 2, 40);
        i = bound(i, 0, n - 1);
        j = bound(j, 0, n - 1);
        if (i == j) return;
        bytes32[] memory leaves = _leaves(n);
        bytes32[] memory path = _path(leaves, i, 0, n);
        bytes32[] memory other = _path(leaves, j, 0, n);
        bytes32 root = _root(leaves, 0, n);
        bytes4 selector = path.length == other.length
            ? Content.Content_WrongRoot.selector
            : Content.Content_WrongPathLength.selector;
        vm.expectPartialRevert(selector);
        harness.requireIncluded(root, uint64(n), uint64(j), leaves[i], path);
    }

    function test_RevertWhen_AShortPathEndsInTheRoot() external {
        // The seller commits to the root of two leaves and to a size of four.
        bytes32[] memory leaves = _leaves(2);
        bytes32 root = _root(leaves, 0, 2);
        bytes32[] memory path = _path(leaves, 0, 0, 2);
        vm.expectRevert(abi.encodeWithSelector(Content.Content_WrongPathLength.selector, 1, 0, 4));
        harness.requireIncluded(root, 4, 0, leaves[0], path);
        vm.expectRevert(abi.encodeWithSelector(Content.Content_WrongPathLength.selector, 0, 0, 2));
        harness.requireIncluded(leaves[0], 2, 0, leaves[0], new bytes32[](0));
    }

    function test_RevertWhen_ALongPathEndsInTheRoot() external {
        // The other way round: a root of four leaves and a size of two; and the very root with a node too
        // many.
        bytes32[] memory leaves = _leaves(4);
        bytes32 root = _root(leaves, 0, 4);
        bytes32[] memory path = _path(leaves, 0, 0, 4);
        vm.expectRevert(abi.encodeWithSelector(Content.Content_WrongPathLength.selector, 2, 0, 2));
        harness.requireIncluded(root, 2, 0, leaves[0], path);
        bytes32[] memory one = _leaves(1);
        vm.expectRevert(abi.encodeWithSelector(Content.Content_WrongPathLength.selector, 1, 0, 1));
        harness.requireIncluded(one[0], 1, 0, one[0], one);
    }

    // ---- helpers

    function _expectLength(uint256 given, uint256 needed) private {
        vm.expectRevert(abi.encodeWithSelector(Content.Content_WrongLength.selector, given, needed));
    }

    function _leaves(uint256 n) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](n);
        for (uint256 i = 0; i < n; ++i) {
            leaves[i] = sha256(abi.encode("leaf", i));
        }
    }

    /// @dev The recursive definition of RFC 6962, section 2.1: split at the largest power of two below the
    /// number of leaves.
    function _root(bytes32[] memory leaves, uint256 from, uint256 n) private pure returns (bytes32) {
        if (n == 1) return leaves[from];
        uint256 k = _split(n);
        return sha256(bytes.concat(hex"01", _root(leaves, from, k), _root(leaves, from + k, n - k)));
    }

    /// @dev RFC 6962, section 2.1.1.
    function _path(bytes32[] memory leaves, uint256 i, uint256 from, uint256 n)
        private
        pure
        returns (bytes32[] memory)
    {
        if (n == 1) return new bytes32[](0);
        uint256 k = _split(n);
        if (i < k) return _append(_path(leaves, i, from, k), _root(leaves, from + k, n - k));
        return _append(_path(leaves, i - k, from + k, n - k), _root(leaves, from, k));
    }

    function _split(uint256 n) private pure returns (uint256 k) {
        for (k = 1; 2 * k < n;) {
            k *= 2;
        }
    }

    function _append(bytes32[] memory list, bytes32 item) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = item;
    }
}
