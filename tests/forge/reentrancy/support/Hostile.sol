// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IPayer} from "../../../../contracts/interfaces/IPayer.sol";
import {IWitness} from "./IWitness.sol";

/// @title Hostile
/// @notice Seller, buyer and payee in one, that makes one call of its choice when it is called in the course of another.
contract Hostile is IPayer {
    address public target;
    uint256 public value;
    bytes public data;

    /// @notice Which of its calls it uses: 1 is the next, 0 none.
    uint256 public countdown;
    bool public called;
    bool public succeeded;
    bytes public answer;

    /// @notice Asked just before the call, if there is one: reverts if the books do not balance then.
    address public witness;

    receive() external payable {
        fire();
    }

    function arm(address target_, uint256 value_, bytes calldata data_, uint256 countdown_, address witness_)
        external
    {
        (target, value, data, countdown, witness) = (target_, value_, data_, countdown_, witness_);
        called = false;
    }

    function fire() public {
        if (countdown == 0) return;
        --countdown;
        if (countdown != 0) return;
        called = true;
        if (witness != address(0)) IWitness(witness).requireBooks();
        (succeeded, answer) = target.call{value: value}(data);
    }

    function pay(address currency, uint256 amount) external {
        fire();
        if (!IERC20(currency).transfer(msg.sender, amount)) revert Payer_NotTreasury(msg.sender);
    }

    function onERC721Received(address, address, uint256, bytes calldata) external returns (bytes4) {
        fire();
        return this.onERC721Received.selector;
    }
}
