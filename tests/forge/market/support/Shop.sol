// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../../../../contracts/interfaces/IAssets.sol";
import {IOffers} from "../../../../contracts/interfaces/IOffers.sol";
import {IPurchases} from "../../../../contracts/interfaces/IPurchases.sol";
import {ITreasury} from "../../../../contracts/interfaces/ITreasury.sol";
import {Point} from "../../../../contracts/types/Point.sol";
import {Proof} from "../../../../contracts/types/Proof.sol";
import {World} from "./World.sol";

/// @title Shop
/// @notice One seller with one asset of an honest and a false version, one node, and buyers.
abstract contract Shop is World {
    address internal seller = makeAddr("seller");
    address internal buyer = makeAddr("buyer");
    address internal stranger = makeAddr("stranger");
    bytes32 internal asset;
    bytes32 internal node;
    Model internal honest;
    Model internal lying;

    uint256 private _salts;

    function _open() internal {
        _deploy();
        vm.warp(1_800_000_000);
        ITreasury.Position[] memory positions = new ITreasury.Position[](1);
        positions[0] = ITreasury.Position(_word(seller), 10_000);
        node = _nodeOf("node", positions);
        asset = _assetOf(seller, "model");
        honest = _model(asset, _scalar(1), node, true);
        lying = _model(asset, _scalar(2), node, false);
        IAssets.KeyProof[2] memory proofs = [_keyProof(honest, seller), _keyProof(lying, seller)];
        vm.startPrank(seller);
        assets.register("model", IAssets.Kind.Model, 0, honest.version, proofs[0]);
        assets.publish(lying.version, proofs[1]);
        vm.stopPrank();
        vm.deal(address(this), 100 ether);
        market.fundBond{value: 100 ether}(seller);
    }

    function _sell(IOffers.Terms memory terms) internal returns (bytes32 offer) {
        vm.prank(terms.seller);
        return market.makeOffer(asset, terms);
    }

    /// @dev An order of the next salt, with the blinding that belongs to it.
    function _draft(Model memory m, IOffers.Terms memory terms)
        internal
        returns (IPurchases.Order memory o, uint256 b)
    {
        b = _scalar(1_000 + ++_salts);
        o.version = m.version;
        o.terms = terms;
        o.buyer = buyer;
        o.salt = bytes32(_salts);
        o.key = _blinded(b);
    }

    function _pay(IPurchases.Order memory o) internal returns (uint256 licence) {
        uint256 value = _fund(o.buyer, o.terms.currency, o.terms.price, address(market));
        vm.prank(o.buyer);
        return market.buy{value: value}(o, new bytes32[](0));
    }

    function _proof(Model memory m, IPurchases.Order memory o, uint256 b)
        internal
        returns (Point memory d, Proof memory proof)
    {
        return _delivery(m, _deliveryContext(_purchaseOf(o)), b, o.key);
    }

    function _hand(Model memory m, IPurchases.Order memory o, uint256 b) internal {
        (Point memory d, Proof memory proof) = _proof(m, o, b);
        market.deliver(o, d, proof);
    }
}
