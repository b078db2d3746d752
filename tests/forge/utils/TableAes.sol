// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title TableAes
/// @notice Test-only AES-256, one block at a time and byte by byte as FIPS 197 describes it, with an S-box
/// that is computed from its definition. Shares nothing with the bit-sliced `Aes256`.
library TableAes {
    function encrypt(bytes32 key, bytes16 input) internal pure returns (bytes16) {
        bytes memory sbox = _sbox();
        bytes memory schedule = _expand(key, sbox);
        bytes memory s = bytes.concat(input);
        _addKey(s, schedule, 0);
        for (uint256 round = 1; round <= 14; ++round) {
            bytes memory t = new bytes(16);
            // Byte 4c + r is in row r, column c.
            for (uint256 i = 0; i < 16; ++i) {
                t[i] = sbox[uint8(s[(i + 4 * (i % 4)) % 16])];
            }
            s = round == 14 ? t : _mixColumns(t);
            _addKey(s, schedule, round);
        }
        return bytes16(s);
    }

    function _times2(uint8 a) private pure returns (uint8) {
        return a & 0x80 == 0 ? a << 1 : (a << 1) ^ 0x1B;
    }

    /// @dev The S-box from powers of the generator 3: the inverse of 3^i is 3^(255 - i).
    function _sbox() private pure returns (bytes memory sbox) {
        uint8[256] memory powers;
        uint8 a = 1;
        for (uint256 i = 0; i < 255; ++i) {
            powers[i] = a;
            a ^= _times2(a);
        }
        powers[255] = 1;
        sbox = new bytes(256);
        sbox[0] = 0x63;
        for (uint256 i = 0; i < 255; ++i) {
            uint256 twice = uint256(powers[255 - i]) * 0x0101;
            sbox[powers[i]] =
                bytes1(uint8(twice ^ (twice >> 4) ^ (twice >> 5) ^ (twice >> 6) ^ (twice >> 7)) ^ 0x63);
        }
    }

    function _expand(bytes32 key, bytes memory sbox) private pure returns (bytes memory w) {
        w = bytes.concat(key, new bytes(208));
        uint8 constant_ = 1;
        for (uint256 i = 32; i < 240; i += 4) {
            bytes4 t = bytes4(bytes.concat(w[i - 4], w[i - 3], w[i - 2], w[i - 1]));
            if (i % 32 == 0) t = bytes4(bytes.concat(t[1], t[2], t[3], t[0]));
            for (uint256 j = 0; j < 4; ++j) {
                bytes1 b = i % 16 == 0 ? sbox[uint8(t[j])] : t[j];
                if (i % 32 == 0 && j == 0) b ^= bytes1(constant_);
                w[i + j] = w[i + j - 32] ^ b;
            }
            if (i % 32 == 0) constant_ = _times2(constant_);
        }
    }

    function _mixColumns(bytes memory s) private pure returns (bytes memory t) {
        t = new bytes(16);
        for (uint256 i = 0; i < 16; ++i) {
            uint256 c = i / 4 * 4;
            uint8 a = uint8(s[i]);
            uint8 b = uint8(s[c + (i + 1) % 4]);
            t[i] = bytes1(_times2(a) ^ _times2(b) ^ b) ^ s[c + (i + 2) % 4] ^ s[c + (i + 3) % 4];
        }
    }

    function _addKey(bytes memory s, bytes memory schedule, uint256 round) private pure {
        for (uint256 i = 0; i < 16; ++i) {
            s[i] ^= schedule[16 * round + i];
        }
    }
}
