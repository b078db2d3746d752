// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IChannels} from "../../../../contracts/interfaces/IChannels.sol";
import {IMeteredOffers} from "../../../../contracts/interfaces/IMeteredOffers.sol";
import {Vm} from "../../utils/Vm.sol";
import {Meter} from "../support/Meter.sol";

/// @title Ledger
/// @notice What should be true of the channels, kept beside the contract: from what was done, and, for the heads, from the logs alone.
abstract contract Ledger is Meter {
    struct Deal {
        bytes32 id;
        uint256 asset;
        uint32 epoch;
        bool closed;
        IMeteredOffers.MeteredTerms terms;
    }

    struct Line {
        bytes32 id;
        uint256 deal;
        IChannels.Parties parties;
        uint256 key;
        uint256 deposit;
        uint256 claimed;
        // units of the best voucher that was claimed with in time
        uint256 best;
        uint256 refunded;
        uint40 closesAt;
        IChannels.State state;
    }

    struct Estate {
        bytes32 id;
        bytes32 node;
        address owner;
        uint32 epoch;
        Model model;
    }

    Estate[2] internal _estates;
    Deal[] internal _deals;
    Line[] internal _lines;
    address[3] public payers;
    address[2] public payees;
    address[2] public currencies;
    uint256[2] internal _keys;

    mapping(bytes32 payee => mapping(address currency => uint256)) public owed;
    mapping(address currency => uint256) public gifts;
    mapping(bytes32 subject => bytes32) public heads;
    // of a channel, by the entries of claims
    mapping(bytes32 channel => uint256) public told;
    mapping(string outcome => uint256) public count;
    uint256 public actions;

    /// @dev An action that is counted when it ends well; its logs are folded.
    modifier act(string memory outcome) {
        ++actions;
        vm.recordLogs();
        _;
        _fold();
        ++count[outcome];
    }

    // --- what the invariants look at --------------------------------------------------------------------

    function lines() external view returns (Line[] memory) {
        return _lines;
    }

    function deals() external view returns (Deal[] memory) {
        return _deals;
    }

    function estateIds() external view returns (bytes32[2] memory) {
        return [_estates[0].id, _estates[1].id];
    }

    function nodeIds() external view returns (bytes32[2] memory) {
        return [_estates[0].node, _estates[1].node];
    }

    // --- rules ------------------------------------------------------------------------------------------

    function _now() internal view returns (uint40) {
        return uint40(vm.getBlockTimestamp());
    }

    function _endOf(Line memory l) internal view returns (uint40) {
        uint40 expiry = _deals[l.deal].terms.expiry;
        return l.state == IChannels.State.Closing && l.closesAt < expiry ? l.closesAt : expiry;
    }

    function _isOpen(Deal memory d) internal view returns (bool) {
        return !d.closed && d.epoch == _estates[d.asset].epoch && _now() < d.terms.expiry;
    }

    function _isLive(Line memory l) internal pure returns (bool) {
        return l.state == IChannels.State.Open || l.state == IChannels.State.Closing;
    }

    /// @dev What a claim of so many units should pay, and what it changes.
    function _redeem(uint256 place, uint256 units) internal returns (uint256 due) {
        Line storage l = _lines[place];
        if (!_isLive(l) || _now() > _endOf(l)) return 0;
        uint256 worth = units * _deals[l.deal].terms.price;
        uint256 covered = worth < l.deposit ? worth : l.deposit;
        if (covered <= l.claimed) return 0;
        due = covered - l.claimed;
        l.claimed = covered;
        if (units > l.best) l.best = units;
        owed[_deals[l.deal].terms.node][_deals[l.deal].terms.currency] += due;
    }

    // --- logs -------------------------------------------------------------------------------------------

    function _fold() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(channels)) continue;
            Vm.Log memory log = logs[i];
            assertEq(log.topics.length, 4, "T1: every event is a trail event");
            bytes32 entry = keccak256(
                bytes.concat(
                    abi.encode(vm.getBlockNumber(), vm.getBlockTimestamp()),
                    abi.encode(log.topics[0], log.topics[1], log.topics[2], log.topics[3]),
                    log.data
                )
            );
            heads[log.topics[1]] = keccak256(bytes.concat(heads[log.topics[1]], entry));
            if (log.topics[0] != IChannels.UsageClaimed.selector) continue;
            IChannels.Use[] memory uses = abi.decode(log.data, (IChannels.Use[]));
            for (uint256 j; j < uses.length; ++j) {
                told[uses[j].channel] += uses[j].amount;
            }
        }
    }
}
