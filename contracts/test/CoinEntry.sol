// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TwinCoin} from "./TwinCoin.sol";

/// @title CoinEntry
/// @notice Hostile token: the second address of a TwinCoin, with the same balances.
contract CoinEntry {
    TwinCoin public immutable coin;

    mapping(address owner => mapping(address spender => uint256)) public allowance;

    constructor(TwinCoin coin_) {
        coin = coin_;
    }

    function decimals() external view returns (uint8) {
        return coin.decimals();
    }

    function balanceOf(address account) external view returns (uint256) {
        return coin.balanceOf(account);
    }

    function mint(address to, uint256 amount) external {
        coin.mint(to, amount);
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        coin.move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        coin.move(from, to, amount);
        return true;
    }
}
