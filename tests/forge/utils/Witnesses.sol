// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @dev One dispute of `content.json`, its keys in alphabetical order as the decoder needs them.
struct Witness {
    bytes ciphertext;
    bytes32 contentRoot;
    uint256 dx;
    uint256 dy;
    bool fraud;
    bytes32 key;
    uint256 leaf;
    uint256 mx;
    uint256 my;
    string name;
    bytes32[] path;
    bytes plaintext;
    bytes32 salt;
    bytes32 salted;
    uint256 size;
    uint256 wx;
    uint256 wy;
}

/// @title Witnesses
/// @notice Reads the dispute witnesses of the shared vectors.
library Witnesses {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function load() internal view returns (Witness[] memory) {
        string memory json = VM.readFile("tests/vectors/content.json");
        return abi.decode(VM.parseJson(json, ".disputes"), (Witness[]));
    }
}
