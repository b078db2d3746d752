// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Trail} from "../../../../contracts/Trail.sol";
import {IAssets} from "../../../../contracts/interfaces/IAssets.sol";

/// @title Notebook
/// @notice Records what Assets records, without its rules, and has immutables as Market has. The frozen bundle's registry.
contract Notebook is Trail {
    event AssetRegistered(
        bytes32 indexed asset, bytes32 indexed name, address indexed actor, IAssets.Kind kind, uint16 royalty
    );
    event VersionPublished(
        bytes32 indexed asset, bytes32 indexed version, address indexed actor, uint32 number, IAssets.Version commitments
    );
    event RoleSet(
        bytes32 indexed asset, bytes32 indexed account, address indexed actor, IAssets.Role role, bool granted
    );

    address public immutable treasury;
    address public immutable checker;
    uint128 public immutable least;

    constructor(address treasury_, address checker_, uint128 least_) {
        treasury = treasury_;
        checker = checker_;
        least = least_;
    }

    function register(bytes32 name, IAssets.Version memory version) external {
        bytes32 asset = keccak256(abi.encode(block.chainid, address(this), msg.sender, name)) & bytes32(type(uint256).max >> 1);
        _record(asset, AssetRegistered.selector, name, abi.encode(IAssets.Kind.Dataset, uint16(250)));
        version.asset = asset;
        publish(1, version);
    }

    function publish(uint32 number, IAssets.Version memory version) public {
        bytes32 id = keccak256(abi.encode(version));
        _record(version.asset, VersionPublished.selector, id, abi.encode(number, version));
    }

    function setRole(bytes32 asset, address account, bool granted) external {
        bytes32 word = bytes32(uint256(uint160(account)));
        _record(asset, RoleSet.selector, word, abi.encode(IAssets.Role.Seller, granted));
    }
}
