// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Channels} from "../../../contracts/Channels.sol";
import {Treasury} from "../../../contracts/Treasury.sol";
import {IChannels} from "../../../contracts/interfaces/IChannels.sol";
import {IMeteredOffers} from "../../../contracts/interfaces/IMeteredOffers.sol";
import {IPayer} from "../../../contracts/interfaces/IPayer.sol";
import {IPurchases} from "../../../contracts/interfaces/IPurchases.sol";
import {Permit} from "../../../contracts/types/Permit.sol";
import {Hostile} from "../reentrancy/support/Hostile.sol";
import {TrapCoin} from "../reentrancy/support/TrapCoin.sol";
import {Meter} from "./support/Meter.sol";

/// @title C1 for the channels: every function that changes state, entered from every function that calls out
/// @dev One hostile contract is seller, payee and payer, and the token calls it, so that each call would succeed if it did not come in the
/// middle of another. A bystander has deposits in the same columns. Each act has a channel of its own.
contract MeteringReentrancyTest is Meter {
    enum Guard {
        None,
        Channels,
        Treasury
    }

    struct Act {
        string name;
        address target;
        bytes data;
        Guard guard;
        // how often it calls out, and whether the treasury's guard is held then
        uint256 calls;
        bool held;
    }

    Hostile private hostile = new Hostile();
    TrapCoin private trap = new TrapCoin();
    IMeteredOffers.MeteredTerms private terms;
    Act[] private acts;
    bytes32[] private ids;
    bytes32[] private nativeIds;

    function setUp() external {
        _start();
        (seller, payee, payer) = (address(hostile), address(hostile), address(hostile));
        asset = _assetOf(seller, "trap");
        model = _register(seller, "trap", 77, node);
        trap.mint(address(hostile), 1_000 ether);
        vm.startPrank(address(hostile));
        trap.approve(address(channels), type(uint256).max);
        trap.approve(address(treasury), type(uint256).max);
        vm.stopPrank();
        terms = _metered(address(trap));
        terms.price = 1 ether;
        _offer(terms);
        _bystand();
        _build();
        trap.set(hostile, false, false);
    }

    // --- the fixture ------------------------------------------------------------------------------------

    /// @dev Somebody else's deposits, in the token and in the native coin, and money of the hostile one in the books.
    function _bystand() private {
        bytes32 hash = _termsHash(terms);
        trap.mint(stranger, 7 ether);
        vm.startPrank(stranger);
        trap.approve(address(channels), 7 ether);
        ids.push(channels.open(asset, hash, signer, 1, 7 ether));
        vm.stopPrank();
        IMeteredOffers.MeteredTerms memory t = _metered(address(0));
        _offer(t);
        vm.deal(stranger, 3 ether);
        vm.prank(stranger);
        nativeIds.push(channels.open{value: 3 ether}(asset, _termsHash(t), signer, 2, 3 ether));
        vm.prank(address(hostile));
        treasury.deposit(_word(address(hostile)), address(trap), 10 ether);
    }

    function _build() private {
        bytes32 hash = _termsHash(terms);
        Permit memory permit;
        _add(abi.encodeCall(channels.open, (asset, hash, signer, 10, 1 ether)), Guard.Channels, 1, false);
        _add(
            abi.encodeCall(channels.openWithPermit, (asset, hash, signer, 11, 1 ether, permit)),
            Guard.Channels,
            2,
            false
        );
        ids.push(_channel(asset, terms, _parties(10)));
        ids.push(_channel(asset, terms, _parties(11)));
        for (uint64 i = 12; i < 17; ++i) {
            vm.prank(payer);
            ids.push(channels.open(asset, hash, signer, i, 2 ether));
        }
        _add(abi.encodeCall(channels.topUp, (asset, hash, _parties(12), 1 ether)), Guard.Channels, 1, false);
        _add(
            abi.encodeCall(channels.topUpWithPermit, (asset, hash, _parties(13), 1 ether, permit)),
            Guard.Channels,
            2,
            false
        );
        bytes memory rows = _packed(_voucher(terms, 14, 1, "root"));
        _add(abi.encodeCall(channels.claim, (_claims(terms, rows))), Guard.Channels, 1, true);
        _add(abi.encodeCall(channels.close, (asset, terms, _parties(15))), Guard.Channels, 1, true);
        _add(abi.encodeCall(channels.startClosing, (asset, terms, signer, 16)), Guard.None, 0, false);
        IMeteredOffers.MeteredTerms memory t = _metered(address(trap));
        t.salt = 5;
        _add(abi.encodeCall(channels.makeOffer, (model.version, t)), Guard.None, 0, false);
        t.salt = 6;
        _offer(t);
        _add(abi.encodeCall(channels.closeOffer, (asset, _termsHash(t))), Guard.None, 0, false);
        _add(abi.encodeCall(channels.pay, (address(trap), 1 ether)), Guard.None, 0, false);
        bytes32 word = _word(address(hostile));
        _addBooks(abi.encodeCall(Treasury.deposit, (word, address(trap), 1 ether)), 1);
        _addBooks(abi.encodeCall(Treasury.collect, (word, address(trap), 1 ether)), 2);
        _addBooks(abi.encodeCall(Treasury.move, (_word(stranger), address(trap), 1 ether)), 0);
        _addBooks(abi.encodeCall(Treasury.withdraw, (address(hostile), address(trap), 1 ether)), 1);
    }

    function _add(bytes memory data, Guard guard, uint256 calls, bool held) private {
        acts.push(
            Act(vm.toString(abi.encodePacked(bytes4(data))), address(channels), data, guard, calls, held)
        );
    }

    function _addBooks(bytes memory data, uint256 calls) private {
        acts.push(
            Act(
                vm.toString(abi.encodePacked(bytes4(data))),
                address(treasury),
                data,
                Guard.Treasury,
                calls,
                true
            )
        );
    }

    // --- the matrix -------------------------------------------------------------------------------------

    function test_C1_eachCallAloneEndsWell() external {
        for (uint256 i; i < acts.length; ++i) {
            uint256 saved = vm.snapshotState();
            hostile.arm(address(trap), 0, abi.encodeCall(trap.totalSupply, ()), 100, address(0));
            assertEq(_run(i), !_isPay(i), acts[i].name);
            assertEq(100 - hostile.countdown(), acts[i].calls, string.concat("calls out: ", acts[i].name));
            _requireBooks(acts[i].name);
            vm.revertToState(saved);
        }
    }

    function test_C1_afterTheMove() external {
        _matrix(false);
    }

    function test_C1_beforeTheMove() external {
        _matrix(true);
    }

    function _matrix(bool before) private {
        vm.pauseGasMetering();
        trap.set(hostile, before, false);
        uint256 cells;
        for (uint256 row; row < acts.length; ++row) {
            // The rows of the treasury are in the market's matrix.
            if (acts[row].target != address(channels)) continue;
            for (uint256 call = 1; call <= acts[row].calls; ++call) {
                for (uint256 column; column < acts.length; ++column) {
                    this.cell(row, call, column, before);
                    ++cells;
                }
            }
        }
        assertEq(cells, 8 * 14, "cells");
    }

    /// @notice One cell of the matrix. External, so that memory does not pile up.
    function cell(uint256 row, uint256 call, uint256 column, bool before) external {
        string memory name = string.concat(acts[row].name, " <- ", acts[column].name);
        uint256 saved = vm.snapshotState();
        // An inbound deposit is owed before it arrives; the call reverts if it does not.
        address witness = before ? address(0) : address(this);
        hostile.arm(acts[column].target, 0, acts[column].data, call, witness);
        bytes4 reason = _reason(row, column);
        assertTrue(_run(row), string.concat("it ends well: ", name));
        assertTrue(hostile.called(), string.concat("it called: ", name));
        assertEq(hostile.succeeded(), reason == 0, name);
        if (reason != 0) assertEq(bytes32(bytes4(hostile.answer())), reason, name);
        _requireBooks(name);
        vm.revertToState(saved);
    }

    function _reason(uint256 row, uint256 column) private view returns (bytes4) {
        bytes4 guarded = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        if (_isPay(column)) return IPayer.Payer_NotTreasury.selector;
        if (acts[column].guard == Guard.Channels) return guarded;
        return acts[column].guard == Guard.Treasury && acts[row].held ? guarded : bytes4(0);
    }

    function test_C1_everySelectorIsInTheMatrix() external view {
        bytes4[10] memory all = [
            IChannels.open.selector,
            IChannels.openWithPermit.selector,
            IChannels.topUp.selector,
            IChannels.topUpWithPermit.selector,
            IChannels.claim.selector,
            IChannels.startClosing.selector,
            IChannels.close.selector,
            IMeteredOffers.makeOffer.selector,
            IMeteredOffers.closeOffer.selector,
            IPayer.pay.selector
        ];
        for (uint256 i; i < all.length; ++i) {
            bool found;
            for (uint256 k; k < acts.length; ++k) {
                found = found || (acts[k].target == address(channels) && bytes4(acts[k].data) == all[i]);
            }
            assertTrue(found, "in the matrix");
        }
    }

    // --- the books --------------------------------------------------------------------------------------

    /// @notice U1 and M1 as inequalities, in the middle of a call.
    function requireBooks() external view {
        (uint256 open, uint256 booked) = _owed();
        assertGe(trap.balanceOf(address(channels)), open, "U1 in the middle");
        assertGe(trap.balanceOf(address(treasury)), booked, "M1 in the middle");
        assertGe(address(channels).balance, 3 ether, "U1, native, in the middle");
    }

    function _requireBooks(string memory name) private view {
        (uint256 open, uint256 booked) = _owed();
        assertEq(trap.balanceOf(address(channels)), open, string.concat("U1: ", name));
        assertEq(trap.balanceOf(address(treasury)), booked, string.concat("M1: ", name));
        assertEq(address(channels).balance, 3 ether, string.concat("U1, native: ", name));
    }

    function _owed() private view returns (uint256 open, uint256 booked) {
        for (uint256 i; i < ids.length; ++i) {
            (uint104 deposit, uint104 claimed,, IChannels.State state) = channels.channels(ids[i]);
            if (state == IChannels.State.Open || state == IChannels.State.Closing) open += deposit - claimed;
        }
        booked = treasury.balanceOf(_word(address(hostile)), address(trap))
            + treasury.balanceOf(_word(stranger), address(trap)) + treasury.balanceOf(node, address(trap));
    }

    // --- helpers ----------------------------------------------------------------------------------------

    function _run(uint256 i) private returns (bool success) {
        vm.prank(address(hostile));
        (success,) = acts[i].target.call(acts[i].data);
    }

    function _isPay(uint256 i) private view returns (bool) {
        return bytes4(acts[i].data) == IPayer.pay.selector;
    }
}
