// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin} from "./Coin.sol";

/// @title LyingCoin
/// @notice Hostile token: says whatever balance it is told to say.
contract LyingCoin is Coin(18) {
    mapping(address account => uint256) public lie;

    function setLie(address account, uint256 lie_) external {
        lie[account] = lie_;
    }

    function balanceOf(address account) public view override returns (uint256) {
        return lie[account] != 0 ? lie[account] : super.balanceOf(account);
    }
}
