// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../../../../contracts/interfaces/IAssets.sol";
import {IKeyRequests} from "../../../../contracts/interfaces/IKeyRequests.sol";
import {ILicences} from "../../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../../contracts/interfaces/IOffers.sol";
import {IPurchases} from "../../../../contracts/interfaces/IPurchases.sol";
import {ITreasury} from "../../../../contracts/interfaces/ITreasury.sol";
import {Point} from "../../../../contracts/types/Point.sol";
import {Proof} from "../../../../contracts/types/Proof.sol";
import {Ledger} from "./Ledger.sol";

/// @title Sales
/// @notice Steps that actions are made of. A step that finds nothing to work on makes it first, so an action never does nothing.
abstract contract Sales is Ledger {
    /// @dev What a purchase must be good for. Zero: anything.
    uint256 internal constant WINDOW = 1;
    uint256 internal constant RENTAL = 2;
    uint256 internal constant REVOCABLE = 4;
    uint256 internal constant TRANSFERABLE = 8;
    uint256 internal constant WIDE = 16;
    uint256 internal constant FALSE = 32;
    uint256 internal constant HONEST = 64;
    uint256 internal constant LIMITED = 128;
    uint256 internal constant LISTED = 256;

    uint256 private _fresh;

    /// @dev A number that was never used.
    function _next() internal returns (uint256) {
        return ++_fresh;
    }

    function _actor(uint256 seed) internal view returns (address) {
        return actors[seed % 6];
    }

    /// @dev First index from `seed` on, around the corner, that fits; NONE if none does.
    function _find(uint256 length, uint256 seed, function(uint256) view returns (bool) fits)
        internal
        view
        returns (uint256)
    {
        if (length == 0) return NONE;
        seed %= length;
        for (uint256 i; i < length; ++i) {
            uint256 index = (seed + i) % length;
            if (fits(index)) return index;
        }
        return NONE;
    }

    // --- what fits --------------------------------------------------------------------------------------

    function _state(uint256 i) internal view returns (ILicences.State) {
        return _seen[_boughts[i].id].state;
    }

    function _isFlagged(uint256 i) internal view returns (bool) {
        return _flagSeen[_models[_boughts[i].model].id];
    }

    function _isDue(uint256 i) internal view returns (bool) {
        return _now() > _seen[_boughts[i].id].due;
    }

    function _isOpen(uint256 i) internal view returns (bool) {
        return _state(i) == ILicences.State.Paid && !_isFlagged(i) && !_isDue(i);
    }

    function _isLate(uint256 i) internal view returns (bool) {
        return _state(i) == ILicences.State.Paid && !_isFlagged(i) && _isDue(i);
    }

    function _isInWindow(uint256 i) internal view returns (bool) {
        return _state(i) == ILicences.State.Delivered && !_isFlagged(i) && !_isDue(i);
    }

    function _isPastWindow(uint256 i) internal view returns (bool) {
        return _state(i) == ILicences.State.Delivered && !_isFlagged(i) && _isDue(i);
    }

    function _isHonestInWindow(uint256 i) internal view returns (bool) {
        return _isInWindow(i) && _models[_boughts[i].model].honest;
    }

    function _isFalseInWindow(uint256 i) internal view returns (bool) {
        return _isInWindow(i) && !_models[_boughts[i].model].honest;
    }

    function _isFalsePastWindow(uint256 i) internal view returns (bool) {
        return _isPastWindow(i) && !_models[_boughts[i].model].honest;
    }

    function _isUndone(uint256 i) internal view returns (bool) {
        return (_state(i) == ILicences.State.Paid || _state(i) == ILicences.State.Delivered) && _isFlagged(i);
    }

    function _isUndoneDelivered(uint256 i) internal view returns (bool) {
        return _state(i) == ILicences.State.Delivered && _isFlagged(i) && _isDue(i);
    }

    function _isSettled(uint256 i) internal view returns (bool) {
        return _state(i) == ILicences.State.Settled;
    }

    function _isRenewable(uint256 i) internal view returns (bool) {
        IOffers.Terms storage t = _boughts[i].order.terms;
        uint40 until = _seen[_boughts[i].id].until;
        return
            _isSettled(i) && t.kind == IOffers.Kind.Rental && _now() <= until
                && until + t.period <= t.renewUntil;
    }

    function _isEnded(uint256 i) internal view returns (bool) {
        IOffers.Terms storage t = _boughts[i].order.terms;
        uint40 until = _seen[_boughts[i].id].until;
        return
            _isSettled(i) && t.kind == IOffers.Kind.Rental && _now() > until
                && until + t.period <= t.renewUntil;
    }

    function _isMovable(uint256 i) internal view returns (bool) {
        return _isSettled(i) && _boughts[i].order.terms.transferable;
    }

    function _isRevocable(uint256 i) internal view returns (bool) {
        return _isSettled(i) && _boughts[i].order.terms.revocable;
    }

    function _isValidNow(uint256 i) internal view returns (bool) {
        return _valid(_boughts[i].id) && !_isFlagged(i);
    }

    function _isDealOpen(uint256 i) internal view returns (bool) {
        Deal storage d = _deals[i];
        return !d.closed && d.epoch == _holdings[d.asset].epoch
            && (d.terms.supply == 0 || _out(i) < d.terms.supply) && _modelFor(d.asset, i, 0) != NONE;
    }

    function _isDealClosed(uint256 i) internal view returns (bool) {
        Deal storage d = _deals[i];
        return d.closed || d.epoch != _holdings[d.asset].epoch;
    }

    /// @dev An unflagged version of an asset, honest or false if it matters.
    function _modelFor(uint256 asset, uint256 seed, uint256 needs) internal view returns (uint256) {
        bytes32 id = _holdings[asset].id;
        seed %= _models.length;
        for (uint256 i; i < _models.length; ++i) {
            uint256 index = (seed + i) % _models.length;
            Model storage m = _models[index];
            if (m.version.asset != id || _flagSeen[m.id]) continue;
            if (needs & FALSE != 0 && m.honest) continue;
            if (needs & HONEST != 0 && !m.honest) continue;
            return index;
        }
        return NONE;
    }

    // --- assets and offers ------------------------------------------------------------------------------

    function _register(uint256 seed) internal returns (uint256 asset) {
        address owner = _actor(seed % 3);
        bytes32 name = bytes32(_next());
        bytes32 id = _assetOf(owner, name);
        Model memory m = _model(id, _scalar(_next()), _nodes[seed % NODES], seed % 2 == 0);
        IAssets.KeyProof memory proof = _keyProof(m, owner);
        IAssets.Kind kind = seed % 5 == 0 ? IAssets.Kind.Dataset : IAssets.Kind.Model;
        vm.prank(owner);
        bytes32 given = assets.register(name, kind, uint16(seed % 1001), m.version, proof);
        assertEq(given, id, "asset id");
        asset = _holdings.length;
        _holdings.push(Holding({id: id, owner: owner, epoch: 0, versions: 0}));
        _noteVersion(asset, m);
    }

    function _publish(uint256 asset, uint256 seed, bool honest) internal returns (uint256 index) {
        Holding storage h = _holdings[asset];
        Model memory m = _model(h.id, _scalar(_next()), _nodes[seed % NODES], honest);
        address publisher = _actorWith(asset, seed, IAssets.Role.Maintainer);
        IAssets.KeyProof memory proof = _keyProof(m, publisher);
        vm.prank(publisher);
        assertEq(assets.publish(m.version, proof), m.id, "version id");
        return _noteVersion(asset, m);
    }

    function _noteVersion(uint256 asset, Model memory m) private returns (uint256 index) {
        index = _models.length;
        _models.push(m);
        _modelOf[m.id] = index;
        _publishedAt[m.id] = _now();
        _numberOf[m.id] = ++_holdings[asset].versions;
    }

    /// @dev The owner, or somebody whom he lent the role.
    function _actorWith(uint256 asset, uint256 seed, IAssets.Role role) internal view returns (address) {
        for (uint256 i; i < 6; ++i) {
            address account = _actor((seed >> 8) % 6 + i);
            if (_may(asset, account, role)) return account;
        }
        return _holdings[asset].owner;
    }

    function _offer(uint256 asset, uint256 seed, uint256 needs) internal returns (uint256 index) {
        address seller = _actorWith(asset, seed, IAssets.Role.Seller);
        IOffers.Terms memory t = _anyTerms(uint256(keccak256(abi.encode(seed, _next()))), seller);
        _shape(t, needs);
        bytes32 assetId = _holdings[asset].id;
        vm.prank(seller);
        bytes32 id = market.makeOffer(assetId, t);
        assertEq(id, _offerOf(assetId, t), "offer id");
        index = _deals.length;
        _deals.push();
        Deal storage d = _deals[index];
        (d.id, d.asset, d.epoch, d.terms) = (id, asset, _holdings[asset].epoch, t);
    }

    function _anyTerms(uint256 seed, address seller) private returns (IOffers.Terms memory t) {
        t.seller = seller;
        t.currency = currencies[seed % 3];
        t.price = (seed >> 8) % 4 == 0 ? 0 : uint128(1 + (seed >> 16) % 1e18);
        t.kind = IOffers.Kind((seed >> 80) % 2);
        t.scope = ILicences.Scope((seed >> 88) % 3);
        t.transferable = (seed >> 96) % 2 == 0;
        t.revocable = t.price == 0 && (seed >> 97) % 2 == 0;
        t.window = [uint32(0), 1 hours, 2 days][(seed >> 104) % 3];
        t.bond = t.window == 0 ? uint128((seed >> 112) % 2) : MIN_BOND + uint128((seed >> 112) % 1e9);
        bool timed = t.kind == IOffers.Kind.Rental || t.scope == ILicences.Scope.UntilEnd;
        if (timed) t.period = uint32(3 hours + (seed >> 144) % 20 days);
        if (t.kind == IOffers.Kind.Rental && (seed >> 96) % 4 != 0) t.renewUntil = _now() + 4 * t.period;
        t.deliverWithin = uint32(1 hours + (seed >> 176) % 3 days);
        bool listed = (seed >> 208) % 3 == 0;
        if (listed) t.allowList = _allowList(actors[3], actors[4]);
        if (t.price != 0 || listed) t.supply = uint32((seed >> 216) % 4);
        t.text = keccak256("text");
        t.salt = uint64(_next());
    }

    function _shape(IOffers.Terms memory t, uint256 needs) private view {
        if (needs & REVOCABLE != 0) (t.price, t.revocable) = (0, true);
        if (needs & WINDOW != 0 && t.window == 0) (t.window, t.bond) = (1 hours, MIN_BOND);
        if (needs & RENTAL != 0) {
            (t.kind, t.window) = (IOffers.Kind.Rental, t.window == 0 ? 0 : 1 hours);
            if (t.period == 0) t.period = 1 days;
            t.renewUntil = _now() + 100 * t.period;
        }
        if (needs & TRANSFERABLE != 0) t.transferable = true;
        if (needs & LISTED != 0) t.allowList = _allowList(actors[3], actors[4]);
        if (needs & WIDE != 0) {
            t.scope = ILicences.Scope.All;
            if (t.kind == IOffers.Kind.Perpetual) t.period = 0;
        }
        if (needs & LIMITED != 0) (t.supply, t.allowList) = (1, _allowList(actors[3], actors[4]));
        if (t.price == 0 && t.allowList == 0) t.supply = 0;
    }

    // --- purchases --------------------------------------------------------------------------------------

    function _order(uint256 deal, uint256 model, address buyer)
        internal
        returns (IPurchases.Order memory o, uint256 b)
    {
        b = _scalar(_next());
        o.version = _models[model].version;
        o.terms = _deals[deal].terms;
        o.buyer = buyer;
        o.salt = bytes32(_next());
        o.key = _blinded(b);
    }

    function _buyer(uint256 deal, uint256 seed) internal view returns (address) {
        return _deals[deal].terms.allowList == 0 ? _actor(seed >> 4) : actors[3 + (seed >> 4) % 2];
    }

    function _allowProof(uint256 deal, address buyer) internal view returns (bytes32[] memory proof) {
        if (_deals[deal].terms.allowList == 0) return proof;
        proof = new bytes32[](1);
        proof[0] = _allowLeaf(buyer == actors[3] ? actors[4] : actors[3]);
    }

    function _buy(uint256 deal, uint256 model, uint256 seed) internal returns (uint256 index) {
        address buyer = _buyer(deal, seed);
        (IPurchases.Order memory o, uint256 b) = _order(deal, model, buyer);
        if (_bonds[o.terms.seller] < o.terms.bond) _fundBond(o.terms.seller, o.terms.bond);
        index = _boughts.length;
        bytes32 id = _purchaseOf(o);
        _boughts.push(Bought({id: id, model: model, deal: deal, b: b, order: o}));
        _boughtOf[id] = index;
        bytes32[] memory proof = _allowProof(deal, buyer);
        uint256 value = _fund(buyer, o.terms.currency, o.terms.price, address(market));
        vm.prank(buyer);
        assertEq(market.buy{value: value}(o, proof), uint256(id), "purchase id");
        _fold();
    }

    /// @dev A new purchase of a new offer that is good for what is needed.
    function _buyFresh(uint256 seed, uint256 needs) internal returns (uint256) {
        uint256 asset = seed % _holdings.length;
        uint256 model = _modelFor(asset, seed, needs);
        if (model == NONE) model = _publish(asset, seed, needs & FALSE == 0);
        return _buy(_offer(asset, seed, needs), model, seed);
    }

    function _paid(uint256 seed, uint256 needs) internal returns (uint256 i) {
        if (needs == 0) {
            i = _find(_boughts.length, seed, _isOpen);
            if (i != NONE) return i;
        }
        return _buyFresh(seed, needs);
    }

    function _deliver(uint256 i, uint256 seed) internal {
        IPurchases.Order memory o = _boughts[i].order;
        (Point memory d, Proof memory proof) = _proofFor(i);
        vm.prank(_actor(seed));
        market.deliver(o, d, proof);
        _fold();
    }

    function _proofFor(uint256 i) internal returns (Point memory d, Proof memory proof) {
        Bought storage p = _boughts[i];
        return _delivery(_models[p.model], _deliveryContext(p.id), p.b, p.order.key);
    }

    /// @dev A delivered purchase within its content window.
    function _delivered(uint256 seed, uint256 needs) internal returns (uint256 i) {
        i = _paid(seed, needs | WINDOW);
        _deliver(i, seed);
    }

    function _settle(uint256 i, uint256 seed) internal {
        IPurchases.Order memory o = _boughts[i].order;
        vm.prank(_actor(seed));
        market.settle(o);
        _fold();
    }

    function _refund(uint256 i, uint256 seed) internal {
        IPurchases.Order memory o = _boughts[i].order;
        vm.prank(_actor(seed));
        market.refund(o);
        _fold();
    }

    /// @dev A settled purchase that is good for what is needed.
    function _settled(uint256 seed, uint256 needs) internal returns (uint256 i) {
        i = _paid(seed, needs | TRANSFERABLE);
        _deliver(i, seed);
        if (_state(i) == ILicences.State.Delivered) {
            _waitUntil(_seen[_boughts[i].id].due + 1);
            _settle(i, seed);
        }
    }

    function _dispute(uint256 i, uint256 seed) internal {
        Bought storage p = _boughts[i];
        IPurchases.Order memory o = p.order;
        bytes memory call_ = abi.encodeCall(market.dispute, (o, _fraud(_models[p.model], o, p.b, 0)));
        vm.prank(_actor(seed));
        _call(address(market), call_);
        // An ERC-20 is refunded apart, so that it cannot hold up the flag.
        if (o.terms.currency != address(0)) _call(address(market), abi.encodeCall(market.refund, (o)));
        _fold();
    }

    function _call(address target, bytes memory data) internal {
        (bool success, bytes memory answer) = target.call(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    // --- keys -------------------------------------------------------------------------------------------

    /// @dev The holder of a licence asks for the key of a version.
    function _askFor(uint256 i, uint256 model, uint256 fee, uint32 within) internal returns (uint256 a) {
        a = _askeds.length;
        _askeds.push();
        Asked storage asked = _askeds[a];
        (asked.model, asked.bought, asked.b, asked.fee) = (model, i, _scalar(_next()), fee);
        bytes32 licence = _boughts[i].id;
        IKeyRequests.KeyRequest memory r = IKeyRequests.KeyRequest(
            uint256(licence), _models[model].id, _seen[licence].holder, _blinded(asked.b)
        );
        (asked.id, asked.request) = (_requestOf(r), r);
        _askedOf[asked.id] = a;
        vm.deal(r.holder, fee);
        vm.prank(r.holder);
        assertEq(market.requestKey{value: fee}(r.licence, r.version, r.key, within), asked.id, "request id");
        _fold();
    }

    /// @dev The call that answers a request.
    function _answer(uint256 a) internal returns (bytes memory) {
        Asked storage q = _askeds[a];
        Bought storage p = _boughts[q.bought];
        Model memory m = _models[q.model];
        bytes32[2] memory origin = [_deals[p.deal].id, _orderOf(p.order)];
        (Point memory d, Proof memory proof) = _delivery(m, _keyContext(q.id), q.b, q.request.key);
        return abi.encodeCall(market.deliverKey, (q.request, m.version, origin, d, proof));
    }

    // --- money ------------------------------------------------------------------------------------------

    function _fundBond(address seller, uint256 amount) internal {
        vm.deal(address(this), amount);
        market.fundBond{value: amount}(seller);
        _bonds[seller] += amount;
    }

    function _claim(uint256 n, uint256 index, address currency) internal returns (uint256 amount) {
        bytes32 node = _nodes[n];
        ITreasury.Position[] memory positions = _positions[n];
        uint256 due = _balances[node][currency] * positions[index].weight / 10_000;
        amount = due - _paidOut[node][index][currency];
        assertEq(treasury.claim(_nodeSalts[n], positions, index, currency), amount, "M3: claimed");
        _paidOut[node][index][currency] = due;
        address moved = _movedTo[node][index];
        _credit(moved == address(0) ? positions[index].payee : _word(moved), currency, amount, false);
    }

    function _withdraw(address account, address to, address currency, uint256 amount) internal {
        uint256 before = _holding(to, currency);
        vm.prank(account);
        treasury.withdraw(to, currency, amount);
        _balances[_word(account)][currency] -= amount;
        assertEq(_holding(to, currency), before + amount, "M5: arrived");
    }
}
