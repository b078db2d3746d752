// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin} from "../../../../contracts/test/Coin.sol";
import {Hostile} from "./Hostile.sol";

/// @title TrapCoin
/// @notice A token that calls a hostile contract in each transfer, before or after the balances change, in each permit, and, as far
/// as a static call lets it, in each question for a balance.
contract TrapCoin is Coin(18) {
    error StateChangedInAView();

    Hostile public hostile;
    bool public before;
    bool public inBalance;

    function set(Hostile hostile_, bool before_, bool inBalance_) external {
        (hostile, before, inBalance) = (hostile_, before_, inBalance_);
    }

    function balanceOf(address account) public view override returns (uint256) {
        // What a static call allows to change state, it must not.
        if (inBalance) {
            (bool success,) = hostile.target().staticcall(hostile.data());
            if (success) revert StateChangedInAView();
        }
        return super.balanceOf(account);
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) public override {
        hostile.fire();
    }

    function _update(address from, address to, uint256 amount) internal override {
        bool trap = address(hostile) != address(0) && !inBalance;
        if (trap && before) hostile.fire();
        super._update(from, to, amount);
        if (trap && !before) hostile.fire();
    }
}
