// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "../utils/Test.sol";
import {Handler} from "./Handler.sol";

/// @title The invariants of docs/stages.md, by their numbers
contract StagesInvariants is Test {
    uint256 private constant ACTIONS = 9;

    Handler private handler;

    function setUp() external {
        handler = new Handler();
        targetContract(address(handler));
        targetSelector(address(handler), _selectors());
    }

    function invariant_Stages() external view {
        handler.requireAll();
    }

    function afterInvariant() external {
        assertGt(handler.actions(), 4, "nothing happened");
        handler.finish();
        handler.requireAll();
    }

    /// @notice Every outcome is reached: the counters of a fixed run, none of them zero.
    function test_EveryOutcomeIsReached() external {
        vm.pauseGasMetering();
        bytes4[] memory selectors = _selectors();
        for (uint256 i; i < 40 * ACTIONS; ++i) {
            uint256 seed = uint256(keccak256(abi.encode("run", i)));
            (bool success, bytes memory answer) =
                address(handler).call(abi.encodeWithSelector(selectors[seed % ACTIONS], seed >> 8));
            if (!success) _bubble(answer);
            if (i % 16 == 0) handler.requireAll();
        }
        string[12] memory outcomes = [
            "published",
            "moved",
            "retired",
            "tried to leave retired",
            "tried no way",
            "tried to move what is another's",
            "tried a bad reason",
            "asset transferred",
            "bought",
            "tried to buy what is not on sale",
            "delivered what is retired",
            "refunded what is retired"
        ];
        for (uint256 i; i < outcomes.length; ++i) {
            assertGt(handler.count(outcomes[i]), 0, outcomes[i]);
        }
        handler.finish();
        handler.requireAll();
    }

    function _selectors() private pure returns (bytes4[] memory selectors) {
        bytes4[ACTIONS] memory all = [
            Handler.publish.selector,
            Handler.move.selector,
            Handler.retireSold.selector,
            Handler.moveByOther.selector,
            Handler.moveWithoutReason.selector,
            Handler.transferAsset.selector,
            Handler.buy.selector,
            Handler.deliver.selector,
            Handler.refund.selector
        ];
        selectors = new bytes4[](ACTIONS);
        for (uint256 i; i < ACTIONS; ++i) {
            selectors[i] = all[i];
        }
    }

    function _bubble(bytes memory answer) private pure {
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }
}
