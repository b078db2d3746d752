// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin} from "./Coin.sol";

/// @title ShrinkingCoin
/// @notice Hostile token: who is paid has less afterwards, by as much as was paid.
contract ShrinkingCoin is Coin(18) {
    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0), 2 * value);
    }
}
