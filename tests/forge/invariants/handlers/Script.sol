// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "../../utils/Test.sol";
import {Attacks} from "./Attacks.sol";
import {Handler} from "./Handler.sol";

/// @title Script
/// @notice What a run may do, and what has to come of it.
abstract contract Script is Test {
    uint256 internal constant ACTIONS = 46;
    uint256 internal constant OUTCOMES = 73;

    function _selectors() internal pure returns (bytes4[] memory selectors) {
        bytes4[ACTIONS] memory all = [
            Handler.register.selector,
            Handler.publish.selector,
            Handler.setRole.selector,
            Handler.transferAsset.selector,
            Handler.makeOffer.selector,
            Handler.closeOffer.selector,
            Handler.buy.selector,
            Handler.buyAnew.selector,
            Handler.deliver.selector,
            Handler.deliverLast.selector,
            Handler.settle.selector,
            Handler.refundLate.selector,
            Handler.refundUndone.selector,
            Handler.dispute.selector,
            Handler.renew.selector,
            Handler.transferLicence.selector,
            Handler.revoke.selector,
            Handler.requestKey.selector,
            Handler.deliverKey.selector,
            Handler.returnFee.selector,
            Handler.fundBond.selector,
            Handler.takeBond.selector,
            Handler.deposit.selector,
            Handler.move.selector,
            Handler.withdraw.selector,
            Handler.claim.selector,
            Handler.movePosition.selector,
            Handler.give.selector,
            Handler.wait_.selector,
            Attacks.deliverLate.selector,
            Attacks.deliverFalsely.selector,
            Attacks.deliverTwice.selector,
            Attacks.settleEarly.selector,
            Attacks.refundEarly.selector,
            Attacks.settleFalse.selector,
            Attacks.disputeHonest.selector,
            Attacks.disputeLate.selector,
            Attacks.renewEnded.selector,
            Attacks.answerOldHolder.selector,
            Attacks.buyClosed.selector,
            Attacks.buySoldOut.selector,
            Attacks.buyUninvited.selector,
            Attacks.buyFalse.selector,
            Attacks.reuseKey.selector,
            Attacks.actAfterTransfer.selector,
            Attacks.overdraw.selector
        ];
        selectors = new bytes4[](ACTIONS);
        for (uint256 i; i < ACTIONS; ++i) {
            selectors[i] = all[i];
        }
    }

    /// @dev What has to happen at least once.
    function _outcomes() internal pure returns (string[OUTCOMES] memory) {
        return [
            "registered",
            "published",
            "role set",
            "asset transferred",
            "offered",
            "offer closed",
            "bought",
            "bought under a new offer",
            "delivered",
            "delivered at the last moment",
            "settled",
            "refunded: not delivered",
            "refunded: proved false",
            "disputed",
            "renewed",
            "licence transferred",
            "revoked",
            "key requested",
            "key delivered",
            "fee returned",
            "bond funded",
            "bond taken",
            "deposited",
            "moved",
            "withdrawn",
            "claimed",
            "position moved",
            "given unasked",
            "waited",
            "tried to deliver late",
            "tried a false delivery",
            "tried to deliver twice",
            "tried to settle early",
            "tried to refund early",
            "tried to settle a false version",
            "tried to dispute a true leaf",
            "tried to dispute late",
            "tried to renew what ended",
            "tried to answer an old holder",
            "tried to buy what is closed",
            "tried to buy what is sold out",
            "tried to buy uninvited",
            "tried to buy what is flagged",
            "tried to reuse a key",
            "tried an old role",
            "tried to overdraw",
            "early return of a fee",
            "move by an old holder",
            "late delivery",
            "false delivery",
            "second delivery",
            "second settlement",
            "refund of what is settled",
            "second purchase",
            "early settlement",
            "refund of what is delivered",
            "transfer before settlement",
            "early refund",
            "settlement of a false version",
            "dispute of a true leaf",
            "late dispute",
            "renewal of what ended",
            "answer to an old holder",
            "purchase under a closed offer",
            "purchase of what is sold out",
            "purchase uninvited",
            "delivery of what is flagged",
            "purchase of what is flagged",
            "second use of a key",
            "offer in an old role",
            "offer by an old owner",
            "overdraft",
            "overdraft of a bond"
        ];
    }
}
