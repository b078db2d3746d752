// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Campaign} from "./Campaign.sol";

/// @title The second campaign
contract MarketReordered is Campaign {
    function _number() internal pure override returns (uint256) {
        return 2;
    }
}
