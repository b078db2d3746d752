// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title LargeAnswer
/// @notice Hostile receiver: answers a plain transfer with a megabyte, in success or, if so told, in failure.
contract LargeAnswer {
    bool public refuses;

    constructor(bool refuses_) {
        refuses = refuses_;
    }

    receive() external payable {
        bool fail = refuses;
        assembly {
            if fail { revert(0, 1000000) }
            return(0, 1000000)
        }
    }
}
