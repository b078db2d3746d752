// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Treasury
/// @notice The books, and nothing else: what every payee owns in every currency. Money comes here when it is decided whose it is.
/// @dev No administrator and no list of trusted contracts: whoever calls spends his own balance only.
///
/// Currency: the address of an ERC-20, or zero for the native coin. Amounts are in the currency's smallest unit (wei), at most
/// 2^128-1. A payee is one word: an account (its address, below 2^160), or a revenue node (top bit set).
///
/// A **node** splits what it receives among immutable positions. It is named by the hash of (salt, positions) and registered
/// nowhere: a claim brings the positions along. Since no hash can contain itself, no node can pay itself. With `IN` all that the
/// node ever received, a position of weight `w` is owed `floor(IN * w / BASIS) - paid`, in any order of claims; less than one unit
/// per position stays in the node.
interface ITreasury {
    /// @notice One beneficiary's part of a node.
    /// @param payee An account, or another node.
    /// @param weight Basis points of the node's income, above 0; all weights of a node sum to 10,000.
    struct Position {
        bytes32 payee;
        uint16 weight;
    }

    /// @notice A payee received money. For a node: a trail event, and income.
    /// @param payee Account or node.
    /// @param source Account or node whose balance or income it was; zero if it was paid in from outside, by the actor.
    /// @param actor Who called.
    /// @param currency ERC-20, or zero for the native coin.
    /// @param amount Smallest units.
    event Received(
        bytes32 indexed payee, bytes32 indexed source, address indexed actor, address currency, uint256 amount
    );

    /// @notice A position was paid what it was owed. A trail event of the node that paid.
    /// @param node The paying node.
    /// @param payee Who received it: the position's beneficiary or the account it was moved to.
    /// @param actor Who called; anybody may.
    /// @param index Position in the node, from 0.
    /// @param currency ERC-20, or zero for the native coin.
    /// @param amount Smallest units.
    event Claimed(
        bytes32 indexed node,
        bytes32 indexed payee,
        address indexed actor,
        uint256 index,
        address currency,
        uint256 amount
    );

    /// @notice A position was given, whole, to another account. A trail event of the node.
    /// @param node The node.
    /// @param to The account that earns it from now on, as a word.
    /// @param actor Who held it until now.
    /// @param index Position in the node, from 0.
    event PositionMoved(bytes32 indexed node, bytes32 indexed to, address indexed actor, uint256 index);

    /// @notice Money left the books.
    /// @param account Whose balance paid.
    /// @param to Where it went.
    /// @param currency ERC-20, or zero for the native coin.
    /// @param amount Smallest units.
    event Withdrawn(address indexed account, address indexed to, address indexed currency, uint256 amount);

    /// @notice The word is neither an account nor a node.
    /// @param payee The word.
    error Treasury_NotAPayee(bytes32 payee);

    /// @notice The payer's balance is too small.
    /// @param available What the balance is.
    /// @param needed What was asked for.
    error Treasury_InsufficientBalance(uint256 available, uint256 needed);

    /// @notice The native coin sent with the call is not the amount named.
    /// @param sent Wei with the call.
    /// @param amount Amount named.
    error Treasury_WrongValue(uint256 sent, uint256 amount);

    /// @notice A token moved another amount than it was asked to: fee on transfer, rebasing, or a lie.
    /// @param currency The token.
    /// @param moved What the measured balance says.
    /// @param amount What was asked for.
    error Treasury_WrongTransfer(address currency, uint256 moved, uint256 amount);

    /// @notice The receiver refused the native coin.
    /// @param to The receiver.
    error Treasury_TransferRefused(address to);

    /// @notice The positions are no valid node: none, more than 32, a weight of zero, a sum that is not 10,000, or no payee.
    error Treasury_BadPositions();

    /// @notice There is no position of that index.
    /// @param index From 0.
    /// @param count Number of positions.
    error Treasury_NoPosition(uint256 index, uint256 count);

    /// @notice Only the holder of a position may move it, and only to an account.
    /// @param account Who tried.
    error Treasury_NotHolder(address account);

    /// @notice Denominator of weights: 10,000 basis points.
    /// @return basis The constant.
    function BASIS() external view returns (uint256 basis);

    /// @notice Greatest number of positions of a node.
    /// @return most The constant, 32.
    function MAX_POSITIONS() external view returns (uint256 most);

    /// @notice What an account may withdraw, or all that a node ever received.
    /// @param payee Account or node.
    /// @param currency ERC-20, or zero for the native coin.
    /// @return amount Smallest units.
    function balanceOf(bytes32 payee, address currency) external view returns (uint256 amount);

    /// @notice What a position has been paid so far.
    /// @param node The node.
    /// @param index Position, from 0.
    /// @param currency ERC-20, or zero for the native coin.
    /// @return amount Smallest units.
    function paid(bytes32 node, uint256 index, address currency) external view returns (uint256 amount);

    /// @notice The account a position was moved to.
    /// @param node The node.
    /// @param index Position, from 0.
    /// @return account Zero if it was never moved.
    function holder(bytes32 node, uint256 index) external view returns (address account);

    /// @notice The name of a node. Reverts if the positions are not valid.
    /// @param salt Makes two nodes of equal positions different.
    /// @param positions 1 to 32 positions whose weights sum to 10,000.
    /// @return node keccak256(abi.encode(salt, positions)) with the top bit set.
    function nodeOf(bytes32 salt, Position[] calldata positions) external pure returns (bytes32 node);

    /// @notice Pays into the books from the caller: native coin by value, an ERC-20 by the allowance given to this contract.
    /// @param to Who receives it.
    /// @param currency ERC-20, or zero for the native coin.
    /// @param amount Smallest units.
    function deposit(bytes32 to, address currency, uint128 amount) external payable;

    /// @notice Pays an ERC-20 into the books from a contract that needs to give no allowance: this contract calls `IPayer.pay` on
    /// the caller and believes only its own balance of the token before and after.
    /// @param to Who receives it.
    /// @param currency An ERC-20.
    /// @param amount Smallest units.
    function collect(bytes32 to, address currency, uint128 amount) external;

    /// @notice Moves the caller's own balance.
    /// @param to Who receives it.
    /// @param currency ERC-20, or zero for the native coin.
    /// @param amount Smallest units.
    function move(bytes32 to, address currency, uint128 amount) external;

    /// @notice Takes the caller's own balance out of the books.
    /// @param to Any address; for the native coin it must accept a plain transfer.
    /// @param currency ERC-20, or zero for the native coin.
    /// @param amount Smallest units.
    function withdraw(address to, address currency, uint256 amount) external;

    /// @notice Pays a position what it is owed. Anybody may call; the money goes to the position's payee.
    /// @param salt The node's salt.
    /// @param positions The node's positions.
    /// @param index Position, from 0.
    /// @param currency ERC-20, or zero for the native coin.
    /// @return amount What was paid, smallest units; zero is no error.
    function claim(bytes32 salt, Position[] calldata positions, uint256 index, address currency)
        external
        returns (uint256 amount);

    /// @notice Gives the caller's position, whole, to another account: all that is not claimed yet goes there too.
    /// @param salt The node's salt.
    /// @param positions The node's positions.
    /// @param index Position, from 0; its payee must be an account.
    /// @param to The new holder, not zero.
    function movePosition(bytes32 salt, Position[] calldata positions, uint256 index, address to) external;
}
