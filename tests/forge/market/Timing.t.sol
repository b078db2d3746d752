// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFraudChecker} from "../../../contracts/interfaces/IFraudChecker.sol";
import {ILicences} from "../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../contracts/interfaces/IOffers.sol";
import {IPurchases} from "../../../contracts/interfaces/IPurchases.sol";
import {Point} from "../../../contracts/types/Point.sol";
import {Proof} from "../../../contracts/types/Proof.sol";
import {Shop} from "./support/Shop.sol";

/// @title Deadlines, to the second, and the life of a rental
contract MarketTimingTest is Shop {
    function setUp() external {
        _open();
    }

    // --- delivery ---------------------------------------------------------------------------------------

    /// @dev At any moment exactly one of delivery and refund is possible: until `due` the one, after it the other.
    function testFuzz_deliverOrRefund(uint32 within, uint256 moment) external {
        IOffers.Terms memory t = _plainTerms(seller, address(0), 1 ether);
        t.deliverWithin = uint32(bound(within, 1 hours, 30 days));
        _sell(t);
        (IPurchases.Order memory o, uint256 b) = _draft(honest, t);
        uint256 licence = _pay(o);
        (Point memory d, Proof memory proof) = _proof(honest, o, b);
        uint40 due = market.licenceOf(licence).due;
        assertEq(due, block.timestamp + t.deliverWithin, "due");
        vm.warp(_around(moment, due));
        if (vm.getBlockTimestamp() <= due) {
            vm.expectRevert(abi.encodeWithSelector(IPurchases.Purchases_TooEarly.selector, due));
            market.refund(o);
            market.deliver(o, d, proof);
            assertEq(treasury.balanceOf(node, address(0)), 1 ether, "revenue");
        } else {
            vm.expectRevert(abi.encodeWithSelector(IPurchases.Purchases_TooLate.selector, due));
            market.deliver(o, d, proof);
            market.refund(o);
            assertEq(treasury.balanceOf(_word(buyer), address(0)), 1 ether, "refund");
        }
        assertEq(address(market).balance, 100 ether, "the bond alone is left");
    }

    // --- the content window -----------------------------------------------------------------------------

    /// @dev At any moment exactly one of dispute and settlement is possible.
    function testFuzz_disputeOrSettle(uint32 window, uint256 moment) external {
        IOffers.Terms memory t = _plainTerms(seller, address(coin), 1 ether);
        t.window = uint32(bound(window, 1 hours, 30 days));
        t.bond = MIN_BOND;
        _sell(t);
        (IPurchases.Order memory o, uint256 b) = _draft(lying, t);
        uint256 licence = _pay(o);
        skip(bound(moment >> 128, 0, t.deliverWithin));
        _hand(lying, o, b);
        uint40 end = market.licenceOf(licence).due;
        assertEq(end, block.timestamp + t.window, "end of the window");
        IFraudChecker.Fraud memory fraud = _fraud(lying, o, b, 0);
        vm.warp(_around(moment, end));
        if (vm.getBlockTimestamp() <= end) {
            vm.expectRevert(abi.encodeWithSelector(IPurchases.Purchases_TooEarly.selector, end));
            market.settle(o);
            market.dispute(o, fraud);
            assertEq(treasury.balanceOf(_word(buyer), address(coin)), 0, "a token is refunded apart");
            market.refund(o);
            assertEq(treasury.balanceOf(_word(buyer), address(coin)), 1 ether, "refund");
            assertEq(treasury.balanceOf(_word(buyer), address(0)), MIN_BOND, "and the bond");
            assertEq(market.freeBond(seller), 100 ether - MIN_BOND, "the seller has lost it");
        } else {
            vm.expectRevert(abi.encodeWithSelector(IPurchases.Purchases_TooLate.selector, end));
            market.dispute(o, fraud);
            market.settle(o);
            assertEq(treasury.balanceOf(node, address(coin)), 1 ether, "revenue");
            assertEq(market.freeBond(seller), 100 ether, "the bond is free again");
        }
        assertEq(coin.balanceOf(address(market)), 0, "decided");
    }

    /// @dev A version proved false in one purchase undoes every other one that is not settled, at any time.
    function testFuzz_aFlagUndoesTheOthers(uint256 delay, bool delivered) external {
        IOffers.Terms memory t = _plainTerms(seller, address(0), 1 ether);
        (t.window, t.bond) = (1 days, MIN_BOND);
        _sell(t);
        (IPurchases.Order memory o, uint256 b) = _draft(lying, t);
        (IPurchases.Order memory other, uint256 c) = _draft(lying, t);
        _pay(o);
        uint256 licence = _pay(other);
        _hand(lying, o, b);
        if (delivered) _hand(lying, other, c);
        market.dispute(o, _fraud(lying, o, b, 0));
        skip(bound(delay, 1 days + 1, 3650 days));
        vm.expectRevert(
            delivered
                ? abi.encodeWithSelector(IPurchases.Purchases_VersionFlagged.selector, lying.id)
                : abi.encodeWithSelector(IPurchases.Purchases_WrongState.selector, bytes32(licence), 1)
        );
        market.settle(other);
        market.refund(other);
        assertEq(treasury.balanceOf(_word(buyer), address(0)), 2 * (1 ether + MIN_BOND), "both");
        assertEq(uint256(market.licenceOf(licence).state), uint256(ILicences.State.Refunded), "state");
        assertEq(market.balanceOf(buyer), 0, "no token is left");
    }

    // --- C12: rentals -----------------------------------------------------------------------------------

    /// @dev The whole life of a rental: valid to its end, inclusive, never after; renewed only while valid, by its period, up to the
    /// last moment of its terms.
    function testFuzz_C12_rental(uint32 period, uint8 periods, uint256 seed) external {
        IOffers.Terms memory t = _plainTerms(seller, address(0), 1);
        t.kind = IOffers.Kind.Rental;
        t.period = uint32(bound(period, 1, 3650 days));
        t.renewUntil = uint40(vm.getBlockTimestamp() + uint256(bound(periods, 0, 6)) * t.period);
        _sell(t);
        (IPurchases.Order memory o, uint256 b) = _draft(honest, t);
        uint256 licence = _pay(o);
        assertFalse(market.isValid(licence), "not before delivery");
        assertEq(market.userExpires(licence), 0, "no end before delivery");
        _hand(honest, o, b);
        uint40 until = uint40(vm.getBlockTimestamp() + t.period);
        vm.deal(stranger, 100);
        for (uint256 k; k < 8; ++k) {
            _requireUntil(licence, until);
            vm.warp(bound(uint256(keccak256(abi.encode(seed, k))), vm.getBlockTimestamp(), until));
            if (k % 2 == 0) vm.warp(until);
            if (until + t.period > t.renewUntil) break;
            vm.prank(stranger);
            market.renew{value: 1}(o);
            until += t.period;
        }
        vm.expectRevert(abi.encodeWithSelector(IPurchases.Purchases_NotRenewable.selector, bytes32(licence)));
        market.renew{value: 0}(o);
        vm.warp(uint256(until) + 1);
        assertFalse(market.isValid(licence), "ended");
        assertEq(market.userOf(licence), address(0), "no user");
        assertEq(market.ownerOf(licence), buyer, "the token stays");
    }

    /// @dev One second before, at, and after the end; after it no money brings it back.
    function test_C12_aroundTheEnd() external {
        IOffers.Terms memory t = _plainTerms(seller, address(0), 1);
        (t.kind, t.period, t.renewUntil) = (IOffers.Kind.Rental, 10 days, type(uint40).max);
        _sell(t);
        (IPurchases.Order memory o, uint256 b) = _draft(honest, t);
        uint256 licence = _pay(o);
        _hand(honest, o, b);
        uint40 until = market.licenceOf(licence).until;
        vm.deal(address(this), 10);
        vm.warp(until - 1);
        _requireUntil(licence, until);
        vm.warp(until);
        _requireUntil(licence, until);
        uint256 saved = vm.snapshotState();
        market.renew{value: 1}(o);
        _requireUntil(licence, until + 10 days);
        vm.revertToState(saved);
        vm.warp(uint256(until) + 1);
        assertFalse(market.isValid(licence), "ended");
        assertEq(market.userExpires(licence), 0, "no end of what ended");
        assertFalse(_covers(licence, o), "covers nothing");
        vm.expectRevert(abi.encodeWithSelector(IPurchases.Purchases_NotRenewable.selector, bytes32(licence)));
        market.renew{value: 1}(o);
    }

    function testFuzz_C12_aPerpetualLicenceNeverEnds(uint40 time) external {
        IOffers.Terms memory t = _plainTerms(seller, address(0), 1);
        _sell(t);
        (IPurchases.Order memory o, uint256 b) = _draft(honest, t);
        uint256 licence = _pay(o);
        _hand(honest, o, b);
        vm.warp(bound(time, vm.getBlockTimestamp(), type(uint40).max));
        assertTrue(market.isValid(licence), "valid");
        assertEq(market.userOf(licence), buyer, "user");
        assertEq(market.userExpires(licence), type(uint256).max, "a number no end can be");
        assertTrue(_covers(licence, o), "covers");
        vm.deal(address(this), 1);
        vm.expectRevert(abi.encodeWithSelector(IPurchases.Purchases_NotRenewable.selector, bytes32(licence)));
        market.renew{value: 1}(o);
    }

    /// @dev What a scope covers of a version published at any time after delivery, seen at any time.
    function testFuzz_covers(uint8 kind, uint8 scope, uint32 publishedAfter, uint32 seenAfter) external {
        IOffers.Terms memory t = _plainTerms(seller, address(0), 1);
        t.kind = IOffers.Kind(bound(kind, 0, 1));
        t.scope = ILicences.Scope(bound(scope, 0, 2));
        bool timed = t.kind == IOffers.Kind.Rental || t.scope == ILicences.Scope.UntilEnd;
        if (timed) t.period = 30 days;
        _sell(t);
        (IPurchases.Order memory o, uint256 b) = _draft(honest, t);
        uint256 licence = _pay(o);
        _hand(honest, o, b);
        uint40 start = uint40(vm.getBlockTimestamp());
        // The end, the seconds beside it, or any time.
        uint40 publishedAt = start + 30 days - 1 + publishedAfter % 4;
        if (publishedAfter % 4 == 3) publishedAt = start + publishedAfter % 60 days;
        vm.warp(uint256(publishedAt) + (seenAfter % 2 == 0 ? 0 : seenAfter % 60 days));
        bool valid = t.kind == IOffers.Kind.Perpetual || vm.getBlockTimestamp() <= start + 30 days;
        bool included = t.scope == ILicences.Scope.All
            || (t.scope == ILicences.Scope.UntilEnd && publishedAt <= start + 30 days);
        bytes32[2] memory none;
        bool covered = market.covers(licence, asset, "new", publishedAt, none);
        assertEq(covered, valid && included, "a newer version");
        assertEq(_covers(licence, o), valid, "the version bought");
        assertFalse(market.covers(licence, "other", "new", publishedAt, none), "of another asset");
        assertFalse(market.covers(licence, asset, "new", 0, none), "never published");
    }

    function _covers(uint256 licence, IPurchases.Order memory o) private view returns (bool) {
        bytes32 version = keccak256(abi.encode(o.version));
        (uint40 publishedAt,) = assets.release(version);
        bytes32[2] memory origin = [_offerOf(o.version.asset, o.terms), _orderOf(o)];
        return market.covers(licence, o.version.asset, version, publishedAt, origin);
    }

    function _requireUntil(uint256 licence, uint40 until) private view {
        assertTrue(market.isValid(licence), "valid");
        assertEq(market.licenceOf(licence).until, until, "until");
        assertEq(market.userOf(licence), buyer, "user");
        assertEq(market.userExpires(licence), until, "expires");
    }

    /// @dev The moment itself, the seconds beside it, or any within a year after now.
    function _around(uint256 seed, uint40 moment) private view returns (uint256) {
        if (seed % 4 == 0) return moment;
        if (seed % 4 == 1) return moment - 1;
        if (seed % 4 == 2) return uint256(moment) + 1;
        return bound(seed, vm.getBlockTimestamp(), vm.getBlockTimestamp() + 365 days);
    }
}
