// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ILeafChecker
/// @notice Judges one leaf of a version's content in a dispute, as `docs/encryption-format.md` defines
/// leaves. It keeps no state and has no roles: the answer is a function of the arguments, and whoever calls
/// decides what follows from it.
/// @dev Apart from the market because of the size of its code. A dispute calls `requireCommitted` first, then
/// verifies the opening of the key, then calls `opens` with the same leaf. Sizes are in bytes, leaves are
/// counted from zero. The errors are those of the library `Content`.
interface ILeafChecker {
    /// @notice Reverts unless the leaf is the one that the seller committed to at this index.
    /// @dev Checks, in this order: the size, the index, the exact length of the ciphertext, the length of the
    /// path, the root.
    /// @param contentRoot Root of the content tree of the version.
    /// @param size Size of the version's plaintext stream, 1 to 2^52.
    /// @param index Index of the leaf.
    /// @param ciphertext Ciphertext of the leaf: 4096 bytes, or what is left for the last leaf.
    /// @param plaintextHash Salted hash of the leaf's plaintext that the seller committed to.
    /// @param path Siblings of the leaf in the content tree, from the leaf upwards.
    /// @custom:reverts Content_SizeOutOfRange when the size is zero or above 2^52
    /// @custom:reverts Content_IndexOutOfRange when the stream has no such leaf
    /// @custom:reverts Content_WrongLength when the ciphertext is shorter or longer than the leaf
    /// @custom:reverts Content_WrongPathLength when the path does not end at the root of a tree of this many
    /// leaves
    /// @custom:reverts Content_WrongRoot when the path leads to another root
    function requireCommitted(
        bytes32 contentRoot,
        uint64 size,
        uint64 index,
        bytes calldata ciphertext,
        bytes32 plaintextHash,
        bytes32[] calldata path
    ) external pure;

    /// @notice Whether the ciphertext of a leaf decrypts under the content key to the plaintext that was
    /// committed to.
    /// @dev Says nothing about what was committed: see `requireCommitted`. About 1.6M gas for 4096 bytes.
    /// @param contentKey Content key of the version, the AES-256 key.
    /// @param size Size of the version's plaintext stream, 1 to 2^52.
    /// @param index Index of the leaf.
    /// @param ciphertext Ciphertext of the leaf.
    /// @param plaintextHash Salted hash of the leaf's plaintext that the seller committed to.
    /// @return honest True when the seller was honest about this leaf, false when the leaf proves fraud.
    /// @custom:reverts Content_SizeOutOfRange when the size is zero or above 2^52
    /// @custom:reverts Content_IndexOutOfRange when the stream has no such leaf
    /// @custom:reverts Content_WrongLength when the ciphertext is shorter or longer than the leaf
    function opens(
        bytes32 contentKey,
        uint64 size,
        uint64 index,
        bytes calldata ciphertext,
        bytes32 plaintextHash
    ) external pure returns (bool honest);
}
