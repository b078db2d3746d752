// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "./IAssets.sol";

/// @title Metered offers
/// @notice The terms under which a version is served by the unit. An offer is named by the hash of its terms, so they can never
/// change; making it is how an asset authorises a payee. See docs/metering.md.
interface IMeteredOffers {
    /// @notice All terms of a metered offer. The asset is not among them: it is hashed beside them.
    struct MeteredTerms {
        // key that signs receipts, claims, and may close at once; it receives no money
        address payee;
        // ERC-20, or zero for the native coin
        address currency;
        // smallest units of the currency for one unit, above zero
        uint128 price;
        // what is counted, a name in ASCII, left-aligned: "row", "call"; read by the two parties alone
        bytes32 unit;
        // the one version that is served
        bytes32 version;
        // revenue node that every claim goes to: the version's own
        bytes32 node;
        // seconds that the payee has to claim after the payer began to close
        uint32 window;
        // most answered calls that are not co-signed yet; read by the two parties alone
        uint16 inFlight;
        // Unix seconds: last moment of a claim, for all channels under the offer
        uint40 expiry;
        // SHA-256 of the text of the licence
        bytes32 text;
        // tells two offers of equal terms apart
        uint64 salt;
    }

    /// @notice A metered offer was made. A trail event of the asset.
    /// @param asset The asset.
    /// @param offer Its id.
    /// @param actor Who made it: the asset's owner or a seller of it.
    /// @param terms All that the id is the hash of, beside the asset.
    event MeteredOffered(
        bytes32 indexed asset, bytes32 indexed offer, address indexed actor, MeteredTerms terms
    );

    /// @notice A metered offer was closed; channels that are open go on. A trail event of the asset.
    /// @param asset The asset.
    /// @param offer Its id.
    /// @param actor Who closed it.
    event MeteredOfferClosed(bytes32 indexed asset, bytes32 indexed offer, address indexed actor);

    /// @notice The account may not sell this asset.
    /// @param account Who tried.
    /// @param asset The asset.
    error MeteredOffers_NotAllowed(address account, bytes32 asset);

    /// @notice The offer exists already.
    /// @param offer Its id.
    error MeteredOffers_Exists(bytes32 offer);

    /// @notice There is no such offer, it was closed, has expired, or the asset has been transferred since.
    /// @param offer Its id.
    error MeteredOffers_NotOpen(bytes32 offer);

    /// @notice The version was not published, or the terms name another one.
    /// @param version Id of the version that was brought.
    error MeteredOffers_WrongVersion(bytes32 version);

    /// @notice The terms name another revenue node than the version.
    /// @param node In the terms.
    error MeteredOffers_WrongNode(bytes32 node);

    /// @notice Payee, price, unit or the number of calls in flight is zero.
    error MeteredOffers_Incomplete();

    /// @notice The window is outside 24 hours to 30 days.
    /// @param window Seconds.
    error MeteredOffers_BadWindow(uint32 window);

    /// @notice The expiry leaves no time to be served before a whole window, or is more than 3,650 days away.
    /// @param expiry Unix seconds.
    error MeteredOffers_BadExpiry(uint40 expiry);

    /// @notice Where owners, versions and roles are recorded.
    /// @return registry The Assets of this deployment.
    function assets() external view returns (IAssets registry);

    /// @notice Shortest closing window: 24 hours.
    /// @return seconds_ The constant.
    function MIN_WINDOW() external view returns (uint32 seconds_);

    /// @notice Longest closing window: 30 days.
    /// @return seconds_ The constant.
    function MAX_WINDOW() external view returns (uint32 seconds_);

    /// @notice Longest life of an offer: 3,650 days.
    /// @return seconds_ The constant.
    function MAX_LIFE() external view returns (uint32 seconds_);

    /// @notice The id of a metered offer.
    /// @param asset The asset.
    /// @param terms The terms.
    /// @return offer keccak256(abi.encode(asset, termsHash)).
    /// @return termsHash keccak256(abi.encode(terms)).
    function offerOf(bytes32 asset, MeteredTerms calldata terms)
        external
        pure
        returns (bytes32 offer, bytes32 termsHash);

    /// @notice What is stored about a metered offer.
    /// @param offer Its id.
    /// @return currency In its terms.
    /// @return epoch How often the asset had been transferred; the offer is closed if the asset has another epoch now.
    /// @return expiry In its terms; zero if the offer does not exist.
    /// @return closed Whether it was closed.
    function offers(bytes32 offer)
        external
        view
        returns (address currency, uint32 epoch, uint40 expiry, bool closed);

    /// @notice Makes a metered offer. Only the asset's owner or a seller of the asset.
    /// @param version The commitments of the version that is to be served.
    /// @param terms The terms.
    /// @return offer Its id.
    function makeOffer(IAssets.Version calldata version, MeteredTerms calldata terms)
        external
        returns (bytes32 offer);

    /// @notice Closes a metered offer for ever. The asset's owner or a seller of the asset.
    /// @param asset The asset.
    /// @param termsHash Hash of the terms.
    function closeOffer(bytes32 asset, bytes32 termsHash) external;
}
