// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors, IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {Assets} from "../../../../contracts/Assets.sol";
import {IAssets} from "../../../../contracts/interfaces/IAssets.sol";
import {IBonds} from "../../../../contracts/interfaces/IBonds.sol";
import {IFraudChecker} from "../../../../contracts/interfaces/IFraudChecker.sol";
import {IKeyRequests} from "../../../../contracts/interfaces/IKeyRequests.sol";
import {ILicences} from "../../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../../contracts/interfaces/IOffers.sol";
import {IPurchases} from "../../../../contracts/interfaces/IPurchases.sol";
import {ITreasury} from "../../../../contracts/interfaces/ITreasury.sol";
import {Dleq} from "../../../../contracts/libraries/Dleq.sol";
import {Permit} from "../../../../contracts/types/Permit.sol";
import {Point} from "../../../../contracts/types/Point.sol";
import {Proof} from "../../../../contracts/types/Proof.sol";
import {Curve} from "../../market/support/Curve.sol";
import {Sales} from "./Sales.sol";

/// @title Attacks
/// @notice What must fail, each for the reason that is named, whatever the state of the rest.
abstract contract Attacks is Sales {
    error Survived(string attack);

    function _mustFail(string memory what, address from, address target, bytes memory data, bytes4 reason)
        internal
    {
        _mustFail(what, from, target, 0, data, reason);
    }

    function _mustFail(
        string memory what,
        address from,
        address target,
        uint256 value,
        bytes memory data,
        bytes4 reason
    ) internal {
        _fold();
        vm.prank(from);
        (bool success, bytes memory answer) = target.call{value: value}(data);
        if (success) revert Survived(what);
        assertEq(bytes32(bytes4(answer)), bytes32(reason), what);
        _forget();
        ++count[what];
    }

    // --- delivery ---------------------------------------------------------------------------------------

    function deliverLate(uint256 seed) external act("tried to deliver late") {
        uint256 i = _find(_boughts.length, seed, _isLate);
        if (i == NONE) {
            i = _paid(seed, 0);
            _waitUntil(_seen[_boughts[i].id].due + 1);
        }
        (Point memory d, Proof memory proof) = _proofFor(i);
        bytes memory data = abi.encodeCall(market.deliver, (_boughts[i].order, d, proof));
        _mustFail("late delivery", _actor(seed), address(market), data, IPurchases.Purchases_TooLate.selector);
    }

    function deliverFalsely(uint256 seed) external act("tried a false delivery") {
        uint256 i = _paid(seed, 0);
        Bought storage p = _boughts[i];
        Model memory m = _models[p.model];
        (Point memory d, Proof memory proof) = _proofFor(i);
        bytes4 reason = Dleq.Dleq_WrongCommitment.selector;
        if (seed % 4 == 0) proof.s = 1 + proof.s % (Curve.N - 1);
        // Another key, proved as if it were this one.
        if (seed % 4 == 1) {
            m.kappa = 1 + m.kappa % (Curve.N - 1);
            m.keyPoint = Curve.mul(m.kappa, _nums());
            (d, proof) = _delivery(m, _deliveryContext(p.id), p.b, p.order.key);
        }
        // A proof for another purchase, for another D.
        if (seed % 4 == 2) (d, proof) = _delivery(m, _deliveryContext(bytes32(seed)), p.b, p.order.key);
        if (seed % 4 == 3) d = Point(d.x, Curve.F - d.y);
        bytes memory data = abi.encodeCall(market.deliver, (p.order, d, proof));
        _mustFail("false delivery", _actor(seed), address(market), data, reason);
    }

    function deliverTwice(uint256 seed) external act("tried to deliver twice") {
        uint256 i = _find(_boughts.length, seed, _isSettled);
        if (i == NONE) i = _settled(seed, 0);
        (Point memory d, Proof memory proof) = _proofFor(i);
        bytes memory data = abi.encodeCall(market.deliver, (_boughts[i].order, d, proof));
        bytes4 reason = IPurchases.Purchases_WrongState.selector;
        _mustFail("second delivery", _actor(seed), address(market), data, reason);
        data = abi.encodeCall(market.settle, (_boughts[i].order));
        _mustFail("second settlement", _actor(seed), address(market), data, reason);
        data = abi.encodeCall(market.refund, (_boughts[i].order));
        _mustFail("refund of what is settled", _actor(seed), address(market), data, reason);
        data = abi.encodeCall(market.buy, (_boughts[i].order, new bytes32[](0)));
        _mustFail("second purchase", _boughts[i].order.buyer, address(market), data, reason);
    }

    function settleEarly(uint256 seed) external act("tried to settle early") {
        uint256 i = _find(_boughts.length, seed, _isInWindow);
        if (i == NONE) i = _delivered(seed, 0);
        bytes memory data = abi.encodeCall(market.settle, (_boughts[i].order));
        bytes4 reason = IPurchases.Purchases_TooEarly.selector;
        _mustFail("early settlement", _actor(seed), address(market), data, reason);
        data = abi.encodeCall(market.refund, (_boughts[i].order));
        reason = IPurchases.Purchases_WrongState.selector;
        _mustFail("refund of what is delivered", _actor(seed), address(market), data, reason);
        (address holder, bytes32 id) = (_seen[_boughts[i].id].holder, _boughts[i].id);
        data = abi.encodeWithSignature(
            "transferFrom(address,address,uint256)", holder, _actor(seed), uint256(id)
        );
        reason = ILicences.Licences_NotTransferable.selector;
        _mustFail("transfer before settlement", holder, address(market), data, reason);
    }

    function refundEarly(uint256 seed) external act("tried to refund early") {
        uint256 i = _paid(seed, 0);
        bytes memory data = abi.encodeCall(market.refund, (_boughts[i].order));
        bytes4 reason = IPurchases.Purchases_TooEarly.selector;
        _mustFail("early refund", _actor(seed), address(market), data, reason);
        assertEq(market.userOf(uint256(_boughts[i].id)), address(0), "L1: no use before delivery");
    }

    function settleFalse(uint256 seed) external act("tried to settle a false version") {
        uint256 i = _find(_boughts.length, seed, _isUndoneDelivered);
        if (i == NONE) {
            i = _delivered(seed, FALSE);
            uint256 other = _delivered(seed, FALSE);
            // Both of one version: the first dispute undoes the second purchase.
            if (_boughts[other].model != _boughts[i].model) other = _twin(i, seed);
            _dispute(other, seed);
            _waitUntil(_seen[_boughts[i].id].due + 1);
        }
        bytes memory data = abi.encodeCall(market.settle, (_boughts[i].order));
        bytes4 reason = IPurchases.Purchases_VersionFlagged.selector;
        _mustFail("settlement of a false version", _actor(seed), address(market), data, reason);
    }

    /// @dev A second delivered purchase of the version that a first one is of.
    function _twin(uint256 i, uint256 seed) internal returns (uint256 other) {
        uint256 model = _boughts[i].model;
        uint256 asset = _deals[_boughts[i].deal].asset;
        other = _buy(_offer(asset, model, seed, WINDOW), model, seed);
        _deliver(other, seed);
    }

    // --- disputes ---------------------------------------------------------------------------------------

    function disputeHonest(uint256 seed) external act("tried to dispute a true leaf") {
        bool honest = seed % 2 == 0;
        uint256 i = _find(_boughts.length, seed, honest ? _isHonestInWindow : _isFalseInWindow);
        if (i == NONE) i = _delivered(seed, honest ? HONEST : FALSE);
        Bought storage p = _boughts[i];
        IPurchases.Order memory o = p.order;
        IFraudChecker.Fraud memory fraud = _fraud(_models[p.model], o, p.b, honest ? 0 : 1);
        bytes memory data = abi.encodeCall(market.dispute, (o, fraud));
        bytes4 reason = IFraudChecker.FraudChecker_HonestLeaf.selector;
        _mustFail("dispute of a true leaf", o.buyer, address(market), data, reason);
    }

    function disputeLate(uint256 seed) external act("tried to dispute late") {
        uint256 i = _find(_boughts.length, seed, _isFalsePastWindow);
        if (i == NONE) {
            i = _delivered(seed, FALSE);
            _waitUntil(_seen[_boughts[i].id].due + 1);
        }
        Bought storage p = _boughts[i];
        IPurchases.Order memory o = p.order;
        bytes memory data = abi.encodeCall(market.dispute, (o, _fraud(_models[p.model], o, p.b, 0)));
        _mustFail("late dispute", o.buyer, address(market), data, IPurchases.Purchases_TooLate.selector);
    }

    // --- licences ---------------------------------------------------------------------------------------

    function renewEnded(uint256 seed) external act("tried to renew what ended") {
        uint256 i = _find(_boughts.length, seed, _isEnded);
        if (i == NONE) {
            i = _settled(seed, RENTAL);
            _waitUntil(_seen[_boughts[i].id].until + 1);
        }
        IPurchases.Order memory o = _boughts[i].order;
        address payer = _actor(seed);
        uint256 value = _fund(payer, o.terms.currency, o.terms.price, address(market));
        bytes4 reason = IPurchases.Purchases_NotRenewable.selector;
        bytes memory data = abi.encodeCall(market.renew, (o));
        _mustFail("renewal of what ended", payer, address(market), value, data, reason);
    }

    function answerOldHolder(uint256 seed) external act("tried to answer an old holder") {
        uint256 i = _settled(seed, TRANSFERABLE | WIDE);
        bytes32 id = _boughts[i].id;
        if (!_valid(id)) return;
        address holder = _seen[id].holder;
        uint256 a = _askFor(i, _boughts[i].model, seed % 1e15, 30 days);
        vm.prank(holder);
        market.transferFrom(holder, _other(holder), uint256(id));
        bytes4 reason = IKeyRequests.Keys_NotHolder.selector;
        _mustFail("answer to an old holder", _actor(seed), address(market), _answer(a), reason);
    }

    function _other(address account) internal view returns (address) {
        return actors[0] == account ? actors[1] : actors[0];
    }

    // --- offers -----------------------------------------------------------------------------------------

    function buyClosed(uint256 seed) external act("tried to buy what is closed") {
        uint256 deal = _find(_deals.length, seed, _isDealClosed);
        if (deal == NONE) {
            uint256 index = seed % _holdings.length;
            deal = _offer(index, _modelOrNew(index, seed, 0), seed, 0);
            bytes32 asset = _holdings[index].id;
            vm.prank(_holdings[index].owner);
            market.closeOffer(asset, _deals[deal].terms);
            _deals[deal].closed = true;
        }
        _buyMustFail("purchase under a closed offer", deal, seed, IOffers.Offers_NotOpen.selector);
    }

    function buySoldOut(uint256 seed) external act("tried to buy what is sold out") {
        uint256 deal = _boughts[_buyFresh(seed, LIMITED)].deal;
        _buyMustFail("purchase of what is sold out", deal, seed, IOffers.Offers_SoldOut.selector);
    }

    function _buyMustFail(string memory what, uint256 deal, uint256 seed, bytes4 reason) private {
        uint256 model = _modelUnder(deal, seed);
        if (model == NONE) model = _publish(_deals[deal].asset, seed, true);
        _buyMustFail(what, deal, model, seed, reason);
    }

    function _buyMustFail(string memory what, uint256 deal, uint256 model, uint256 seed, bytes4 reason)
        private
    {
        address buyer = _buyer(deal, seed);
        (IPurchases.Order memory o,) = _order(deal, model, buyer);
        bytes32[] memory proof = _allowProof(deal, buyer);
        uint256 value = _fund(buyer, o.terms.currency, o.terms.price, address(market));
        _mustFail(what, buyer, address(market), value, abi.encodeCall(market.buy, (o, proof)), reason);
    }

    function buyUninvited(uint256 seed) external act("tried to buy uninvited") {
        uint256 asset = seed % _holdings.length;
        uint256 model = _modelOrNew(asset, seed, 0);
        uint256 deal = _offer(asset, model, seed, LISTED);
        // The proof of another is of no use.
        bytes32[] memory proof = _allowProof(deal, actors[4]);
        (IPurchases.Order memory o,) = _order(deal, model, actors[5]);
        uint256 value = _fund(actors[5], o.terms.currency, o.terms.price, address(market));
        bytes memory data = abi.encodeCall(market.buy, (o, proof));
        bytes4 reason = IPurchases.Purchases_NotAllowed.selector;
        _mustFail("purchase uninvited", actors[5], address(market), value, data, reason);
    }

    function buyFalse(uint256 seed) external act("tried to buy what is flagged") {
        uint256 i = _delivered(seed, FALSE);
        (uint256 model, uint256 asset) = (_boughts[i].model, _deals[_boughts[i].deal].asset);
        uint256 deal = _offer(asset, model, seed, WINDOW);
        uint256 open = _buy(deal, model, seed);
        _dispute(i, seed);
        (Point memory d, Proof memory proof) = _proofFor(open);
        bytes4 reason = IPurchases.Purchases_VersionFlagged.selector;
        bytes memory data = abi.encodeCall(market.deliver, (_boughts[open].order, d, proof));
        _mustFail("delivery of what is flagged", _actor(seed), address(market), data, reason);
        address buyer = _buyer(deal, seed);
        (IPurchases.Order memory o,) = _order(deal, model, buyer);
        bytes32[] memory allow = _allowProof(deal, buyer);
        uint256 value = _fund(buyer, o.terms.currency, o.terms.price, address(market));
        data = abi.encodeCall(market.buy, (o, allow));
        _mustFail("purchase of what is flagged", buyer, address(market), value, data, reason);
    }

    function buyOther(uint256 seed) external act("tried to buy another version") {
        uint256 deal = _find(_deals.length, seed, _isNamedDealOpen);
        if (deal == NONE) {
            uint256 asset = seed % _holdings.length;
            deal = _offer(asset, _modelOrNew(asset, seed, 0), seed, NAMED);
        }
        uint256 model = _modelBeside(_deals[deal].terms.version, seed);
        if (model == NONE) model = _publish(_deals[deal].asset, seed, seed % 2 == 0);
        // Nothing else is in the way.
        _backBond(_deals[deal].terms);
        _buyMustFail("purchase of another version", deal, model, seed, IOffers.Offers_OtherVersion.selector);
    }

    /// @dev Another unflagged version of the same asset.
    function _modelBeside(bytes32 version, uint256 seed) private view returns (uint256) {
        bytes32 asset = _models[_modelOf[version]].version.asset;
        for (uint256 i; i < _models.length; ++i) {
            uint256 index = (seed % _models.length + i) % _models.length;
            Model storage m = _models[index];
            if (m.version.asset == asset && m.id != version && !_flagSeen[m.id]) return index;
        }
        return NONE;
    }

    // --- permits ----------------------------------------------------------------------------------------

    function misusePermit(uint256 seed) external act("tried a bad permit") {
        uint256 asset = seed % _holdings.length;
        uint256 model = _modelOrNew(asset, seed, 0);
        uint256 deal = _offer(asset, model, seed, TOKEN | OPEN);
        // Those with a key are 0, 2, 3 and 5.
        uint256 number = [uint256(0), 2, 3, 5][seed % 4];
        (, Permit memory used) = _buyByPermit(deal, model, number << 4, 1 + (seed >> 8) % 2);
        (IPurchases.Order memory o,) = _order(deal, model, actors[number]);
        _backBond(o.terms);
        _fund(o.buyer, address(coin), o.terms.price, address(market));
        _disallow(o.buyer);
        _permitMustFail("permit used up", o, used);
        address other = actors[number == 5 ? 0 : 5];
        _permitMustFail("permit by another key", o, _permitBy(_keys[other], o.buyer, o.terms.price, _now()));
        Permit memory good = _permitBy(_keys[o.buyer], o.buyer, o.terms.price, _now() - 1);
        _permitMustFail("permit out of date", o, good);
        good = _permitBy(_keys[o.buyer], o.buyer, o.terms.price, _now());
        bytes memory data = abi.encodeCall(market.buyWithPermit, (o, new bytes32[](0), good));
        o.terms.currency = address(0);
        bytes memory native = abi.encodeCall(market.buyWithPermit, (o, new bytes32[](0), good));
        uint256 value = _fund(o.buyer, address(0), o.terms.price, address(market));
        // There is no code that could be asked.
        _mustFail("permit of the native coin", o.buyer, address(market), value, native, bytes4(0));
        bytes4 reason = IPurchases.Purchases_NotBuyer.selector;
        _mustFail("permit brought by another", other, address(market), data, reason);
        (o.terms.currency, o.buyer) = (address(coin), other);
        _disallow(other);
        _permitMustFail("permit of another buyer", o, good);
    }

    function _permitMustFail(string memory what, IPurchases.Order memory o, Permit memory permit) private {
        bytes memory data = abi.encodeCall(market.buyWithPermit, (o, new bytes32[](0), permit));
        bytes4 reason = IERC20Errors.ERC20InsufficientAllowance.selector;
        _mustFail(what, o.buyer, address(market), data, reason);
    }

    // --- contracts that are paid ------------------------------------------------------------------------

    function withdrawWithin(uint256 seed) external act("tried to withdraw within a withdrawal") {
        address account = _payee(seed);
        uint256 amount = 1 + (seed >> 8) % _balances[_word(account)][address(0)];
        _withdraw(account, actors[seed % 2 == 0 ? 1 : 4], address(0), amount);
    }

    /// @dev An account with native coin in the books.
    function _payee(uint256 seed) private returns (address account) {
        account = _actor(seed >> 8);
        if (_balances[_word(account)][address(0)] == 0) _deposit(seed - seed % 3, _word(account));
    }

    function sendToRefuser(uint256 seed) external act("tried to send to one who refuses") {
        uint256 i = _find(_boughts.length, seed, _isMovable);
        if (i == NONE) i = _settled(seed, TRANSFERABLE);
        address holder = _seen[_boughts[i].id].holder;
        bytes memory data = abi.encodeWithSignature(
            "safeTransferFrom(address,address,uint256)", holder, address(treasury), _boughts[i].id
        );
        bytes4 reason = IERC721Errors.ERC721InvalidReceiver.selector;
        _mustFail("licence to one who refuses", holder, address(market), data, reason);
        data = abi.encodeCall(treasury.withdraw, (address(market), address(0), 1));
        reason = ITreasury.Treasury_TransferRefused.selector;
        _mustFail("coin to one who refuses", _payee(seed), address(treasury), data, reason);
    }

    // --- assets and money -------------------------------------------------------------------------------

    function reuseKey(uint256 seed) external act("tried to reuse a key") {
        Model memory old = _models[seed % _models.length];
        uint256 asset = seed % _holdings.length;
        Model memory m = old;
        m.version.asset = _holdings[asset].id;
        m.version.folder = keccak256(abi.encode(seed, _next()));
        // V or -V: the same key.
        if (seed % 2 == 0) (m.kappa, m.version.key.y) = (Curve.N - m.kappa, Curve.F - m.version.key.y);
        m.id = keccak256(abi.encode(m.version));
        address owner = _holdings[asset].owner;
        bytes memory data = abi.encodeCall(Assets.publish, (m.version, _keyProof(m, owner)));
        _mustFail("second use of a key", owner, address(assets), data, IAssets.Assets_KeyUsed.selector);
    }

    function actAfterTransfer(uint256 seed) external act("tried an old role") {
        uint256 asset = seed % _holdings.length;
        Holding storage h = _holdings[asset];
        // Owner and helper are two accounts, the new owner a third.
        (address owner, address helper, address heir) = (h.owner, _other(h.owner), actors[2]);
        if (heir == owner) heir = actors[3];
        vm.startPrank(owner);
        assets.setRole(h.id, helper, IAssets.Role.Seller, true);
        assets.transferFrom(owner, heir, uint256(h.id));
        vm.stopPrank();
        (h.owner, h.epoch) = (heir, h.epoch + 1);
        bytes4 reason = IOffers.Offers_NotAllowed.selector;
        IOffers.Terms memory t = _plainTerms(helper, address(0), 1);
        bytes memory data = abi.encodeCall(market.makeOffer, (h.id, t));
        _mustFail("offer in an old role", helper, address(market), data, reason);
        t.seller = owner;
        data = abi.encodeCall(market.makeOffer, (h.id, t));
        _mustFail("offer by an old owner", owner, address(market), data, reason);
    }

    function overdraw(uint256 seed) external act("tried to overdraw") {
        address account = _actor(seed);
        address currency = currencies[seed % 3];
        uint256 amount = _balances[_word(account)][currency] + 1;
        bytes memory data = abi.encodeCall(treasury.withdraw, (account, currency, amount));
        bytes4 reason = ITreasury.Treasury_InsufficientBalance.selector;
        _mustFail("overdraft", account, address(treasury), data, reason);
        data = abi.encodeCall(market.takeBond, (uint128(_bonds[account] + 1)));
        reason = IBonds.Escrow_BondTooLow.selector;
        _mustFail("overdraft of a bond", account, address(market), data, reason);
    }
}
