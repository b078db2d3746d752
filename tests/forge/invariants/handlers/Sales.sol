// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../../../../contracts/interfaces/IAssets.sol";
import {IKeyRequests} from "../../../../contracts/interfaces/IKeyRequests.sol";
import {ILicences} from "../../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../../contracts/interfaces/IOffers.sol";
import {IPurchases} from "../../../../contracts/interfaces/IPurchases.sol";
import {ITreasury} from "../../../../contracts/interfaces/ITreasury.sol";
import {Permit} from "../../../../contracts/types/Permit.sol";
import {Point} from "../../../../contracts/types/Point.sol";
import {Proof} from "../../../../contracts/types/Proof.sol";
import {Accounts} from "./Accounts.sol";

/// @title Sales
/// @notice Steps that actions are made of. A step that finds nothing to work on makes it first, so an action never does nothing.
abstract contract Sales is Accounts {
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
    uint256 internal constant TOKEN = 512;
    uint256 internal constant NAMED = 1024;
    uint256 internal constant OPEN = 2048;

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
            && (d.terms.supply == 0 || _out(i) < d.terms.supply) && _modelUnder(i, i) != NONE;
    }

    function _isTokenDealOpen(uint256 i) internal view returns (bool) {
        IOffers.Terms storage t = _deals[i].terms;
        return t.currency == address(coin) && t.price != 0 && _isDealOpen(i);
    }

    function _isNamedDealOpen(uint256 i) internal view returns (bool) {
        return _deals[i].terms.version != 0 && _isDealOpen(i);
    }

    function _isDealClosed(uint256 i) internal view returns (bool) {
        Deal storage d = _deals[i];
        if (_flagSeen[d.terms.version]) return false;
        return d.closed || d.epoch != _holdings[d.asset].epoch;
    }

    /// @dev An unflagged version that an offer sells: the one it names, or any of the asset.
    function _modelUnder(uint256 deal, uint256 seed) internal view returns (uint256) {
        bytes32 named = _deals[deal].terms.version;
        if (named == 0) return _modelFor(_deals[deal].asset, seed, 0);
        return _flagSeen[named] ? NONE : _modelOf[named];
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

    /// @dev An offer under which `model` is sold. One in three names it as the only one.
    function _offer(uint256 asset, uint256 model, uint256 seed, uint256 needs)
        internal
        returns (uint256 index)
    {
        address seller = _actorWith(asset, seed, IAssets.Role.Seller);
        uint256 random = uint256(keccak256(abi.encode(seed, _next())));
        IOffers.Terms memory t = _anyTerms(random, seller);
        if (needs & NAMED != 0 || (random >> 232) % 3 == 0) t.version = _models[model].id;
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
        if (needs & TOKEN != 0) {
            (t.currency, t.revocable) = (address(coin), false);
            if (t.price == 0) t.price = 1 ether;
        }
        if (needs & OPEN != 0) (t.supply, t.allowList) = (0, 0);
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

    /// @dev Notes a purchase that is about to be paid.
    function _draft(uint256 deal, uint256 model, uint256 seed)
        private
        returns (uint256 index, IPurchases.Order memory o)
    {
        uint256 b;
        (o, b) = _order(deal, model, _buyer(deal, seed));
        _backBond(o.terms);
        index = _boughts.length;
        bytes32 id = _purchaseOf(o);
        _boughts.push(Bought({id: id, model: model, deal: deal, b: b, order: o}));
        _boughtOf[id] = index;
        if (o.terms.version != 0) ++count["bought the version named"];
        if (_isContract(o.buyer)) ++count["bought by a contract"];
    }

    function _buy(uint256 deal, uint256 model, uint256 seed) internal returns (uint256 index) {
        IPurchases.Order memory o;
        (index, o) = _draft(deal, model, seed);
        uint256 value = _fund(o.buyer, o.terms.currency, o.terms.price, address(market));
        _as(o.buyer, address(market), value, abi.encodeCall(market.buy, (o, _allowProof(deal, o.buyer))));
        _fold();
    }

    function _buyByPermit(uint256 deal, uint256 model, uint256 seed, uint256 mode)
        internal
        returns (uint256 index, Permit memory permit)
    {
        IPurchases.Order memory o;
        (index, o) = _draft(deal, model, seed);
        permit = _fundByPermit(o.buyer, o.terms.price, mode);
        bytes32[] memory proof = _allowProof(deal, o.buyer);
        _as(o.buyer, address(market), 0, abi.encodeCall(market.buyWithPermit, (o, proof, permit)));
        assertEq(coin.allowance(o.buyer, address(market)), 0, "M5: no more than the price");
        _fold();
    }

    /// @dev An unflagged version of an asset, published if there is none that is good for what is needed.
    function _modelOrNew(uint256 asset, uint256 seed, uint256 needs) internal returns (uint256 model) {
        model = _modelFor(asset, seed, needs);
        if (model == NONE) model = _publish(asset, seed, needs & FALSE == 0);
    }

    /// @dev A new purchase of a new offer that is good for what is needed.
    function _buyFresh(uint256 seed, uint256 needs) internal returns (uint256) {
        uint256 asset = seed % _holdings.length;
        uint256 model = _modelOrNew(asset, seed, needs);
        return _buy(_offer(asset, model, seed, needs), model, seed);
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
        bytes memory data = abi.encodeCall(market.requestKey, (r.licence, r.version, r.key, within));
        _as(r.holder, address(market), fee, data);
        if (_isContract(r.holder)) ++count["key requested by a contract"];
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

    function _deposit(uint256 seed, bytes32 to) internal {
        address currency = currencies[seed % 3];
        uint128 amount = uint128(10_000 + (seed >> 8) % 1e18);
        address from = _actor(seed >> 16);
        uint256 value = _fund(from, currency, amount, address(treasury));
        vm.prank(from);
        treasury.deposit{value: value}(to, currency, amount);
        _credit(to, currency, amount, false);
    }

    /// @dev Enough for one more purchase.
    function _backBond(IOffers.Terms memory t) internal {
        if (_bonds[t.seller] < t.bond) _fundBond(t.seller, t.bond);
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
        bytes memory data = abi.encodeCall(treasury.withdraw, (to, currency, amount));
        if (currency == address(0) && _isContract(to)) _reenter(account, to, amount);
        else _as(account, address(treasury), 0, data);
        _balances[_word(account)][currency] -= amount;
        assertEq(_holding(to, currency), before + amount, "M5: arrived");
    }
}
