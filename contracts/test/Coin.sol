// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Coin
/// @notice Test token: well-behaved, with permit, of any number of decimals. Anybody may mint.
contract Coin is ERC20Permit {
    uint8 private immutable _decimals;

    constructor(uint8 decimals_) ERC20("Coin", "COIN") ERC20Permit("Coin") {
        _decimals = decimals_;
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
