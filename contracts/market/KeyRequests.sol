// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../interfaces/IAssets.sol";
import {IKeyRequests} from "../interfaces/IKeyRequests.sol";
import {Dleq} from "../libraries/Dleq.sol";
import {Ids} from "../libraries/Ids.sol";
import {Point} from "../types/Point.sol";
import {Proof} from "../types/Proof.sol";
import {Purchases} from "./Purchases.sol";

/// @title Key requests
/// @notice See IKeyRequests.
abstract contract KeyRequests is Purchases, IKeyRequests {
    struct Request {
        uint128 fee;
        uint40 due;
        RequestState state;
    }

    bytes32 private constant KEY = keccak256("steelyard/key/v1");

    /// @inheritdoc IKeyRequests
    mapping(bytes32 id => Request) public override requests;

    /// @inheritdoc IKeyRequests
    function requestOf(KeyRequest memory request) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), request));
    }

    /// @inheritdoc IKeyRequests
    function requestKey(uint256 licence, bytes32 version, Point calldata key, uint32 within)
        external
        payable
        nonReentrant
        returns (bytes32 id)
    {
        // Id
        id = requestOf(KeyRequest({licence: licence, version: version, holder: msg.sender, key: key}));

        // Check: the holder of a valid licence, with a key that was never asked for, for a time that can be kept.
        if (requests[id].state != RequestState.None) revert Keys_WrongState(id, uint8(requests[id].state));
        if (!_holds(licence, msg.sender)) revert Keys_NotHolder(licence, msg.sender);
        _requireKey(key);
        if (!_isTime(within)) revert Keys_BadTime(within);
        if (msg.value > type(uint128).max) revert Keys_FeeTooHigh();

        // Effect: the fee stays here until it is decided whose it is.
        uint128 fee = uint128(msg.value);
        uint40 due = uint40(block.timestamp) + within;
        requests[id] = Request({fee: fee, due: due, state: RequestState.Open});
        _record(
            _licences[licence].asset, KeyRequested.selector, id, abi.encode(licence, version, key, fee, due)
        );
    }

    /// @inheritdoc IKeyRequests
    function deliverKey(
        KeyRequest calldata request,
        IAssets.Version calldata version,
        bytes32[2] calldata origin,
        Point calldata delivered,
        Proof calldata proof
    ) external nonReentrant {
        // Id
        bytes32 id = requestOf(request);
        bytes32 versionId = Ids.ofVersion(version);

        // Check: asked for, in time, by who still holds a valid licence that covers this version, not proved false.
        Request storage stored = _open(id);
        if (block.timestamp > stored.due) revert Purchases_TooLate(stored.due);
        if (versionId != request.version) revert Keys_WrongVersion(versionId);
        if (!_holds(request.licence, request.holder)) revert Keys_NotHolder(request.licence, request.holder);
        if (flagged[versionId]) revert Purchases_VersionFlagged(versionId);
        (uint40 publishedAt,) = assets.release(versionId);
        if (!covers(request.licence, version.asset, versionId, publishedAt, origin)) {
            revert Keys_NotCovered(request.licence, versionId);
        }
        // Check: the very key of this version for this holder.
        Dleq.verify(_context(KEY, id), version.key, request.key, delivered, proof);

        // Effect
        stored.state = RequestState.Answered;
        _record(version.asset, KeyDelivered.selector, id, abi.encode(delivered));

        // Interaction
        _pay(_word(msg.sender), NATIVE, stored.fee);
    }

    /// @inheritdoc IKeyRequests
    function returnFee(KeyRequest calldata request) external nonReentrant {
        // Id
        bytes32 id = requestOf(request);

        // Check: it can no longer be answered.
        Request storage stored = _open(id);
        if (
            block.timestamp <= stored.due && _holds(request.licence, request.holder)
                && !flagged[request.version]
        ) revert Keys_StillOpen(id);

        // Effect
        stored.state = RequestState.Returned;
        _record(_licences[request.licence].asset, KeyReturned.selector, id, "");

        // Interaction
        _pay(_word(request.holder), NATIVE, stored.fee);
    }

    function _open(bytes32 id) private view returns (Request storage stored) {
        stored = requests[id];
        if (stored.state != RequestState.Open) revert Keys_WrongState(id, uint8(stored.state));
    }

    function _holds(uint256 licence, address account) private view returns (bool) {
        return isValid(licence) && _licences[licence].holder == account;
    }
}
