// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

import {ITrail} from "./interfaces/ITrail.sol";

/// @title Trail
/// @notice Logs an event and folds it into its subject's head, in one step, so that neither can happen without the other.
abstract contract Trail is ITrail {
    /// @inheritdoc ITrail
    mapping(bytes32 subject => bytes32) public override head;

    /// @dev Emits the event `topic0` with the indexed fields (subject, id, msg.sender) and the given data, and extends the head.
    function _record(bytes32 subject, bytes32 topic0, bytes32 id, bytes memory data) internal {
        bytes32 actor = bytes32(uint256(uint160(msg.sender)));
        bytes32 entry =
            keccak256(abi.encodePacked(block.number, block.timestamp, topic0, subject, id, actor, data));
        head[subject] = Hashes.efficientKeccak256(head[subject], entry);
        // One log4 of the very bytes that were hashed: `emit` would encode them a second time, and could differ.
        assembly ("memory-safe") {
            log4(add(data, 0x20), mload(data), topic0, subject, id, actor)
        }
    }
}
