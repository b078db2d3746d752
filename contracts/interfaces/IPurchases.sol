// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Permit} from "../types/Permit.sol";
import {Point} from "../types/Point.sol";
import {Proof} from "../types/Proof.sol";
import {IAssets} from "./IAssets.sol";
import {IFraudChecker} from "./IFraudChecker.sol";
import {IOffers} from "./IOffers.sol";

/// @title Purchases
/// @notice Escrow: money leaves it only when this contract has verified that this buyer can now derive the content key of this
/// version, and that nobody proved the content false in time. Otherwise it is the payer's again.
/// @dev A purchase is named by the hash of its whole order, so nothing but the state is stored and callers bring the order along:
///   order    = keccak256(abi.encode(chainid, this contract, buyer, salt, key.x, key.y))
///   purchase = licence = keccak256(abi.encode(version, offer, order))
/// Who calls matters in `buy` alone: everything else is decided by state, time and proof.
interface IPurchases {
    /// @notice Everything a buyer agrees to.
    struct Order {
        IAssets.Version version;
        IOffers.Terms terms;
        // who pays and will hold the licence
        address buyer;
        // fresh for each purchase of this buyer
        bytes32 salt;
        // Q = P + b*G
        Point key;
    }

    /// @notice A purchase was paid. A trail event of the asset.
    /// @param asset The asset.
    /// @param purchase Its id.
    /// @param actor The buyer.
    /// @param version The version bought.
    /// @param offer The offer.
    /// @param salt Of the order.
    /// @param key Q.
    /// @param price Paid, smallest units of the offer's currency.
    /// @param due Unix seconds: last moment of delivery.
    event Purchased(
        bytes32 indexed asset,
        bytes32 indexed purchase,
        address indexed actor,
        bytes32 version,
        bytes32 offer,
        bytes32 salt,
        Point key,
        uint128 price,
        uint40 due
    );

    /// @notice The key was delivered and verified; the licence runs. A trail event of the asset.
    /// @dev The purchase is settled by this very call if `settlesAt` is the block's own time.
    /// @param asset The asset.
    /// @param purchase Its id.
    /// @param actor Who sent it.
    /// @param delivered D.
    /// @param until Unix seconds: the licence's `until`.
    /// @param settlesAt Unix seconds: last moment of the content window.
    event Delivered(
        bytes32 indexed asset,
        bytes32 indexed purchase,
        address indexed actor,
        Point delivered,
        uint40 until,
        uint40 settlesAt
    );

    /// @notice The proof of a delivery that opened a content window: a dispute needs it, however the delivery was sent.
    /// @param purchase The purchase.
    /// @param proof As it was verified.
    event DeliveryProof(bytes32 indexed purchase, Proof proof);

    /// @notice The content window passed; the price became revenue of the version. A trail event of the asset.
    /// @param asset The asset.
    /// @param purchase Its id.
    /// @param actor Who called.
    event Settled(bytes32 indexed asset, bytes32 indexed purchase, address indexed actor);

    /// @notice Price and bond went to the payer. A trail event of the asset.
    /// @param asset The asset.
    /// @param purchase Its id.
    /// @param actor Who called.
    /// @param payer Who got the money.
    /// @param price Smallest units of the offer's currency.
    /// @param bond Wei.
    event Refunded(
        bytes32 indexed asset,
        bytes32 indexed purchase,
        address indexed actor,
        address payer,
        uint128 price,
        uint128 bond
    );

    /// @notice A rental was prolonged, and the payment earned. A trail event of the asset.
    /// @param asset The asset.
    /// @param licence Its id.
    /// @param actor Who paid.
    /// @param price Smallest units of the offer's currency.
    /// @param until Unix seconds: its new end.
    event Renewed(
        bytes32 indexed asset, bytes32 indexed licence, address indexed actor, uint128 price, uint40 until
    );

    /// @notice A version was proved false. Nothing of it is sold or delivered any more. A trail event of the asset.
    /// @param asset The asset.
    /// @param version The version.
    /// @param actor Who brought the proof.
    /// @param purchase The purchase that opened it.
    /// @param index Leaf that decrypts to something else.
    event VersionFlagged(
        bytes32 indexed asset, bytes32 indexed version, address indexed actor, bytes32 purchase, uint64 index
    );

    /// @notice The order names another buyer than the caller.
    /// @param caller Who called.
    /// @param buyer In the order.
    error Purchases_NotBuyer(address caller, address buyer);

    /// @notice The account is not on the offer's allow-list.
    /// @param account The buyer.
    error Purchases_NotAllowed(address account);

    /// @notice The purchase is not in the state that this needs.
    /// @param purchase Its id.
    /// @param state Its state, `ILicences.State`.
    error Purchases_WrongState(bytes32 purchase, uint8 state);

    /// @notice There is no such version.
    /// @param version Its id.
    error Purchases_NoVersion(bytes32 version);

    /// @notice The version was proved false.
    /// @param version Its id.
    error Purchases_VersionFlagged(bytes32 version);

    /// @notice The key is not a point of the curve, its abscissa is not below the group order, or it is P or -P itself.
    error Purchases_BadKey();

    /// @notice The time for this has passed.
    /// @param due Unix seconds: last moment.
    error Purchases_TooLate(uint40 due);

    /// @notice The time for this has not come.
    /// @param due Unix seconds: possible after.
    error Purchases_TooEarly(uint40 due);

    /// @notice The licence cannot be renewed: not a rental, ended, or beyond the last renewal its terms allow.
    /// @param licence Its id.
    error Purchases_NotRenewable(bytes32 licence);

    /// @notice The ids of an order.
    /// @param order The order.
    /// @return version Id of its version.
    /// @return offer Id of its offer.
    /// @return purchase Its own id, later that of the licence.
    function idsOf(Order calldata order)
        external
        view
        returns (bytes32 version, bytes32 offer, bytes32 purchase);

    /// @notice Whether a version was proved false.
    /// @param version Its id.
    /// @return false_ True if so, for ever.
    function flagged(bytes32 version) external view returns (bool false_);

    /// @notice Pays for an order into escrow. The terms are in the order, so no other price can be charged.
    /// @param order The order; the caller is its buyer. Native coin: the price is sent along. ERC-20: this contract has an
    /// allowance.
    /// @param allowProof Merkle proof that the buyer is on the offer's allow-list; empty if there is none.
    /// @return licence Id of the purchase, later of the licence.
    function buy(Order calldata order, bytes32[] calldata allowProof)
        external
        payable
        returns (uint256 licence);

    /// @notice `buy` in an ERC-20 with the allowance by signature. A permit that was used already, by whoever, is no obstacle.
    /// @param order The order.
    /// @param allowProof As in `buy`.
    /// @param permit The buyer's permit.
    /// @return licence As in `buy`.
    function buyWithPermit(Order calldata order, bytes32[] calldata allowProof, Permit calldata permit)
        external
        payable
        returns (uint256 licence);

    /// @notice Delivers the key of a paid purchase, up to and including its due time. Anybody may relay.
    /// @dev Reverts with the errors of Dleq if the proof is false.
    /// @param order The order.
    /// @param delivered D = kappa*Q.
    /// @param proof That log_G(V) = log_Q(D).
    function deliver(Order calldata order, Point calldata delivered, Proof calldata proof) external;

    /// @notice Turns the price into revenue of the version once the content window has passed. Anybody may call.
    /// @param order The order.
    function settle(Order calldata order) external;

    /// @notice Gives price and bond to the payer: of a purchase not delivered in time, or not settled when its version was proved
    /// false. Anybody may call.
    /// @param order The order.
    function refund(Order calldata order) external;

    /// @notice Prolongs a settled, valid rental by its period and pays its price as revenue at once. Anybody may pay.
    /// @param order The order that the licence came from.
    function renew(Order calldata order) external payable;

    /// @notice Proves that delivered content is not what was committed, in the content window: flags the version, and refunds this
    /// purchase if it was paid in the native coin. An ERC-20 could hold up the flag by refusing to move: there `refund` follows.
    /// Anybody may call; only the buyer knows how.
    /// @dev Checked in this order: state and window; leaf index, length and path; points; both proofs; then the leaf is decrypted.
    /// @param order The order.
    /// @param fraud The proof.
    function dispute(Order calldata order, IFraudChecker.Fraud calldata fraud) external;
}
