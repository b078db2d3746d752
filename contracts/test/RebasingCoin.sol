// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin} from "./Coin.sol";

/// @title RebasingCoin
/// @notice Hostile token: balances are shares of a supply that can be changed under everybody's feet.
contract RebasingCoin is Coin(18) {
    uint256 private constant UNIT = 1e18;

    /// @notice Units of balance for 1e18 shares.
    uint256 public rate = UNIT;

    function rebase(uint256 rate_) external {
        rate = rate_;
    }

    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) * rate / UNIT;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value * UNIT / rate);
    }
}
