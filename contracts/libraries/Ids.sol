// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../interfaces/IAssets.sol";
import {IOffers} from "../interfaces/IOffers.sol";
import {IPurchases} from "../interfaces/IPurchases.sol";

/// @title Ids
/// @notice Names of versions, offers and purchases: hashes of what they are, so nothing can be swapped behind a name.
/// @dev The structs are static, so their calldata is, word for word, what `abi.encode` would make of them: it is hashed as it
/// lies there. That saves a field-by-field copy (about 2,400 gas a call and 1.5 KiB of code in the market). A word with dirty
/// upper bits hashes to a name that nothing bears, and reading the field reverts.
library Ids {
    uint256 private constant VERSION_SIZE = 8 * 32;
    uint256 private constant TERMS_SIZE = 17 * 32;

    /// @dev What an order adds to version and terms: buyer, salt, key.x, key.y.
    uint256 private constant REST_SIZE = 4 * 32;

    /// @dev keccak256(abi.encode(version))
    function ofVersion(IAssets.Version calldata version) internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, version, VERSION_SIZE)
            id := keccak256(free, VERSION_SIZE)
        }
    }

    /// @dev keccak256(abi.encode(asset, terms))
    function ofOffer(bytes32 asset, IOffers.Terms calldata terms) internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, asset)
            calldatacopy(add(free, 0x20), terms, TERMS_SIZE)
            id := keccak256(free, add(TERMS_SIZE, 0x20))
        }
    }

    /// @dev keccak256(abi.encode(chainid, this contract, order.buyer, order.salt, order.key.x, order.key.y))
    function ofOrder(IPurchases.Order calldata order) internal view returns (bytes32 id) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, chainid())
            mstore(add(free, 0x20), address())
            calldatacopy(add(free, 0x40), add(order, add(VERSION_SIZE, TERMS_SIZE)), REST_SIZE)
            id := keccak256(free, add(REST_SIZE, 0x40))
        }
    }

    /// @dev keccak256(abi.encode(version, offer, order)), where `order` is `ofOrder`
    function ofPurchase(bytes32 version, bytes32 offer, bytes32 order) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(version, offer, order));
    }
}
