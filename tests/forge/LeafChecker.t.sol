// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LeafChecker} from "../../contracts/LeafChecker.sol";
import {ILeafChecker} from "../../contracts/interfaces/ILeafChecker.sol";
import {Content} from "../../contracts/libraries/Content.sol";
import {Test} from "./utils/Test.sol";
import {Witness, Witnesses} from "./utils/Witnesses.sol";

contract LeafCheckerTest is Test {
    uint64 private constant MAX = 2 ** 52;

    ILeafChecker private checker = new LeafChecker();

    function test_AllVectorsAreCommittedAndJudgedRight() external view {
        Witness[] memory rows = Witnesses.load();
        uint256 frauds;
        for (uint256 i = 0; i < rows.length; ++i) {
            Witness memory w = rows[i];
            _requireCommitted(w);
            assertEq(_opens(w), !w.fraud, w.name);
            if (w.fraud) ++frauds;
        }
        assertTrue(frauds > 0 && frauds < rows.length, "both outcomes");
    }

    function test_RevertsComeInTheOrderOfTheManual() external {
        // All wrong at once; then one repaired after the other.
        Witness memory w = _last();
        Witness memory bad = _last();
        (bad.size, bad.leaf, bad.ciphertext) = (0, w.size, bytes.concat(w.ciphertext, "x"));
        (bad.path, bad.contentRoot) = (new bytes32[](w.path.length + 1), 0);

        vm.expectRevert(abi.encodeWithSelector(Content.Content_SizeOutOfRange.selector, 0, MAX));
        _requireCommitted(bad);
        bad.size = w.size;
        vm.expectRevert(abi.encodeWithSelector(Content.Content_IndexOutOfRange.selector, w.size, w.leaf + 1));
        _requireCommitted(bad);
        bad.leaf = w.leaf;
        vm.expectRevert(
            abi.encodeWithSelector(
                Content.Content_WrongLength.selector, w.ciphertext.length + 1, w.ciphertext.length
            )
        );
        _requireCommitted(bad);
        bad.ciphertext = w.ciphertext;
        vm.expectRevert(
            abi.encodeWithSelector(
                Content.Content_WrongPathLength.selector, w.path.length + 1, w.leaf, w.leaf + 1
            )
        );
        _requireCommitted(bad);
        bad.path = w.path;
        vm.expectPartialRevert(Content.Content_WrongRoot.selector);
        _requireCommitted(bad);
        bad.contentRoot = w.contentRoot;
        _requireCommitted(bad);
    }

    function test_RevertWhen_ThePartsAreNotOfOneLeaf() external {
        Witness memory w = _named("true leaf 1 of 12289");
        Witness memory other = _named("true leaf 2 of 12289");
        bytes memory ciphertext = w.ciphertext;
        w.ciphertext = other.ciphertext;
        vm.expectPartialRevert(Content.Content_WrongRoot.selector);
        _requireCommitted(w);
        w.ciphertext = ciphertext;
        bytes32 salted = w.salted;
        w.salted = other.salted;
        vm.expectPartialRevert(Content.Content_WrongRoot.selector);
        _requireCommitted(w);
        w.salted = salted;
        w.leaf = 2;
        vm.expectPartialRevert(Content.Content_WrongRoot.selector);
        _requireCommitted(w);
        // The index is in the leaf too: the path alone would accept this one.
        w.leaf = 0;
        w.size = 1;
        w.path = new bytes32[](0);
        w.ciphertext = hex"42";
        w.contentRoot = sha256(abi.encodePacked(bytes1(0), uint64(1), sha256(w.ciphertext), w.salted));
        vm.expectPartialRevert(Content.Content_WrongRoot.selector);
        _requireCommitted(w);
        w.contentRoot = sha256(abi.encodePacked(bytes1(0), uint64(0), sha256(w.ciphertext), w.salted));
        _requireCommitted(w);
    }

    function test_RevertWhen_AWrongLengthIsUnderARootThatFitsIt() external {
        Witness memory w = _named("true leaf 0 of 17");
        w.ciphertext = new bytes(18);
        w.contentRoot = sha256(abi.encodePacked(bytes1(0), uint64(0), sha256(w.ciphertext), w.salted));
        vm.expectRevert(abi.encodeWithSelector(Content.Content_WrongLength.selector, 18, 17));
        _requireCommitted(w);
        w.ciphertext = new bytes(16);
        w.contentRoot = sha256(abi.encodePacked(bytes1(0), uint64(0), sha256(w.ciphertext), w.salted));
        vm.expectRevert(abi.encodeWithSelector(Content.Content_WrongLength.selector, 16, 17));
        _requireCommitted(w);
    }

    function test_ALeafDoesNotOpenWithOtherParameters() external view {
        Witness memory w = _named("true leaf 1 of 12289");
        assertTrue(_opens(w), "as committed");
        w.key ^= bytes32(uint256(1));
        assertFalse(_opens(w), "another key");
        w.key ^= bytes32(uint256(1));
        w.leaf = 2;
        assertFalse(_opens(w), "another index");
        w.leaf = 1;
        w.size = 2 ** 20 + 1;
        assertFalse(_opens(w), "another last flag");
        w.size = 2 ** 20;
        assertTrue(_opens(w), "the same flag");
        w.ciphertext[4095] ^= 0x01;
        assertFalse(_opens(w), "one bit of the ciphertext");
        w.ciphertext[4095] ^= 0x01;
        w.salted ^= bytes32(uint256(1));
        assertFalse(_opens(w), "one bit of the hash");
    }

    function test_RevertWhen_OpensIsAskedAboutNoLeaf() external {
        Witness memory w = _last();
        (uint256 size, uint256 leaf) = (w.size, w.leaf);
        w.size = MAX + 1;
        vm.expectRevert(abi.encodeWithSelector(Content.Content_SizeOutOfRange.selector, MAX + 1, MAX));
        _opens(w);
        w.size = size;
        w.leaf = leaf + 1;
        vm.expectRevert(abi.encodeWithSelector(Content.Content_IndexOutOfRange.selector, leaf + 1, leaf + 1));
        _opens(w);
        w.leaf = leaf;
        w.ciphertext = new bytes(4096);
        vm.expectRevert(abi.encodeWithSelector(Content.Content_WrongLength.selector, 4096, 4091));
        _opens(w);
    }

    function test_GasStaysBelowTheLimit() external view {
        Witness memory w = _named("false leaf 511 of 3141627");
        assertEq(w.ciphertext.length, 4096);
        uint256 before = gasleft();
        _requireCommitted(w);
        _opens(w);
        assertLt(before - gasleft(), 1_800_000, "gas of one full leaf");
    }

    // ---- helpers

    function _requireCommitted(Witness memory w) private view {
        checker.requireCommitted(
            w.contentRoot, uint64(w.size), uint64(w.leaf), w.ciphertext, w.salted, w.path
        );
    }

    function _opens(Witness memory w) private view returns (bool) {
        return checker.opens(w.key, uint64(w.size), uint64(w.leaf), w.ciphertext, w.salted);
    }

    /// @dev The last leaf of the longest stream, 4091 bytes.
    function _last() private view returns (Witness memory) {
        return _named("true leaf 766 of 3141627");
    }

    function _named(string memory name) private view returns (Witness memory) {
        Witness[] memory rows = Witnesses.load();
        for (uint256 i = 0; i < rows.length; ++i) {
            if (keccak256(bytes(rows[i].name)) == keccak256(bytes(name))) return rows[i];
        }
        revert(name);
    }
}
