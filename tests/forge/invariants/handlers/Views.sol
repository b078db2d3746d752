// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITreasury} from "../../../../contracts/interfaces/ITreasury.sol";
import {Attacks} from "./Attacks.sol";

/// @title Views
/// @notice What the invariants read of the ledger.
abstract contract Views is Attacks {
    function holdings() external view returns (Holding[] memory) {
        return _holdings;
    }

    function models() external view returns (Model[] memory) {
        return _models;
    }

    function deals() external view returns (Deal[] memory) {
        return _deals;
    }

    function boughts() external view returns (Bought[] memory) {
        return _boughts;
    }

    function askeds() external view returns (Asked[] memory) {
        return _askeds;
    }

    function nodes() external view returns (bytes32[] memory) {
        return _nodes;
    }

    function subjects() external view returns (bytes32[] memory) {
        return _subjects;
    }

    function positions(uint256 n) external view returns (ITreasury.Position[] memory) {
        return _positions[n];
    }

    function seen(bytes32 purchase) external view returns (Seen memory) {
        return _seen[purchase];
    }

    function flagSeen(bytes32 version) external view returns (bool) {
        return _flagSeen[version];
    }

    function headOf(address emitter, bytes32 subject) external view returns (bytes32) {
        return _heads[emitter][subject];
    }

    function fromMarket(bytes32 payee, address currency) external view returns (uint256) {
        return _fromMarket[payee][currency];
    }

    function earned(bytes32 payee, address currency) external view returns (uint256) {
        return _earned[payee][currency];
    }

    function balanceOf(bytes32 payee, address currency) external view returns (uint256) {
        return _balances[payee][currency];
    }

    function loggedOf(bytes32 payee, address currency) external view returns (uint256) {
        return _logged[payee][currency];
    }

    function paidTo(bytes32 node, uint256 index, address currency) external view returns (uint256) {
        return _paidOut[node][index][currency];
    }

    function bondOf(address seller) external view returns (uint256) {
        return _bonds[seller];
    }

    function giftTo(address account, address currency) external view returns (uint256) {
        return _gifts[account][currency];
    }

    function published(bytes32 version) external view returns (uint40 time, uint32 number) {
        return (_publishedAt[version], _numberOf[version]);
    }

    function rolesOf(bytes32 asset, uint32 epoch, address account) external view returns (uint256) {
        return _rolesOf[asset][epoch][account];
    }

    function outOf(uint256 deal) external view returns (uint256) {
        return _out(deal);
    }

    function validOf(bytes32 purchase) external view returns (bool) {
        return _valid(purchase);
    }
}
