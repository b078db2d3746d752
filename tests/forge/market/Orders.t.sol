// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFraudChecker} from "../../../contracts/interfaces/IFraudChecker.sol";
import {ILicences} from "../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../contracts/interfaces/IOffers.sol";
import {IPurchases} from "../../../contracts/interfaces/IPurchases.sol";
import {Point} from "../../../contracts/types/Point.sol";
import {Proof} from "../../../contracts/types/Proof.sol";
import {Shop} from "./support/Shop.sol";

/// @title Orders that were tampered with, and offers of which few licences may be out
contract MarketOrdersTest is Shop {
    /// @dev 8 words of the version, 16 of the terms, buyer, salt and two of the key: the whole order, in the order of its encoding.
    uint256 private constant WORDS = 29;

    IOffers.Terms private terms;

    function setUp() external {
        _open();
        IOffers.Terms memory t = _plainTerms(seller, address(0), 1 ether);
        (t.kind, t.period, t.renewUntil) = (IOffers.Kind.Rental, 10 days, type(uint40).max);
        (t.window, t.bond, t.supply) = (1 hours, MIN_BOND, 3);
        terms = t;
        _sell(t);
    }

    // --- tampering --------------------------------------------------------------------------------------

    function test_tamper_theEncodingIsTheOrder() external {
        (IPurchases.Order memory o,) = _draft(honest, terms);
        assertEq(abi.encode(o).length, 32 * WORDS, "words");
    }

    /// @dev Each word of the order, changed to any other: nothing that is bought, delivered or due answers to it. One change is
    /// of any size, one small enough for every type but the four smallest.
    function testFuzz_tamper_eachWordNamesAnotherPurchase(uint256 change) external {
        change = bound(change, 1, type(uint256).max);
        (IPurchases.Order memory paid, uint256 b) = _draft(honest, terms);
        _pay(paid);
        (IPurchases.Order memory delivered, uint256 c) = _draft(lying, terms);
        _pay(delivered);
        _hand(lying, delivered, c);
        (IPurchases.Order memory settled, uint256 e) = _draft(honest, terms);
        _pay(settled);
        _hand(honest, settled, e);
        skip(1 hours + 1);
        market.settle(settled);
        (Point memory d, Proof memory proof) = _proof(honest, paid, b);
        IFraudChecker.Fraud memory fraud = _fraud(lying, delivered, c, 0);
        for (uint256 word; word < WORDS; ++word) {
            for (uint256 small; small < 2; ++small) {
                uint256 by = small == 0 ? change : 1 + change % 255;
                _refused(IPurchases.deliver.selector, paid, abi.encode(d, proof), word, by);
                _refused(IPurchases.refund.selector, paid, "", word, by);
                _refused(IPurchases.settle.selector, delivered, "", word, by);
                _refused(IPurchases.dispute.selector, delivered, abi.encode(fraud), word, by);
                _refused(IPurchases.renew.selector, settled, "", word, by);
            }
        }
        // Untouched, they are good.
        market.deliver(paid, d, proof);
        market.settle(delivered);
        vm.deal(address(this), 1 ether);
        market.renew{value: 1 ether}(settled);
    }

    /// @dev Calls with an order of which one word is XORed.
    function _refused(
        bytes4 selector,
        IPurchases.Order memory o,
        bytes memory rest,
        uint256 word,
        uint256 change
    ) private {
        bytes memory order = abi.encode(o);
        assembly ("memory-safe") {
            let place := add(order, mul(32, add(word, 1)))
            mstore(place, xor(mload(place), change))
        }
        bytes memory data = selector == IPurchases.dispute.selector
            ? bytes.concat(selector, order, bytes32(uint256(32 * (WORDS + 1))), _tail(rest))
            : bytes.concat(selector, order, rest);
        uint256 value = selector == IPurchases.renew.selector ? 1 ether : 0;
        vm.deal(address(this), value);
        (bool success, bytes memory answer) = address(market).call{value: value}(data);
        assertFalse(success, "a tampered order was accepted");
        // An address or a price with dirty upper bits reverts when it is read, without a reason.
        if (change > 255 && answer.length == 0) return;
        assertEq(bytes32(bytes4(answer)), IPurchases.Purchases_WrongState.selector, "for this reason");
    }

    /// @dev The encoding of a dynamic value without the offset before it.
    function _tail(bytes memory encoded) private pure returns (bytes memory tail) {
        tail = new bytes(encoded.length - 32);
        for (uint256 i; i < tail.length; i += 32) {
            assembly ("memory-safe") {
                mstore(add(add(tail, 32), i), mload(add(add(encoded, 64), i)))
            }
        }
    }

    /// @dev C2: the price in the order is the price, or there is no sale.
    function testFuzz_C2_noOtherPriceIsCharged(uint128 price) external {
        vm.assume(price != terms.price);
        IOffers.Terms memory t = terms;
        t.price = price;
        (IPurchases.Order memory o,) = _draft(honest, t);
        vm.deal(buyer, price);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IOffers.Offers_NotOpen.selector, _offerOf(o.version.asset, t)));
        market.buy{value: price}(o, new bytes32[](0));
    }

    function testFuzz_C2_theBuyerIsTheCaller(address caller) external {
        vm.assume(caller != buyer);
        (IPurchases.Order memory o,) = _draft(honest, terms);
        vm.deal(caller, 1 ether);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IPurchases.Purchases_NotBuyer.selector, caller, buyer));
        market.buy{value: 1 ether}(o, new bytes32[](0));
    }

    // --- supply -----------------------------------------------------------------------------------------

    /// @dev Purchases, deliveries and refunds in any order: never more out than the supply, and a refund frees one place.
    function testFuzz_L4_supplyAgainstRefunds(uint256 seed, uint32 supply) external {
        supply = uint32(bound(supply, 1, 4));
        IOffers.Terms memory t = terms;
        (t.supply, t.window, t.bond) = (supply, 0, 1);
        bytes32 offer = _sell(t);
        IPurchases.Order[] memory open = new IPurchases.Order[](24);
        uint256[] memory secrets = new uint256[](24);
        uint256 count;
        uint256 out;
        for (uint256 k; k < 24; ++k) {
            uint256 r = uint256(keccak256(abi.encode(seed, k)));
            (IPurchases.Order memory o, uint256 b) = _draft(honest, t);
            if (out == supply) {
                vm.deal(buyer, t.price);
                vm.prank(buyer);
                vm.expectRevert(abi.encodeWithSelector(IOffers.Offers_SoldOut.selector, offer));
                market.buy{value: t.price}(o, new bytes32[](0));
            } else if (r % 4 != 0) {
                _pay(o);
                (open[count], secrets[count]) = (o, b);
                (count, out) = (count + 1, out + 1);
            }
            if (count != 0 && r % 3 == 0) {
                --count;
                if (r % 2 == 0) {
                    _hand(honest, open[count], secrets[count]);
                } else {
                    // All are late then; only this one is refunded now.
                    uint256 saved = vm.getBlockTimestamp();
                    vm.warp(saved + t.deliverWithin + 1);
                    market.refund(open[count]);
                    vm.warp(saved);
                    --out;
                }
            }
            (,, uint32 sold,) = market.offers(offer);
            assertEq(sold, out, "L4: counted");
            assertLe(sold, supply, "L4: within the supply");
        }
    }

    function test_L4_aRevokedLicenceKeepsItsPlace() external {
        IOffers.Terms memory t = _plainTerms(seller, address(0), 0);
        (t.revocable, t.supply, t.allowList) = (true, 1, _allowList(buyer, stranger));
        bytes32 offer = _sell(t);
        (IPurchases.Order memory o, uint256 b) = _draft(honest, t);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = _allowLeaf(stranger);
        vm.prank(buyer);
        uint256 licence = market.buy(o, proof);
        _hand(honest, o, b);
        vm.prank(seller);
        market.revoke(licence);
        (,, uint32 sold,) = market.offers(offer);
        assertEq(sold, 1, "or one account could take all places in turn");
        assertEq(uint256(market.licenceOf(licence).state), uint256(ILicences.State.Revoked), "state");
    }
}
