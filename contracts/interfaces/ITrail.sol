// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Trail
/// @notice The complete history of a subject (an asset, a revenue node, the directory) in one word, so that an exported
/// history can be checked against the state of the chain without trusting whoever exported it.
/// @dev Every trail event has exactly three indexed fields: the subject, the id concerned, and the actor (`msg.sender`).
/// With the log's topics `t0..t3` and its raw `data`:
///   entry = keccak256(be256(block.number) || be256(block.timestamp) || t0 || t1 || t2 || t3 || data)
///   head  = keccak256(head || entry), starting from zero.
/// What is hashed is what is logged, byte for byte. `head` is in storage slot 0 of every contract with a trail, so its slot for a
/// subject is keccak256(subject || be256(0)). See docs/trail.md.
interface ITrail {
    /// @notice The head of a subject's history in this contract.
    /// @param subject Id of an asset or a node, or the directory's own address as a word.
    /// @return head Zero if this contract has recorded nothing about the subject.
    function head(bytes32 subject) external view returns (bytes32 head);
}
