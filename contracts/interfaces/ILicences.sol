// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Licences
/// @notice What a buyer owns after delivery: an ERC-721 token whose validity any contract can ask. The record of the licence is
/// the record of the escrow before it, under the same id.
/// @dev A token exists from delivery on. It cannot be transferred while its price is refundable, nor if its terms forbid it.
interface ILicences {
    /// @notice Where a purchase stands.
    /// @dev None -> Paid -> Delivered -> Settled, Paid -> Settled (no content window), Paid -> Refunded, Delivered -> Refunded
    /// (content proved false), Settled -> Revoked (free and revocable only). Refunded and Revoked are final, ids never return.
    enum State {
        None,
        Paid,
        Delivered,
        Settled,
        Refunded,
        Revoked
    }

    /// @notice Which versions of the asset a licence covers.
    /// @dev One: the version bought. UntilEnd: that one and every version published up to `until`. All: every version.
    enum Scope {
        One,
        UntilEnd,
        All
    }

    /// @notice A purchase, later a licence.
    struct Licence {
        // buyer, later the holder of the token
        address holder;
        // Unix seconds, inclusive: end of a rental, or of the versions included in a perpetual licence; 0 before delivery
        uint40 until;
        // Unix seconds, inclusive: last moment of delivery while Paid, of the content window from Delivered on
        uint40 due;
        State state;
        // bit 0 perpetual, bit 1 transferable, bit 2 revocable, bits 4 and 5 scope
        uint8 flags;
        bytes32 asset;
    }

    /// @notice A licence changed hands. A trail event of the asset.
    /// @param asset The asset.
    /// @param licence The licence.
    /// @param actor Who made the transfer: the holder or an approved account.
    /// @param from Holder until now.
    /// @param to Holder from now on.
    event LicenceTransferred(
        bytes32 indexed asset, bytes32 indexed licence, address indexed actor, address from, address to
    );

    /// @notice A free, revocable licence was revoked. A trail event of the asset.
    /// @param asset The asset.
    /// @param licence The licence.
    /// @param actor Who revoked it.
    /// @param from Its holder.
    event LicenceRevoked(bytes32 indexed asset, bytes32 indexed licence, address indexed actor, address from);

    /// @notice The licence cannot be transferred: its terms forbid it, or its price is still refundable.
    /// @param licence The licence.
    error Licences_NotTransferable(uint256 licence);

    /// @notice The licence's terms do not allow to revoke it.
    /// @param licence The licence.
    error Licences_NotRevocable(uint256 licence);

    /// @notice The account may not act for the asset.
    /// @param account Who tried.
    /// @param asset The asset.
    error Licences_NotAllowed(address account, bytes32 asset);

    /// @notice The whole record of a purchase or licence.
    /// @param licence Its id.
    /// @return record All zero if there is none.
    function licenceOf(uint256 licence) external view returns (Licence memory record);

    /// @notice Whether a licence was delivered, and has neither ended nor been refunded or revoked.
    /// @dev Says nothing about what it is a licence of: see `licenceOf(licence).asset`.
    /// @param licence Its id.
    /// @return valid True if so.
    function isValid(uint256 licence) external view returns (bool valid);

    /// @notice Whether a valid licence covers a version.
    /// @param licence Its id.
    /// @param asset The version's asset.
    /// @param version The version's id; the caller knows its asset from its preimage.
    /// @param publishedAt When the version was published, Unix seconds, not zero: `IAssets.release`.
    /// @param origin The parts of the licence's id: (offer, order), see IPurchases. Only read for scope One.
    /// @return covered True if so.
    function covers(
        uint256 licence,
        bytes32 asset,
        bytes32 version,
        uint40 publishedAt,
        bytes32[2] calldata origin
    ) external view returns (bool covered);

    /// @notice ERC-4907's question: who may use the thing now.
    /// @param licence Its id.
    /// @return user The holder of a valid licence, else zero.
    function userOf(uint256 licence) external view returns (address user);

    /// @notice ERC-4907's question: until when.
    /// @param licence Its id.
    /// @return expires Unix seconds, inclusive; the greatest number for a perpetual licence, zero if there is no valid licence.
    function userExpires(uint256 licence) external view returns (uint256 expires);

    /// @notice Ends a free licence whose terms allow it. Only the asset's owner or a seller of the asset.
    /// @param licence Its id.
    function revoke(uint256 licence) external;
}
