// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IChannels} from "../interfaces/IChannels.sol";

/// @title Signed
/// @notice The typed data (EIP-712) of the two parties of a channel: vouchers and receipts. See docs/metering.md.
library Signed {
    string internal constant NAME = "Steelyard Channels";
    string internal constant VERSION = "1";

    bytes32 private constant NAME_HASH = keccak256("Steelyard Channels");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant VOUCHER = keccak256(
        "Voucher(bytes32 channel,uint128 amount,uint128 units,uint64 sequence,bytes32 receiptsRoot)"
    );
    bytes32 private constant RECEIPT = keccak256(
        "Receipt(bytes32 channel,uint64 sequence,bytes32 version,uint64 units,bytes32 request,bytes32 response)"
    );

    /// @dev Computed in each call, so it is right on both sides of a fork.
    function domain() internal view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    function voucher(
        bytes32 domain_,
        bytes32 channel,
        uint256 amount,
        uint128 units,
        uint64 sequence,
        bytes32 receiptsRoot
    ) internal pure returns (bytes32) {
        bytes32 structHash = keccak256(abi.encode(VOUCHER, channel, amount, units, sequence, receiptsRoot));
        return MessageHashUtils.toTypedDataHash(domain_, structHash);
    }

    function receipt(bytes32 domain_, IChannels.Receipt calldata receipt_) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain_, keccak256(abi.encode(RECEIPT, receipt_)));
    }
}
