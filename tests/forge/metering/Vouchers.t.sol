// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vouchers} from "../../../contracts/metering/Vouchers.sol";
import {Test} from "../utils/Test.sol";

/// @title Signatures of vouchers, compact, as no channel can be made to have them
contract VouchersTest is Test {
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    /// @dev G.x: the r of a signature with nonce 1. G.y is even.
    bytes32 private constant R = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798;

    /// @dev The lower half to the unit. With key and nonce 1, a digest of s - r has the signature s.
    function test_signs_lowerHalf() external pure {
        address one = vm.addr(1);
        for (uint256 i; i < 3; ++i) {
            uint256 s = ORDER / 2 - 1 + i;
            bytes32 digest = bytes32(addmod(s, ORDER - uint256(R), ORDER));
            assertEq(ecrecover(digest, 27, R, bytes32(s)), one, "it is a signature");
            assertEq(Vouchers.signs(one, digest, R, bytes32(s)), i != 2, "in the lower half");
        }
    }

    /// @dev The upper bit of `vs` is the parity, and nothing else is.
    function testFuzz_signs_itsSigner(uint256 key, bytes32 digest) external pure {
        key = bound(key, 1, ORDER - 1);
        (bytes32 r, bytes32 vs) = vm.signCompact(key, digest);
        assertTrue(Vouchers.signs(vm.addr(key), digest, r, vs), "signed");
        assertFalse(
            Vouchers.signs(vm.addr(key), digest, r, vs ^ bytes32(uint256(1) << 255)), "the other parity"
        );
        assertFalse(Vouchers.signs(vm.addr(key), ~digest, r, vs), "another digest");
    }
}
