// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../../../../contracts/interfaces/IAssets.sol";
import {IBonds} from "../../../../contracts/interfaces/IBonds.sol";
import {IKeyRequests} from "../../../../contracts/interfaces/IKeyRequests.sol";
import {ILicences} from "../../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../../contracts/interfaces/IOffers.sol";
import {IPurchases} from "../../../../contracts/interfaces/IPurchases.sol";
import {ITreasury} from "../../../../contracts/interfaces/ITreasury.sol";
import {Point} from "../../../../contracts/types/Point.sol";
import {World} from "../../market/support/World.sol";
import {Vm} from "../../utils/Vm.sol";

/// @title Ledger
/// @notice What should be true, kept beside the contracts. `seen`, `heads`, `logged`, `fromMarket` and the state of requests and flags come from
/// the logs alone; who should own what follows from them and from the terms, never from an amount that a contract reports.
abstract contract Ledger is World {
    struct Holding {
        bytes32 id;
        address owner;
        uint32 epoch;
        uint32 versions;
    }

    struct Deal {
        bytes32 id;
        uint256 asset;
        uint32 epoch;
        bool closed;
        IOffers.Terms terms;
    }

    struct Bought {
        bytes32 id;
        uint256 model;
        uint256 deal;
        uint256 b;
        IPurchases.Order order;
    }

    struct Seen {
        ILicences.State state;
        address holder;
        uint40 until;
        uint40 due;
        uint40 deliveredAt;
        uint40 settledAt;
        uint8 toNode;
        uint8 toPayer;
        uint8 minted;
        uint8 burned;
        uint32 renewals;
    }

    /// @dev Of a purchase what the invariants look at after each action, without the rest of its order.
    struct Sale {
        bytes32 id;
        bytes32 asset;
        bytes32 node;
        address currency;
        uint128 price;
        uint128 bond;
        uint32 window;
        uint32 period;
        uint40 renewUntil;
        uint8 flags;
        Seen seen;
    }

    /// @dev Of an offer likewise. `out`: purchases and licences that count against its supply.
    struct Listed {
        bytes32 id;
        uint32 epoch;
        bool closed;
        uint32 supply;
        uint256 out;
    }

    /// @dev Of a version likewise. `key` is the abscissa of V.
    struct Release {
        bytes32 id;
        uint256 key;
        bool honest;
        bool flagged;
        uint40 time;
        uint32 number;
    }

    struct Asked {
        bytes32 id;
        uint256 model;
        uint256 bought;
        uint256 b;
        uint256 fee;
        uint40 due;
        IKeyRequests.RequestState state;
        IKeyRequests.KeyRequest request;
    }

    bytes32 internal constant TRANSFER = keccak256("Transfer(address,address,uint256)");
    uint256 internal constant NODES = 5;
    uint256 internal constant NONE = type(uint256).max;

    address[6] public actors;
    address[3] public currencies;

    Holding[] internal _holdings;
    Model[] internal _models;
    Deal[] internal _deals;
    Bought[] internal _boughts;
    Asked[] internal _askeds;

    mapping(bytes32 purchase => uint256) internal _boughtOf;
    mapping(bytes32 request => uint256) internal _askedOf;
    mapping(bytes32 version => uint256) internal _modelOf;
    mapping(bytes32 version => uint40) internal _publishedAt;
    mapping(bytes32 version => uint32) internal _numberOf;
    mapping(bytes32 asset => mapping(uint32 epoch => mapping(address account => uint256 bits))) internal
        _rolesOf;

    bytes32[] internal _nodes;
    bytes32[] internal _nodeSalts;
    ITreasury.Position[][] internal _positions;
    mapping(bytes32 node => mapping(uint256 index => address)) internal _movedTo;

    mapping(bytes32 purchase => Seen) internal _seen;
    mapping(bytes32 version => bool) internal _flagSeen;
    mapping(address emitter => mapping(bytes32 subject => bytes32)) internal _heads;
    bytes32[] internal _subjects;
    mapping(bytes32 subject => bool) internal _known;
    mapping(bytes32 payee => mapping(address currency => uint256)) internal _fromMarket;
    mapping(bytes32 payee => mapping(address currency => uint256)) internal _logged;
    uint256 public folded;

    // What should be in the books.
    mapping(bytes32 payee => mapping(address currency => uint256)) internal _balances;
    mapping(bytes32 node => mapping(uint256 index => mapping(address currency => uint256))) internal _paidOut;
    mapping(bytes32 payee => mapping(address currency => uint256)) internal _earned;
    mapping(address seller => uint256) internal _bonds;
    mapping(address account => mapping(address currency => uint256)) internal _gifts;

    /// @notice How often each outcome happened.
    mapping(string outcome => uint256) public count;
    uint256 public actions;

    modifier act(string memory outcome) {
        ++actions;
        _;
        _fold();
        ++count[outcome];
    }

    // --- time -------------------------------------------------------------------------------------------

    function _now() internal view returns (uint40) {
        return uint40(vm.getBlockTimestamp());
    }

    /// @dev Entries carry the block they are in, so they are folded before it changes.
    function _wait(uint256 seconds_) internal {
        _fold();
        skip(seconds_);
    }

    function _waitUntil(uint40 time) internal {
        if (time > _now()) _wait(time - _now());
    }

    // --- logs -------------------------------------------------------------------------------------------

    function _fold() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            Vm.Log memory log = logs[i];
            if (log.topics.length != 4) {
                if (log.topics[0] == IBonds.BondTaken.selector) _onBondTaken(log);
                continue;
            }
            // A subject is a hash or has the top bit set; the first topic of a token's event is an account.
            if (uint256(log.topics[1]) >> 160 != 0) _extend(log);
            if (log.emitter == address(market)) _onMarket(log);
            if (log.emitter == address(treasury)) _onTreasury(log);
        }
    }

    /// @dev Forge keeps the logs of calls that reverted: they never happened.
    function _forget() internal {
        vm.getRecordedLogs();
    }

    function _extend(Vm.Log memory log) private {
        bytes32 subject = log.topics[1];
        bytes32 entry = keccak256(
            bytes.concat(
                abi.encode(vm.getBlockNumber(), vm.getBlockTimestamp(), log.topics[0], subject),
                abi.encode(log.topics[2], log.topics[3]),
                log.data
            )
        );
        _heads[log.emitter][subject] = keccak256(bytes.concat(_heads[log.emitter][subject], entry));
        ++folded;
        if (!_known[subject]) {
            _known[subject] = true;
            _subjects.push(subject);
        }
    }

    function _onMarket(Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        bytes32 id = log.topics[2];
        if (topic == IPurchases.Purchased.selector) _onPurchased(id, log);
        else if (topic == IPurchases.Delivered.selector) _onDelivered(id, log.data);
        else if (topic == IPurchases.Settled.selector) _onSettled(id);
        else if (topic == IPurchases.Refunded.selector) _onRefunded(id);
        else if (topic == IPurchases.Renewed.selector) _onRenewed(id, log.data);
        else if (topic == IPurchases.VersionFlagged.selector) _flagSeen[id] = true;
        else if (topic == ILicences.LicenceRevoked.selector) _onRevoked(id);
        else if (topic == ILicences.LicenceTransferred.selector) _onTransferred(id, log.data);
        else if (topic == IKeyRequests.KeyRequested.selector) _onAsked(id, log.data);
        else if (topic == IKeyRequests.KeyDelivered.selector) _onAnswered(id, _account(log.topics[3]));
        else if (topic == IKeyRequests.KeyReturned.selector) _onReturned(id);
        else if (topic == TRANSFER) _onToken(log);
    }

    function _onPurchased(bytes32 id, Vm.Log memory log) private {
        (,,,,, uint40 due) = abi.decode(log.data, (bytes32, bytes32, bytes32, Point, uint128, uint40));
        _move(id, ILicences.State.None, ILicences.State.Paid);
        Seen storage s = _seen[id];
        s.holder = _account(log.topics[3]);
        s.due = due;
        _bonds[_terms(id).seller] -= _terms(id).bond;
    }

    function _onDelivered(bytes32 id, bytes memory data) private {
        (, uint40 until, uint40 settlesAt) = abi.decode(data, (Point, uint40, uint40));
        bool settled = settlesAt == _now();
        _move(id, ILicences.State.Paid, settled ? ILicences.State.Settled : ILicences.State.Delivered);
        Seen storage s = _seen[id];
        s.until = until;
        s.due = settlesAt;
        s.deliveredAt = _now();
        if (settled) _earn(id);
    }

    function _onSettled(bytes32 id) private {
        _move(id, ILicences.State.Delivered, ILicences.State.Settled);
        _earn(id);
    }

    function _earn(bytes32 id) private {
        IOffers.Terms storage t = _terms(id);
        ++_seen[id].toNode;
        _seen[id].settledAt = _now();
        _bonds[t.seller] += t.bond;
        _credit(_boughts[_boughtOf[id]].order.version.node, t.currency, t.price, true);
    }

    function _onRefunded(bytes32 id) private {
        ILicences.State from = _seen[id].state;
        assertTrue(
            from == ILicences.State.Paid || from == ILicences.State.Delivered, "E1: refunded from here"
        );
        _move(id, from, ILicences.State.Refunded);
        ++_seen[id].toPayer;
        IOffers.Terms storage t = _terms(id);
        bytes32 payer = _word(_boughts[_boughtOf[id]].order.buyer);
        _credit(payer, t.currency, t.price, true);
        _credit(payer, address(0), t.bond, true);
    }

    function _onRenewed(bytes32 id, bytes memory data) private {
        (, uint40 until) = abi.decode(data, (uint128, uint40));
        Seen storage s = _seen[id];
        assertTrue(s.state == ILicences.State.Settled, "E1: renewed only when settled");
        assertGt(until, s.until, "L2: until rises");
        assertGe(s.until, _now(), "L3: renewed only while valid");
        s.until = until;
        ++s.renewals;
        IOffers.Terms storage t = _terms(id);
        _credit(_boughts[_boughtOf[id]].order.version.node, t.currency, t.price, true);
    }

    function _onRevoked(bytes32 id) private {
        _move(id, ILicences.State.Settled, ILicences.State.Revoked);
        assertEq(_terms(id).price, 0, "E1: only a free licence is revoked");
    }

    function _onTransferred(bytes32 id, bytes memory data) private {
        (address from, address to) = abi.decode(data, (address, address));
        Seen storage s = _seen[id];
        assertTrue(s.state == ILicences.State.Settled, "E1: transferred only when settled");
        assertEq(from, s.holder, "L1: from its holder");
        s.holder = to;
    }

    function _onAsked(bytes32 id, bytes memory data) private {
        (,,,, uint40 due) = abi.decode(data, (uint256, bytes32, Point, uint128, uint40));
        Asked storage a = _askeds[_askedOf[id]];
        assertTrue(a.state == IKeyRequests.RequestState.None, "E1: asked once");
        a.state = IKeyRequests.RequestState.Open;
        a.due = due;
    }

    function _onAnswered(bytes32 id, address actor) private {
        Asked storage a = _askeds[_askedOf[id]];
        assertTrue(a.state == IKeyRequests.RequestState.Open, "E1: answered once");
        a.state = IKeyRequests.RequestState.Answered;
        _credit(_word(actor), address(0), a.fee, true);
    }

    function _onReturned(bytes32 id) private {
        Asked storage a = _askeds[_askedOf[id]];
        assertTrue(a.state == IKeyRequests.RequestState.Open, "E1: returned once");
        a.state = IKeyRequests.RequestState.Returned;
        _credit(_word(a.request.holder), address(0), a.fee, true);
    }

    function _onToken(Vm.Log memory log) private {
        Seen storage s = _seen[log.topics[3]];
        if (log.topics[1] == 0) ++s.minted;
        if (log.topics[2] == 0) ++s.burned;
    }

    function _onBondTaken(Vm.Log memory log) private {
        address seller = _account(log.topics[1]);
        uint256 amount = abi.decode(log.data, (uint256));
        _bonds[seller] -= amount;
        _credit(_word(seller), address(0), amount, true);
    }

    function _onTreasury(Vm.Log memory log) private {
        bytes32 payee = log.topics[1];
        if (log.topics[0] == ITreasury.Withdrawn.selector) {
            _logged[payee][_account(log.topics[3])] -= abi.decode(log.data, (uint256));
        }
        if (log.topics[0] != ITreasury.Received.selector) return;
        (address currency, uint256 amount) = abi.decode(log.data, (address, uint256));
        bytes32 source = log.topics[2];
        _logged[payee][currency] += amount;
        // A node's income stays; what an account moves, it has no more.
        if (source != 0 && uint256(source) >> 255 == 0) _logged[source][currency] -= amount;
        if (source == 0 && log.topics[3] == _word(address(market))) _fromMarket[payee][currency] += amount;
    }

    // --- rules ------------------------------------------------------------------------------------------

    function _move(bytes32 id, ILicences.State from, ILicences.State to) private {
        assertTrue(_seen[id].state == from, "E1: from this state");
        _seen[id].state = to;
    }

    function _credit(bytes32 payee, address currency, uint256 amount, bool byMarket) internal {
        _balances[payee][currency] += amount;
        if (byMarket) _earned[payee][currency] += amount;
    }

    function _terms(bytes32 purchase) internal view returns (IOffers.Terms storage) {
        return _boughts[_boughtOf[purchase]].order.terms;
    }

    function _account(bytes32 word) internal pure returns (address) {
        return address(uint160(uint256(word)));
    }

    /// @dev Whether a licence should be valid.
    function _valid(bytes32 purchase) internal view returns (bool) {
        Seen storage s = _seen[purchase];
        if (s.state != ILicences.State.Delivered && s.state != ILicences.State.Settled) return false;
        return _terms(purchase).kind == IOffers.Kind.Perpetual || _now() <= s.until;
    }

    /// @dev Purchases and licences that count against the supply of a limited offer.
    function _out(uint256 deal) internal view returns (uint256 out) {
        for (uint256 i; i < _boughts.length; ++i) {
            if (_boughts[i].deal != deal) continue;
            if (_seen[_boughts[i].id].state != ILicences.State.Refunded) ++out;
        }
    }

    function _may(uint256 asset, address account, IAssets.Role role) internal view returns (bool) {
        Holding storage h = _holdings[asset];
        return account == h.owner || _rolesOf[h.id][h.epoch][account] & (1 << uint256(role)) != 0;
    }
}
