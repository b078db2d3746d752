// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin} from "./Coin.sol";

/// @title TwinCoin
/// @notice Hostile token: can be moved through a second address too, see CoinEntry.
contract TwinCoin is Coin(18) {
    error TwinCoin_NotEntry(address caller);

    address public entry;

    function setEntry(address entry_) external {
        entry = entry_;
    }

    function move(address from, address to, uint256 amount) external {
        if (msg.sender != entry) revert TwinCoin_NotEntry(msg.sender);
        _transfer(from, to, amount);
    }
}
