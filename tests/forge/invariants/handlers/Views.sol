// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ILicences} from "../../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../../contracts/interfaces/IOffers.sol";
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

    function releases() external view returns (Release[] memory all) {
        all = new Release[](_models.length);
        for (uint256 i; i < all.length; ++i) {
            Model storage m = _models[i];
            all[i] = Release({
                id: m.id,
                key: m.version.key.x,
                honest: m.honest,
                flagged: _flagSeen[m.id],
                time: _publishedAt[m.id],
                number: _numberOf[m.id]
            });
        }
    }

    function offers() external view returns (Listed[] memory all) {
        all = new Listed[](_deals.length);
        for (uint256 i; i < all.length; ++i) {
            Deal storage d = _deals[i];
            (all[i].id, all[i].epoch, all[i].closed, all[i].supply) =
            (d.id, d.epoch, d.closed, d.terms.supply);
        }
        for (uint256 i; i < _boughts.length; ++i) {
            Bought storage p = _boughts[i];
            if (_seen[p.id].state != ILicences.State.Refunded) ++all[p.deal].out;
        }
    }

    function everybody() external view returns (address[6] memory) {
        return actors;
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

    function sales() external view returns (Sale[] memory all) {
        all = new Sale[](_boughts.length);
        for (uint256 i; i < all.length; ++i) {
            Bought storage p = _boughts[i];
            IOffers.Terms storage t = p.order.terms;
            Sale memory s = all[i];
            (s.id, s.asset, s.node) = (p.id, p.order.version.asset, p.order.version.node);
            (s.currency, s.price, s.bond) = (t.currency, t.price, t.bond);
            (s.window, s.period, s.renewUntil) = (t.window, t.period, t.renewUntil);
            s.flags = 16 * uint8(t.scope);
            if (t.kind == IOffers.Kind.Perpetual) s.flags += 1;
            if (t.transferable) s.flags += 2;
            if (t.revocable) s.flags += 4;
            s.seen = _seen[p.id];
        }
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

    function rolesOf(bytes32 asset, uint32 epoch) external view returns (uint256[6] memory bits) {
        for (uint256 i; i < 6; ++i) {
            bits[i] = _rolesOf[asset][epoch][actors[i]];
        }
    }

    function validOf(bytes32 purchase) external view returns (bool) {
        return _valid(purchase);
    }
}
