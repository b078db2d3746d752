// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Channels} from "../../../../contracts/Channels.sol";
import {IAssets} from "../../../../contracts/interfaces/IAssets.sol";
import {IChannels} from "../../../../contracts/interfaces/IChannels.sol";
import {IMeteredOffers} from "../../../../contracts/interfaces/IMeteredOffers.sol";
import {ITreasury} from "../../../../contracts/interfaces/ITreasury.sol";
import {World} from "../../market/support/World.sol";

/// @title Meter
/// @notice A seller with a hosted version, payers with channels, and all that both sign: made here from docs/metering.md, not by the
/// contract under test.
abstract contract Meter is World {
    uint128 internal constant PRICE = 1e14;
    uint40 internal constant START = 1_800_000_000;

    Channels public channels;

    address internal seller;
    address internal payee;
    address internal payer;
    address internal stranger;
    address internal signer;
    uint256 internal signerKey;
    bytes32 internal asset;
    bytes32 internal node;
    Model internal model;

    function _start() internal {
        _deploy();
        channels = new Channels(assets, treasury);
        vm.label(address(channels), "channels");
        vm.warp(START);
        seller = makeAddr("seller");
        payee = makeAddr("payee");
        payer = makeAddr("payer");
        stranger = makeAddr("stranger");
        (signer, signerKey) = makeAccount("signer");
        ITreasury.Position[] memory positions = new ITreasury.Position[](1);
        positions[0] = ITreasury.Position(_word(seller), 10_000);
        node = _nodeOf("node", positions);
        asset = _assetOf(seller, "model");
        model = _register(seller, "model", 1, node);
    }

    function _register(address creator, bytes32 name, uint256 seed, bytes32 node_)
        internal
        returns (Model memory m)
    {
        m = _model(_assetOf(creator, name), _scalar(seed), node_, true);
        IAssets.KeyProof memory proof = _keyProof(m, creator);
        vm.prank(creator);
        assets.register(name, IAssets.Kind.Model, 0, m.version, proof);
    }

    // --- terms and names --------------------------------------------------------------------------------

    function _metered(address currency) internal view returns (IMeteredOffers.MeteredTerms memory t) {
        t.payee = payee;
        t.currency = currency;
        t.price = PRICE;
        t.unit = "row";
        t.version = model.id;
        t.node = node;
        t.window = 1 days;
        t.inFlight = 8;
        t.expiry = START + 365 days;
        t.text = keccak256("text");
    }

    function _termsHash(IMeteredOffers.MeteredTerms memory t) internal pure returns (bytes32) {
        return keccak256(abi.encode(t));
    }

    function _meteredOffer(bytes32 asset_, IMeteredOffers.MeteredTerms memory t)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(asset_, _termsHash(t)));
    }

    function _channel(bytes32 asset_, IMeteredOffers.MeteredTerms memory t, IChannels.Parties memory p)
        internal
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(block.chainid, address(channels), _meteredOffer(asset_, t), p.payer, p.signer, p.nonce)
        );
    }

    // --- acts -------------------------------------------------------------------------------------------

    function _offer(IMeteredOffers.MeteredTerms memory t) internal returns (bytes32 offer) {
        vm.prank(seller);
        return channels.makeOffer(model.version, t);
    }

    function _openChannel(IMeteredOffers.MeteredTerms memory t, uint64 nonce, uint128 amount)
        internal
        returns (bytes32 channel)
    {
        uint256 value = _fund(payer, t.currency, amount, address(channels));
        vm.prank(payer);
        return channels.open{value: value}(asset, _termsHash(t), signer, nonce, amount);
    }

    function _parties(uint64 nonce) internal view returns (IChannels.Parties memory) {
        return IChannels.Parties(payer, signer, nonce);
    }

    /// @dev A voucher, as this file holds it.
    struct Voucher {
        IChannels.Parties parties;
        uint128 units;
        uint64 sequence;
        bytes32 receiptsRoot;
        bytes32 r;
        bytes32 vs;
    }

    /// @dev A voucher of the signer over the price of the terms.
    function _voucher(IMeteredOffers.MeteredTerms memory t, uint64 nonce, uint128 units, bytes32 root)
        internal
        view
        returns (Voucher memory v)
    {
        v.parties = _parties(nonce);
        v.units = units;
        v.sequence = uint64(units);
        v.receiptsRoot = root;
        bytes32 channel = _channel(asset, t, v.parties);
        (v.r, v.vs) = vm.signCompact(signerKey, _voucherDigest(channel, uint256(t.price) * units, v));
    }

    /// @dev 168 bytes.
    function _packed(Voucher memory v) internal pure returns (bytes memory) {
        return bytes.concat(
            abi.encodePacked(v.parties.payer, v.parties.signer, v.parties.nonce),
            abi.encodePacked(v.units, v.sequence, v.receiptsRoot, v.r, v.vs)
        );
    }

    function _claims(IMeteredOffers.MeteredTerms memory t, bytes memory vouchers)
        internal
        view
        returns (IChannels.Claim[] memory claims)
    {
        claims = new IChannels.Claim[](1);
        claims[0] = IChannels.Claim(asset, t, vouchers);
    }

    function _claim(IMeteredOffers.MeteredTerms memory t, Voucher memory v) internal returns (uint256 paid) {
        return _claimPacked(t, _packed(v));
    }

    function _claimPacked(IMeteredOffers.MeteredTerms memory t, bytes memory vouchers)
        internal
        returns (uint256 paid)
    {
        vm.prank(t.payee);
        return channels.claim(_claims(t, vouchers))[0];
    }

    // --- what is signed ---------------------------------------------------------------------------------

    function _domain(uint256 chainId, address contract_, string memory version)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Steelyard Channels"),
                keccak256(bytes(version)),
                chainId,
                contract_
            )
        );
    }

    function _voucherStruct(bytes32 channel, uint256 amount, Voucher memory v)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256(
                    "Voucher(bytes32 channel,uint128 amount,uint128 units,uint64 sequence,bytes32 receiptsRoot)"
                ),
                channel,
                amount,
                v.units,
                v.sequence,
                v.receiptsRoot
            )
        );
    }

    function _voucherDigest(bytes32 channel, uint256 amount, Voucher memory v)
        internal
        view
        returns (bytes32)
    {
        bytes32 domain = _domain(block.chainid, address(channels), "1");
        return keccak256(abi.encodePacked(hex"1901", domain, _voucherStruct(channel, amount, v)));
    }

    function _receiptDigest(IChannels.Receipt memory r) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(
            "Receipt(bytes32 channel,uint64 sequence,bytes32 version,uint64 units,bytes32 request,bytes32 response)"
        );
        bytes32 domain = _domain(block.chainid, address(channels), "1");
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(abi.encode(typeHash, r))));
    }
}
