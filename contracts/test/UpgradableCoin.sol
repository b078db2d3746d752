// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Proxy} from "@openzeppelin/contracts/proxy/Proxy.sol";

/// @title UpgradableCoin
/// @notice Hostile token: a proxy whose code anybody may exchange at any time.
contract UpgradableCoin is Proxy {
    // Far from the slots of any implementation.
    bytes32 private constant SLOT = keccak256("steelyard/test/upgradable-coin");

    constructor(address implementation) {
        upgrade(implementation);
    }

    function upgrade(address implementation) public {
        bytes32 slot = SLOT;
        assembly ("memory-safe") {
            sstore(slot, implementation)
        }
    }

    function _implementation() internal view override returns (address implementation) {
        bytes32 slot = SLOT;
        assembly ("memory-safe") {
            implementation := sload(slot)
        }
    }
}
