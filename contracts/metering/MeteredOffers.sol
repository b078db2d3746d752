// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

import {Trail} from "../Trail.sol";
import {IAssets} from "../interfaces/IAssets.sol";
import {IMeteredOffers} from "../interfaces/IMeteredOffers.sol";
import {Ids} from "../libraries/Ids.sol";

/// @title Metered offers
/// @notice See IMeteredOffers.
abstract contract MeteredOffers is Trail, IMeteredOffers {
    struct MeteredOffer {
        address currency;
        uint32 epoch;
        uint40 expiry;
        bool closed;
    }

    uint32 public constant override MIN_WINDOW = 24 hours;
    uint32 public constant override MAX_WINDOW = 30 days;
    uint32 public constant override MAX_LIFE = 3650 days;

    uint256 private constant TERMS_SIZE = 11 * 32;

    /// @inheritdoc IMeteredOffers
    IAssets public immutable override assets;

    /// @inheritdoc IMeteredOffers
    mapping(bytes32 offer => MeteredOffer) public override offers;

    constructor(IAssets assets_) {
        assets = assets_;
    }

    /// @inheritdoc IMeteredOffers
    function offerOf(bytes32 asset, MeteredTerms calldata terms)
        external
        pure
        returns (bytes32 offer, bytes32 termsHash)
    {
        termsHash = _hashOf(terms);
        offer = _offerOf(asset, termsHash);
    }

    /// @inheritdoc IMeteredOffers
    function makeOffer(IAssets.Version calldata version, MeteredTerms calldata terms)
        external
        returns (bytes32 offer)
    {
        // Id
        bytes32 asset = version.asset;
        offer = _offerOf(asset, terms);

        // Check: new, by the asset's side, about a published version and its own node, and terms that can be kept.
        if (offers[offer].expiry != 0) revert MeteredOffers_Exists(offer);
        _requireSeller(asset);
        bytes32 id = Ids.ofVersion(version);
        (uint32 epoch, uint40 publishedAt) = assets.saleState(asset, id);
        if (publishedAt == 0 || terms.version != id) revert MeteredOffers_WrongVersion(id);
        if (terms.node != version.node) revert MeteredOffers_WrongNode(terms.node);
        _requireSound(terms);

        // Effect
        offers[offer] =
            MeteredOffer({currency: terms.currency, epoch: epoch, expiry: terms.expiry, closed: false});
        _record(asset, MeteredOffered.selector, offer, abi.encode(terms));
    }

    /// @inheritdoc IMeteredOffers
    function closeOffer(bytes32 asset, bytes32 termsHash) external {
        // Id
        bytes32 offer = _offerOf(asset, termsHash);

        // Check: open until now, and closed by the asset's side.
        MeteredOffer storage stored = offers[offer];
        if (stored.expiry == 0 || stored.closed) revert MeteredOffers_NotOpen(offer);
        _requireSeller(asset);

        // Effect
        stored.closed = true;
        _record(asset, MeteredOfferClosed.selector, offer, "");
    }

    /// @dev The currency of an offer under which a channel may be opened now.
    function _requireOpen(bytes32 asset, bytes32 offer) internal view returns (address currency) {
        MeteredOffer memory stored = offers[offer];
        // An offer that does not exist has expired in 1970.
        if (stored.closed || block.timestamp >= stored.expiry) revert MeteredOffers_NotOpen(offer);
        (,,, uint32 epoch,) = assets.assetInfo(asset);
        if (stored.epoch != epoch) revert MeteredOffers_NotOpen(offer);
        return stored.currency;
    }

    function _offerOf(bytes32 asset, bytes32 termsHash) internal pure returns (bytes32) {
        return Hashes.efficientKeccak256(asset, termsHash);
    }

    function _offerOf(bytes32 asset, MeteredTerms calldata terms) internal pure returns (bytes32) {
        return _offerOf(asset, _hashOf(terms));
    }

    /// @dev keccak256(abi.encode(terms)), of the calldata as it lies there: see Ids.
    function _hashOf(MeteredTerms calldata terms) private pure returns (bytes32 termsHash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, terms, TERMS_SIZE)
            termsHash := keccak256(free, TERMS_SIZE)
        }
    }

    function _requireSeller(bytes32 asset) private view {
        if (!assets.may(asset, msg.sender, IAssets.Role.Seller)) {
            revert MeteredOffers_NotAllowed(msg.sender, asset);
        }
    }

    function _requireSound(MeteredTerms calldata terms) private view {
        if (terms.payee == address(0) || terms.price == 0 || terms.unit == 0 || terms.inFlight == 0) {
            revert MeteredOffers_Incomplete();
        }
        if (terms.window < MIN_WINDOW || terms.window > MAX_WINDOW) {
            revert MeteredOffers_BadWindow(terms.window);
        }
        if (terms.expiry <= block.timestamp + terms.window || terms.expiry > block.timestamp + MAX_LIFE) {
            revert MeteredOffers_BadExpiry(terms.expiry);
        }
    }
}
