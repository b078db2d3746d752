// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin} from "./Coin.sol";

/// @title BlocklistCoin
/// @notice Hostile token: its issuer can bar accounts from sending and receiving.
contract BlocklistCoin is Coin(6) {
    error BlocklistCoin_Blocked(address account);

    mapping(address account => bool) public blocked;

    function setBlocked(address account, bool blocked_) external {
        blocked[account] = blocked_;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (blocked[from]) revert BlocklistCoin_Blocked(from);
        if (blocked[to]) revert BlocklistCoin_Blocked(to);
        super._update(from, to, value);
    }
}
