// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Channels} from "../../../../contracts/Channels.sol";
import {IChannels} from "../../../../contracts/interfaces/IChannels.sol";
import {IMeteredOffers} from "../../../../contracts/interfaces/IMeteredOffers.sol";
import {Coin} from "../../../../contracts/test/Coin.sol";
import {Ledger} from "./Ledger.sol";

/// @title Handler
/// @notice What may happen to offers and channels, and what must not: each action does something, or is counted as one that it could
/// not do.
contract Handler is Ledger {
    uint256 private _salt;

    constructor() {
        _start();
        payers = [makeAddr("payer 0"), makeAddr("payer 1"), makeAddr("payer 2")];
        payees = [makeAddr("payee 0"), makeAddr("payee 1")];
        currencies = [address(0), address(coin)];
        (, _keys[0]) = makeAccount("signer 0");
        (, _keys[1]) = makeAccount("signer 1");
        for (uint256 i; i < 2; ++i) {
            address owner = makeAddr(i == 0 ? "owner 0" : "owner 1");
            bytes32 node_ = bytes32(uint256(keccak256(abi.encode("node", i))) | NODE_BIT);
            Model memory m = _register(owner, bytes32("metered"), 100 + i, node_);
            _estates[i].id = m.version.asset;
            _estates[i].node = node_;
            _estates[i].owner = owner;
            _estates[i].model = m;
        }
        for (uint256 i; i < 4; ++i) {
            makeOffer(i);
        }
    }

    // --- offers -----------------------------------------------------------------------------------------

    function makeOffer(uint256 seed) public act("offer") {
        Estate storage e = _estates[seed % 2];
        IMeteredOffers.MeteredTerms memory t = _metered(currencies[(seed >> 1) % 2]);
        t.payee = payees[(seed >> 2) % 2];
        t.price = uint128(bound(seed >> 8, 1, 1e15));
        (t.version, t.node) = (e.model.id, e.node);
        t.window = uint32(bound(seed >> 16, 1 days, 3 days));
        t.expiry = _now() + t.window + uint40(bound(seed >> 24, 1, 20 days));
        t.salt = uint64(++_salt);
        vm.prank(e.owner);
        bytes32 id = channels.makeOffer(e.model.version, t);
        assertEq(id, _meteredOffer(e.id, t), "U7: id");
        _deals.push(Deal(id, seed % 2, e.epoch, false, t));
    }

    function closeOffer(uint256 seed) external act("close an offer") {
        Deal storage d = _deals[seed % _deals.length];
        Estate storage e = _estates[d.asset];
        bool closed = d.closed;
        bytes32 hash = _termsHash(d.terms);
        if (closed) {
            _refused(
                e.owner,
                0,
                abi.encodeCall(channels.closeOffer, (e.id, hash)),
                _notOpen(),
                "close a closed offer"
            );
            return;
        }
        vm.prank(e.owner);
        channels.closeOffer(e.id, hash);
        d.closed = true;
    }

    function transferAsset(uint256 seed) external act("transfer an asset") {
        Estate storage e = _estates[seed % 2];
        address to = makeAddr(string.concat("owner ", vm.toString(2 + seed % 3)));
        vm.prank(e.owner);
        assets.transferFrom(e.owner, to, uint256(e.id));
        (e.owner, e.epoch) = (to, e.epoch + 1);
    }

    // --- deposits ---------------------------------------------------------------------------------------

    function open(uint256 seed) external act("open") {
        uint256 place = seed % _deals.length;
        Deal storage d = _deals[place];
        uint256 key = _keys[(seed >> 8) % 2];
        IChannels.Parties memory p =
            IChannels.Parties(payers[(seed >> 16) % 3], vm.addr(key), uint64((seed >> 24) % 3));
        uint128 amount = uint128(bound(seed >> 32, 1, 1 ether));
        bytes32 id = _channel(_estates[d.asset].id, d.terms, p);
        uint256 value = _fund(p.payer, d.terms.currency, amount, address(channels));
        bytes memory data = abi.encodeCall(
            channels.open, (_estates[d.asset].id, _termsHash(d.terms), p.signer, p.nonce, amount)
        );
        (bool there,) = _find(id);
        if (there) {
            _refused(p.payer, value, data, IChannels.Channels_WrongState.selector, "open twice");
        } else if (!_isOpen(d)) {
            _refused(p.payer, value, data, _notOpen(), "open under no open offer");
        } else {
            _done(p.payer, value, data);
            _lines.push(Line(id, place, p, key, amount, 0, 0, 0, 0, IChannels.State.Open));
        }
    }

    function topUp(uint256 seed) external act("top up") {
        (bool any, uint256 place) = _pick(seed);
        if (!any) return;
        Line storage l = _lines[place];
        Deal storage d = _deals[l.deal];
        address who = payers[(seed >> 16) % 3];
        uint128 amount = uint128(bound(seed >> 32, 1, 1 ether));
        uint256 value = _fund(who, d.terms.currency, amount, address(channels));
        bytes memory data =
            abi.encodeCall(channels.topUp, (_estates[d.asset].id, _termsHash(d.terms), l.parties, amount));
        if (l.state != IChannels.State.Open) {
            _refused(who, value, data, IChannels.Channels_WrongState.selector, "top up what is not open");
        } else if (_now() >= d.terms.expiry) {
            _refused(who, value, data, _notOpen(), "top up what has expired");
        } else {
            _done(who, value, data);
            l.deposit += amount;
        }
    }

    // --- claims -----------------------------------------------------------------------------------------

    /// @notice A batch of one to five vouchers of one offer: old ones, new ones, repetitions, of live channels and of dead ones.
    function claim(uint256 seed) external act("claim") {
        (bool any, uint256 first) = _pick(seed);
        if (!any) return;
        (bytes memory rows, uint256 due) = _rows(_lines[first].deal, seed);
        Deal storage d = _deals[_lines[first].deal];
        IChannels.Claim[] memory claims = new IChannels.Claim[](1);
        claims[0] = IChannels.Claim(_estates[d.asset].id, d.terms, rows);
        vm.prank(d.terms.payee);
        assertEq(channels.claim(claims)[0], due, "U2, U5: what is due");
        if (due == 0) ++count["a claim of nothing"];
    }

    /// @notice Several offers of one payee in one transaction.
    function claimMany(uint256 seed) external act("claim of several offers") {
        address payee_ = payees[seed % 2];
        IChannels.Claim[] memory claims = new IChannels.Claim[](_deals.length);
        uint256[] memory dues = new uint256[](_deals.length);
        uint256 groups;
        for (uint256 i; i < _deals.length && groups < 4; ++i) {
            if (_deals[i].terms.payee != payee_) continue;
            (bytes memory rows, uint256 due) = _rows(i, uint256(keccak256(abi.encode(seed, i))));
            dues[groups] = due;
            claims[groups++] = IChannels.Claim(_estates[_deals[i].asset].id, _deals[i].terms, rows);
        }
        assembly ("memory-safe") {
            mstore(claims, groups)
        }
        vm.prank(payee_);
        uint256[] memory paid = channels.claim(claims);
        for (uint256 i; i < groups; ++i) {
            assertEq(paid[i], dues[i], "U2: of each group");
        }
    }

    function claimForged(uint256 seed) external act("claim with a forged voucher") {
        (bool any, uint256 place) = _pick(seed);
        if (!any) return;
        Line storage l = _lines[place];
        if (!_isLive(l) || _now() > _endOf(l) || l.claimed == l.deposit) return;
        Deal storage d = _deals[l.deal];
        // Signed by the other key, or by the right one for one unit less.
        uint128 units = type(uint64).max;
        Voucher memory v = _signed(l, d.terms, seed % 2 == 0 ? units : units - 1);
        if (seed % 2 == 0) {
            uint256 other = l.key == _keys[0] ? _keys[1] : _keys[0];
            (v.r, v.vs) = vm.signCompact(other, _voucherDigest(l.id, uint256(d.terms.price) * units, v));
        }
        v.units = units;
        IChannels.Claim[] memory claims = new IChannels.Claim[](1);
        claims[0] = IChannels.Claim(_estates[d.asset].id, d.terms, _packed(v));
        bytes memory data = abi.encodeCall(channels.claim, (claims));
        _refused(d.terms.payee, 0, data, IChannels.Channels_BadVoucher.selector, "a forged voucher");
    }

    function claimOfAnother(uint256 seed) external act("claim by another") {
        (bool any, uint256 place) = _pick(seed);
        if (!any) return;
        Line storage l = _lines[place];
        Deal storage d = _deals[l.deal];
        IChannels.Claim[] memory claims = new IChannels.Claim[](1);
        claims[0] = IChannels.Claim(_estates[d.asset].id, d.terms, _packed(_signed(l, d.terms, 5)));
        bytes memory data = abi.encodeCall(channels.claim, (claims));
        _refused(l.parties.payer, 0, data, IChannels.Channels_NotPayee.selector, "a claim by the payer");
    }

    // --- closing ----------------------------------------------------------------------------------------

    function startClosing(uint256 seed) external act("start closing") {
        (bool any, uint256 place) = _pick(seed);
        if (!any) return;
        Line storage l = _lines[place];
        Deal storage d = _deals[l.deal];
        bytes memory data = abi.encodeCall(
            channels.startClosing, (_estates[d.asset].id, d.terms, l.parties.signer, l.parties.nonce)
        );
        if (l.state != IChannels.State.Open) {
            _refused(l.parties.payer, 0, data, IChannels.Channels_WrongState.selector, "close twice");
            return;
        }
        _refused(payees[0], 0, data, IChannels.Channels_WrongState.selector, "closing by another");
        _done(l.parties.payer, 0, data);
        (l.state, l.closesAt) = (IChannels.State.Closing, _now() + d.terms.window);
    }

    function closeByPayee(uint256 seed) external act("close by the payee") {
        // One in four, or nothing would live long.
        if (seed % 4 != 0) return;
        (bool any, uint256 place) = _pick(seed >> 2);
        if (any) _close(place, _deals[_lines[place].deal].terms.payee, true, "closed by the payee");
    }

    function closeByAnybody(uint256 seed) external act("close by anybody") {
        (bool any, uint256 place) = _pick(seed);
        if (any) _close(place, payers[(seed >> 16) % 3], false, "closed after the end");
    }

    /// @notice To the last second of a channel, and one further.
    function raceTheEnd(uint256 seed) external act("race the end") {
        (bool any, uint256 place) = _pick(seed);
        if (!any || !_isLive(_lines[place]) || _now() > _endOf(_lines[place])) return;
        Line storage l = _lines[place];
        Deal storage d = _deals[l.deal];
        vm.warp(_endOf(l));
        vm.roll(vm.getBlockNumber() + 1);
        if (seed >> 255 == 1) {
            vm.warp(_now() + 1);
            ++count["a second late"];
        } else {
            _close(place, stranger, false, "");
            ++count["in the last second"];
        }
        uint128 units = uint128(bound(seed >> 8, 1, 1e6));
        uint256 due = _redeem(place, units);
        IChannels.Claim[] memory claims = new IChannels.Claim[](1);
        claims[0] = IChannels.Claim(_estates[d.asset].id, d.terms, _packed(_signed(l, d.terms, units)));
        vm.prank(d.terms.payee);
        assertEq(channels.claim(claims)[0], due, "U5");
    }

    // --- the rest ---------------------------------------------------------------------------------------

    function wait_(uint256 seed) external act("wait") {
        skip(bound(seed, 1, 12 hours));
    }

    function give(uint256 seed) external act("give") {
        address currency = currencies[seed % 2];
        uint256 amount = bound(seed >> 8, 1, 1 ether);
        gifts[currency] += amount;
        if (currency == address(0)) vm.deal(address(channels), address(channels).balance + amount);
        else Coin(currency).mint(address(channels), amount);
    }

    function pay(uint256 seed) external act("pay") {
        bytes memory data =
            abi.encodeWithSelector(bytes4(keccak256("pay(address,uint256)")), coin, seed % 100);
        _refused(payers[seed % 3], 0, data, bytes4(keccak256("Payer_NotTreasury(address)")), "pay by anybody");
    }

    /// @notice Ends every channel, as anybody could.
    function finish() external act("finish") {
        skip(40 days);
        for (uint256 i; i < _lines.length; ++i) {
            if (_isLive(_lines[i])) _close(i, stranger, false, "closed after the end");
        }
    }

    // --- helpers ----------------------------------------------------------------------------------------

    function _close(uint256 place, address who, bool isPayee, string memory outcome) private {
        Line storage l = _lines[place];
        Deal storage d = _deals[l.deal];
        bytes memory data = abi.encodeCall(channels.close, (_estates[d.asset].id, d.terms, l.parties));
        if (!_isLive(l)) {
            _refused(who, 0, data, IChannels.Channels_WrongState.selector, "close a closed channel");
        } else if (!isPayee && _now() <= _endOf(l)) {
            _refused(who, 0, data, IChannels.Channels_TooEarly.selector, "close too early");
        } else {
            _done(who, 0, data);
            l.refunded = l.deposit - l.claimed;
            l.state = IChannels.State.Closed;
            owed[_word(l.parties.payer)][d.terms.currency] += l.refunded;
            ++count[outcome];
        }
    }

    /// @dev Up to five rows of an offer's channels, and what they should pay together.
    function _rows(uint256 deal, uint256 seed) private returns (bytes memory rows, uint256 due) {
        uint256 most = 1 + seed % 5;
        for (uint256 i; i < 4 * most && i < 12; ++i) {
            if (_lines.length == 0) return (rows, due);
            uint256 r = uint256(keccak256(abi.encode(seed, i)));
            uint256 place = r % _lines.length;
            if (_lines[place].deal != deal) continue;
            uint128 units = uint128(bound(r >> 64, 0, 1e5));
            rows = bytes.concat(rows, _packed(_signed(_lines[place], _deals[deal].terms, units)));
            uint256 amount = _redeem(place, units);
            if (amount != 0) ++count["a row that pays"];
            else ++count["a row that is skipped"];
            due += amount;
        }
    }

    function _signed(Line storage l, IMeteredOffers.MeteredTerms memory t, uint128 units)
        private
        view
        returns (Voucher memory v)
    {
        v.parties = l.parties;
        (v.units, v.sequence) = (units, uint64(units));
        v.receiptsRoot = keccak256(abi.encode(l.id, units));
        (v.r, v.vs) = vm.signCompact(l.key, _voucherDigest(l.id, uint256(t.price) * units, v));
    }

    function _pick(uint256 seed) private view returns (bool any, uint256 place) {
        any = _lines.length != 0;
        if (any) place = (seed >> 40) % _lines.length;
    }

    function _find(bytes32 id) private view returns (bool, uint256) {
        for (uint256 i; i < _lines.length; ++i) {
            if (_lines[i].id == id) return (true, i);
        }
        return (false, 0);
    }

    function _done(address who, uint256 value, bytes memory data) private {
        vm.prank(who);
        (bool success, bytes memory answer) = address(channels).call{value: value}(data);
        if (success) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function _refused(address who, uint256 value, bytes memory data, bytes4 reason, string memory outcome)
        private
    {
        vm.prank(who);
        (bool success, bytes memory answer) = address(channels).call{value: value}(data);
        assertFalse(success, outcome);
        assertEq(bytes32(bytes4(answer)), bytes32(reason), outcome);
        ++count[outcome];
    }

    function _notOpen() private pure returns (bytes4) {
        return IMeteredOffers.MeteredOffers_NotOpen.selector;
    }
}
