// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Aes256
/// @notice AES-256 in counter mode (FIPS 197, NIST SP 800-38A), sixteen blocks at a time.
/// @dev Bit slicing: eight words of 256 bits, the planes, hold sixteen blocks of 128 bits. Plane `j` has bit
/// `j` of every byte of every block. Within a plane, byte `k` of the upper half belongs to byte `k` of the
/// even blocks, byte `k` of the lower half to byte `k` of the odd blocks, and bit `t` in it to block `2t` or
/// `2t + 1`. So all sixteen blocks go through the S-box as one Boolean circuit, without a table; ShiftRows
/// and MixColumns move whole bytes; and the planes are the transpose, bit against word, of eight words with
/// two blocks each.
///
/// The S-box inverts in a tower of fields: GF(256) over GF(16) over GF(4), each level with a normal basis
/// {Y^16, Y}, {Z^4, Z}, {W^2, W}, where Y = 0xFE, Z = 0x5C and W = 0xBC in the field of FIPS 197. Y, Z and W
/// have trace 1; Z has the norm W. The basis was found by counting gates over all choices. The constant 0x63
/// of the S-box passes ShiftRows and MixColumns unchanged, because the coefficients 2, 3, 1, 1 add up to 1,
/// and is added to the round keys instead.
library Aes256 {
    /// @dev Rounds after the first key addition.
    uint256 private constant ROUNDS = 14;

    /// @dev Bytes that one batch of sixteen blocks covers.
    uint256 private constant BATCH_SIZE = 256;

    /// @dev The lowest bit of each byte.
    uint256 private constant LOW_BITS = 0x0101010101010101010101010101010101010101010101010101010101010101;

    /// @dev The lower half of each byte, of each half byte and of each quarter byte.
    uint256 private constant FOUR_BITS = 0x0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F;
    uint256 private constant TWO_BITS = 0x3333333333333333333333333333333333333333333333333333333333333333;
    uint256 private constant ONE_BIT = 0x5555555555555555555555555555555555555555555555555555555555555555;

    /// @dev The constant of the S-box, in the four bytes of a key word.
    uint32 private constant SBOX_CONSTANT = 0x63636363;

    /// @notice Encrypts or decrypts `input` in counter mode.
    /// @param key The 256-bit key.
    /// @param nonce Upper 96 bits of every counter block.
    /// @param counter Lower 32 bits of the first counter block; the last one must not exceed 2^32 - 1.
    /// @param input At most `(2^32 - counter) * 16` bytes.
    function applyKeystream(bytes32 key, uint96 nonce, uint32 counter, bytes calldata input)
        internal
        pure
        returns (bytes memory output)
    {
        output = new bytes(input.length);
        uint256[8][15] memory roundKeys = _expandKey(key);
        uint256[8] memory state;
        for (uint256 start = 0; start < input.length; start += BATCH_SIZE) {
            _keystream(state, roundKeys, (uint256(nonce) << 32) | (counter + start / 16));
            for (uint256 i = 0; i < 8; ++i) {
                uint256 offset = start + 32 * i;
                if (offset >= input.length) break;
                bytes32 word = bytes32(input[offset:]) ^ bytes32(state[i]);
                // Safe: `offset` is below the length, so the 32 bytes end within the array or in the padding
                // up to a whole word that `new bytes` allocates with it.
                assembly ("memory-safe") {
                    mstore(add(add(output, 32), offset), word)
                }
            }
        }
    }

    /// @dev Leaves in `state` the encryption of the sixteen blocks `first`, `first + 1`, ...: two blocks to a
    /// word.
    function _keystream(uint256[8] memory state, uint256[8][15] memory roundKeys, uint256 first)
        private
        pure
    {
        for (uint256 i = 0; i < 8; ++i) {
            state[i] = ((first + 2 * i) << 128) | (first + 2 * i + 1);
        }
        _transpose(state);
        _addKey(state, roundKeys[0]);
        for (uint256 round = 1; round < ROUNDS; ++round) {
            _substitute(state);
            _diffuse(state, roundKeys[round]);
        }
        _substitute(state);
        for (uint256 i = 0; i < 8; ++i) {
            state[i] = _shiftRows(state[i]);
        }
        _addKey(state, roundKeys[ROUNDS]);
        _transpose(state);
    }

    /// @dev Key schedule of FIPS 197, section 5.2, in planes: the round keys, all but the first with the
    /// constant of the S-box.
    function _expandKey(bytes32 key) private pure returns (uint256[8][15] memory roundKeys) {
        uint32[60] memory words;
        for (uint256 i = 0; i < 8; ++i) {
            words[i] = uint32(uint256(key) >> (224 - 32 * i));
        }
        uint32 roundConstant = 0x01000000;
        for (uint256 i = 8; i < 60; ++i) {
            uint32 word = words[i - 1];
            if (i % 8 == 0) {
                word = _substituteWord((word << 8) | (word >> 24)) ^ roundConstant;
                roundConstant <<= 1;
            } else if (i % 8 == 4) {
                word = _substituteWord(word);
            }
            words[i] = words[i - 8] ^ word;
        }
        for (uint256 round = 0; round <= ROUNDS; ++round) {
            uint256 packed;
            for (uint256 i = 0; i < 4; ++i) {
                packed = (packed << 32) | (words[4 * round + i] ^ (round == 0 ? 0 : SBOX_CONSTANT));
            }
            packed |= packed << 128;
            uint256[8] memory roundKey = roundKeys[round];
            for (uint256 j = 0; j < 8; ++j) {
                // Each bit spread over its byte, because all blocks take the same key.
                roundKey[j] = ((packed >> j) & LOW_BITS) * 0xFF;
            }
        }
    }

    /// @dev The S-box on the four bytes of a word.
    function _substituteWord(uint32 word) private pure returns (uint32 result) {
        uint256[8] memory planes;
        for (uint256 j = 0; j < 8; ++j) {
            planes[j] = (word >> j) & LOW_BITS;
        }
        _substitute(planes);
        for (uint256 j = 0; j < 8; ++j) {
            result |= uint32((planes[j] & LOW_BITS) << j);
        }
        result ^= SBOX_CONSTANT;
    }

    /// @dev Exchanges word index and bit index: bit `j` of each byte of word `t` against bit `t` of that byte
    /// of word `j`. Its own inverse.
    function _transpose(uint256[8] memory s) private pure {
        (s[0], s[4]) = _exchange(s[0], s[4], 4, FOUR_BITS);
        (s[1], s[5]) = _exchange(s[1], s[5], 4, FOUR_BITS);
        (s[2], s[6]) = _exchange(s[2], s[6], 4, FOUR_BITS);
        (s[3], s[7]) = _exchange(s[3], s[7], 4, FOUR_BITS);
        (s[0], s[2]) = _exchange(s[0], s[2], 2, TWO_BITS);
        (s[1], s[3]) = _exchange(s[1], s[3], 2, TWO_BITS);
        (s[4], s[6]) = _exchange(s[4], s[6], 2, TWO_BITS);
        (s[5], s[7]) = _exchange(s[5], s[7], 2, TWO_BITS);
        (s[0], s[1]) = _exchange(s[0], s[1], 1, ONE_BIT);
        (s[2], s[3]) = _exchange(s[2], s[3], 1, ONE_BIT);
        (s[4], s[5]) = _exchange(s[4], s[5], 1, ONE_BIT);
        (s[6], s[7]) = _exchange(s[6], s[7], 1, ONE_BIT);
    }

    /// @dev Exchanges the bits of `b` under `mask` with those of `a` that are `distance` higher.
    function _exchange(uint256 a, uint256 b, uint256 distance, uint256 mask)
        private
        pure
        returns (uint256, uint256)
    {
        uint256 difference = ((a >> distance) ^ b) & mask;
        return (a ^ (difference << distance), b ^ difference);
    }

    function _addKey(uint256[8] memory s, uint256[8] memory roundKey) private pure {
        for (uint256 j = 0; j < 8; ++j) {
            s[j] ^= roundKey[j];
        }
    }

    /// @dev The S-box on all planes, without its constant.
    function _substitute(uint256[8] memory s) private pure {
        // Coordinates in the tower, thirteen gates.
        {
            (uint256 x0, uint256 x1, uint256 x2, uint256 x3) = (s[0], s[1], s[2], s[3]);
            (uint256 x4, uint256 x5, uint256 x6, uint256 x7) = (s[4], s[5], s[6], s[7]);
            x6 ^= x0;
            x5 ^= x6;
            s[4] = x5;
            s[3] = x4 ^ x5;
            s[0] = x1 ^ x5;
            x5 ^= x7;
            s[1] = x5;
            s[6] = x3 ^ x4 ^ x7 ^ x0 ^ x1;
            x1 ^= x2;
            s[2] = x1 ^ x5;
            s[5] = x1 ^ x3 ^ x6;
            s[7] = x0;
        }

        // The inverse of h*Y^16 + l*Y is (l*t)*Y^16 + (h*t)*Y, where 1/t is its norm h*l + norm(Y)*(h + l)^2.
        (uint256 t3, uint256 t2, uint256 t1, uint256 t0) =
            _multiply(s[7], s[6], s[5], s[4], s[3], s[2], s[1], s[0]);
        {
            (uint256 d3, uint256 d2) = (s[7] ^ s[3], s[6] ^ s[2]);
            (uint256 d1, uint256 d0) = (s[5] ^ s[1], s[4] ^ s[0]);
            t3 ^= d0 ^ d2;
            t2 ^= d1 ^ d3;
            t1 ^= d1;
            t0 ^= d0 ^ d1;
        }
        (t3, t2, t1, t0) = _invert(t3, t2, t1, t0);
        (uint256 v7, uint256 v6, uint256 v5, uint256 v4) = _multiply(s[3], s[2], s[1], s[0], t3, t2, t1, t0);
        (t3, t2, t1, t0) = _multiply(s[7], s[6], s[5], s[4], t3, t2, t1, t0);

        // Back to the field of FIPS 197 and through the matrix of the S-box, eleven gates.
        s[5] = v5 ^ t3;
        t3 ^= t1;
        s[0] = v4 ^ t3;
        s[1] = v4 ^ t0 ^ t1;
        t0 ^= v6;
        s[7] = t0;
        s[2] = s[5] ^ v7 ^ t0;
        t0 ^= t2;
        s[4] = t0;
        s[3] = t0 ^ t3;
        s[6] = t2 ^ v6;
    }

    /// @dev Product in GF(16), by Karatsuba on both levels. The product of (a1, a0) and (b1, b0) in a normal
    /// basis of norm N is (a1*b1 + m, a0*b0 + m) with m = N*(a1 + a0)*(b1 + b0); in GF(4) N = 1, and in
    /// GF(16) N = W, which takes (x1, x0) to (x1 + x0, x1).
    function _multiply(
        uint256 a3,
        uint256 a2,
        uint256 a1,
        uint256 a0,
        uint256 b3,
        uint256 b2,
        uint256 b1,
        uint256 b0
    ) private pure returns (uint256 c3, uint256 c2, uint256 c1, uint256 c0) {
        // m, in (c3, c2)
        c3 = (a3 ^ a1) & (b3 ^ b1);
        c2 = c3 ^ ((a3 ^ a2 ^ a1 ^ a0) & (b3 ^ b2 ^ b1 ^ b0));
        c3 ^= (a2 ^ a0) & (b2 ^ b0);
        // lower half
        c1 = (a1 ^ a0) & (b1 ^ b0);
        c0 = c1 ^ c2 ^ (a0 & b0);
        c1 ^= c3 ^ (a1 & b1);
        // upper half
        a0 = (a3 ^ a2) & (b3 ^ b2);
        c3 ^= a0 ^ (a3 & b3);
        c2 ^= a0 ^ (a2 & b2);
    }

    /// @dev Inverse in GF(16), zero for zero: as above, with the norm n = a1*a0 + W*(a1 + a0)^2 in GF(4),
    /// where the square, and the inverse, of (n1, n0) is (n0, n1).
    function _invert(uint256 a3, uint256 a2, uint256 a1, uint256 a0)
        private
        pure
        returns (uint256 c3, uint256 c2, uint256 c1, uint256 c0)
    {
        uint256 m = ((a3 ^ a2) & (a1 ^ a0)) ^ a2 ^ a0;
        uint256 n1 = (a3 & a1) ^ m ^ a3 ^ a1;
        uint256 n0 = (a2 & a0) ^ m;
        m = (a1 ^ a0) & (n1 ^ n0);
        (c3, c2) = ((a1 & n0) ^ m, (a0 & n1) ^ m);
        m = (a3 ^ a2) & (n1 ^ n0);
        (c1, c0) = ((a3 & n0) ^ m, (a2 & n1) ^ m);
    }

    /// @dev ShiftRows, MixColumns and the addition of the round key. With `x` the shifted plane, `next` the
    /// byte below in the column and `t = x + next`, MixColumns is `2*t + next + (t two bytes below)`;
    /// doubling takes plane `j - 1` to plane `j` and plane 7 to planes 0, 1, 3 and 4.
    function _diffuse(uint256[8] memory s, uint256[8] memory roundKey) private pure {
        (uint256 carry, uint256 rest) = _mix(s[7]);
        (uint256 t, uint256 above) = (0, rest ^ roundKey[7]);
        (t, rest) = _mix(s[6]);
        (s[7], above) = (above ^ t, rest ^ roundKey[6]);
        (t, rest) = _mix(s[5]);
        (s[6], above) = (above ^ t, rest ^ roundKey[5]);
        (t, rest) = _mix(s[4]);
        (s[5], above) = (above ^ t, rest ^ roundKey[4] ^ carry);
        (t, rest) = _mix(s[3]);
        (s[4], above) = (above ^ t, rest ^ roundKey[3] ^ carry);
        (t, rest) = _mix(s[2]);
        (s[3], above) = (above ^ t, rest ^ roundKey[2]);
        (t, rest) = _mix(s[1]);
        (s[2], above) = (above ^ t, rest ^ roundKey[1] ^ carry);
        (t, rest) = _mix(s[0]);
        (s[1], s[0]) = (above ^ t, rest ^ roundKey[0] ^ carry);
    }

    /// @dev Of one plane, after ShiftRows: what is to be doubled, and the rest of MixColumns.
    function _mix(uint256 plane) private pure returns (uint256 t, uint256 rest) {
        uint256 x = _shiftRows(plane);
        rest = ((x & 0x00FFFFFF00FFFFFF00FFFFFF00FFFFFF00FFFFFF00FFFFFF00FFFFFF00FFFFFF) << 8)
            | ((x >> 24) & 0x000000FF000000FF000000FF000000FF000000FF000000FF000000FF000000FF);
        t = x ^ rest;
        rest ^= ((t & 0x0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF) << 16)
            | ((t >> 16) & 0x0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF);
    }

    /// @dev Moves row `r` (byte `r` of each column of four) by `r` columns: rows 2 and 3 by two, then rows 1
    /// and 3 by one.
    function _shiftRows(uint256 plane) private pure returns (uint256 x) {
        x = ((plane >> 64) ^ plane) & 0x00000000000000000000FFFF0000FFFF00000000000000000000FFFF0000FFFF;
        x = plane ^ x ^ (x << 64);
        x = (x & 0xFF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00)
            | ((x & 0x0000000000FF00FF00FF00FF00FF00FF0000000000FF00FF00FF00FF00FF00FF) << 32)
            | ((x >> 96) & 0x00000000000000000000000000FF00FF00000000000000000000000000FF00FF);
    }
}
