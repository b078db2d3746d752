// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Assets} from "../../../contracts/Assets.sol";
import {Treasury} from "../../../contracts/Treasury.sol";
import {IAssets} from "../../../contracts/interfaces/IAssets.sol";
import {IKeyRequests} from "../../../contracts/interfaces/IKeyRequests.sol";
import {ILicences} from "../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../contracts/interfaces/IOffers.sol";
import {IPayer} from "../../../contracts/interfaces/IPayer.sol";
import {IPurchases} from "../../../contracts/interfaces/IPurchases.sol";
import {ITreasury} from "../../../contracts/interfaces/ITreasury.sol";
import {Coin} from "../../../contracts/test/Coin.sol";
import {Permit} from "../../../contracts/types/Permit.sol";
import {Point} from "../../../contracts/types/Point.sol";
import {Proof} from "../../../contracts/types/Proof.sol";
import {Shop} from "../market/support/Shop.sol";
import {Hostile} from "./support/Hostile.sol";
import {TrapCoin} from "./support/TrapCoin.sol";

/// @title C1: every state-changing function, entered from every function that calls out
/// @dev One hostile contract is seller, buyer, holder and payee, so that each call would succeed if it did not come in the middle of
/// another. A bystander has money in the same columns of the books.
contract ReentrancyTest is Shop {
    enum Guard {
        None,
        Market,
        Treasury
    }

    struct Act {
        string name;
        address target;
        uint256 value;
        bytes data;
        // Guard of the function itself; whether it pays into the treasury; how often it calls out; the call-out from which on the
        // treasury's guard is held (0 is never).
        Guard guard;
        bool paysIn;
        uint256 calls;
        uint256 heldFrom;
    }

    Hostile private hostile = new Hostile();
    TrapCoin private trap = new TrapCoin();
    Act[] private acts;
    IPurchases.Order[] private orders;
    bytes32[] private requests;
    ITreasury.Position[] private positions;

    function setUp() external {
        seller = address(hostile);
        buyer = address(hostile);
        _open();
        positions.push(ITreasury.Position(_word(seller), 10_000));
        vm.deal(address(hostile), 100 ether);
        trap.mint(address(hostile), 1_000 ether);
        vm.startPrank(address(hostile));
        trap.approve(address(market), type(uint256).max);
        trap.approve(address(treasury), type(uint256).max);
        vm.stopPrank();
        _bystand();
        _buildPurchases();
        _buildLicences();
        _buildOffers();
        _buildBooks();
        _buildAssets();
        trap.set(hostile, false, false);
    }

    // --- the fixture ------------------------------------------------------------------------------------

    /// @dev Open prices and balances of somebody else in every column.
    function _bystand() private {
        address[3] memory columns = [address(0), address(coin), address(trap)];
        for (uint256 i; i < 3; ++i) {
            IOffers.Terms memory t = _plainTerms(seller, columns[i], 7 ether);
            _sell(t);
            (IPurchases.Order memory o,) = _draft(honest, t);
            o.buyer = stranger;
            _pay(o);
            orders.push(o);
            uint256 value = _fund(stranger, columns[i], 5 ether, address(treasury));
            vm.prank(stranger);
            treasury.deposit{value: value}(_word(stranger), columns[i], 5 ether);
        }
    }

    function _trapTerms(uint64 salt) private view returns (IOffers.Terms memory t) {
        t = _plainTerms(seller, address(trap), 1 ether);
        (t.salt, t.deliverWithin) = (salt, 30 days);
    }

    function _bought(Model memory m, IOffers.Terms memory t)
        private
        returns (IPurchases.Order memory o, uint256 b)
    {
        _sell(t);
        (o, b) = _draft(m, t);
        vm.prank(buyer);
        market.buy{value: t.currency == address(0) ? t.price : 0}(o, new bytes32[](0));
        orders.push(o);
    }

    function _buildPurchases() private {
        // Late from the next hour on.
        IOffers.Terms memory t = _trapTerms(1);
        (t.deliverWithin, t.bond) = (1 hours, MIN_BOND);
        (IPurchases.Order memory o, uint256 b) = _bought(honest, t);
        _add("refund", abi.encodeCall(market.refund, (o)), true, 1, 1);

        t = _trapTerms(2);
        (t.window, t.bond) = (1 hours, MIN_BOND);
        (o, b) = _bought(honest, t);
        _hand(honest, o, b);
        _add("settle", abi.encodeCall(market.settle, (o)), true, 1, 1);

        skip(2 hours);
        (o, b) = _bought(honest, _trapTerms(3));
        (Point memory d, Proof memory proof) = _proof(honest, o, b);
        _add("deliver", abi.encodeCall(market.deliver, (o, d, proof)), true, 1, 1);

        t = _trapTerms(4);
        (t.window, t.bond) = (30 days, MIN_BOND);
        (o, b) = _bought(lying, t);
        _hand(lying, o, b);
        // In an ERC-20 it only flags, so it calls no token.
        _add("dispute", abi.encodeCall(market.dispute, (o, _fraud(lying, o, b, 0))), false, 0, 0);

        t.currency = address(0);
        (o, b) = _bought(lying, t);
        _hand(lying, o, b);
        // In the native coin it pays into the treasury, which calls nobody.
        _add("dispute in coin", abi.encodeCall(market.dispute, (o, _fraud(lying, o, b, 0))), true, 0, 0);

        t = _trapTerms(5);
        _sell(t);
        (o,) = _draft(honest, t);
        orders.push(o);
        _add("buy", abi.encodeCall(market.buy, (o, new bytes32[](0))), false, 1, 0);
        (o,) = _draft(honest, t);
        orders.push(o);
        Permit memory permit;
        _add("permit", abi.encodeCall(market.buyWithPermit, (o, new bytes32[](0), permit)), false, 2, 0);
    }

    function _buildLicences() private {
        IOffers.Terms memory t = _trapTerms(6);
        (t.kind, t.period, t.renewUntil) = (IOffers.Kind.Rental, 30 days, type(uint40).max);
        (IPurchases.Order memory o, uint256 b) = _bought(honest, t);
        _hand(honest, o, b);
        uint256 licence = uint256(_purchaseOf(o));
        _add("renew", abi.encodeCall(market.renew, (o)), true, 2, 2);
        _buildKeys(licence, [_offerOf(asset, o.terms), _orderOf(o)]);

        bytes32 move = bytes32(licence);
        bytes memory args = abi.encode(hostile, hostile, move);
        string memory safe = "safeTransferFrom(address,address,uint256)";
        _addOpen("transferFrom", _selected("transferFrom(address,address,uint256)", args), 0);
        _addOpen("safeTransferFrom", _selected(safe, args), 1);
        args = abi.encodeWithSignature(
            "safeTransferFrom(address,address,uint256,bytes)", hostile, hostile, move, bytes("x")
        );
        _addOpen("safeTransferFrom with data", args, 1);
        _addOpen("approve", abi.encodeCall(market.approve, (stranger, licence)), 0);
        _addOpen("setApprovalForAll", abi.encodeCall(market.setApprovalForAll, (stranger, true)), 0);

        t = _plainTerms(seller, address(0), 0);
        t.revocable = true;
        (o, b) = _bought(honest, t);
        _hand(honest, o, b);
        _addOpen("revoke", abi.encodeCall(market.revoke, (uint256(_purchaseOf(o)))), 0);
    }

    function _buildKeys(uint256 licence, bytes32[2] memory origin) private {
        IKeyRequests.KeyRequest memory r =
            IKeyRequests.KeyRequest(licence, honest.id, buyer, _blinded(_scalar(51)));
        vm.prank(buyer);
        market.requestKey{value: 1 ether}(licence, honest.id, r.key, 1 hours);
        requests.push(_requestOf(r));
        skip(2 hours);
        _add("returnFee", abi.encodeCall(market.returnFee, (r)), true, 0, 0);

        r.key = _blinded(_scalar(52));
        vm.prank(buyer);
        bytes32 id = market.requestKey{value: 1 ether}(licence, honest.id, r.key, 30 days);
        requests.push(id);
        (Point memory d, Proof memory proof) = _delivery(honest, _keyContext(id), _scalar(52), r.key);
        bytes memory data = abi.encodeCall(market.deliverKey, (r, honest.version, origin, d, proof));
        _add("deliverKey", data, true, 0, 0);

        r.key = _blinded(_scalar(53));
        requests.push(_requestOf(r));
        data = abi.encodeCall(market.requestKey, (licence, honest.id, r.key, 30 days));
        acts.push(Act("requestKey", address(market), 1 ether, data, Guard.Market, false, 0, 0));
    }

    function _buildOffers() private {
        _addOpen("makeOffer", abi.encodeCall(market.makeOffer, (asset, _trapTerms(7))), 0);
        IOffers.Terms memory t = _trapTerms(8);
        _sell(t);
        _addOpen("closeOffer", abi.encodeCall(market.closeOffer, (asset, t)), 0);
        bytes memory data = abi.encodeCall(market.fundBond, (seller));
        acts.push(Act("fundBond", address(market), 1 ether, data, Guard.None, false, 0, 0));
        _add("takeBond", abi.encodeCall(market.takeBond, (1 ether)), true, 0, 0);
        _addOpen("pay", abi.encodeCall(market.pay, (address(trap), 1 ether)), 0);
    }

    function _buildBooks() private {
        bytes32 me = _word(address(hostile));
        vm.startPrank(address(hostile));
        treasury.deposit(me, address(trap), 10 ether);
        treasury.deposit{value: 10 ether}(me, address(0), 10 ether);
        treasury.deposit(node, address(trap), 10 ether);
        vm.stopPrank();
        _book("deposit", 0, abi.encodeCall(treasury.deposit, (me, address(trap), 1 ether)), 1);
        _book("deposit of coin", 1 ether, abi.encodeCall(treasury.deposit, (me, address(0), 1 ether)), 0);
        // Two call-outs: `pay`, and the transfer in it.
        _book("collect", 0, abi.encodeCall(treasury.collect, (me, address(trap), 1 ether)), 2);
        _book("move", 0, abi.encodeCall(treasury.move, (node, address(trap), 1 ether)), 0);
        bytes memory data = abi.encodeCall(treasury.withdraw, (address(hostile), address(trap), 1 ether));
        _book("withdraw", 0, data, 1);
        data = abi.encodeCall(treasury.withdraw, (address(hostile), address(0), 1 ether));
        _book("withdraw of coin", 0, data, 1);
        _book("claim", 0, abi.encodeCall(treasury.claim, ("node", positions, 0, address(trap))), 0);
        _book("movePosition", 0, abi.encodeCall(treasury.movePosition, ("node", positions, 0, stranger)), 0);
    }

    function _buildAssets() private {
        Model memory m = _model(asset, _scalar(3), node, true);
        IAssets.KeyProof memory proof = _keyProof(m, seller);
        _owned("publish", abi.encodeCall(assets.publish, (m.version, proof)), 0);
        bytes memory data = abi.encodeCall(assets.setRole, (asset, stranger, IAssets.Role.Seller, true));
        _owned("setRole", data, 0);
        bytes memory args = abi.encode(hostile, hostile, asset);
        _owned("asset transferFrom", _selected("transferFrom(address,address,uint256)", args), 0);
        _owned("asset safeTransferFrom", _selected("safeTransferFrom(address,address,uint256)", args), 1);
    }

    function _add(string memory name, bytes memory data, bool paysIn, uint256 calls, uint256 heldFrom)
        private
    {
        acts.push(Act(name, address(market), 0, data, Guard.Market, paysIn, calls, heldFrom));
    }

    function _addOpen(string memory name, bytes memory data, uint256 calls) private {
        acts.push(Act(name, address(market), 0, data, Guard.None, false, calls, 0));
    }

    function _book(string memory name, uint256 value, bytes memory data, uint256 calls) private {
        acts.push(Act(name, address(treasury), value, data, Guard.Treasury, false, calls, 1));
    }

    function _owned(string memory name, bytes memory data, uint256 calls) private {
        acts.push(Act(name, address(assets), 0, data, Guard.None, false, calls, 0));
    }

    function _selected(string memory signature, bytes memory args) private pure returns (bytes memory) {
        return bytes.concat(bytes4(keccak256(bytes(signature))), args);
    }

    // --- tests ------------------------------------------------------------------------------------------

    /// @dev The control of the matrix: alone, each call succeeds, but for `pay`, which only the treasury may call. Rows call out as
    /// often as they say.
    function test_C1_alone() external {
        assertEq(acts.length, 34, "all calls");
        for (uint256 i; i < acts.length; ++i) {
            uint256 saved = vm.snapshotState();
            hostile.arm(address(0), 0, "", 1_000, address(0));
            assertEq(_isPay(i), !_run(i), acts[i].name);
            assertEq(1_000 - hostile.countdown(), acts[i].calls, acts[i].name);
            _requireBooks(acts[i].name);
            vm.revertToState(saved);
        }
    }

    function test_C1_matrix_hooksAfterTheMove() external {
        _matrix(false);
    }

    function test_C1_matrix_hooksBeforeTheMove() external {
        _matrix(true);
    }

    function _matrix(bool before) private {
        vm.pauseGasMetering();
        trap.set(hostile, before, false);
        uint256 blocked;
        uint256 passed;
        for (uint256 row; row < acts.length; ++row) {
            for (uint256 call = 1; call <= acts[row].calls; ++call) {
                for (uint256 column; column < acts.length; ++column) {
                    if (this.cell(row, call, column, before)) ++passed;
                    else ++blocked;
                }
            }
        }
        // 16 call-outs, 34 calls in each.
        assertEq(blocked + passed, 16 * 34, "cells");
        assertGt(blocked, 0, "some are blocked");
        assertGt(passed, 0, "some are not");
    }

    /// @notice One cell of the matrix; whether the inner call passed. External, so that memory does not pile up.
    function cell(uint256 row, uint256 call, uint256 column, bool before) external returns (bool) {
        Act storage inner = acts[column];
        string memory name = string.concat(acts[row].name, " <- ", inner.name);
        uint256 saved = vm.snapshotState();
        // An inbound price is owed before it arrives; the call reverts if it does not.
        address witness = before ? address(0) : address(this);
        hostile.arm(inner.target, inner.value, inner.data, call, witness);
        if (_endsTheOffer(row, call, column)) {
            assertFalse(_run(row), string.concat("the offer has ended: ", name));
            _requireBooks(name);
            vm.revertToState(saved);
            return true;
        }
        assertTrue(_run(row), string.concat("it ends well: ", name));
        assertTrue(hostile.called(), string.concat("it called: ", name));
        bytes4 reason = _reason(row, call, column);
        assertEq(hostile.succeeded(), reason == 0, name);
        if (reason != 0) assertEq(bytes32(bytes4(hostile.answer())), reason, name);
        _requireBooks(name);
        vm.revertToState(saved);
        return reason == 0;
    }

    /// @dev Why the inner call fails, zero if it does not. A function is blocked by its own contract's guard, and one that pays into the
    /// treasury by the treasury's too.
    function _reason(uint256 row, uint256 call, uint256 column) private view returns (bytes4) {
        bytes4 guarded = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        bool treasuryHeld = acts[row].heldFrom != 0 && call >= acts[row].heldFrom;
        if (_isPay(column)) return IPayer.Payer_NotTreasury.selector;
        if (acts[column].guard == Guard.Treasury) return treasuryHeld ? guarded : bytes4(0);
        if (acts[column].guard == Guard.None) return 0;
        if (acts[row].guard == Guard.Market || (treasuryHeld && acts[column].paysIn)) return guarded;
        // The receiver of an asset is told when it is his: the offers of before have ended.
        bytes4 inner = bytes4(acts[column].data);
        bool buys = inner == IPurchases.buy.selector || inner == IPurchases.buyWithPermit.selector;
        return acts[row].target == address(assets) && buys ? IOffers.Offers_NotOpen.selector : bytes4(0);
    }

    /// @dev A permit comes before the checks, so the seller who transfers his asset in it ends the offer that is being bought.
    function _endsTheOffer(uint256 row, uint256 call, uint256 column) private view returns (bool) {
        if (acts[column].target != address(assets) || call != 1) return false;
        return bytes4(acts[row].data) == IPurchases.buyWithPermit.selector
            && bytes4(acts[column].data) != Assets.publish.selector
            && bytes4(acts[column].data) != Assets.setRole.selector;
    }

    /// @dev A question for a balance is a static call: nothing changes in it, and the row goes on as if nothing had been tried.
    function test_C1_nothingChangesInABalanceQuery() external {
        vm.pauseGasMetering();
        for (uint256 row; row < acts.length; ++row) {
            if (acts[row].calls == 0) continue;
            for (uint256 column; column < acts.length; ++column) {
                this.staticCell(row, column);
            }
        }
    }

    /// @notice One question for a balance that tries to change state. External, so that memory does not pile up.
    function staticCell(uint256 row, uint256 column) external {
        uint256 saved = vm.snapshotState();
        string memory name = string.concat(acts[row].name, " <- ", acts[column].name);
        hostile.arm(acts[column].target, 0, acts[column].data, 0, address(0));
        trap.set(hostile, false, true);
        assertTrue(_run(row), name);
        trap.set(hostile, false, false);
        _requireBooks(name);
        vm.revertToState(saved);
    }

    /// @dev What else comes in while a price is measured is not taken for a part of it, nor kept.
    function test_C1_aWithdrawalIntoTheMarketIsNoPayment() external {
        bytes memory data =
            abi.encodeCall(treasury.withdraw, (address(market), address(trap), uint256(1 ether)));
        hostile.arm(address(treasury), 0, data, 1, address(0));
        uint256 buy = _indexOf("buy");
        assertFalse(_run(buy), "more than the price is refused");
        assertEq(treasury.balanceOf(_word(buyer), address(trap)), 10 ether, "and undone");
        _requireBooks("withdrawal into the market");
    }

    function testFuzz_C1_payIsForTheTreasuryAlone(address caller, uint256 amount) external {
        vm.assume(caller != address(treasury));
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IPayer.Payer_NotTreasury.selector, caller));
        market.pay(address(trap), amount);
    }

    /// @dev Every state-changing function of the two contracts is in the matrix.
    function test_C1_everySelectorIsInTheMatrix() external view {
        bytes4[19] memory inMarket = [
            IPurchases.buy.selector,
            IPurchases.buyWithPermit.selector,
            IPurchases.deliver.selector,
            IPurchases.settle.selector,
            IPurchases.refund.selector,
            IPurchases.renew.selector,
            IPurchases.dispute.selector,
            IKeyRequests.requestKey.selector,
            IKeyRequests.deliverKey.selector,
            IKeyRequests.returnFee.selector,
            IOffers.makeOffer.selector,
            IOffers.closeOffer.selector,
            ILicences.revoke.selector,
            market.fundBond.selector,
            market.takeBond.selector,
            IPayer.pay.selector,
            market.approve.selector,
            market.setApprovalForAll.selector,
            market.transferFrom.selector
        ];
        for (uint256 i; i < inMarket.length; ++i) {
            _requireColumn(address(market), inMarket[i]);
        }
        _requireColumn(address(market), bytes4(keccak256("safeTransferFrom(address,address,uint256)")));
        _requireColumn(address(market), bytes4(keccak256("safeTransferFrom(address,address,uint256,bytes)")));
        _requireColumn(address(treasury), Treasury.deposit.selector);
        _requireColumn(address(treasury), Treasury.collect.selector);
        _requireColumn(address(treasury), Treasury.move.selector);
        _requireColumn(address(treasury), Treasury.withdraw.selector);
        _requireColumn(address(treasury), Treasury.claim.selector);
        _requireColumn(address(treasury), Treasury.movePosition.selector);
        _requireColumn(address(assets), Assets.publish.selector);
        _requireColumn(address(assets), Assets.setRole.selector);
    }

    function _requireColumn(address target, bytes4 selector) private view {
        for (uint256 i; i < acts.length; ++i) {
            if (acts[i].target == target && bytes4(acts[i].data) == selector) return;
        }
        fail(string.concat("not in the matrix: ", vm.toString(abi.encodePacked(selector))));
    }

    // --- the books --------------------------------------------------------------------------------------

    /// @notice M1 and M2 as inequalities, in the middle of a call.
    function requireBooks() external view {
        address[3] memory columns = [address(0), address(coin), address(trap)];
        for (uint256 i; i < 3; ++i) {
            (uint256 open, uint256 booked) = _owed(columns[i]);
            assertGe(_holding(address(market), columns[i]), open, "M2 in the middle");
            assertGe(_holding(address(treasury), columns[i]), booked, "M1 in the middle");
        }
    }

    /// @dev M1 and M2 as equations: there are no donations.
    function _requireBooks(string memory name) private view {
        address[3] memory columns = [address(0), address(coin), address(trap)];
        for (uint256 i; i < 3; ++i) {
            (uint256 open, uint256 booked) = _owed(columns[i]);
            assertEq(_holding(address(market), columns[i]), open, string.concat("M2: ", name));
            assertEq(_holding(address(treasury), columns[i]), booked, string.concat("M1: ", name));
        }
    }

    function _owed(address currency) private view returns (uint256 open, uint256 booked) {
        for (uint256 i; i < orders.length; ++i) {
            IPurchases.Order storage o = orders[i];
            ILicences.State state = market.licenceOf(uint256(_purchaseOf(o))).state;
            if (state != ILicences.State.Paid && state != ILicences.State.Delivered) continue;
            if (o.terms.currency == currency) open += o.terms.price;
            if (currency == address(0)) open += o.terms.bond;
        }
        if (currency == address(0)) {
            open += market.freeBond(seller);
            for (uint256 i; i < requests.length; ++i) {
                (uint128 fee,, IKeyRequests.RequestState state) = market.requests(requests[i]);
                if (state == IKeyRequests.RequestState.Open) open += fee;
            }
        }
        booked = treasury.balanceOf(_word(seller), currency) + treasury.balanceOf(_word(stranger), currency)
            + treasury.balanceOf(node, currency) - treasury.paid(node, 0, currency);
    }

    // --- helpers ----------------------------------------------------------------------------------------

    function _run(uint256 i) private returns (bool success) {
        Act storage a = acts[i];
        vm.prank(address(hostile));
        (success,) = a.target.call{value: a.value}(a.data);
    }

    function _isPay(uint256 i) private view returns (bool) {
        return bytes4(acts[i].data) == IPayer.pay.selector;
    }

    function _indexOf(string memory name) private view returns (uint256 i) {
        while (keccak256(bytes(acts[i].name)) != keccak256(bytes(name))) {
            ++i;
        }
    }
}
