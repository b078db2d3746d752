// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "./Test.sol";

/// @title Tests of the test base itself
contract TestTest is Test {
    error Given(uint256 value);

    function test_assertEq_failsWithBothValues() external {
        vm.expectRevert(abi.encodeWithSelector(AssertionFailed.selector, "sum", "1", "2"));
        this.unequal();
    }

    function test_expectRevert_seesTheError() external {
        vm.expectRevert(abi.encodeWithSelector(Given.selector, 3));
        this.failing(3);
    }

    function test_skip_advancesTheClock() external {
        uint256 before = vm.getBlockTimestamp();
        skip(7);
        assertEq(block.timestamp, before + 7);
    }

    function test_makeAccount_signsAsItself() external {
        (address account, uint256 key) = makeAccount("alice");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, bytes32(uint256(1)));
        assertEq(ecrecover(bytes32(uint256(1)), v, r, s), account);
    }

    function testFuzz_bound_staysInside(uint256 value, uint256 low, uint256 high) external pure {
        if (low > high) (low, high) = (high, low);
        uint256 bounded = bound(value, low, high);
        assertGe(bounded, low, "low");
        assertLe(bounded, high, "high");
    }

    function test_bound_reachesBothEnds() external pure {
        assertEq(bound(0, 10, 20), 10);
        assertEq(bound(type(uint256).max, 10, 20), 20);
        assertEq(bound(15, 10, 20), 15);
    }

    function unequal() external pure {
        assertEq(uint256(1), uint256(2), "sum");
    }

    function failing(uint256 value) external pure {
        revert Given(value);
    }
}

/// @title What the invariant run below calls
contract Turnstile {
    uint256 public passed;
    bool public broken;

    function pass(uint256) external {
        ++passed;
    }

    function sabotage() external {
        broken = true;
    }
}

/// @title Invariant runs call what they are told to, and nothing else
contract TestInvariantTest is Test {
    Turnstile private _turnstile;

    function setUp() external {
        _turnstile = new Turnstile();
        targetContract(address(_turnstile));
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Turnstile.pass.selector;
        targetSelector(address(_turnstile), selectors);
    }

    function invariant_onlyTheChosenFunctionIsCalled() external view {
        assertFalse(_turnstile.broken());
    }

    function afterInvariant() external view {
        assertGt(_turnstile.passed(), 0, "was called");
    }
}
