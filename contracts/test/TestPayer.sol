// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IPayer} from "../interfaces/IPayer.sol";
import {ITreasury} from "../interfaces/ITreasury.sol";

/// @title TestPayer
/// @notice A contract that pays the treasury by `collect`, as the market does, but with as much as it is told to.
contract TestPayer is IPayer {
    uint256 public pays;

    function setPays(uint256 pays_) external {
        pays = pays_;
    }

    function collect(ITreasury treasury, bytes32 to, address currency, uint128 amount) external {
        treasury.collect(to, currency, amount);
    }

    function pay(address currency, uint256) external {
        // The test's own contract: whoever calls may have the tokens.
        if (!IERC20(currency).transfer(msg.sender, pays)) revert Payer_NotTreasury(msg.sender);
    }
}
