// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LeafChecker} from "./LeafChecker.sol";
import {IAssets} from "./interfaces/IAssets.sol";
import {IFraudChecker} from "./interfaces/IFraudChecker.sol";
import {Content} from "./libraries/Content.sol";
import {Dleq} from "./libraries/Dleq.sol";
import {Secp256k1} from "./libraries/Secp256k1.sol";
import {Point} from "./types/Point.sol";

/// @title Fraud checker
/// @notice See IFraudChecker.
contract FraudChecker is LeafChecker, IFraudChecker {
    /// @inheritdoc IFraudChecker
    function requireFraud(
        bytes32 deliveryContext,
        bytes32 disputeContext,
        IAssets.Version calldata version,
        Point calldata key,
        Fraud calldata fraud
    ) external view {
        // Check: the leaf is committed.
        requireCommitted(
            version.contentRoot, version.size, fraud.index, fraud.ciphertext, fraud.plaintextHash, fraud.path
        );
        // Check: D is kappa*Q and W is b*V, so that D - W is the key point of this version and b stays the buyer's secret.
        Dleq.verify(deliveryContext, version.key, key, fraud.delivered, fraud.delivery);
        Dleq.verify(
            disputeContext,
            Secp256k1.subtract(key, Secp256k1.nums()),
            version.key,
            fraud.opening,
            fraud.opened
        );
        // Check: the leaf decrypts to something else.
        bytes32 contentKey = Content.key(fraud.delivered, fraud.opening);
        if (opens(contentKey, version.size, fraud.index, fraud.ciphertext, fraud.plaintextHash)) {
            revert FraudChecker_HonestLeaf(fraud.index);
        }
    }
}
