// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Trail} from "./Trail.sol";
import {IPayer} from "./interfaces/IPayer.sol";
import {ITreasury} from "./interfaces/ITreasury.sol";

/// @title Treasury
/// @notice See ITreasury.
contract Treasury is Trail, ITreasury, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 public constant override BASIS = 10_000;
    uint256 public constant override MAX_POSITIONS = 32;

    /// @dev Set in the word of every node, in none of an account.
    uint256 private constant NODE_BIT = 1 << 255;

    /// @inheritdoc ITreasury
    mapping(bytes32 payee => mapping(address currency => uint256)) public override balanceOf;

    /// @inheritdoc ITreasury
    mapping(bytes32 node => mapping(uint256 index => mapping(address currency => uint256)))
        public
        override paid;

    /// @inheritdoc ITreasury
    mapping(bytes32 node => mapping(uint256 index => address)) public override holder;

    /// @inheritdoc ITreasury
    function nodeOf(bytes32 salt, Position[] calldata positions) public pure returns (bytes32) {
        uint256 count = positions.length;
        if (count > MAX_POSITIONS) revert Treasury_BadPositions();
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            if (positions[i].weight == 0 || !_isPayee(positions[i].payee)) revert Treasury_BadPositions();
            sum += positions[i].weight;
        }
        if (sum != BASIS) revert Treasury_BadPositions();
        return bytes32(uint256(keccak256(abi.encode(salt, positions))) | NODE_BIT);
    }

    /// @inheritdoc ITreasury
    function deposit(bytes32 to, address currency, uint128 amount) external payable nonReentrant {
        // Check: the coin sent is the amount named.
        uint256 value = currency == address(0) ? amount : 0;
        if (msg.value != value) revert Treasury_WrongValue(msg.value, value);

        // Interaction before the effect: the amount is credited only as measured, under the guard of every entry point.
        if (currency != address(0)) {
            uint256 before = IERC20(currency).balanceOf(address(this));
            IERC20(currency).safeTransferFrom(msg.sender, address(this), amount);
            _requireMoved(currency, IERC20(currency).balanceOf(address(this)), before, amount);
        }

        // Effect
        _credit(to, 0, currency, amount);
    }

    /// @inheritdoc ITreasury
    function collect(bytes32 to, address currency, uint128 amount) external nonReentrant {
        // Interaction before the effect, as in `deposit`. No other payment can be measured meanwhile: the guard is held.
        uint256 before = IERC20(currency).balanceOf(address(this));
        IPayer(msg.sender).pay(currency, amount);
        _requireMoved(currency, IERC20(currency).balanceOf(address(this)), before, amount);

        // Effect
        _credit(to, 0, currency, amount);
    }

    /// @inheritdoc ITreasury
    function move(bytes32 to, address currency, uint128 amount) external nonReentrant {
        bytes32 from = _word(msg.sender);
        _debit(from, currency, amount);
        _credit(to, from, currency, amount);
    }

    /// @inheritdoc ITreasury
    function withdraw(address to, address currency, uint256 amount) external nonReentrant {
        // Effect
        _debit(_word(msg.sender), currency, amount);
        emit Withdrawn(msg.sender, to, currency, amount);

        // Interaction
        if (currency == address(0)) {
            _send(to, amount);
        } else {
            uint256 before = IERC20(currency).balanceOf(address(this));
            IERC20(currency).safeTransfer(to, amount);
            _requireMoved(currency, before, IERC20(currency).balanceOf(address(this)), amount);
        }
    }

    /// @inheritdoc ITreasury
    function claim(bytes32 salt, Position[] calldata positions, uint256 index, address currency)
        external
        nonReentrant
        returns (uint256 amount)
    {
        // Id
        bytes32 node = nodeOf(salt, positions);

        // Check: the position exists.
        if (index >= positions.length) revert Treasury_NoPosition(index, positions.length);

        // Effect: rounding is down, for every position alike, so no order of claims can pay more than came in.
        uint256 due = balanceOf[node][currency] * positions[index].weight / BASIS;
        amount = due - paid[node][index][currency];
        if (amount == 0) return 0;
        paid[node][index][currency] = due;
        address moved = holder[node][index];
        bytes32 payee = moved == address(0) ? positions[index].payee : _word(moved);
        _record(node, Claimed.selector, payee, abi.encode(index, currency, amount));
        _credit(payee, node, currency, amount);
    }

    /// @inheritdoc ITreasury
    function movePosition(bytes32 salt, Position[] calldata positions, uint256 index, address to)
        external
        nonReentrant
    {
        // Id
        bytes32 node = nodeOf(salt, positions);

        // Check: the position exists and is the caller's. That of a node has no holder: no node can call.
        if (index >= positions.length) revert Treasury_NoPosition(index, positions.length);
        address moved = holder[node][index];
        bytes32 payee = moved == address(0) ? positions[index].payee : _word(moved);
        if (payee != _word(msg.sender)) revert Treasury_NotHolder(msg.sender);
        if (to == address(0)) revert Treasury_NotAPayee(0);

        // Effect
        holder[node][index] = to;
        _record(node, PositionMoved.selector, _word(to), abi.encode(index));
    }

    function _credit(bytes32 to, bytes32 from, address currency, uint256 amount) private {
        if (!_isPayee(to)) revert Treasury_NotAPayee(to);
        balanceOf[to][currency] += amount;
        if (_isNode(to)) _record(to, Received.selector, from, abi.encode(currency, amount));
        else emit Received(to, from, msg.sender, currency, amount);
    }

    function _debit(bytes32 from, address currency, uint256 amount) private {
        uint256 available = balanceOf[from][currency];
        if (available < amount) revert Treasury_InsufficientBalance(available, amount);
        balanceOf[from][currency] = available - amount;
    }

    function _send(address to, uint256 amount) private {
        bool sent;
        // No return data is copied: a receiver that answers with a megabyte costs its caller nothing.
        assembly ("memory-safe") {
            sent := call(gas(), to, amount, 0, 0, 0, 0)
        }
        if (!sent) revert Treasury_TransferRefused(to);
    }

    function _requireMoved(address currency, uint256 more, uint256 less, uint256 amount) private pure {
        uint256 moved = more > less ? more - less : 0;
        if (moved != amount) revert Treasury_WrongTransfer(currency, moved, amount);
    }

    function _isNode(bytes32 payee) private pure returns (bool) {
        return uint256(payee) & NODE_BIT != 0;
    }

    function _isPayee(bytes32 payee) private pure returns (bool) {
        return _isNode(payee) || (payee != 0 && uint256(payee) >> 160 == 0);
    }

    function _word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
