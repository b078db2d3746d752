// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAssets} from "../../../contracts/interfaces/IAssets.sol";
import {ILicences} from "../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../contracts/interfaces/IOffers.sol";
import {IPurchases} from "../../../contracts/interfaces/IPurchases.sol";
import {Shop} from "../market/support/Shop.sol";

/// @title Handler
/// @notice Moves of stages between the steps of sales. What should be true is kept beside the contracts.
contract Handler is Shop {
    struct Line {
        IAssets.Stage stage;
        uint40 publishedAt;
        uint32 number;
    }

    struct Sale {
        uint256 model;
        uint256 b;
        ILicences.State state;
        IPurchases.Order order;
    }

    uint256 public actions;
    uint256 public earned;
    uint256 public refunded;

    mapping(string outcome => uint256) public count;

    Model[] private _models;
    Line[] private _lines;
    Sale[] private _sales;
    IOffers.Terms private _terms;
    address private _owner;
    address private _maintainer;
    uint32 private _epoch;

    modifier act(string memory name) {
        ++actions;
        ++count[name];
        skip(1 minutes);
        _;
    }

    constructor() {
        _open();
        _owner = seller;
        _lend();
        _terms = _plainTerms(seller, address(0), 1 ether);
        _sell(_terms);
        _add(honest, 1);
    }

    // --- what happens -----------------------------------------------------------------------------------

    function publish(uint256 seed) public act("published") {
        uint32 number = uint32(_models.length + 2);
        Model memory m = _model(asset, _scalar(100 + number), node, true);
        address by = seed % 2 == 0 ? _owner : _maintainer;
        IAssets.KeyProof memory proof = _keyProof(m, by);
        vm.prank(by);
        assets.publish(m.version, proof);
        _add(m, number);
    }

    function move(uint256 seed) external act("move") {
        uint256 i = _pick(seed);
        IAssets.Stage from = _lines[i].stage;
        IAssets.Stage to = IAssets.Stage((seed >> 8) % 6);
        address by = (seed >> 16) % 2 == 0 ? _owner : _maintainer;
        if (from == IAssets.Stage.Retired || to == IAssets.Stage.None || to == from) {
            bytes memory expected =
                abi.encodeWithSelector(IAssets.Assets_WrongStage.selector, _models[i].id, from, to);
            _refused(by, i, to, "why", expected);
            ++count[from == IAssets.Stage.Retired ? "tried to leave retired" : "tried no way"];
            return;
        }
        _moveTo(i, to, by);
    }

    /// @dev After the payment, before the delivery.
    function retireSold(uint256 seed) external act("retire what is sold") {
        if (_sales.length == 0) return;
        Sale storage sale = _sales[_sales.length - 1];
        if (sale.state != ILicences.State.Paid) return;
        if (_lines[sale.model].stage == IAssets.Stage.Retired) return;
        _moveTo(sale.model, IAssets.Stage.Retired, seed % 2 == 0 ? _owner : _maintainer);
    }

    function moveByOther(uint256 seed) external act("tried to move what is another's") {
        uint256 i = seed % _models.length;
        // The owner and the maintainer of the epoch before are others too.
        address by = (seed >> 8) % 2 == 0 ? stranger : makeAddr(_named("maintainer", _epoch + 1));
        bytes memory expected = abi.encodeWithSelector(IAssets.Assets_NotAllowed.selector, by, asset);
        _refused(by, i, IAssets.Stage((seed >> 16) % 6), "why", expected);
    }

    function moveWithoutReason(uint256 seed) external act("tried a bad reason") {
        uint256 i = seed % _models.length;
        IAssets.Stage from = _lines[i].stage;
        if (from == IAssets.Stage.Retired) return;
        bytes memory reason = new bytes(seed % 2 == 0 ? 0 : 257 + seed % 1_000);
        bytes memory expected = abi.encodeWithSelector(IAssets.Assets_BadReason.selector, reason.length);
        IAssets.Stage to = from == IAssets.Stage.Draft ? IAssets.Stage.Released : IAssets.Stage.Draft;
        _refused(_owner, i, to, string(reason), expected);
    }

    function transferAsset(uint256) external act("asset transferred") {
        address to = makeAddr(_named("owner", ++_epoch));
        vm.prank(_owner);
        assets.transferFrom(_owner, to, uint256(asset));
        bytes memory expected = abi.encodeWithSelector(IAssets.Assets_NotAllowed.selector, _owner, asset);
        _refused(_owner, 0, IAssets.Stage.Draft, "why", expected);
        expected = abi.encodeWithSelector(IAssets.Assets_NotAllowed.selector, _maintainer, asset);
        _refused(_maintainer, 0, IAssets.Stage.Draft, "why", expected);
        _owner = to;
        _lend();
        // The offers of before are closed.
        (_terms.seller, _terms.salt) = (to, _epoch);
        _sell(_terms);
    }

    function buy(uint256 seed) external act("buy") {
        uint256 i = _pick(seed);
        (IPurchases.Order memory o, uint256 b) = _draft(_models[i], _terms);
        IAssets.Stage stage = _lines[i].stage;
        if (stage != IAssets.Stage.Released && stage != IAssets.Stage.Deprecated) {
            vm.deal(buyer, 1 ether);
            bytes memory expected =
                abi.encodeWithSelector(IPurchases.Purchases_NoVersion.selector, _models[i].id);
            vm.expectRevert(expected);
            vm.prank(buyer);
            market.buy{value: 1 ether}(o, new bytes32[](0));
            ++count["tried to buy what is not on sale"];
            return;
        }
        _pay(o);
        _sales.push(Sale(i, b, ILicences.State.Paid, o));
        ++count["bought"];
    }

    function deliver(uint256) external act("deliver") {
        for (uint256 i = _sales.length; i > 0; --i) {
            if (_sales[i - 1].state == ILicences.State.Paid) return _deliverSale(i - 1);
        }
    }

    /// @dev The oldest one, so that the others can still be delivered.
    function refund(uint256) external act("refund") {
        for (uint256 i; i < _sales.length; ++i) {
            if (_sales[i].state == ILicences.State.Paid) return _refundSale(i);
        }
    }

    /// @notice Delivers what is due, and refunds the rest.
    function finish() external {
        for (uint256 i; i < _sales.length; ++i) {
            if (_sales[i].state == ILicences.State.Paid) _deliverSale(i);
        }
    }

    // --- what should be true ----------------------------------------------------------------------------

    function requireAll() external view {
        for (uint256 i; i < _lines.length; ++i) {
            bytes32 id = _models[i].id;
            Line storage line = _lines[i];
            assertEq(uint256(assets.stageOf(id)), uint256(line.stage), "S1: stage");
            (uint40 publishedAt, uint32 number) = assets.release(id);
            assertTrue(publishedAt == line.publishedAt && number == line.number, "S3: release");
            (uint32 epoch, uint40 sold) = assets.saleState(asset, id);
            bool onSale = line.stage == IAssets.Stage.Released || line.stage == IAssets.Stage.Deprecated;
            assertTrue(epoch == _epoch && sold == (onSale ? publishedAt : 0), "S2: sale state");
        }
        uint256 open;
        for (uint256 i; i < _sales.length; ++i) {
            ILicences.Licence memory licence = market.licenceOf(uint256(_purchaseOf(_sales[i].order)));
            assertTrue(licence.state == _sales[i].state && licence.holder == buyer, "S3: purchase");
            if (licence.state == ILicences.State.Paid) ++open;
        }
        assertEq(address(market).balance, 100 ether + open * 1 ether, "S3: escrow");
        assertEq(treasury.balanceOf(node, address(0)), earned, "S3: income");
        assertEq(treasury.balanceOf(_word(buyer), address(0)), refunded, "S3: refunds");
    }

    function _moveTo(uint256 i, IAssets.Stage to, address by) private {
        vm.prank(by);
        assets.moveStage(_models[i].version, to, "why");
        _lines[i].stage = to;
        ++count[to == IAssets.Stage.Retired ? "retired" : "moved"];
    }

    /// @dev The newest version as often as all others: those are retired sooner or later.
    function _pick(uint256 seed) private view returns (uint256) {
        return (seed >> 24) % 2 == 0 ? _models.length - 1 : seed % _models.length;
    }

    function _deliverSale(uint256 at) private {
        Sale storage sale = _sales[at];
        if (block.timestamp > market.licenceOf(uint256(_purchaseOf(sale.order))).due) {
            return _refundSale(at);
        }
        _hand(_models[sale.model], sale.order, sale.b);
        sale.state = ILicences.State.Settled;
        earned += 1 ether;
        if (_lines[sale.model].stage == IAssets.Stage.Retired) ++count["delivered what is retired"];
    }

    function _refundSale(uint256 at) private {
        Sale storage sale = _sales[at];
        uint40 due = market.licenceOf(uint256(_purchaseOf(sale.order))).due;
        if (block.timestamp <= due) vm.warp(due + 1);
        market.refund(sale.order);
        sale.state = ILicences.State.Refunded;
        refunded += 1 ether;
        if (_lines[sale.model].stage == IAssets.Stage.Retired) ++count["refunded what is retired"];
    }

    function _add(Model memory m, uint32 number) private {
        _models.push(m);
        _lines.push(Line(IAssets.Stage.Released, uint40(block.timestamp), number));
    }

    function _lend() private {
        _maintainer = makeAddr(_named("maintainer", _epoch));
        vm.prank(_owner);
        assets.setRole(asset, _maintainer, IAssets.Role.Maintainer, true);
    }

    function _refused(address by, uint256 i, IAssets.Stage to, string memory reason, bytes memory expected)
        private
    {
        vm.expectRevert(expected);
        vm.prank(by);
        assets.moveStage(_models[i].version, to, reason);
    }

    function _named(string memory what, uint256 number) private pure returns (string memory) {
        return string.concat(what, " ", vm.toString(number));
    }
}
