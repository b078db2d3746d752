// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "../types/Point.sol";
import {Proof} from "../types/Proof.sol";
import {IAssets} from "./IAssets.sol";

/// @title Fraud checker
/// @notice Judges a dispute: whether delivered content is provably not what was committed. It keeps no state and has no roles.
/// @dev Apart from the market because of the size of its code.
interface IFraudChecker {
    /// @notice What a payer shows to prove content false.
    struct Fraud {
        // D, as delivered, and its proof
        Point delivered;
        Proof delivery;
        // W = b*V, and the proof that log_G(Q - P) = log_V(W)
        Point opening;
        Proof opened;
        // which leaf, from 0
        uint64 index;
        // its ciphertext, as published
        bytes ciphertext;
        // SHA-256(salt || plaintext) of it, as published
        bytes32 plaintextHash;
        // siblings from the leaf up to the content root
        bytes32[] path;
    }

    /// @notice The leaf decrypts to what was committed: the content is honest.
    /// @param index The leaf.
    error FraudChecker_HonestLeaf(uint64 index);

    /// @notice Reverts unless the fraud is proved.
    /// @dev Checked in this order: index, length and path of the leaf; points and proofs; then the leaf is decrypted. Reverts with the
    /// errors of Content and Dleq by their causes.
    /// @param deliveryContext What the proof of the delivery is bound to.
    /// @param disputeContext What the proof of the opening is bound to.
    /// @param version The version bought.
    /// @param key Q of the order.
    /// @param fraud What the payer shows.
    function requireFraud(
        bytes32 deliveryContext,
        bytes32 disputeContext,
        IAssets.Version calldata version,
        Point calldata key,
        Fraud calldata fraud
    ) external view;
}
