// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../interfaces/IAssets.sol";
import {ILicences} from "../interfaces/ILicences.sol";
import {IOffers} from "../interfaces/IOffers.sol";
import {Ids} from "../libraries/Ids.sol";
import {Licences} from "./Licences.sol";

/// @title Offers
/// @notice See IOffers.
abstract contract Offers is Licences, IOffers {
    struct Offer {
        uint40 openedAt;
        uint32 epoch;
        uint32 sold;
        bool closed;
    }

    uint32 public constant override MAX_PERIOD = 3650 days;
    uint32 public constant override MIN_TIME = 1 hours;
    uint32 public constant override MAX_TIME = 30 days;

    /// @inheritdoc IOffers
    uint128 public immutable override minBond;

    /// @inheritdoc IOffers
    mapping(bytes32 offer => Offer) public override offers;

    constructor(uint128 minBond_) {
        minBond = minBond_;
    }

    /// @inheritdoc IOffers
    function offerOf(bytes32 asset, Terms calldata terms) public pure returns (bytes32) {
        return Ids.ofOffer(asset, terms);
    }

    /// @inheritdoc IOffers
    function makeOffer(bytes32 asset, Terms calldata terms) external returns (bytes32 offer) {
        // Id
        offer = offerOf(asset, terms);

        // Check: new, by the asset's side, and terms that can be kept.
        if (offers[offer].openedAt != 0) revert Offers_Exists(offer);
        if (msg.sender != terms.seller) revert Offers_NotAllowed(msg.sender, asset);
        _requireSeller(asset);
        _requireSound(terms);

        // Effect
        (uint32 epoch,) = assets.saleState(asset, 0);
        offers[offer] = Offer({openedAt: uint40(block.timestamp), epoch: epoch, sold: 0, closed: false});
        _record(asset, Offered.selector, offer, abi.encode(terms));
    }

    /// @inheritdoc IOffers
    function closeOffer(bytes32 asset, Terms calldata terms) external {
        // Id
        bytes32 offer = offerOf(asset, terms);

        // Check: open until now, and closed by the asset's side.
        if (offers[offer].openedAt == 0 || offers[offer].closed) revert Offers_NotOpen(offer);
        _requireSeller(asset);

        // Effect
        offers[offer].closed = true;
        _record(asset, OfferClosed.selector, offer, "");
    }

    /// @dev Takes a place of an open offer. Without a limit nothing is counted.
    function _takePlace(bytes32 offer, uint32 epoch, uint32 supply) internal {
        Offer storage stored = offers[offer];
        if (stored.openedAt == 0 || stored.closed || stored.epoch != epoch) revert Offers_NotOpen(offer);
        if (supply == 0) return;
        if (stored.sold >= supply) revert Offers_SoldOut(offer);
        ++stored.sold;
    }

    /// @dev Gives back the place of a refunded purchase.
    function _freePlace(bytes32 offer, uint32 supply) internal {
        if (supply != 0) --offers[offer].sold;
    }

    function _requireSeller(bytes32 asset) private view {
        if (!assets.may(asset, msg.sender, IAssets.Role.Seller)) revert Offers_NotAllowed(msg.sender, asset);
    }

    function _requireSound(Terms calldata terms) private view {
        bool timed = terms.kind == Kind.Rental || terms.scope == ILicences.Scope.UntilEnd;
        if (timed ? terms.period == 0 || terms.period > MAX_PERIOD : terms.period != 0) {
            revert Offers_BadPeriod(terms.period);
        }
        if (terms.kind != Kind.Rental && terms.renewUntil != 0) revert Offers_BadRenewal(terms.renewUntil);
        if (!_isTime(terms.deliverWithin)) revert Offers_BadDeliveryTime(terms.deliverWithin);
        if (terms.window != 0) {
            if (!_isTime(terms.window)) revert Offers_BadWindow(terms.window);
            if (terms.bond < minBond) revert Offers_BondTooLow(terms.bond, minBond);
        }
        if (terms.price != 0) {
            if (terms.revocable) revert Offers_PaidRevocable();
        } else if (terms.supply != 0 && terms.allowList == 0) {
            revert Offers_OpenFreeSupply();
        }
    }

    function _isTime(uint32 time) internal pure returns (bool) {
        return time >= MIN_TIME && time <= MAX_TIME;
    }
}
