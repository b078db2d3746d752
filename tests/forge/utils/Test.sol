// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Vm} from "./Vm.sol";

/// @title Base of all forge tests
/// @notice Assertions that say what was expected, bounded fuzz input, and what forge asks an invariant test for.
/// @dev A failed assertion reverts. A handler of an invariant test may inherit this too.
abstract contract Test {
    /// @notice Functions of one contract that the invariant run may call.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    error AssertionFailed(string what, string left, string right);

    /// @dev The address at which forge answers cheat codes: the last 20 bytes of keccak256("hevm cheat code").
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    bool public constant IS_TEST = true;

    address[] private _targets;
    address[] private _excludedContracts;
    address[] private _senders;
    address[] private _excludedSenders;
    FuzzSelector[] private _targetSelectors;
    FuzzSelector[] private _excludedSelectors;

    // --- assertions -------------------------------------------------------------------------------------

    function fail(string memory what) internal pure {
        revert AssertionFailed(what, "", "");
    }

    function assertTrue(bool condition) internal pure {
        assertTrue(condition, "is true");
    }

    function assertTrue(bool condition, string memory what) internal pure {
        if (!condition) revert AssertionFailed(what, "false", "true");
    }

    function assertFalse(bool condition) internal pure {
        assertFalse(condition, "is false");
    }

    function assertFalse(bool condition, string memory what) internal pure {
        if (condition) revert AssertionFailed(what, "true", "false");
    }

    function assertEq(uint256 left, uint256 right) internal pure {
        assertEq(left, right, "equal");
    }

    function assertEq(uint256 left, uint256 right, string memory what) internal pure {
        if (left != right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertEq(int256 left, int256 right) internal pure {
        assertEq(left, right, "equal");
    }

    function assertEq(int256 left, int256 right, string memory what) internal pure {
        if (left != right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertEq(address left, address right) internal pure {
        assertEq(left, right, "equal");
    }

    function assertEq(address left, address right, string memory what) internal pure {
        if (left != right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertEq(bytes32 left, bytes32 right) internal pure {
        assertEq(left, right, "equal");
    }

    function assertEq(bytes32 left, bytes32 right, string memory what) internal pure {
        if (left != right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertEq(bool left, bool right) internal pure {
        assertEq(left, right, "equal");
    }

    function assertEq(bool left, bool right, string memory what) internal pure {
        if (left != right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertEq(bytes memory left, bytes memory right) internal pure {
        assertEq(left, right, "equal");
    }

    function assertEq(bytes memory left, bytes memory right, string memory what) internal pure {
        if (keccak256(left) != keccak256(right)) {
            revert AssertionFailed(what, vm.toString(left), vm.toString(right));
        }
    }

    function assertEq(string memory left, string memory right) internal pure {
        assertEq(left, right, "equal");
    }

    function assertEq(string memory left, string memory right, string memory what) internal pure {
        if (keccak256(bytes(left)) != keccak256(bytes(right))) revert AssertionFailed(what, left, right);
    }

    function assertNotEq(uint256 left, uint256 right, string memory what) internal pure {
        if (left == right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertNotEq(address left, address right, string memory what) internal pure {
        if (left == right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertNotEq(bytes32 left, bytes32 right, string memory what) internal pure {
        if (left == right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertLt(uint256 left, uint256 right, string memory what) internal pure {
        if (left >= right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertLe(uint256 left, uint256 right, string memory what) internal pure {
        if (left > right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertGt(uint256 left, uint256 right, string memory what) internal pure {
        if (left <= right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    function assertGe(uint256 left, uint256 right, string memory what) internal pure {
        if (left < right) revert AssertionFailed(what, vm.toString(left), vm.toString(right));
    }

    // --- fuzz input -------------------------------------------------------------------------------------

    /// @dev Map `value` into [low, high]. Inside it stays itself; the ends are reached from the ends of uint256.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256 bounded) {
        if (low > high) revert AssertionFailed("bound: low <= high", vm.toString(low), vm.toString(high));
        if (value >= low && value <= high) return value;
        uint256 size = high - low;
        if (size == type(uint256).max) return value;
        if (value >= type(uint256).max - size) return high - (type(uint256).max - value);
        return low + value % (size + 1);
    }

    /// @dev An account with its private key, the same for a name in every run.
    function makeAccount(string memory name) internal returns (address account, uint256 privateKey) {
        privateKey = 1 + uint256(keccak256(bytes(name))) % (type(uint128).max);
        account = vm.addr(privateKey);
        vm.label(account, name);
    }

    /// @dev The account of `makeAccount` alone.
    function makeAddr(string memory name) internal returns (address account) {
        (account,) = makeAccount(name);
    }

    /// @dev Advance the clock, and the block number by one.
    function skip(uint256 seconds_) internal {
        vm.warp(vm.getBlockTimestamp() + seconds_);
        vm.roll(vm.getBlockNumber() + 1);
    }

    // --- invariant runs: what to call, and as whom ------------------------------------------------------

    function targetContract(address target) internal {
        _targets.push(target);
    }

    function targetSelector(address target, bytes4[] memory selectors) internal {
        _targetSelectors.push(FuzzSelector(target, selectors));
    }

    function targetSender(address sender) internal {
        _senders.push(sender);
    }

    function excludeContract(address target) internal {
        _excludedContracts.push(target);
    }

    function excludeSelector(address target, bytes4[] memory selectors) internal {
        _excludedSelectors.push(FuzzSelector(target, selectors));
    }

    function excludeSender(address sender) internal {
        _excludedSenders.push(sender);
    }

    function targetContracts() external view returns (address[] memory targets) {
        return _targets;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selectors) {
        return _targetSelectors;
    }

    function targetSenders() external view returns (address[] memory senders) {
        return _senders;
    }

    function excludeContracts() external view returns (address[] memory targets) {
        return _excludedContracts;
    }

    function excludeSelectors() external view returns (FuzzSelector[] memory selectors) {
        return _excludedSelectors;
    }

    function excludeSenders() external view returns (address[] memory senders) {
        return _excludedSenders;
    }
}
