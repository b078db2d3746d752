// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

import {Trail} from "./Trail.sol";
import {IAssets} from "./interfaces/IAssets.sol";
import {Content} from "./libraries/Content.sol";
import {Ids} from "./libraries/Ids.sol";
import {Secp256k1} from "./libraries/Secp256k1.sol";

/// @title Assets
/// @notice See IAssets.
contract Assets is Trail, IAssets, ERC721, IERC2981 {
    struct Record {
        // slot 0
        address creator;
        Kind kind;
        uint16 royalty;
        uint32 epoch;
        uint32 versions;
        // slot 1: folder of the newest version, for `tokenURI`
        bytes32 folder;
    }

    struct Release {
        uint40 publishedAt;
        uint32 number;
        Stage stage;
    }

    uint16 public constant override MAX_ROYALTY = 1000;
    uint64 public constant override MAX_SIZE = Content.MAX_SIZE;
    uint16 public constant override MAX_REASON = 256;

    uint16 private constant SCHEME = 1;

    /// @dev Set in every revenue node, and so in no asset: nobody can pay to an asset and write into its history.
    bytes32 private constant NODE_BIT = bytes32(uint256(1) << 255);

    bytes32 private constant KEY_PROOF = keccak256("steelyard/key-proof/v1");
    bytes4 private constant ERC4906 = 0x49064906;

    /// @inheritdoc IAssets
    mapping(uint256 x => bool) public override keyUsed;

    mapping(bytes32 version => Release) private _releases;

    mapping(bytes32 asset => Record) private _records;

    // A transfer raises the epoch, so it clears every role at once.
    mapping(bytes32 asset => mapping(uint32 epoch => mapping(address account => uint256 bits))) private
        _roles;

    constructor() ERC721("Steelyard Assets", "ASSET") {}

    /// @inheritdoc IAssets
    function assetOf(address creator, bytes32 name) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), creator, name)) & ~NODE_BIT;
    }

    /// @inheritdoc IAssets
    function versionOf(Version calldata version) public pure returns (bytes32) {
        return Ids.ofVersion(version);
    }

    /// @inheritdoc IAssets
    function saleState(bytes32 asset, bytes32 version)
        external
        view
        returns (uint32 epoch, uint40 publishedAt)
    {
        epoch = _records[asset].epoch;
        Release storage sold = _releases[version];
        Stage stage;
        (stage, publishedAt) = (sold.stage, sold.publishedAt);
        if (stage != Stage.Released && stage != Stage.Deprecated) publishedAt = 0;
    }

    /// @inheritdoc IAssets
    function release(bytes32 version) external view returns (uint40 publishedAt, uint32 number) {
        return (_releases[version].publishedAt, _releases[version].number);
    }

    /// @inheritdoc IAssets
    function stageOf(bytes32 version) external view returns (Stage) {
        return _releases[version].stage;
    }

    /// @inheritdoc IAssets
    function assetInfo(bytes32 asset)
        external
        view
        returns (address creator, Kind kind, uint16 royalty, uint32 epoch, uint32 versions)
    {
        Record storage record = _existing(asset);
        return (record.creator, record.kind, record.royalty, record.epoch, record.versions);
    }

    /// @inheritdoc IAssets
    function may(bytes32 asset, address account, Role role) public view returns (bool) {
        return account == _requireOwned(uint256(asset))
            || _roles[asset][_records[asset].epoch][account] & (1 << uint256(role)) != 0;
    }

    /// @notice ERC-721 metadata: the manifest in the public folder of the newest version.
    /// @param token The asset's id.
    /// @return uri ipfs://<base16 CIDv1, dag-pb, sha2-256>/manifest.json
    function tokenURI(uint256 token) public view override returns (string memory uri) {
        bytes32 folder = _existing(bytes32(token)).folder;
        // f = base16, 01 = CIDv1, 70 = dag-pb, 12 20 = SHA-256 of 32 bytes
        bytes memory digest = bytes(Strings.toHexString(uint256(folder), 32));
        bytes memory hexadecimal = new bytes(64);
        for (uint256 i; i < 64; ++i) {
            hexadecimal[i] = digest[i + 2];
        }
        return string.concat("ipfs://f01701220", string(hexadecimal), "/manifest.json");
    }

    /// @notice ERC-2981: what a resale of the asset owes its creator.
    /// @param token The asset's id.
    /// @param price Of the resale, any currency.
    /// @return receiver The creator.
    /// @return amount Rounded down.
    function royaltyInfo(uint256 token, uint256 price)
        external
        view
        returns (address receiver, uint256 amount)
    {
        Record storage record = _existing(bytes32(token));
        return (record.creator, price * record.royalty / 10_000);
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 id) public view override(ERC721, IERC165) returns (bool) {
        return id == ERC4906 || id == type(IERC2981).interfaceId || super.supportsInterface(id);
    }

    /// @inheritdoc IAssets
    function register(
        bytes32 name,
        Kind kind,
        uint16 royalty,
        Version calldata first,
        KeyProof calldata proof
    ) external returns (bytes32 asset) {
        // Id
        asset = assetOf(msg.sender, name);

        // Check: a name, free in the caller's own space, and a first version of this very asset.
        if (name == 0) revert Assets_NoName();
        if (_records[asset].creator != address(0)) revert Assets_NameTaken(asset);
        if (royalty > MAX_ROYALTY) revert Assets_RoyaltyTooHigh(royalty);
        if (first.asset != asset) revert Assets_WrongAsset(first.asset, asset);

        // Effect
        Record storage record = _records[asset];
        record.creator = msg.sender;
        record.kind = kind;
        record.royalty = royalty;
        _record(asset, AssetRegistered.selector, name, abi.encode(kind, royalty));
        // No receiver callback: the caller asked for the token.
        _mint(msg.sender, uint256(asset));
        _publish(record, first, proof);
    }

    /// @inheritdoc IAssets
    function publish(Version calldata version, KeyProof calldata proof) external returns (bytes32 id) {
        // Check: the right to publish; reverts if there is no such asset.
        _requireRole(version.asset, Role.Maintainer);

        // Effect
        id = _publish(_records[version.asset], version, proof);
        emit MetadataUpdate(uint256(version.asset));
    }

    /// @inheritdoc IAssets
    function moveStage(Version calldata version, Stage to, string calldata reason) external {
        // Id
        bytes32 id = versionOf(version);

        // Check: the right to publish, a published version that is not retired, another stage, and why.
        _requireRole(version.asset, Role.Maintainer);
        Stage from = _releases[id].stage;
        if (from == Stage.None || from == Stage.Retired || to == Stage.None || to == from) {
            revert Assets_WrongStage(id, from, to);
        }
        uint256 length = bytes(reason).length;
        if (length == 0 || length > MAX_REASON) revert Assets_BadReason(length);

        // Effect
        _releases[id].stage = to;
        _record(version.asset, StageMoved.selector, id, abi.encode(from, to, reason));
    }

    /// @inheritdoc IAssets
    function setRole(bytes32 asset, address account, Role role, bool granted) external {
        // Check: the owner himself; a role cannot be lent on.
        if (msg.sender != _requireOwned(uint256(asset))) revert Assets_NotAllowed(msg.sender, asset);

        // Effect
        uint256 bit = 1 << uint256(role);
        uint32 epoch = _records[asset].epoch;
        uint256 bits = _roles[asset][epoch][account];
        _roles[asset][epoch][account] = granted ? bits | bit : bits & ~bit;
        _record(asset, RoleSet.selector, bytes32(uint256(uint160(account))), abi.encode(role, granted));
    }

    function _publish(Record storage record, Version calldata version, KeyProof calldata proof)
        private
        returns (bytes32 id)
    {
        // Id
        id = versionOf(version);

        // Check: something is sealed, by a scheme this deployment can verify, and its income has a node.
        if (version.size == 0 || version.size > MAX_SIZE) revert Assets_BadSize(version.size);
        if (version.scheme != SCHEME) revert Assets_UnknownScheme(version.scheme);
        if (version.node & NODE_BIT == 0) revert Assets_NotANode(version.node);

        // Check: a fresh key that the publisher knows. The signature names him, so a copied key is of no use to another.
        uint256 x = version.key.x;
        if (x >= Secp256k1.ORDER || !Secp256k1.isOnCurve(x, version.key.y)) revert Assets_BadKey();
        if (keyUsed[x]) revert Assets_KeyUsed(x);
        bytes32 digest = keccak256(abi.encode(KEY_PROOF, block.chainid, address(this), id, msg.sender));
        if (ecrecover(digest, proof.v, proof.r, proof.s) != Secp256k1.toAddress(x, version.key.y)) {
            revert Assets_KeyNotOwned();
        }

        // Effect: the key is fresh, so the version is.
        uint32 number = record.versions + 1;
        keyUsed[x] = true;
        record.versions = number;
        record.folder = version.folder;
        _releases[id] = Release({publishedAt: uint40(block.timestamp), number: number, stage: Stage.Released});
        _record(version.asset, VersionPublished.selector, id, abi.encode(number, version));
    }

    /// @dev Every transfer but the mint starts a new epoch, even one to the same owner.
    function _update(address to, uint256 token, address auth) internal override returns (address from) {
        from = super._update(to, token, auth);
        if (from != address(0)) {
            bytes32 asset = bytes32(token);
            uint32 epoch = ++_records[asset].epoch;
            _record(asset, AssetTransferred.selector, bytes32(uint256(uint160(to))), abi.encode(from, epoch));
        }
    }

    function _requireRole(bytes32 asset, Role role) private view {
        if (!may(asset, msg.sender, role)) revert Assets_NotAllowed(msg.sender, asset);
    }

    function _existing(bytes32 asset) private view returns (Record storage record) {
        record = _records[asset];
        if (record.creator == address(0)) revert Assets_NoAsset(asset);
    }
}
