// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "../types/Point.sol";
import {Proof} from "../types/Proof.sol";
import {IAssets} from "./IAssets.sol";

/// @title Key requests
/// @notice How the holder of a valid licence gets the key of another version it covers, or the first key after a transfer: by the
/// same proof as a purchase, for a fee in wei that goes to whoever delivers.
/// @dev request = keccak256(abi.encode(chainid, this contract, request)); one key for one holder, licence and version is asked
/// and answered once, so a new request needs a fresh key. It lapses when the licence ends or changes hands.
interface IKeyRequests {
    /// @notice What is asked.
    struct KeyRequest {
        uint256 licence;
        bytes32 version;
        address holder;
        // Q = P + b*G, with a b never used before
        Point key;
    }

    /// @notice Where a request stands.
    enum RequestState {
        None,
        Open,
        Answered,
        Returned
    }

    /// @notice A key was asked for. A trail event of the licence's asset.
    /// @param asset The asset.
    /// @param request Its id.
    /// @param actor The holder.
    /// @param licence The licence.
    /// @param version The version.
    /// @param key Q.
    /// @param fee Wei for whoever delivers.
    /// @param due Unix seconds: last moment of delivery.
    event KeyRequested(
        bytes32 indexed asset,
        bytes32 indexed request,
        address indexed actor,
        uint256 licence,
        bytes32 version,
        Point key,
        uint128 fee,
        uint40 due
    );

    /// @notice The key was delivered and verified. A trail event of the asset.
    /// @param asset The asset.
    /// @param request Its id.
    /// @param actor Who delivered, and has the fee.
    /// @param delivered D.
    event KeyDelivered(
        bytes32 indexed asset, bytes32 indexed request, address indexed actor, Point delivered
    );

    /// @notice The fee went back to the holder. A trail event of the asset.
    /// @param asset The asset.
    /// @param request Its id.
    /// @param actor Who called.
    event KeyReturned(bytes32 indexed asset, bytes32 indexed request, address indexed actor);

    /// @notice The caller does not hold a valid licence of this id.
    /// @param licence Its id.
    /// @param account Who tried.
    error Keys_NotHolder(uint256 licence, address account);

    /// @notice The request is not in the state that this needs.
    /// @param request Its id.
    /// @param state Its state, `RequestState`.
    error Keys_WrongState(bytes32 request, uint8 state);

    /// @notice The time to deliver is outside 1 hour to 30 days.
    /// @param within Seconds.
    error Keys_BadTime(uint32 within);

    /// @notice The version given is not the one asked for.
    /// @param version Id of the one given.
    error Keys_WrongVersion(bytes32 version);

    /// @notice The licence does not cover the version.
    /// @param licence Its id.
    /// @param version The version.
    error Keys_NotCovered(uint256 licence, bytes32 version);

    /// @notice The request still stands: in time, its licence valid and in the same hands, its version not proved false.
    /// @param request Its id.
    error Keys_StillOpen(bytes32 request);

    /// @notice The fee is above 2^128-1 wei.
    error Keys_FeeTooHigh();

    /// @notice The id of a request.
    /// @param request What is asked.
    /// @return id Its hash.
    function requestOf(KeyRequest calldata request) external view returns (bytes32 id);

    /// @notice What is stored about a request.
    /// @param id Its id.
    /// @return fee Wei.
    /// @return due Unix seconds: last moment of delivery.
    /// @return state Where it stands.
    function requests(bytes32 id) external view returns (uint128 fee, uint40 due, RequestState state);

    /// @notice Asks for a key; the wei sent is the fee. Whether the licence covers the version is checked on delivery, and by the
    /// client before.
    /// @param licence The caller's valid licence.
    /// @param version Id of a version it covers.
    /// @param key Q, fresh.
    /// @param within Seconds in which it must be delivered.
    /// @return id Of the request.
    function requestKey(uint256 licence, bytes32 version, Point calldata key, uint32 within)
        external
        payable
        returns (bytes32 id);

    /// @notice Delivers a requested key. Anybody may relay and has the fee, in the treasury.
    /// @dev Reverts with the errors of Dleq if the proof is false.
    /// @param request What was asked.
    /// @param version The version, in full.
    /// @param origin The parts of the licence's id, as for `ILicences.covers`; zeros where the scope is not One.
    /// @param delivered D = kappa*Q.
    /// @param proof That log_G(V) = log_Q(D).
    function deliverKey(
        KeyRequest calldata request,
        IAssets.Version calldata version,
        bytes32[2] calldata origin,
        Point calldata delivered,
        Proof calldata proof
    ) external;

    /// @notice Gives the fee back: after the due time, or when the request has lapsed. Anybody may call.
    /// @param request What was asked.
    function returnFee(KeyRequest calldata request) external;
}
