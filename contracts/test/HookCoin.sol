// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin} from "./Coin.sol";

/// @title HookCoin
/// @notice Hostile token: makes one call of anybody's choice in the course of each transfer, as the hooks of ERC-777 allow.
contract HookCoin is Coin(18) {
    address public target;
    bytes public data;

    /// @notice How the call of the last transfer ended.
    bool public succeeded;
    bytes public answer;

    function setHook(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (target != address(0)) (succeeded, answer) = target.call(data);
    }
}
