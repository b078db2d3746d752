// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "../types/Point.sol";

/// @title Assets
/// @notice Who owns which model or dataset, and what each of its versions is committed to. An asset is an ERC-721 token.
/// @dev Ids are hashes known before inclusion, and never reused:
///   asset   = keccak256(abi.encode(chainid, this contract, creator, name)) with the top bit cleared
///   version = keccak256(abi.encode(version)), which holds the asset's id and every commitment.
/// The name is the salt of the asset's id: up to 32 ASCII bytes, folded to lower case by clients, left-aligned. It is unique
/// among its creator's assets for ever, and nobody else can take it.
/// Privileges: an asset's owner may do everything here; who holds a role may do what the role says until the owner revokes it
/// or the asset is transferred. There is no administrator.
interface IAssets {
    /// @notice What an asset is.
    enum Kind {
        Model,
        Dataset
    }

    /// @notice Rights an owner can lend, each one bit. An owner holds them all.
    /// @dev Maintainer: publishes versions and moves their stages. Seller: makes and closes offers.
    enum Role {
        Maintainer,
        Seller
    }

    /// @notice Where a version is in its life, docs/stages.md. Published it is Released; Released and Deprecated are on sale; Retired is
    /// final.
    /// @dev None: not published.
    enum Stage {
        None,
        Draft,
        Validated,
        Released,
        Deprecated,
        Retired
    }

    /// @notice An immutable release. Its id is the hash of this.
    struct Version {
        // asset that it belongs to
        bytes32 asset;
        // SHA-256 digest in the CIDv1 (dag-pb) of the public folder: manifest, card, ciphertext, tags, leaves
        bytes32 folder;
        // root of the leaves of the sealed content, docs/encryption-format.md
        bytes32 contentRoot;
        // bytes of plaintext, 1 to 2^52
        uint64 size;
        // how the key is delivered: 1 is secp256k1 with one key service, docs/key-delivery.md
        uint16 scheme;
        // key commitment V
        Point key;
        // revenue node that earns what the version sells for
        bytes32 node;
    }

    /// @notice Signature by the key scalar behind `Version.key`, docs/key-delivery.md.
    struct KeyProof {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice An asset exists from now on. A trail event.
    /// @param asset Its id.
    /// @param name Its name, the salt of the id, as a word.
    /// @param actor Creator and first owner.
    /// @param kind Model or dataset.
    /// @param royalty Basis points of a resale of the asset that ERC-2981 asks for the creator.
    event AssetRegistered(
        bytes32 indexed asset, bytes32 indexed name, address indexed actor, Kind kind, uint16 royalty
    );

    /// @notice A version was published. A trail event.
    /// @param asset The asset.
    /// @param version Its id.
    /// @param actor Who published it.
    /// @param number Position among the asset's versions, from 1.
    /// @param commitments All that the id is the hash of.
    event VersionPublished(
        bytes32 indexed asset,
        bytes32 indexed version,
        address indexed actor,
        uint32 number,
        Version commitments
    );

    /// @notice The asset has a new owner; all roles and open offers ended. A trail event.
    /// @param asset The asset.
    /// @param to New owner as a word.
    /// @param actor Who made the transfer: the owner or an approved account.
    /// @param from Owner until now.
    /// @param epoch How often the asset has been transferred, this time included.
    event AssetTransferred(
        bytes32 indexed asset, bytes32 indexed to, address indexed actor, address from, uint32 epoch
    );

    /// @notice A role was lent or taken back. A trail event.
    /// @param asset The asset.
    /// @param account Who holds the roles, as a word.
    /// @param actor The owner.
    /// @param role Which role.
    /// @param granted True if lent, false if taken back.
    event RoleSet(
        bytes32 indexed asset, bytes32 indexed account, address indexed actor, Role role, bool granted
    );

    /// @notice A version is in another stage of its life. A trail event.
    /// @param asset The asset.
    /// @param version The version.
    /// @param actor The owner or a maintainer.
    /// @param from Stage until now.
    /// @param to Stage from now on.
    /// @param reason Why, in words: UTF-8 by convention, not checked, 1 to `MAX_REASON` bytes.
    event StageMoved(
        bytes32 indexed asset,
        bytes32 indexed version,
        address indexed actor,
        Stage from,
        Stage to,
        string reason
    );

    /// @notice ERC-4906: the token's metadata changed, for a new version was published.
    /// @param _tokenId The asset.
    event MetadataUpdate(uint256 _tokenId);

    /// @notice ERC-4906, declared for its interface id; never emitted here.
    /// @param _fromTokenId First token.
    /// @param _toTokenId Last token.
    event BatchMetadataUpdate(uint256 _fromTokenId, uint256 _toTokenId);

    /// @notice This account has registered this name before.
    /// @param asset The asset that bears it.
    error Assets_NameTaken(bytes32 asset);

    /// @notice An asset needs a name.
    error Assets_NoName();

    /// @notice The royalty is above `MAX_ROYALTY`.
    /// @param royalty Basis points.
    error Assets_RoyaltyTooHigh(uint16 royalty);

    /// @notice There is no such asset.
    /// @param asset Its id.
    error Assets_NoAsset(bytes32 asset);

    /// @notice The account may not do this with this asset.
    /// @param account Who tried.
    /// @param asset The asset.
    error Assets_NotAllowed(address account, bytes32 asset);

    /// @notice The version names another asset than the one being registered.
    /// @param given In the version.
    /// @param expected The asset's id.
    error Assets_WrongAsset(bytes32 given, bytes32 expected);

    /// @notice The sealed content is empty, or too large for the format and so for a dispute.
    /// @param size Bytes.
    error Assets_BadSize(uint64 size);

    /// @notice The delivery scheme is unknown to this deployment.
    /// @param scheme What was given.
    error Assets_UnknownScheme(uint16 scheme);

    /// @notice The word is no revenue node.
    /// @param node What was given.
    error Assets_NotANode(bytes32 node);

    /// @notice The key commitment is not a point of the curve, or its abscissa is not below the group order.
    error Assets_BadKey();

    /// @notice The key commitment was used before; V and -V are one key.
    /// @param x Abscissa of the commitment.
    error Assets_KeyUsed(uint256 x);

    /// @notice The signature does not show that this account's publisher knows the key.
    error Assets_KeyNotOwned();

    /// @notice There is no such way: the version is not published (None), or retired, or in that stage already, or `to` is None.
    /// @param version Its id.
    /// @param from The stage that it is in.
    /// @param to The stage that was asked for.
    error Assets_WrongStage(bytes32 version, Stage from, Stage to);

    /// @notice A move needs a reason, of at most `MAX_REASON` bytes.
    /// @param length Bytes given.
    error Assets_BadReason(uint256 length);

    /// @notice Highest royalty: 1,000 basis points.
    /// @return most The constant.
    function MAX_ROYALTY() external view returns (uint16 most);

    /// @notice Largest content: 2^52 bytes, what 2^32 chunks of 1 MiB hold.
    /// @return most The constant.
    function MAX_SIZE() external view returns (uint64 most);

    /// @notice Longest reason of a stage: 256 bytes.
    /// @return most The constant.
    function MAX_REASON() external view returns (uint16 most);

    /// @notice The id an asset has or would have.
    /// @param creator Who registers it.
    /// @param name Its name as a word.
    /// @return asset Its id.
    function assetOf(address creator, bytes32 name) external view returns (bytes32 asset);

    /// @notice The id of a version.
    /// @param version Its commitments.
    /// @return id Their hash.
    function versionOf(Version calldata version) external pure returns (bytes32 id);

    /// @notice When a version was published, and which of its asset's it is. Both are zero if it was not.
    /// @param version Its id.
    /// @return publishedAt Unix seconds.
    /// @return number From 1.
    function release(bytes32 version) external view returns (uint40 publishedAt, uint32 number);

    /// @notice The stage that a version is in.
    /// @param version Its id.
    /// @return stage None if it was not published.
    function stageOf(bytes32 version) external view returns (Stage stage);

    /// @notice What a market asks before a sale.
    /// @param asset An asset's id.
    /// @param version A version's id; that it belongs to the asset, the caller knows from its preimage.
    /// @return epoch How often the asset has been transferred.
    /// @return publishedAt When the version was published, Unix seconds; zero if it was not, or is in a stage that is not sold.
    function saleState(bytes32 asset, bytes32 version)
        external
        view
        returns (uint32 epoch, uint40 publishedAt);

    /// @notice Creator, kind, royalty and counters of an asset.
    /// @param asset Its id; reverts if it does not exist.
    /// @return creator Who registered it.
    /// @return kind Model or dataset.
    /// @return royalty Basis points, for ERC-2981.
    /// @return epoch How often it has been transferred.
    /// @return versions How many versions it has.
    function assetInfo(bytes32 asset)
        external
        view
        returns (address creator, Kind kind, uint16 royalty, uint32 epoch, uint32 versions);

    /// @notice Whether an account may act in a role: its owner may, and who was lent the role since the last transfer.
    /// @param asset The asset.
    /// @param account The account.
    /// @param role The role.
    /// @return allowed True if so.
    function may(bytes32 asset, address account, Role role) external view returns (bool allowed);

    /// @notice Whether an abscissa has been used in a key commitment.
    /// @param x The abscissa.
    /// @return used True if so.
    function keyUsed(uint256 x) external view returns (bool used);

    /// @notice Registers an asset with its first version. The caller is creator and owner.
    /// @param name Its name as a word, not zero.
    /// @param kind Model or dataset.
    /// @param royalty Basis points of a resale of the asset that ERC-2981 asks for the creator.
    /// @param first The first version; its `asset` is `assetOf(caller, name)`.
    /// @param proof That the caller knows the key of that version.
    /// @return asset Its id.
    function register(
        bytes32 name,
        Kind kind,
        uint16 royalty,
        Version calldata first,
        KeyProof calldata proof
    ) external returns (bytes32 asset);

    /// @notice Publishes a version. Only the owner or a maintainer.
    /// @param version Its commitments.
    /// @param proof That the caller knows its key.
    /// @return id Its id.
    function publish(Version calldata version, KeyProof calldata proof) external returns (bytes32 id);

    /// @notice Moves a version to another stage. Only the owner or a maintainer. It stops or allows new sales; nothing that was sold
    /// changes.
    /// @param version Its commitments.
    /// @param to Any stage but the present one; none follows Retired.
    /// @param reason Why, for everybody to read: 1 to `MAX_REASON` bytes.
    function moveStage(Version calldata version, Stage to, string calldata reason) external;

    /// @notice Lends or takes back a role. Only the owner. Offers that a seller made before stay open until somebody closes them.
    /// @param asset The asset.
    /// @param account Who is to hold it.
    /// @param role Which role.
    /// @param granted True to lend, false to take back.
    function setRole(bytes32 asset, address account, Role role, bool granted) external;
}
