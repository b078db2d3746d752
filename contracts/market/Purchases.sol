// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {IFraudChecker} from "../interfaces/IFraudChecker.sol";
import {IPurchases} from "../interfaces/IPurchases.sol";
import {Dleq} from "../libraries/Dleq.sol";
import {Ids} from "../libraries/Ids.sol";
import {Secp256k1} from "../libraries/Secp256k1.sol";
import {Permit} from "../types/Permit.sol";
import {Point} from "../types/Point.sol";
import {Proof} from "../types/Proof.sol";
import {Bonds} from "./Bonds.sol";
import {Offers} from "./Offers.sol";

/// @title Purchases
/// @notice See IPurchases.
abstract contract Purchases is Offers, Bonds, IPurchases {
    /// @dev The names of an order, computed once per call.
    struct Names {
        bytes32 version;
        bytes32 offer;
        bytes32 purchase;
    }

    bytes32 private constant DELIVERY = keccak256("steelyard/delivery/v1");
    bytes32 private constant DISPUTE = keccak256("steelyard/dispute/v1");

    /// @notice Judges disputes.
    IFraudChecker public immutable fraudChecker;

    /// @inheritdoc IPurchases
    mapping(bytes32 version => bool) public override flagged;

    constructor(IFraudChecker fraudChecker_) {
        fraudChecker = fraudChecker_;
    }

    /// @inheritdoc IPurchases
    function idsOf(Order calldata order)
        external
        view
        returns (bytes32 version, bytes32 offer, bytes32 purchase)
    {
        Names memory ids = _ids(order);
        return (ids.version, ids.offer, ids.purchase);
    }

    /// @inheritdoc IPurchases
    function buy(Order calldata order, bytes32[] calldata allowProof)
        external
        payable
        nonReentrant
        returns (uint256 licence)
    {
        return _buy(order, allowProof);
    }

    /// @inheritdoc IPurchases
    function buyWithPermit(Order calldata order, bytes32[] calldata allowProof, Permit calldata permit)
        external
        payable
        nonReentrant
        returns (uint256 licence)
    {
        _permit(order.terms.currency, permit);
        return _buy(order, allowProof);
    }

    /// @inheritdoc IPurchases
    function deliver(Order calldata order, Point calldata delivered, Proof calldata proof)
        external
        nonReentrant
    {
        // Id
        Names memory ids = _ids(order);
        Licence storage record = _inState(ids, State.Paid);

        // Check: in time, not proved false, and the very key of this version for this buyer.
        if (block.timestamp > record.due) revert Purchases_TooLate(record.due);
        if (flagged[ids.version]) revert Purchases_VersionFlagged(ids.version);
        Dleq.verify(_context(DELIVERY, ids.purchase), order.version.key, order.key, delivered, proof);

        // Effect: the licence runs from now on.
        uint40 settlesAt = uint40(block.timestamp) + order.terms.window;
        uint40 until = order.terms.period == 0 ? 0 : uint40(block.timestamp) + order.terms.period;
        bool settled = order.terms.window == 0;
        record.until = until;
        record.due = settlesAt;
        record.state = settled ? State.Settled : State.Delivered;
        _mintTo(order.buyer, uint256(ids.purchase));
        _record(
            order.version.asset, Delivered.selector, ids.purchase, abi.encode(delivered, until, settlesAt)
        );

        if (!settled) emit DeliveryProof(ids.purchase, proof);

        // Interaction
        if (settled) _earn(order);
    }

    /// @inheritdoc IPurchases
    function settle(Order calldata order) external nonReentrant {
        // Id
        Names memory ids = _ids(order);
        Licence storage record = _inState(ids, State.Delivered);

        // Check: the content window passed, and nobody proved the version false.
        if (block.timestamp <= record.due) revert Purchases_TooEarly(record.due);
        if (flagged[ids.version]) revert Purchases_VersionFlagged(ids.version);

        // Effect
        record.state = State.Settled;
        _record(order.version.asset, Settled.selector, ids.purchase, "");

        // Interaction
        _earn(order);
    }

    /// @inheritdoc IPurchases
    function refund(Order calldata order) external nonReentrant {
        // Id
        Names memory ids = _ids(order);
        Licence storage record = _licences[uint256(ids.purchase)];

        // Check: not delivered in time, or proved false; that the money is in escrow, `_refund` checks.
        bool late = record.state == State.Paid && block.timestamp > record.due;
        if (!late && !flagged[ids.version]) {
            if (record.state != State.Paid) revert Purchases_WrongState(ids.purchase, uint8(record.state));
            revert Purchases_TooEarly(record.due);
        }

        // Effect, interaction
        _refund(order, ids);
    }

    /// @inheritdoc IPurchases
    function renew(Order calldata order) external payable nonReentrant {
        // Id
        Names memory ids = _ids(order);
        Licence storage record = _inState(ids, State.Settled);

        // Check: a rental, valid still, and not beyond the last renewal its terms allow.
        uint40 until = record.until;
        uint40 end = until + order.terms.period;
        if (order.terms.kind != Kind.Rental || block.timestamp > until || end > order.terms.renewUntil) {
            revert Purchases_NotRenewable(ids.purchase);
        }

        // Effect
        record.until = end;
        _record(order.version.asset, Renewed.selector, ids.purchase, abi.encode(order.terms.price, end));

        // Interaction: no refund is possible, so it is revenue at once.
        _take(order.terms.currency, order.terms.price);
        _pay(order.version.node, order.terms.currency, order.terms.price);
    }

    /// @inheritdoc IPurchases
    function dispute(Order calldata order, IFraudChecker.Fraud calldata fraud) external nonReentrant {
        // Id
        Names memory ids = _ids(order);
        Licence storage record = _inState(ids, State.Delivered);

        // Check: in the window.
        if (block.timestamp > record.due) revert Purchases_TooLate(record.due);
        // Check: the leaf is committed, the key is the one delivered, and it decrypts the leaf to something else.
        fraudChecker.requireFraud(
            _context(DELIVERY, ids.purchase),
            keccak256(abi.encode(DISPUTE, block.chainid, address(this), ids.purchase, ids.version)),
            order.version,
            order.key,
            fraud
        );

        // Effect
        flagged[ids.version] = true;
        _record(
            order.version.asset, VersionFlagged.selector, ids.version, abi.encode(ids.purchase, fraud.index)
        );

        // Effect, interaction: not in an ERC-20, which could hold up the flag by refusing to move; then `refund` follows.
        if (order.terms.currency == NATIVE) _refund(order, ids);
    }

    function _buy(Order calldata order, bytes32[] calldata allowProof) private returns (uint256 licence) {
        // Id
        Names memory ids = _ids(order);
        Licence storage record = _inState(ids, State.None);

        // Check: the buyer himself, with a key that hides something.
        if (msg.sender != order.buyer) revert Purchases_NotBuyer(msg.sender, order.buyer);
        _requireKey(order.key);
        // Check: a published version that nobody proved false, under an open offer that lets him in.
        (uint32 epoch, uint40 publishedAt) = assets.saleState(order.version.asset, ids.version);
        if (publishedAt == 0) revert Purchases_NoVersion(ids.version);
        if (flagged[ids.version]) revert Purchases_VersionFlagged(ids.version);
        bytes32 sold = order.terms.version;
        if (sold != 0 && sold != ids.version) revert Offers_OtherVersion(sold);
        _requireAllowed(order, allowProof);

        // Effect
        _takePlace(ids.offer, epoch, order.terms.supply);
        _reserveBond(order.terms.seller, order.terms.bond);
        _hold(record, order, ids);

        // Interaction
        _take(order.terms.currency, order.terms.price);
        return uint256(ids.purchase);
    }

    function _hold(Licence storage record, Order calldata order, Names memory ids) private {
        uint40 due = uint40(block.timestamp) + order.terms.deliverWithin;
        record.holder = order.buyer;
        record.due = due;
        record.state = State.Paid;
        record.flags = _flags(order.terms);
        record.asset = order.version.asset;
        _record(
            order.version.asset,
            Purchased.selector,
            ids.purchase,
            abi.encode(ids.version, ids.offer, order.salt, order.key, order.terms.price, due)
        );
    }

    function _refund(Order calldata order, Names memory ids) private {
        Licence storage record = _licences[uint256(ids.purchase)];
        State state = record.state;

        // Check: the money is in escrow.
        if (state != State.Paid && state != State.Delivered) {
            revert Purchases_WrongState(ids.purchase, uint8(state));
        }

        // Effect
        record.state = State.Refunded;
        if (state == State.Delivered) _burnFrom(order.buyer, uint256(ids.purchase));
        _freePlace(ids.offer, order.terms.supply);
        _record(
            order.version.asset,
            Refunded.selector,
            ids.purchase,
            abi.encode(order.buyer, order.terms.price, order.terms.bond)
        );

        // Interaction
        _pay(_word(order.buyer), order.terms.currency, order.terms.price);
        _pay(_word(order.buyer), NATIVE, order.terms.bond);
    }

    /// @dev The price becomes revenue of the version, the bond is free again.
    function _earn(Order calldata order) private {
        _releaseBond(order.terms.seller, order.terms.bond);
        _pay(order.version.node, order.terms.currency, order.terms.price);
    }

    /// @dev What a proof about a purchase or a request is bound to.
    function _context(bytes32 label, bytes32 id) internal view returns (bytes32) {
        return keccak256(abi.encode(label, block.chainid, address(this), id));
    }

    function _requireAllowed(Order calldata order, bytes32[] calldata allowProof) private pure {
        bytes32 root = order.terms.allowList;
        if (root == 0) return;
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(order.buyer))));
        if (!MerkleProof.verifyCalldata(allowProof, root, leaf)) revert Purchases_NotAllowed(order.buyer);
    }

    /// @dev A key equal to P (b = 0) would make the delivery public; the others could never be delivered.
    function _requireKey(Point calldata key) internal pure {
        if (key.x >= Secp256k1.ORDER || key.x == Secp256k1.NUMS_X || !Secp256k1.isOnCurve(key.x, key.y)) {
            revert Purchases_BadKey();
        }
    }

    function _inState(Names memory ids, State state) private view returns (Licence storage record) {
        record = _licences[uint256(ids.purchase)];
        if (record.state != state) revert Purchases_WrongState(ids.purchase, uint8(record.state));
    }

    function _ids(Order calldata order) private view returns (Names memory ids) {
        ids.version = Ids.ofVersion(order.version);
        ids.offer = Ids.ofOffer(order.version.asset, order.terms);
        ids.purchase = Ids.ofPurchase(ids.version, ids.offer, Ids.ofOrder(order));
    }

    function _flags(Terms calldata terms) private pure returns (uint8 flags) {
        flags = uint8(terms.scope) << SCOPE_SHIFT;
        if (terms.kind == Kind.Perpetual) flags |= PERPETUAL;
        if (terms.transferable) flags |= TRANSFERABLE;
        if (terms.revocable) flags |= REVOCABLE;
    }
}
