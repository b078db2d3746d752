// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ILeafChecker} from "./interfaces/ILeafChecker.sol";
import {Aes256} from "./libraries/Aes256.sol";
import {Content} from "./libraries/Content.sol";

/// @title LeafChecker
/// @notice See `ILeafChecker`.
contract LeafChecker is ILeafChecker {
    /// @inheritdoc ILeafChecker
    function requireCommitted(
        bytes32 contentRoot,
        uint64 size,
        uint64 index,
        bytes calldata ciphertext,
        bytes32 plaintextHash,
        bytes32[] calldata path
    ) public pure {
        Content.requireLength(size, index, ciphertext.length);
        bytes32 leaf = Content.leafHash(index, ciphertext, plaintextHash);
        Content.requireIncluded(contentRoot, Content.leafCount(size), index, leaf, path);
    }

    /// @inheritdoc ILeafChecker
    function opens(
        bytes32 contentKey,
        uint64 size,
        uint64 index,
        bytes calldata ciphertext,
        bytes32 plaintextHash
    ) public pure returns (bool honest) {
        Content.requireLength(size, index, ciphertext.length);
        bytes memory plaintext =
            Aes256.applyKeystream(contentKey, Content.nonce(size, index), Content.counter(index), ciphertext);
        return Content.plaintextHash(contentKey, index, plaintext) == plaintextHash;
    }
}
