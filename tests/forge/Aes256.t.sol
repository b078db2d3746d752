// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Aes256} from "../../contracts/libraries/Aes256.sol";
import {TableAes} from "./utils/TableAes.sol";
import {Test} from "./utils/Test.sol";

/// @dev Gives the library its calldata.
contract Aes256Harness {
    function applyKeystream(bytes32 key, uint96 nonce, uint32 counter, bytes calldata input)
        external
        pure
        returns (bytes memory)
    {
        return Aes256.applyKeystream(key, nonce, counter, input);
    }

    /// @dev Gas of the call, and the memory words before and behind what the library allocated for the
    /// output.
    function measure(bytes32 key, uint96 nonce, uint32 counter, bytes calldata input)
        external
        view
        returns (uint256)
    {
        uint256 before = gasleft();
        Aes256.applyKeystream(key, nonce, counter, input);
        return before - gasleft();
    }

    /// @dev The word that follows the output and its padding: the first of the key schedule, which is not
    /// touched later and begins with the pointers to the round keys.
    function wordBehind(bytes32 key, bytes calldata input)
        external
        pure
        returns (uint256 offset, uint256 word)
    {
        bytes memory output = Aes256.applyKeystream(key, 0, 0, input);
        uint256 end = 32 + (output.length + 31) / 32 * 32;
        assembly ("memory-safe") {
            word := mload(add(output, end))
            offset := output
        }
        offset += end;
    }
}

contract Aes256Test is Test {
    Aes256Harness private harness = new Aes256Harness();

    function test_ThePublishedCounterModeVector() external view {
        // NIST SP 800-38A, F.5.5; its counter blocks go from f0f1...feff to f0f1...ff02.
        bytes memory actual = harness.applyKeystream(
            0x603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4,
            0xf0f1f2f3f4f5f6f7f8f9fafb,
            0xfcfdfeff,
            hex"6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
            hex"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
        );
        assertEq(
            actual,
            hex"601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
            hex"2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
        );
    }

    function test_ThePublishedBlock() external view {
        // FIPS 197, C.3: the block is the counter block, so the output for zeros is the ciphertext.
        bytes32 key = 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f;
        bytes memory actual =
            harness.applyKeystream(key, 0x00112233445566778899aabb, 0xccddeeff, new bytes(16));
        assertEq(actual, hex"8ea2b7ca516745bfeafc49904b496089");
        assertEq(
            TableAes.encrypt(key, 0x00112233445566778899aabbccddeeff),
            bytes16(0x8ea2b7ca516745bfeafc49904b496089)
        );
    }

    /// forge-config: default.fuzz.runs = 8
    /// forge-config: long.fuzz.runs = 300
    function testFuzz_EqualsATableBasedAes(bytes32 key, uint96 nonce, uint32 counter, bytes32 seed)
        external
        view
    {
        counter = uint32(bound(counter, 0, type(uint32).max - 20));
        bytes memory input = new bytes(20 * 16);
        for (uint256 i = 0; i < input.length; ++i) {
            input[i] = keccak256(abi.encode(seed, i))[0];
        }
        bytes memory actual = harness.applyKeystream(key, nonce, counter, input);
        for (uint256 i = 0; i < 20; ++i) {
            bytes16 block_ = TableAes.encrypt(key, bytes16((uint128(nonce) << 32) | (counter + uint32(i))));
            for (uint256 j = 16 * i; j < 16 * i + 16; ++j) {
                assertEq(uint256(uint8(actual[j])), uint8(input[j] ^ block_[j % 16]), "byte");
            }
        }
    }

    /// forge-config: default.fuzz.runs = 32
    /// forge-config: long.fuzz.runs = 300
    function testFuzz_ASecondApplicationUndoesTheFirst(
        bytes32 key,
        uint96 nonce,
        uint32 counter,
        bytes memory input
    ) external view {
        counter = uint32(bound(counter, 0, type(uint32).max - input.length / 16 - 1));
        bytes memory once = harness.applyKeystream(key, nonce, counter, input);
        assertEq(harness.applyKeystream(key, nonce, counter, once), input);
    }

    function test_AShortInputGivesTheBeginningOfTheLongOutput() external view {
        bytes memory long = harness.applyKeystream("key", 7, 2, new bytes(600));
        uint16[14] memory lengths = [0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 257, 288, 511, 513];
        for (uint256 i = 0; i < lengths.length; ++i) {
            bytes memory short = harness.applyKeystream("key", 7, 2, new bytes(lengths[i]));
            assertEq(short.length, lengths[i], "length");
            for (uint256 j = 0; j < short.length; ++j) {
                assertTrue(short[j] == long[j], "byte");
            }
        }
    }

    function test_NothingIsWrittenBehindTheOutput() external view {
        // The word behind is the first pointer of the key schedule, into memory of the library further up.
        uint8[5] memory lengths = [0, 1, 32, 33, 255];
        for (uint256 i = 0; i < lengths.length; ++i) {
            (uint256 offset, uint256 word) = harness.wordBehind("key", new bytes(lengths[i]));
            assertTrue(word > offset && word < offset + 0x4000, "the key schedule was overwritten");
        }
    }

    function test_GasStaysBelowTheLimit() external view {
        assertLt(harness.measure("key", 7, 2, new bytes(4096)), 1_700_000, "gas of 4096 bytes");
    }
}
