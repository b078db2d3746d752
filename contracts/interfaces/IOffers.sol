// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ILicences} from "./ILicences.sol";

/// @title Offers
/// @notice The terms under which an asset is sold. An offer is named by the hash of its terms, so they can never change.
interface IOffers {
    /// @notice What is sold.
    /// @dev Perpetual: never ends. Rental: ends `period` after delivery, or after its last renewal.
    enum Kind {
        Perpetual,
        Rental
    }

    /// @notice All terms of an offer. The asset is not among them: it is hashed beside them.
    struct Terms {
        // who made the offer; his bond answers for its purchases
        address seller;
        // ERC-20, or zero for the native coin
        address currency;
        // smallest units of the currency; zero is free
        uint128 price;
        // wei of the seller's bond reserved for each open purchase, the payer's if the seller fails; at a price of nothing, or next
        // to nothing, anybody can reserve all of it
        uint128 bond;
        Kind kind;
        ILicences.Scope scope;
        // whether the licence may change hands
        bool transferable;
        // whether it may be revoked; only free licences
        bool revocable;
        // seconds of a rental; for a perpetual licence of scope UntilEnd, for how long new versions are included; else 0
        uint32 period;
        // Unix seconds: no renewal beyond; rentals only, 0 for none
        uint40 renewUntil;
        // how many licences may be sold in all, a refund returning its place; 0 for no limit
        uint32 supply;
        // seconds from payment in which the key must be delivered
        uint32 deliverWithin;
        // seconds from delivery in which the content can be proved false; 0 for an atomic sale without content refund
        uint32 window;
        // root of the Merkle tree of accounts that may buy (OpenZeppelin's StandardMerkleTree of (address)); 0 for everybody
        bytes32 allowList;
        // SHA-256 of the text of the licence
        bytes32 text;
        // tells two offers of equal terms apart
        uint64 salt;
        // the only version sold under the offer; 0 for any of the asset. A seller with a bond names one: else his bond answers for
        // versions, too, that others published or will publish, and whose key he may not have
        bytes32 version;
    }

    /// @notice An offer was made. A trail event of the asset.
    /// @param asset The asset.
    /// @param offer Its id.
    /// @param actor The seller.
    /// @param terms All that the id is the hash of, beside the asset.
    event Offered(bytes32 indexed asset, bytes32 indexed offer, address indexed actor, Terms terms);

    /// @notice An offer was closed; purchases made under it go on. A trail event of the asset.
    /// @param asset The asset.
    /// @param offer Its id.
    /// @param actor Who closed it.
    event OfferClosed(bytes32 indexed asset, bytes32 indexed offer, address indexed actor);

    /// @notice The account may not sell this asset, or names another as the seller.
    /// @param account Who tried.
    /// @param asset The asset.
    error Offers_NotAllowed(address account, bytes32 asset);

    /// @notice The offer exists already.
    /// @param offer Its id.
    error Offers_Exists(bytes32 offer);

    /// @notice There is no such offer, it was closed, or the asset has been transferred since.
    /// @param offer Its id.
    error Offers_NotOpen(bytes32 offer);

    /// @notice All licences of the offer are out.
    /// @param offer Its id.
    error Offers_SoldOut(bytes32 offer);

    /// @notice A period is missing, too long, or given where the kind has none.
    /// @param period Seconds.
    error Offers_BadPeriod(uint32 period);

    /// @notice A last moment of renewal is given for what cannot be renewed.
    /// @param renewUntil Unix seconds.
    error Offers_BadRenewal(uint40 renewUntil);

    /// @notice The time to deliver is outside 1 hour to 30 days.
    /// @param deliverWithin Seconds.
    error Offers_BadDeliveryTime(uint32 deliverWithin);

    /// @notice The content window is neither 0 nor 1 hour to 30 days.
    /// @param window Seconds.
    error Offers_BadWindow(uint32 window);

    /// @notice The bond does not pay for a dispute.
    /// @param bond Wei.
    /// @param least Wei: `minBond`.
    error Offers_BondTooLow(uint128 bond, uint128 least);

    /// @notice The offer sells another version.
    /// @param version The one it sells.
    error Offers_OtherVersion(bytes32 version);

    /// @notice Only a free licence may be revocable.
    error Offers_PaidRevocable();

    /// @notice A free, limited offer needs an allow-list, or one account could take all places.
    error Offers_OpenFreeSupply();

    /// @notice Longest period: 3,650 days.
    /// @return seconds_ The constant.
    function MAX_PERIOD() external view returns (uint32 seconds_);

    /// @notice Shortest time for a delivery, a content window or a key request: 1 hour.
    /// @return seconds_ The constant.
    function MIN_TIME() external view returns (uint32 seconds_);

    /// @notice Longest time for a delivery, a content window or a key request: 30 days.
    /// @return seconds_ The constant.
    function MAX_TIME() external view returns (uint32 seconds_);

    /// @notice Least bond of an offer with a content window: what a dispute costs at the gas price stated for this chain.
    /// @return amount Wei, fixed at deployment.
    function minBond() external view returns (uint128 amount);

    /// @notice The id of an offer.
    /// @param asset The asset.
    /// @param terms The terms.
    /// @return offer keccak256(abi.encode(asset, terms)).
    function offerOf(bytes32 asset, Terms calldata terms) external pure returns (bytes32 offer);

    /// @notice What is stored about an offer.
    /// @param offer Its id.
    /// @return openedAt Unix seconds; zero if it does not exist.
    /// @return epoch The asset's epoch then; the offer is closed if the asset has another now.
    /// @return sold Licences and open purchases that count against the supply; stays 0 where there is no limit.
    /// @return closed Whether it was closed.
    function offers(bytes32 offer)
        external
        view
        returns (uint40 openedAt, uint32 epoch, uint32 sold, bool closed);

    /// @notice Makes an offer. Only the asset's owner or a seller of the asset, as `terms.seller`.
    /// @param asset The asset.
    /// @param terms The terms.
    /// @return offer Its id.
    function makeOffer(bytes32 asset, Terms calldata terms) external returns (bytes32 offer);

    /// @notice Closes an offer for ever. The asset's owner or a seller of the asset.
    /// @param asset The asset.
    /// @param terms The terms.
    function closeOffer(bytes32 asset, Terms calldata terms) external;
}
