// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin} from "./Coin.sol";

/// @title PausableCoin
/// @notice Hostile token: its issuer can make every transfer revert.
contract PausableCoin is Coin(18) {
    error PausableCoin_Paused();

    bool public paused;

    function setPaused(bool paused_) external {
        paused = paused_;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (paused) revert PausableCoin_Paused();
        super._update(from, to, value);
    }
}
