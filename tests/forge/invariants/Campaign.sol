// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Assets} from "../../../contracts/Assets.sol";
import {Market} from "../../../contracts/Market.sol";
import {Treasury} from "../../../contracts/Treasury.sol";
import {IAssets} from "../../../contracts/interfaces/IAssets.sol";
import {IKeyRequests} from "../../../contracts/interfaces/IKeyRequests.sol";
import {ILicences} from "../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../contracts/interfaces/IOffers.sol";
import {ITreasury} from "../../../contracts/interfaces/ITreasury.sol";
import {Coin} from "../../../contracts/test/Coin.sol";
import {Handler} from "./handlers/Handler.sol";
import {Ledger} from "./handlers/Ledger.sol";
import {Script} from "./handlers/Script.sol";

/// @title The invariants of docs/protocol.md, by their numbers
/// @dev Under one seed forge plays the same calls for every invariant function. So there is one function, and campaigns that draw
/// the actions from lists in different orders.
abstract contract Campaign is Script {
    Handler internal handler;
    Market private market;
    Assets private assets;
    Treasury private treasury;

    function setUp() external {
        handler = new Handler();
        (market, assets, treasury) = (handler.market(), handler.assets(), handler.treasury());
        targetContract(address(handler));
        targetSelector(address(handler), _shuffled(_selectors()));
    }

    /// @dev Which of the campaigns this is.
    function _number() internal pure virtual returns (uint256);

    /// @dev After each run: the run did something, all invariants hold, everything open can be ended, everybody gets out what is his,
    /// and all invariants hold then.
    function afterInvariant() external {
        assertGt(handler.actions(), 0, "nothing happened");
        this.requireAll();
        _finish();
        this.requireAll();
    }

    function _shuffled(bytes4[] memory selectors) private pure returns (bytes4[] memory) {
        for (uint256 i = selectors.length - 1; i > 0; --i) {
            uint256 j = uint256(keccak256(abi.encode("campaign", _number(), i))) % (i + 1);
            (selectors[i], selectors[j]) = (selectors[j], selectors[i]);
        }
        return selectors;
    }

    // --- groups -----------------------------------------------------------------------------------------

    /// @dev All together cost six times what an action costs, so one group is looked at after an action, and all when the run is over.
    function invariant_Market() external view {
        uint256 turn = handler.actions() % 6;
        if (turn == 0) _requireHoldings();
        else if (turn == 1) _requireNodes();
        else if (turn == 2) _requirePayments();
        else if (turn == 3) _requireLicences();
        else if (turn == 4) _requireAssets();
        else _requireEscrow();
    }

    /// @notice All invariants. External, so that what it reads does not pile up in memory.
    function requireAll() external view {
        _requireHoldings();
        _requireNodes();
        _requirePayments();
        _requireLicences();
        _requireAssets();
        _requireEscrow();
    }

    function _requireHoldings() private view {
        Ledger.Sale[] memory sales = handler.sales();
        check_M1_TreasuryHoldsWhatItOwes();
        check_M2_MarketHoldsWhatIsUndecided(sales);
    }

    function _requireNodes() private view {
        check_M3_NodesPayNoMoreThanTheyReceive();
        check_M6_IncomeAndPaidOnlyRise();
    }

    function _requirePayments() private view {
        Ledger.Sale[] memory sales = handler.sales();
        check_M4_EachPriceEndsOnce(sales);
        check_M5_NoBalanceMovesButItsOwn();
        check_M7_NoRevenueBeforeItsTime(sales);
    }

    function _requireLicences() private view {
        Ledger.Sale[] memory sales = handler.sales();
        check_L1_OneLicenceAfterDelivery(sales);
        check_L2_TheEndNeverFalls(sales);
        check_L3_AnEndedLicenceStaysEnded(sales);
        check_L4_NoMoreThanTheSupply();
        check_L5_TermsNeverChange(sales);
    }

    function _requireAssets() private view {
        Ledger.Release[] memory releases = handler.releases();
        check_A1_CommitmentsNeverChange(releases);
        check_A2_AKeyIsUsedOnce(releases);
        check_A3_ATransferEndsRolesAndOffers();
        check_A4_AFlagStays(releases);
    }

    function _requireEscrow() private view {
        Ledger.Sale[] memory sales = handler.sales();
        Ledger.Release[] memory releases = handler.releases();
        check_E1_OnlyTheTransitionsDrawn(sales);
        check_E3_OnlyFalseVersionsAreFlagged(releases);
        check_T1_EachHeadIsTheFoldOfItsLogs();
    }

    // --- money ------------------------------------------------------------------------------------------

    function check_M1_TreasuryHoldsWhatItOwes() private view {
        for (uint256 c; c < 3; ++c) {
            address currency = handler.currencies(c);
            uint256 owed = _accounts(currency) + _nodesHold(currency);
            uint256 gift = handler.giftTo(address(treasury), currency);
            assertEq(_holding(address(treasury), currency), owed + gift, "M1");
        }
    }

    function _accounts(address currency) private view returns (uint256 sum) {
        for (uint256 i; i < 6; ++i) {
            sum += treasury.balanceOf(_word(handler.actors(i)), currency);
        }
    }

    function _nodesHold(address currency) private view returns (uint256 sum) {
        bytes32[] memory nodes = handler.nodes();
        for (uint256 n; n < nodes.length; ++n) {
            sum += treasury.balanceOf(nodes[n], currency);
            uint256 positions = handler.positions(n).length;
            for (uint256 i; i < positions; ++i) {
                sum -= treasury.paid(nodes[n], i, currency);
            }
        }
    }

    function check_M2_MarketHoldsWhatIsUndecided(Ledger.Sale[] memory sales) private view {
        uint256[3] memory open;
        address coin = handler.currencies(1);
        for (uint256 i; i < sales.length; ++i) {
            ILicences.State state = market.licenceOf(uint256(sales[i].id)).state;
            if (state != ILicences.State.Paid && state != ILicences.State.Delivered) continue;
            address currency = sales[i].currency;
            open[currency == address(0) ? 0 : currency == coin ? 1 : 2] += sales[i].price;
            open[0] += sales[i].bond;
        }
        for (uint256 i; i < 6; ++i) {
            open[0] += market.freeBond(handler.actors(i));
        }
        Ledger.Asked[] memory askeds = handler.askeds();
        for (uint256 i; i < askeds.length; ++i) {
            (uint128 fee,, IKeyRequests.RequestState state) = market.requests(askeds[i].id);
            if (state == IKeyRequests.RequestState.Open) open[0] += fee;
        }
        for (uint256 c; c < 3; ++c) {
            address currency = handler.currencies(c);
            uint256 gift = handler.giftTo(address(market), currency);
            assertEq(_holding(address(market), currency), open[c] + gift, "M2");
        }
    }

    function check_M3_NodesPayNoMoreThanTheyReceive() private view {
        bytes32[] memory nodes = handler.nodes();
        for (uint256 k; k < 3 * nodes.length; ++k) {
            (uint256 n, address currency) = (k / 3, handler.currencies(k % 3));
            ITreasury.Position[] memory positions = handler.positions(n);
            uint256 income = treasury.balanceOf(nodes[n], currency);
            uint256 paid;
            uint256 due;
            for (uint256 i; i < positions.length; ++i) {
                paid += treasury.paid(nodes[n], i, currency);
                due += income * positions[i].weight / 10_000;
            }
            assertLe(paid, due, "M3: paid what is due");
            assertLe(due, income, "M3: due what came in");
            assertLt(income, due + positions.length, "M3: dust below the number of positions");
        }
    }

    function check_M4_EachPriceEndsOnce(Ledger.Sale[] memory sales) private view {
        for (uint256 i; i < sales.length; ++i) {
            Ledger.Seen memory s = sales[i].seen;
            ILicences.State state = market.licenceOf(uint256(sales[i].id)).state;
            bool earned = state == ILicences.State.Settled || state == ILicences.State.Revoked;
            assertEq(s.toNode, earned ? 1 : 0, "M4: to the node");
            assertEq(s.toPayer, state == ILicences.State.Refunded ? 1 : 0, "M4: to the payer");
        }
        // And the money went where the states say.
        for (uint256 k; k < 18; ++k) {
            (bytes32 payee, address currency) = (_word(handler.actors(k / 3)), handler.currencies(k % 3));
            assertEq(handler.fromMarket(payee, currency), handler.earned(payee, currency), "M4: account");
        }
    }

    function check_M5_NoBalanceMovesButItsOwn() private view {
        for (uint256 k; k < 18; ++k) {
            (bytes32 payee, address currency) = (_word(handler.actors(k / 3)), handler.currencies(k % 3));
            uint256 balance = treasury.balanceOf(payee, currency);
            assertEq(balance, handler.balanceOf(payee, currency), "M5");
            assertEq(balance, handler.loggedOf(payee, currency), "M5: as the logs tell it");
        }
        for (uint256 i; i < 6; ++i) {
            address seller = handler.actors(i);
            assertEq(market.freeBond(seller), handler.bondOf(seller), "M5: bond");
        }
    }

    /// @dev The ledger only ever adds to both, so what equals it never falls.
    function check_M6_IncomeAndPaidOnlyRise() private view {
        bytes32[] memory nodes = handler.nodes();
        for (uint256 k; k < 3 * nodes.length; ++k) {
            (bytes32 node, address currency) = (nodes[k / 3], handler.currencies(k % 3));
            assertEq(treasury.balanceOf(node, currency), handler.balanceOf(node, currency), "M6: income");
            uint256 positions = handler.positions(k / 3).length;
            for (uint256 i; i < positions; ++i) {
                assertEq(treasury.paid(node, i, currency), handler.paidTo(node, i, currency), "M6: paid");
            }
        }
    }

    function check_M7_NoRevenueBeforeItsTime(Ledger.Sale[] memory sales) private view {
        bytes32[] memory nodes = handler.nodes();
        uint256[] memory revenue = new uint256[](3 * nodes.length);
        address[3] memory currencies = [address(0), handler.currencies(1), handler.currencies(2)];
        for (uint256 i; i < sales.length; ++i) {
            Ledger.Seen memory s = sales[i].seen;
            if (s.toNode != 0) {
                assertGt(s.deliveredAt, 0, "M7: delivered");
                uint256 end = uint256(s.deliveredAt) + sales[i].window;
                if (sales[i].window == 0) assertEq(s.settledAt, end, "M7: at once");
                else assertGt(s.settledAt, end, "M7: after the window");
            }
            for (uint256 k; k < revenue.length; ++k) {
                if (nodes[k / 3] != sales[i].node || currencies[k % 3] != sales[i].currency) continue;
                revenue[k] += (s.toNode + s.renewals) * uint256(sales[i].price);
            }
        }
        for (uint256 k; k < revenue.length; ++k) {
            uint256 logged = handler.fromMarket(nodes[k / 3], currencies[k % 3]);
            assertEq(logged, revenue[k], "M7: no other revenue");
        }
    }

    // --- licences ---------------------------------------------------------------------------------------

    function check_L1_OneLicenceAfterDelivery(Ledger.Sale[] memory sales) private view {
        uint256[6] memory held;
        address[6] memory actors = handler.everybody();
        for (uint256 i; i < sales.length; ++i) {
            Ledger.Seen memory s = sales[i].seen;
            bool exists = s.minted > s.burned;
            assertEq(s.minted, s.deliveredAt == 0 ? 0 : 1, "L1: minted once, by the delivery");
            assertLe(s.burned, s.minted, "L1: burned once");
            bool gone = s.state == ILicences.State.Refunded || s.state == ILicences.State.Revoked;
            assertEq(s.burned, gone ? s.minted : 0, "L1: burned by refund or revocation");
            try market.ownerOf(uint256(sales[i].id)) returns (address owner) {
                assertTrue(exists && owner == s.holder, "L1: its holder");
                for (uint256 a; a < 6; ++a) {
                    if (actors[a] == owner) ++held[a];
                }
            } catch {
                assertFalse(exists, "L1: no token");
            }
        }
        for (uint256 a; a < 6; ++a) {
            assertEq(market.balanceOf(actors[a]), held[a], "L1: count");
        }
    }

    /// @dev The ledger takes a new end from a renewal alone, and only a later one.
    function check_L2_TheEndNeverFalls(Ledger.Sale[] memory sales) private view {
        for (uint256 i; i < sales.length; ++i) {
            ILicences.Licence memory record = market.licenceOf(uint256(sales[i].id));
            Ledger.Seen memory s = sales[i].seen;
            assertEq(record.until, s.until, "L2");
            uint256 period = sales[i].period;
            uint256 end = s.deliveredAt == 0 ? 0 : uint256(s.deliveredAt) + (1 + s.renewals) * period;
            assertEq(s.until, period == 0 ? 0 : end, "L2: delivery and renewals alone");
            if (s.renewals != 0) assertLe(s.until, sales[i].renewUntil, "L2: within the terms");
        }
    }

    /// @dev The ledger refuses a renewal after the end; a state that ended has no way back (E1).
    function check_L3_AnEndedLicenceStaysEnded(Ledger.Sale[] memory sales) private view {
        for (uint256 i; i < sales.length; ++i) {
            (bytes32 id, uint256 licence) = (sales[i].id, uint256(sales[i].id));
            bool valid = handler.validOf(id);
            Ledger.Seen memory s = sales[i].seen;
            assertEq(market.isValid(licence), valid, "L3: valid");
            assertEq(market.userOf(licence), valid ? s.holder : address(0), "L3: user");
            // Flag 1: perpetual.
            uint256 expires = sales[i].flags % 2 == 1 ? type(uint256).max : s.until;
            assertEq(market.userExpires(licence), valid ? expires : 0, "L3: expires");
        }
    }

    function check_L4_NoMoreThanTheSupply() private view {
        Ledger.Listed[] memory offers = handler.offers();
        for (uint256 d; d < offers.length; ++d) {
            (uint40 openedAt,, uint32 sold,) = market.offers(offers[d].id);
            assertGt(openedAt, 0, "L4: exists");
            uint32 supply = offers[d].supply;
            assertLe(sold, supply, "L4: within the supply");
            assertEq(sold, supply == 0 ? 0 : offers[d].out, "L4: all that are out");
        }
    }

    function check_L5_TermsNeverChange(Ledger.Sale[] memory sales) private view {
        for (uint256 i; i < sales.length; ++i) {
            ILicences.Licence memory record = market.licenceOf(uint256(sales[i].id));
            assertEq(record.flags, sales[i].flags, "L5: flags");
            assertEq(record.asset, sales[i].asset, "L5: asset");
        }
    }

    /// @dev Names depend on nothing stored, and the lists of the ledger only grow: once, at the end, is as good as after each action.
    function check_A1_A2_L5_Names() private view {
        Ledger.Bought[] memory boughts = handler.boughts();
        for (uint256 i; i < boughts.length; ++i) {
            (bytes32 version, bytes32 offer, bytes32 id) = market.idsOf(boughts[i].order);
            assertEq(id, boughts[i].id, "L5: purchase");
            assertEq(version, keccak256(abi.encode(boughts[i].order.version)), "L5: version");
            IOffers.Terms memory t = boughts[i].order.terms;
            if (t.version != 0) assertEq(version, t.version, "L5: the version named");
            assertEq(offer, keccak256(abi.encode(boughts[i].order.version.asset, t)), "L5: offer");
        }
        Ledger.Model[] memory models = handler.models();
        for (uint256 i; i < models.length; ++i) {
            assertEq(assets.versionOf(models[i].version), models[i].id, "A1: id");
            for (uint256 j; j < i; ++j) {
                assertNotEq(models[j].version.key.x, models[i].version.key.x, "A2: once");
            }
        }
    }

    // --- assets -----------------------------------------------------------------------------------------

    function check_A1_CommitmentsNeverChange(Ledger.Release[] memory releases) private view {
        for (uint256 i; i < releases.length; ++i) {
            (uint40 time, uint32 number) = assets.release(releases[i].id);
            assertEq(time, releases[i].time, "A1: time");
            assertEq(number, releases[i].number, "A1: number");
        }
    }

    function check_A2_AKeyIsUsedOnce(Ledger.Release[] memory releases) private view {
        for (uint256 i; i < releases.length; ++i) {
            assertTrue(assets.keyUsed(releases[i].key), "A2: used");
        }
    }

    function check_A3_ATransferEndsRolesAndOffers() private view {
        Ledger.Holding[] memory holdings = handler.holdings();
        address[6] memory actors = handler.everybody();
        for (uint256 h; h < holdings.length; ++h) {
            (,,, uint32 epoch, uint32 versions) = assets.assetInfo(holdings[h].id);
            assertEq(epoch, holdings[h].epoch, "A3: epoch");
            assertEq(versions, holdings[h].versions, "A1: versions");
            assertEq(assets.ownerOf(uint256(holdings[h].id)), holdings[h].owner, "A3: owner");
            uint256[6] memory bits = handler.rolesOf(holdings[h].id, epoch);
            for (uint256 k; k < 12; ++k) {
                address account = actors[k / 2];
                bool may = account == holdings[h].owner || bits[k / 2] & (1 << (k % 2)) != 0;
                assertEq(assets.may(holdings[h].id, account, IAssets.Role(k % 2)), may, "A3: role");
            }
        }
        Ledger.Listed[] memory offers = handler.offers();
        for (uint256 d; d < offers.length; ++d) {
            (, uint32 epoch,, bool closed) = market.offers(offers[d].id);
            assertEq(epoch, offers[d].epoch, "A3: epoch of the offer");
            assertEq(closed, offers[d].closed, "A3: closed");
        }
    }

    /// @dev The ledger never unflags.
    function check_A4_AFlagStays(Ledger.Release[] memory releases) private view {
        for (uint256 i; i < releases.length; ++i) {
            assertEq(market.flagged(releases[i].id), releases[i].flagged, "A4");
        }
    }

    // --- escrow and trail -------------------------------------------------------------------------------

    /// @dev The ledger's states follow the logs, and it refuses a step that is not drawn.
    function check_E1_OnlyTheTransitionsDrawn(Ledger.Sale[] memory sales) private view {
        for (uint256 i; i < sales.length; ++i) {
            ILicences.Licence memory record = market.licenceOf(uint256(sales[i].id));
            Ledger.Seen memory s = sales[i].seen;
            assertEq(uint256(record.state), uint256(s.state), "E1: state");
            assertEq(record.holder, s.holder, "E1: holder");
            assertEq(record.due, s.due, "E1: due");
        }
        Ledger.Asked[] memory askeds = handler.askeds();
        for (uint256 i; i < askeds.length; ++i) {
            (uint128 fee, uint40 due, IKeyRequests.RequestState state) = market.requests(askeds[i].id);
            assertEq(uint256(state), uint256(askeds[i].state), "E1: request");
            assertEq(fee, askeds[i].fee, "E1: fee");
            assertEq(due, askeds[i].due, "E1: request due");
        }
    }

    /// @dev That a false leaf wins and a true one does not is asserted by `dispute` and `disputeHonest`.
    function check_E3_OnlyFalseVersionsAreFlagged(Ledger.Release[] memory releases) private view {
        for (uint256 i; i < releases.length; ++i) {
            if (releases[i].honest) assertFalse(market.flagged(releases[i].id), "E3");
        }
    }

    function check_T1_EachHeadIsTheFoldOfItsLogs() private view {
        bytes32[] memory subjects = handler.subjects();
        for (uint256 i; i < subjects.length; ++i) {
            bytes32 s = subjects[i];
            assertEq(assets.head(s), handler.headOf(address(assets), s), "T1: assets");
            assertEq(market.head(s), handler.headOf(address(market), s), "T1: market");
            assertEq(treasury.head(s), handler.headOf(address(treasury), s), "T1: treasury");
        }
    }

    /// @dev Nothing is left in the market but gifts, and in the treasury but gifts and dust.
    function _finish() internal {
        handler.finish();
        for (uint256 c; c < 3; ++c) {
            address currency = handler.currencies(c);
            uint256 gift = handler.giftTo(address(market), currency);
            assertEq(_holding(address(market), currency), gift, "the market is empty");
            gift = handler.giftTo(address(treasury), currency);
            assertEq(_accounts(currency), 0, "all is withdrawn");
            assertEq(_holding(address(treasury), currency), gift + _nodesHold(currency), "dust is left");
            // 12 positions in all nodes.
            assertLt(_nodesHold(currency), 12, "M3: no more than dust");
        }
        check_A1_A2_L5_Names();
        Ledger.Sale[] memory sales = handler.sales();
        for (uint256 i; i < sales.length; ++i) {
            ILicences.State state = market.licenceOf(uint256(sales[i].id)).state;
            assertGe(uint256(state), uint256(ILicences.State.Settled), "E1: all purchases end");
        }
    }

    function _holding(address account, address currency) private view returns (uint256) {
        return currency == address(0) ? account.balance : Coin(currency).balanceOf(account);
    }

    function _word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
