// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../interfaces/IAssets.sol";
import {IOffers} from "../interfaces/IOffers.sol";

/// @title Ids
/// @notice Names of versions and offers: hashes of what they are, so nothing can be swapped behind a name.
/// @dev Both structs are static, so their calldata is, word for word, what `abi.encode` would make of them: it is hashed as it
/// lies there. That saves a field-by-field copy of 8 and 16 words (about 2,000 gas and 1.5 KiB of code in the market). A word with
/// dirty upper bits hashes to a name that nothing bears, and reading the field reverts.
library Ids {
    uint256 private constant VERSION_SIZE = 8 * 32;
    uint256 private constant TERMS_SIZE = 16 * 32;

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
}
