// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Directory
/// @notice The append-only list of the contracts of one market. An auditor who knows the address of this contract knows every
/// place where an entry about an asset can stand. Being listed gives no power: no contract of the market asks the directory.
/// @dev Privileges: the curator may list a contract, hand the curatorship on (two steps), or give it up for ever. Nothing else.
interface IDirectory {
    /// @notice A contract was listed. A trail event: subject is the directory's own address, id the contract's.
    /// @param subject Address of this directory as a word.
    /// @param id Address of the listed contract as a word.
    /// @param actor Who listed it.
    /// @param index Position in the list, from 0.
    /// @param codeHash keccak256 of the contract's code at that moment.
    event Listed(
        bytes32 indexed subject, bytes32 indexed id, address indexed actor, uint256 index, bytes32 codeHash
    );

    /// @notice The address has no code, or stands in the list already.
    /// @param item The address.
    error Directory_NotListable(address item);

    /// @notice Lists a contract, for ever. Only the curator.
    /// @param item A contract that keeps a trail.
    function list(address item) external;

    /// @notice How many contracts are listed.
    /// @return count Length of the list.
    function count() external view returns (uint256 count);

    /// @notice A listed contract.
    /// @param index From 0 to `count() - 1`; reverts beyond.
    /// @return item Its address.
    function contractAt(uint256 index) external view returns (address item);

    /// @notice The whole list, in order.
    /// @return items Addresses.
    function all() external view returns (address[] memory items);
}
