// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {Secp256k1} from "../libraries/Secp256k1.sol";
import {Signed} from "./Signed.sol";

/// @title Vouchers
/// @notice Rows of a claim: packed vouchers of 168 bytes, read into one place in memory, hashed where they lie, and copied from there
/// into the event.
/// @dev   payer 20 | signer 20 | nonce 8 | units 16 | sequence 8 | receiptsRoot 32 | r 32 | vs 32
/// Packed, because a row of words would cost 450 gas more in call data, and need its padding checked. In memory, because `abi.encode`
/// would take fresh memory for each row, whose price grows with its square.
library Vouchers {
    uint256 internal constant SIZE = 168;

    /// @dev What one row takes in the event: channel, amount, units, sequence, receiptsRoot.
    uint256 private constant ENTRY_SIZE = 5 * 32;
    uint256 private constant ENTRIES = 64;

    /// @dev Half of the group order, rounded down.
    uint256 private constant HALF_ORDER = Secp256k1.ORDER >> 1;

    /// @dev A voucher, in the order of what is hashed: each field is a word of memory. Filled anew for each row, so a batch needs no more
    /// memory than its first row.
    struct Row {
        // the channel's id is the hash of these six
        uint256 chainId;
        address self;
        bytes32 offer;
        address payer;
        address signer;
        uint64 nonce;
        // the voucher's struct hash is the hash of these six
        bytes32 typeHash;
        bytes32 channel;
        uint256 amount;
        uint128 units;
        uint64 sequence;
        bytes32 receiptsRoot;
        // ERC-2098
        bytes32 r;
        bytes32 vs;
        // the same for all rows of a group
        bytes32 domain;
        uint256 price;
        uint256 expiry;
    }

    /// @dev A row of a group under an offer, to be filled by `read`.
    function blank(bytes32 offer, uint256 price, uint256 expiry) internal view returns (Row memory row) {
        row.chainId = block.chainid;
        row.self = address(this);
        row.offer = offer;
        row.typeHash = Signed.VOUCHER;
        row.domain = Signed.domain();
        row.price = price;
        row.expiry = expiry;
    }

    /// @dev Fills `row` with the voucher that begins at byte `start`, which the caller knows to be there, and names its channel.
    function read(Row memory row, bytes calldata vouchers, uint256 start) internal pure {
        assembly ("memory-safe") {
            let from := add(vouchers.offset, start)
            mstore(add(row, 0x60), shr(96, calldataload(from)))
            mstore(add(row, 0x80), shr(96, calldataload(add(from, 20))))
            mstore(add(row, 0xa0), shr(192, calldataload(add(from, 40))))
            mstore(add(row, 0xe0), keccak256(row, 0xc0))
            mstore(add(row, 0x120), shr(128, calldataload(add(from, 48))))
            mstore(add(row, 0x140), shr(192, calldataload(add(from, 64))))
            calldatacopy(add(row, 0x160), add(from, 72), 96)
        }
    }

    /// @dev Whether the signer of the row co-signed it for `row.amount`. He is not zero if his channel was opened.
    function isSigned(Row memory row) internal pure returns (bool) {
        bytes32 structHash;
        assembly ("memory-safe") {
            structHash := keccak256(add(row, 0xc0), 0xc0)
        }
        return signs(row.signer, MessageHashUtils.toTypedDataHash(row.domain, structHash), row.r, row.vs);
    }

    /// @dev Whether (r, vs) is the signature of a signer who is not zero: a recovery that failed answers zero. As in OpenZeppelin's ECDSA,
    /// `s` must be in the lower half.
    function signs(address signer, bytes32 digest, bytes32 r, bytes32 vs) internal pure returns (bool) {
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        return s <= HALF_ORDER && ecrecover(digest, uint8(27 + (uint256(vs) >> 255)), r, bytes32(s)) == signer;
    }

    /// @dev Room for the ABI encoding of an array of up to `most` entries.
    function entries(uint256 most) internal pure returns (bytes memory data) {
        return new bytes(ENTRIES + most * ENTRY_SIZE);
    }

    /// @dev Puts a row, `row.amount` being what it paid, at place `index` of what `entries` made room for.
    function enter(Row memory row, bytes memory data, uint256 index) internal pure {
        uint256 place = 32 + ENTRIES + index * ENTRY_SIZE;
        assembly ("memory-safe") {
            mcopy(add(data, place), add(row, 0xe0), ENTRY_SIZE)
        }
    }

    /// @dev Makes `data` what `abi.encode` would make of an array of the `count` entries put there.
    function finish(bytes memory data, uint256 count) internal pure {
        uint256 length = ENTRIES + count * ENTRY_SIZE;
        assembly ("memory-safe") {
            mstore(data, length)
            mstore(add(data, 32), 32)
            mstore(add(data, 64), count)
        }
    }
}
