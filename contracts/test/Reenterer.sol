// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Reenterer
/// @notice Hostile receiver: makes one call when it receives coin or a token, and notes how it ended. It also does what it is told
/// to do at other times, so that it can be a buyer, a payee or an owner.
contract Reenterer {
    address public target;
    bytes public data;
    bool public called;
    bool public succeeded;
    bytes public answer;

    receive() external payable {
        _reenter();
    }

    function onERC721Received(address, address, uint256, bytes calldata) external returns (bytes4) {
        _reenter();
        return this.onERC721Received.selector;
    }

    function setCall(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function execute(address to, uint256 value, bytes calldata input) external payable {
        (bool success, bytes memory result) = to.call{value: value}(input);
        if (success) return;
        assembly ("memory-safe") {
            revert(add(result, 0x20), mload(result))
        }
    }

    function _reenter() private {
        if (target == address(0)) return;
        called = true;
        (succeeded, answer) = target.call(data);
    }
}
