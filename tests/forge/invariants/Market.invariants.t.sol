// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Campaign} from "./Campaign.sol";

/// @title The first campaign, and a fixed run in which everything has to happen
contract MarketInvariants is Campaign {
    /// @notice Every outcome is reached: the counters of a fixed run, none of them zero.
    function test_EveryOutcomeIsReached() external {
        // Hundreds of actions in one transaction.
        vm.pauseGasMetering();
        bytes4[] memory selectors = _selectors();
        for (uint256 i; i < 6 * ACTIONS; ++i) {
            uint256 seed = uint256(keccak256(abi.encode("run", i)));
            (bool success, bytes memory answer) =
                address(handler).call(abi.encodeWithSelector(selectors[seed % ACTIONS], seed >> 8));
            if (!success) _bubble(answer);
            if (i % 16 == 0) this.requireAll();
        }
        string[OUTCOMES] memory outcomes = _outcomes();
        for (uint256 i; i < OUTCOMES; ++i) {
            assertGt(handler.count(outcomes[i]), 0, outcomes[i]);
        }
        this.requireAll();
        _finish();
        this.requireAll();
    }

    function _bubble(bytes memory answer) private pure {
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function _number() internal pure override returns (uint256) {
        return 1;
    }
}
