// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

import {Trail} from "../Trail.sol";
import {IAssets} from "../interfaces/IAssets.sol";
import {ILicences} from "../interfaces/ILicences.sol";
import {Ids} from "../libraries/Ids.sol";

/// @title Licences
/// @notice See ILicences. OpenZeppelin's ERC-721 over a record of our own: one word holds what the token and the escrow need.
abstract contract Licences is Trail, ERC721, ILicences {
    uint8 internal constant PERPETUAL = 1;
    uint8 internal constant TRANSFERABLE = 2;
    uint8 internal constant REVOCABLE = 4;
    uint8 internal constant SCOPE_SHIFT = 4;

    /// @notice Where owners, versions and roles of assets are recorded.
    IAssets public immutable assets;

    mapping(uint256 licence => Licence) internal _licences;
    mapping(address holder => uint256) private _held;

    constructor(IAssets assets_) ERC721("Steelyard Licences", "LICENCE") {
        assets = assets_;
    }

    /// @inheritdoc ILicences
    function licenceOf(uint256 licence) external view returns (Licence memory) {
        return _licences[licence];
    }

    /// @inheritdoc ILicences
    function isValid(uint256 licence) public view returns (bool) {
        Licence storage record = _licences[licence];
        return _exists(record.state) && (record.flags & PERPETUAL != 0 || block.timestamp <= record.until);
    }

    /// @inheritdoc ILicences
    function covers(
        uint256 licence,
        bytes32 asset,
        bytes32 version,
        uint40 publishedAt,
        bytes32[2] calldata origin
    ) public view returns (bool) {
        Licence storage record = _licences[licence];
        if (!isValid(licence) || record.asset != asset || publishedAt == 0) return false;
        Scope scope = Scope(record.flags >> SCOPE_SHIFT);
        if (scope == Scope.All) return true;
        if (scope == Scope.UntilEnd) return publishedAt <= record.until;
        return uint256(Ids.ofPurchase(version, origin[0], origin[1])) == licence;
    }

    /// @inheritdoc ILicences
    function userOf(uint256 licence) external view returns (address) {
        return isValid(licence) ? _licences[licence].holder : address(0);
    }

    /// @inheritdoc ILicences
    function userExpires(uint256 licence) external view returns (uint256) {
        if (!isValid(licence)) return 0;
        Licence storage record = _licences[licence];
        return record.flags & PERPETUAL != 0 ? type(uint256).max : record.until;
    }

    /// @notice ERC-721: how many licences an account holds.
    /// @param account Not zero.
    /// @return count Delivered licences, ended ones included.
    function balanceOf(address account) public view override returns (uint256) {
        if (account == address(0)) revert ERC721InvalidOwner(account);
        return _held[account];
    }

    /// @inheritdoc ILicences
    function revoke(uint256 licence) external {
        Licence storage record = _licences[licence];
        bytes32 asset = record.asset;

        // Check: free and revocable by its terms, delivered, and the asset's side asks.
        if (record.state != State.Settled || record.flags & REVOCABLE == 0) {
            revert Licences_NotRevocable(licence);
        }
        if (!assets.may(asset, msg.sender, IAssets.Role.Seller)) {
            revert Licences_NotAllowed(msg.sender, asset);
        }

        // Effect
        address from = record.holder;
        record.state = State.Revoked;
        _burnFrom(from, licence);
        _record(asset, LicenceRevoked.selector, bytes32(licence), abi.encode(from));
    }

    /// @dev The token of a delivered purchase appears: its record says who holds it.
    function _mintTo(address to, uint256 licence) internal {
        ++_held[to];
        emit Transfer(address(0), to, licence);
    }

    /// @dev The token disappears: its record must say so already.
    function _burnFrom(address from, uint256 licence) internal {
        _approve(address(0), licence, address(0), false);
        --_held[from];
        emit Transfer(from, address(0), licence);
    }

    function _ownerOf(uint256 licence) internal view override returns (address) {
        Licence storage record = _licences[licence];
        return _exists(record.state) ? record.holder : address(0);
    }

    /// @dev Transfers only: licences are minted and burned by the two functions above.
    function _update(address to, uint256 licence, address auth) internal override returns (address from) {
        Licence storage record = _licences[licence];
        from = _ownerOf(licence);

        // Check: the caller may, the price is not refundable any more, and the terms allow it.
        if (auth != address(0)) _checkAuthorized(from, auth, licence);
        if (record.state != State.Settled || record.flags & TRANSFERABLE == 0) {
            revert Licences_NotTransferable(licence);
        }

        // Effect
        _approve(address(0), licence, address(0), false);
        --_held[from];
        ++_held[to];
        record.holder = to;
        emit Transfer(from, to, licence);
        _record(record.asset, LicenceTransferred.selector, bytes32(licence), abi.encode(from, to));
    }

    function _exists(State state) private pure returns (bool) {
        return state == State.Delivered || state == State.Settled;
    }
}
