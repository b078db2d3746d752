// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Channels} from "../../../../contracts/Channels.sol";
import {Treasury} from "../../../../contracts/Treasury.sol";
import {IChannels} from "../../../../contracts/interfaces/IChannels.sol";
import {Coin} from "../../../../contracts/test/Coin.sol";
import {Test} from "../../utils/Test.sol";
import {Handler} from "./Handler.sol";
import {Ledger} from "./Ledger.sol";

/// @title The invariants of docs/metering.md, by their numbers
contract MeteringInvariants is Test {
    uint256 private constant ACTIONS = 16;

    Handler private handler;
    Channels private channels;
    Treasury private treasury;

    function setUp() external {
        handler = new Handler();
        (channels, treasury) = (handler.channels(), handler.treasury());
        targetContract(address(handler));
        targetSelector(address(handler), _selectors());
    }

    function invariant_Metering() external view {
        requireAll();
    }

    function afterInvariant() external {
        assertGt(handler.actions(), 4, "nothing happened");
        _finish();
    }

    /// @notice Every outcome is reached: the counters of a fixed run, none of them zero.
    function test_EveryOutcomeIsReached() external {
        vm.pauseGasMetering();
        bytes4[] memory selectors = _selectors();
        for (uint256 i; i < 60 * ACTIONS; ++i) {
            uint256 seed = uint256(keccak256(abi.encode("run", i)));
            (bool success, bytes memory answer) = address(handler)
                .call(abi.encodeWithSelector(selectors[seed % ACTIONS], seed >> 8 | seed << 248));
            if (!success) _bubble(answer);
            if (i % 64 == 0) this.requireAll();
        }
        string[28] memory outcomes = [
            "offer",
            "close an offer",
            "close a closed offer",
            "transfer an asset",
            "open",
            "open twice",
            "open under no open offer",
            "top up",
            "top up what is not open",
            "top up what has expired",
            "claim",
            "a claim of nothing",
            "claim of several offers",
            "a row that pays",
            "a row that is skipped",
            "a forged voucher",
            "a claim by the payer",
            "start closing",
            "close twice",
            "closing by another",
            "closed by the payee",
            "closed after the end",
            "close a closed channel",
            "close too early",
            "a second late",
            "in the last second",
            "give",
            "pay by anybody"
        ];
        for (uint256 i; i < outcomes.length; ++i) {
            assertGt(handler.count(outcomes[i]), 0, outcomes[i]);
        }
        _finish();
    }

    /// @notice All invariants. External calls to it keep memory from piling up.
    function requireAll() public view {
        Ledger.Line[] memory lines = handler.lines();
        Ledger.Deal[] memory deals = handler.deals();
        check_U1_HoldsWhatIsUndecided(lines, deals);
        check_U2_U3_U4_Channels(lines, deals);
        check_U6_MoneyWentWhereItShould();
        check_U7_OffersStayAsTheyAre(deals);
        check_T1_HeadsAreFolds();
    }

    function check_U1_HoldsWhatIsUndecided(Ledger.Line[] memory lines, Ledger.Deal[] memory deals)
        private
        view
    {
        for (uint256 c; c < 2; ++c) {
            address currency = handler.currencies(c);
            uint256 sum = handler.gifts(currency);
            for (uint256 i; i < lines.length; ++i) {
                if (lines[i].state == IChannels.State.Closed) continue;
                if (deals[lines[i].deal].terms.currency == currency) {
                    sum += lines[i].deposit - lines[i].claimed;
                }
            }
            assertEq(_holding(currency), sum, "U1");
        }
    }

    function check_U2_U3_U4_Channels(Ledger.Line[] memory lines, Ledger.Deal[] memory deals) private view {
        for (uint256 i; i < lines.length; ++i) {
            Ledger.Line memory l = lines[i];
            (uint104 deposit, uint104 claimed, uint40 closesAt, IChannels.State state) =
                channels.channels(l.id);
            assertEq(deposit, l.deposit, "U2: deposit");
            assertEq(claimed, l.claimed, "U2: claimed");
            assertEq(handler.told(l.id), l.claimed, "T2: as the entries tell");
            assertEq(uint256(state), uint256(l.state), "U4: state");
            assertEq(closesAt, l.closesAt, "U4: end of the window");
            uint256 worth = l.best * deals[l.deal].terms.price;
            assertLe(l.claimed, l.deposit, "U2: within the deposit");
            assertLe(l.claimed, worth, "U2: within the best voucher");
            if (l.state == IChannels.State.Closed) {
                assertEq(l.claimed + l.refunded, l.deposit, "U3: each unit once");
            }
        }
    }

    function check_U6_MoneyWentWhereItShould() private view {
        bytes32[2] memory nodes = handler.nodeIds();
        for (uint256 c; c < 2; ++c) {
            address currency = handler.currencies(c);
            uint256 sum;
            for (uint256 i; i < 5; ++i) {
                bytes32 payee = i < 2 ? nodes[i] : bytes32(uint256(uint160(address(handler.payers(i - 2)))));
                uint256 owed = handler.owed(payee, currency);
                assertEq(treasury.balanceOf(payee, currency), owed, "U6");
                sum += owed;
            }
            uint256 holding = currency == address(0)
                ? address(treasury).balance
                : Coin(currency).balanceOf(address(treasury));
            assertEq(holding, sum, "U6: and nowhere else");
        }
    }

    function check_U7_OffersStayAsTheyAre(Ledger.Deal[] memory deals) private view {
        for (uint256 i; i < deals.length; ++i) {
            (address currency, uint32 epoch, uint40 expiry, bool closed) = channels.offers(deals[i].id);
            assertEq(currency, deals[i].terms.currency, "U7: currency");
            assertEq(epoch, deals[i].epoch, "U7: epoch");
            assertEq(expiry, deals[i].terms.expiry, "U7: expiry");
            assertEq(closed, deals[i].closed, "U7: closed");
        }
    }

    function check_T1_HeadsAreFolds() private view {
        bytes32[2] memory assets = handler.estateIds();
        for (uint256 i; i < 2; ++i) {
            assertEq(channels.head(assets[i]), handler.heads(assets[i]), "T1");
        }
    }

    function _finish() private {
        handler.finish();
        requireAll();
        for (uint256 c; c < 2; ++c) {
            address currency = handler.currencies(c);
            assertEq(_holding(currency), handler.gifts(currency), "nothing but gifts is left");
        }
    }

    function _holding(address currency) private view returns (uint256) {
        return
            currency == address(0) ? address(channels).balance : Coin(currency).balanceOf(address(channels));
    }

    function _bubble(bytes memory answer) private pure {
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function _selectors() private pure returns (bytes4[] memory selectors) {
        bytes4[ACTIONS] memory all = [
            Handler.makeOffer.selector,
            Handler.closeOffer.selector,
            Handler.transferAsset.selector,
            Handler.open.selector,
            Handler.topUp.selector,
            Handler.claim.selector,
            Handler.claimMany.selector,
            Handler.claimForged.selector,
            Handler.claimOfAnother.selector,
            Handler.startClosing.selector,
            Handler.closeByPayee.selector,
            Handler.closeByAnybody.selector,
            Handler.raceTheEnd.selector,
            Handler.wait_.selector,
            Handler.give.selector,
            Handler.pay.selector
        ];
        selectors = new bytes4[](ACTIONS);
        for (uint256 i; i < ACTIONS; ++i) {
            selectors[i] = all[i];
        }
    }
}
