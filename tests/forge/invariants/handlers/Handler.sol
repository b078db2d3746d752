// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../../../../contracts/interfaces/IAssets.sol";
import {IKeyRequests} from "../../../../contracts/interfaces/IKeyRequests.sol";
import {ILicences} from "../../../../contracts/interfaces/ILicences.sol";
import {IPurchases} from "../../../../contracts/interfaces/IPurchases.sol";
import {ITreasury} from "../../../../contracts/interfaces/ITreasury.sol";
import {Coin} from "../../../../contracts/test/Coin.sol";
import {Attacks} from "./Attacks.sol";
import {Views} from "./Views.sol";

/// @title Handler
/// @notice All that sellers, buyers and strangers do. Each action does what its name says or reverts, which fails the run.
contract Handler is Views {
    constructor() {
        _deploy();
        vm.warp(1_800_000_000);
        vm.roll(1_000);
        currencies = [address(0), address(coin), address(quiet)];
        _makeActors();
        _makeNodes();
        vm.recordLogs();
        for (uint256 i; i < 3; ++i) {
            _register(i);
        }
        _fold();
    }

    /// @dev Node 1 is under 2 and 3, and 2 is under 3: a diamond.
    function _makeNodes() private {
        _addNode(_pair(_word(actors[0]), 9_999, _word(actors[5]), 1));
        _addNode(_pair(_word(actors[0]), 6_000, _word(actors[1]), 4_000));
        _addNode(_pair(_nodes[1], 3_000, _word(actors[2]), 7_000));
        ITreasury.Position[] memory three = new ITreasury.Position[](3);
        three[0] = ITreasury.Position(_nodes[1], 2_500);
        three[1] = ITreasury.Position(_nodes[2], 2_500);
        three[2] = ITreasury.Position(_word(actors[3]), 5_000);
        _addNode(three);
        three[0] = ITreasury.Position(_word(actors[2]), 3_333);
        three[1] = ITreasury.Position(_word(actors[3]), 3_333);
        three[2] = ITreasury.Position(_word(actors[4]), 3_334);
        _addNode(three);
    }

    function _pair(bytes32 a, uint16 weightA, bytes32 b, uint16 weightB)
        private
        pure
        returns (ITreasury.Position[] memory positions)
    {
        positions = new ITreasury.Position[](2);
        positions[0] = ITreasury.Position(a, weightA);
        positions[1] = ITreasury.Position(b, weightB);
    }

    function _addNode(ITreasury.Position[] memory positions) private {
        bytes32 salt = bytes32(_next());
        _nodeSalts.push(salt);
        _nodes.push(_nodeOf(salt, positions));
        _positions.push();
        for (uint256 i; i < positions.length; ++i) {
            _positions[_positions.length - 1].push(positions[i]);
        }
    }

    // --- assets -----------------------------------------------------------------------------------------

    function register(uint256 seed) external act("registered") {
        _register(seed);
    }

    function publish(uint256 seed) external act("published") {
        _publish(seed % _holdings.length, seed, seed % 3 != 0);
    }

    function setRole(uint256 seed) external act("role set") {
        Holding storage h = _holdings[seed % _holdings.length];
        address account = _actor(seed >> 8);
        IAssets.Role role = IAssets.Role((seed >> 16) % 2);
        bool granted = (seed >> 24) % 4 != 0;
        uint256 bit = 1 << uint256(role);
        uint256 bits = _rolesOf[h.id][h.epoch][account];
        _rolesOf[h.id][h.epoch][account] = granted ? bits | bit : bits & ~bit;
        vm.prank(h.owner);
        assets.setRole(h.id, account, role, granted);
    }

    function transferAsset(uint256 seed) external act("asset transferred") {
        Holding storage h = _holdings[seed % _holdings.length];
        (address from, address to) = (h.owner, _actor((seed >> 8) % 3));
        (h.owner, h.epoch) = (to, h.epoch + 1);
        vm.prank(from);
        assets.transferFrom(from, to, uint256(h.id));
    }

    // --- offers -----------------------------------------------------------------------------------------

    function makeOffer(uint256 seed) external act("offered") {
        _offerAny(seed);
    }

    function _offerAny(uint256 seed) private returns (uint256) {
        uint256 asset = seed % _holdings.length;
        return _offer(asset, _modelOrNew(asset, seed, 0), seed, 0);
    }

    function closeOffer(uint256 seed) external act("offer closed") {
        uint256 deal = _find(_deals.length, seed, _isDealOpen);
        if (deal == NONE) deal = _offerAny(seed);
        Deal storage d = _deals[deal];
        d.closed = true;
        bytes32 asset = _holdings[d.asset].id;
        vm.prank(_actorWith(d.asset, seed, IAssets.Role.Seller));
        market.closeOffer(asset, d.terms);
    }

    // --- purchases --------------------------------------------------------------------------------------

    function buy(uint256 seed) external act("bought") {
        uint256 deal = _find(_deals.length, seed, _isDealOpen);
        if (deal == NONE) _buyFresh(seed, 0);
        else _buy(deal, _modelUnder(deal, seed), seed);
    }

    function buyAnew(uint256 seed) external act("bought under a new offer") {
        _buyFresh(seed, 0);
    }

    function buyByPermit(uint256 seed) external act("bought by permit") {
        uint256 deal = _find(_deals.length, seed, _isTokenDealOpen);
        uint256 asset = seed % _holdings.length;
        if (deal == NONE) deal = _offer(asset, _modelOrNew(asset, seed, 0), seed, TOKEN);
        _buyByPermit(deal, _modelUnder(deal, seed), seed >> 8, seed % 3);
    }

    function deliver(uint256 seed) external act("delivered") {
        _deliver(_paid(seed, 0), seed);
    }

    function deliverLast(uint256 seed) external act("delivered at the last moment") {
        uint256 i = _paid(seed, 0);
        _waitUntil(_seen[_boughts[i].id].due);
        _deliver(i, seed);
    }

    function settle(uint256 seed) external act("settled") {
        uint256 i = _find(_boughts.length, seed, _isPastWindow);
        if (i == NONE) {
            i = _find(_boughts.length, seed, _isInWindow);
            if (i == NONE) i = _delivered(seed, 0);
            _waitUntil(_seen[_boughts[i].id].due + 1);
        }
        _settle(i, seed);
    }

    function refundLate(uint256 seed) external act("refunded: not delivered") {
        uint256 i = _find(_boughts.length, seed, _isLate);
        if (i == NONE) {
            i = _paid(seed, 0);
            _waitUntil(_seen[_boughts[i].id].due + 1);
        }
        _refund(i, seed);
    }

    function refundUndone(uint256 seed) external act("refunded: proved false") {
        uint256 i = _find(_boughts.length, seed, _isUndone);
        if (i == NONE) {
            i = _delivered(seed, FALSE);
            _dispute(_twin(i, seed), seed);
        }
        _refund(i, seed);
    }

    function dispute(uint256 seed) external act("disputed") {
        uint256 i = _find(_boughts.length, seed, _isFalseInWindow);
        if (i == NONE) i = _delivered(seed, FALSE);
        _dispute(i, seed);
        assertTrue(_state(i) == ILicences.State.Refunded && _isFlagged(i), "E3: a false leaf wins");
    }

    function renew(uint256 seed) external act("renewed") {
        uint256 i = _find(_boughts.length, seed, _isRenewable);
        if (i == NONE) i = _settled(seed, RENTAL);
        uint40 until = _seen[_boughts[i].id].until;
        if (seed % 4 == 0) _waitUntil(until);
        IPurchases.Order memory o = _boughts[i].order;
        address payer = _actor(seed);
        uint256 value = _fund(payer, o.terms.currency, o.terms.price, address(market));
        vm.prank(payer);
        market.renew{value: value}(o);
        _fold();
        assertEq(_seen[_boughts[i].id].until, until + o.terms.period, "L2: by its period");
    }

    // --- licences and keys ------------------------------------------------------------------------------

    function transferLicence(uint256 seed) external act("licence transferred") {
        uint256 i = _find(_boughts.length, seed, _isMovable);
        if (i == NONE) i = _settled(seed, TRANSFERABLE);
        bytes32 id = _boughts[i].id;
        (address from, address to) = (_seen[id].holder, _actor(seed >> 8));
        if (_isContract(to)) {
            _handOver(from, to, (seed >> 16) % 2 == 0 ? address(0) : _other(from), uint256(id));
        } else {
            _as(from, address(market), 0, abi.encodeCall(market.transferFrom, (from, to, uint256(id))));
        }
    }

    function revoke(uint256 seed) external act("revoked") {
        uint256 i = _find(_boughts.length, seed, _isRevocable);
        if (i == NONE) i = _settled(seed, REVOCABLE);
        address by = _actorWith(_deals[_boughts[i].deal].asset, seed, IAssets.Role.Seller);
        vm.prank(by);
        market.revoke(uint256(_boughts[i].id));
    }

    function requestKey(uint256 seed) external act("key requested") {
        _ask(seed);
    }

    function _ask(uint256 seed) private returns (uint256) {
        uint256 i = _find(_boughts.length, seed, _isValidNow);
        if (i == NONE) i = _delivered(seed, HONEST);
        Bought storage p = _boughts[i];
        uint256 model = p.model;
        if (p.order.terms.scope == ILicences.Scope.All) {
            model = _modelFor(_deals[p.deal].asset, seed >> 8, 0);
        }
        return _askFor(i, model, seed % 3 == 0 ? 0 : seed % 1e15, uint32(1 hours + seed % 10 days));
    }

    function _isAnswerable(uint256 a) internal view returns (bool) {
        Asked storage q = _askeds[a];
        return q.state == IKeyRequests.RequestState.Open && _now() <= q.due && !_hasLapsed(a);
    }

    function _isReturnable(uint256 a) internal view returns (bool) {
        Asked storage q = _askeds[a];
        return q.state == IKeyRequests.RequestState.Open && (_now() > q.due || _hasLapsed(a));
    }

    function _hasLapsed(uint256 a) internal view returns (bool) {
        Asked storage q = _askeds[a];
        bytes32 id = _boughts[q.bought].id;
        return !_valid(id) || _seen[id].holder != q.request.holder || _flagSeen[_models[q.model].id];
    }

    function deliverKey(uint256 seed) external act("key delivered") {
        uint256 a = _find(_askeds.length, seed, _isAnswerable);
        if (a == NONE) a = _ask(seed);
        bytes memory data = _answer(a);
        vm.prank(_actor(seed));
        _call(address(market), data);
    }

    function returnFee(uint256 seed) external act("fee returned") {
        uint256 a = _find(_askeds.length, seed, _isReturnable);
        if (a == NONE) {
            a = _ask(seed);
            IKeyRequests.KeyRequest memory open = _askeds[a].request;
            bytes memory data = abi.encodeCall(market.returnFee, (open));
            bytes4 reason = IKeyRequests.Keys_StillOpen.selector;
            _mustFail("early return of a fee", _actor(seed), address(market), data, reason);
            _waitUntil(_askeds[a].due + 1);
        }
        IKeyRequests.KeyRequest memory r = _askeds[a].request;
        vm.prank(_actor(seed));
        market.returnFee(r);
    }

    // --- money ------------------------------------------------------------------------------------------

    function fundBond(uint256 seed) external act("bond funded") {
        _fundBond(_actor(seed), seed % 1 ether);
    }

    function takeBond(uint256 seed) external act("bond taken") {
        address seller = _actor(seed);
        if (_bonds[seller] == 0) _fundBond(seller, 1 + seed % 1 ether);
        uint128 amount = uint128(1 + seed % _bonds[seller]);
        vm.prank(seller);
        market.takeBond(amount);
    }

    function deposit(uint256 seed) external act("deposited") {
        _deposit(seed, seed % 2 == 0 ? _word(_actor(seed)) : _nodes[seed % NODES]);
    }

    function move(uint256 seed) external act("moved") {
        address from = _actor(seed);
        address currency = currencies[seed % 3];
        if (_balances[_word(from)][currency] == 0) _deposit(seed, _word(from));
        uint128 amount = uint128(1 + (seed >> 8) % _balances[_word(from)][currency]);
        bytes32 to = (seed >> 16) % 2 == 0 ? _nodes[seed % NODES] : _word(_actor(seed >> 24));
        vm.prank(from);
        treasury.move(to, currency, amount);
        _balances[_word(from)][currency] -= amount;
        _credit(to, currency, amount, false);
    }

    function withdraw(uint256 seed) external act("withdrawn") {
        address account = _actor(seed);
        address currency = currencies[seed % 3];
        if (_balances[_word(account)][currency] == 0) _deposit(seed, _word(account));
        uint256 amount = 1 + (seed >> 8) % _balances[_word(account)][currency];
        _withdraw(account, _actor(seed >> 16), currency, amount);
    }

    function claim(uint256 seed) external act("claimed") {
        uint256 n = seed % NODES;
        if (_balances[_nodes[n]][currencies[seed % 3]] == 0) _deposit(seed, _nodes[n]);
        _claim(n, (seed >> 8) % _positions[n].length, currencies[seed % 3]);
    }

    function movePosition(uint256 seed) external act("position moved") {
        uint256 n = seed % NODES;
        // The last position of each node is an account's.
        uint256 index = _positions[n].length - 1;
        address holder = _movedTo[_nodes[n]][index];
        if (holder == address(0)) holder = _account(_positions[n][index].payee);
        address to = _actor(seed >> 8) == holder ? _other(holder) : _actor(seed >> 8);
        bytes memory data = _moveTo(n, index, to);
        vm.prank(holder);
        _call(address(treasury), data);
        _movedTo[_nodes[n]][index] = to;
        bytes4 reason = ITreasury.Treasury_NotHolder.selector;
        data = _moveTo(n, index, holder);
        _mustFail("move by an old holder", holder, address(treasury), data, reason);
        // What comes in from now on, and what was not claimed, is the new holder's.
        _deposit(seed, _nodes[n]);
        assertGt(_claim(n, index, currencies[seed % 3]), 0, "M3: claimed for the new holder");
    }

    function _moveTo(uint256 n, uint256 index, address to) private view returns (bytes memory) {
        return abi.encodeCall(treasury.movePosition, (_nodeSalts[n], _positions[n], index, to));
    }

    function give(uint256 seed) external act("given unasked") {
        address to = (seed >> 8) % 2 == 0 ? address(market) : address(treasury);
        address currency = currencies[seed % 3];
        uint256 amount = 1 + (seed >> 16) % 1e18;
        _gifts[to][currency] += amount;
        // What selfdestruct or a validator's withdrawal can force on any account.
        if (currency == address(0)) vm.deal(to, to.balance + amount);
        else Coin(currency).mint(to, amount);
    }

    function wait_(uint256 seed) external act("waited") {
        _wait([uint256(1), 12, 1 hours, 6 hours, 1 days, 3 days][seed % 6]);
    }

    // --- the end ----------------------------------------------------------------------------------------

    /// @notice Everything open is brought to its end, and everybody takes out what he has.
    function finish() external {
        _wait(31 days);
        for (uint256 i; i < _boughts.length; ++i) {
            if (_isLate(i) || _isUndone(i)) _refund(i, i);
            else if (_isPastWindow(i)) _settle(i, i);
        }
        for (uint256 a; a < _askeds.length; ++a) {
            if (!_isReturnable(a)) continue;
            market.returnFee(_askeds[a].request);
            _fold();
        }
        for (uint256 i; i < 6; ++i) {
            vm.prank(actors[i]);
            market.takeBond(uint128(_bonds[actors[i]]));
            _fold();
        }
        // Nodes that pay others come before those.
        uint8[NODES] memory order = [3, 2, 1, 0, 4];
        for (uint256 k; k < 3 * NODES; ++k) {
            uint256 n = order[k / 3];
            for (uint256 index; index < _positions[n].length; ++index) {
                _claim(n, index, currencies[k % 3]);
            }
        }
        for (uint256 k; k < 18; ++k) {
            address currency = currencies[k / 6];
            uint256 amount = _balances[_word(actors[k % 6])][currency];
            _withdraw(actors[k % 6], actors[k % 6], currency, amount);
        }
        _fold();
    }
}
