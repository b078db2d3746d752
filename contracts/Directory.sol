// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

import {Trail} from "./Trail.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";

/// @title Directory
/// @notice See IDirectory. The owner is the curator.
contract Directory is Trail, IDirectory, Ownable2Step {
    address[] private _items;
    mapping(address item => bool) private _listed;

    /// @param items Contracts listed from the start, in this order.
    /// @param curator Who may list more.
    constructor(address[] memory items, address curator) Ownable(curator) {
        for (uint256 i; i < items.length; ++i) {
            _list(items[i]);
        }
    }

    /// @inheritdoc IDirectory
    function count() external view returns (uint256) {
        return _items.length;
    }

    /// @inheritdoc IDirectory
    function contractAt(uint256 index) external view returns (address) {
        return _items[index];
    }

    /// @inheritdoc IDirectory
    function all() external view returns (address[] memory) {
        return _items;
    }

    /// @inheritdoc IDirectory
    function list(address item) external onlyOwner {
        _list(item);
    }

    function _list(address item) private {
        // Check: a contract, and a new one.
        if (item.code.length == 0 || _listed[item]) revert Directory_NotListable(item);

        // Effect
        uint256 index = _items.length;
        _listed[item] = true;
        _items.push(item);
        _record(
            bytes32(uint256(uint160(address(this)))),
            Listed.selector,
            bytes32(uint256(uint160(item))),
            abi.encode(index, item.codehash)
        );
    }
}
