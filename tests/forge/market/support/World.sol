// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Assets} from "../../../../contracts/Assets.sol";
import {FraudChecker} from "../../../../contracts/FraudChecker.sol";
import {Market} from "../../../../contracts/Market.sol";
import {Treasury} from "../../../../contracts/Treasury.sol";
import {IAssets} from "../../../../contracts/interfaces/IAssets.sol";
import {IFraudChecker} from "../../../../contracts/interfaces/IFraudChecker.sol";
import {IKeyRequests} from "../../../../contracts/interfaces/IKeyRequests.sol";
import {ILicences} from "../../../../contracts/interfaces/ILicences.sol";
import {IOffers} from "../../../../contracts/interfaces/IOffers.sol";
import {IPurchases} from "../../../../contracts/interfaces/IPurchases.sol";
import {ITreasury} from "../../../../contracts/interfaces/ITreasury.sol";
import {Coin} from "../../../../contracts/test/Coin.sol";
import {NoReturnCoin} from "../../../../contracts/test/NoReturnCoin.sol";
import {Point} from "../../../../contracts/types/Point.sol";
import {Proof} from "../../../../contracts/types/Proof.sol";
import {TableAes} from "../../utils/TableAes.sol";
import {Test} from "../../utils/Test.sol";
import {Vm} from "../../utils/Vm.sol";
import {Curve} from "./Curve.sol";

/// @title World
/// @notice A deployment of the whole set, and what sellers and buyers of a test need: sealed versions, keys, orders, proofs. Ids,
/// commitments and proofs are made here from docs/, not by the contracts under test.
abstract contract World is Test {
    /// @dev A version with all its seller knows. An honest one has one leaf of 16 bytes. A false one has two: leaf 0 of 4,096 bytes is
    /// a lie, leaf 1 of 16 bytes is true.
    struct Model {
        IAssets.Version version;
        bytes32 id;
        uint256 kappa;
        Point keyPoint;
        bytes32 contentKey;
        bool honest;
        bytes32[2] leaves;
        bytes32[2] salted;
    }

    uint128 internal constant MIN_BOND = 0.01 ether;
    bytes16 internal constant CIPHERTEXT = "sixteen bytes...";
    uint256 internal constant NODE_BIT = 1 << 255;

    Treasury public treasury;
    Assets public assets;
    FraudChecker public checker;
    Market public market;
    Coin public coin;
    NoReturnCoin public quiet;

    function _deploy() internal {
        treasury = new Treasury();
        assets = new Assets();
        checker = new FraudChecker();
        market = new Market(assets, treasury, checker, MIN_BOND);
        coin = new Coin(18);
        quiet = new NoReturnCoin();
        vm.label(address(treasury), "treasury");
        vm.label(address(assets), "assets");
        vm.label(address(market), "market");
    }

    // --- points -----------------------------------------------------------------------------------------

    /// @dev `k * G`, by the host.
    function _base(uint256 k) internal returns (Point memory) {
        Vm.Wallet memory wallet = vm.createWallet(k);
        return Point(wallet.publicKeyX, wallet.publicKeyY);
    }

    function _nums() internal pure returns (Point memory) {
        return Point(
            0x27FA491DCB4DBDC4627812EB3512EE1EF4BEAF1B59817BB2CA48C87ADC887E51,
            0xE83A01147FBEA45C78F3AC5C8B5D06F252F3DD9908D88EBDB0308BA5A488AFA4
        );
    }

    /// @dev A scalar in [1, n) out of any word.
    function _scalar(uint256 seed) internal pure returns (uint256) {
        return 1 + uint256(keccak256(abi.encode(seed))) % (Curve.N - 1);
    }

    /// @dev `Q = P + b*G`.
    function _blinded(uint256 b) internal returns (Point memory) {
        return Curve.add(_nums(), _base(b));
    }

    // --- versions ---------------------------------------------------------------------------------------

    function _model(bytes32 asset, uint256 kappa, bytes32 node, bool honest)
        internal
        returns (Model memory m)
    {
        m.kappa = kappa;
        m.honest = honest;
        m.keyPoint = Curve.mul(kappa, _nums());
        m.contentKey = sha256(abi.encodePacked("steelyard/content-key/v1", m.keyPoint.x, m.keyPoint.y));
        uint64 last = honest ? 0 : 1;
        if (!honest) {
            m.salted[0] = keccak256("a lie");
            m.leaves[0] = _leaf(0, _ciphertext(0, false), m.salted[0]);
        }
        m.salted[last] = _salted(m.contentKey, last);
        m.leaves[last] = _leaf(last, _ciphertext(last, honest), m.salted[last]);
        m.version = IAssets.Version({
            asset: asset,
            folder: keccak256(abi.encode("folder", kappa)),
            contentRoot: honest
                ? m.leaves[0]
                : sha256(abi.encodePacked(bytes1(0x01), m.leaves[0], m.leaves[1])),
            size: honest ? 16 : 4096 + 16,
            scheme: 1,
            key: _base(kappa),
            node: node
        });
        m.id = keccak256(abi.encode(m.version));
    }

    function _ciphertext(uint64 index, bool honest) internal pure returns (bytes memory) {
        return index == 0 && !honest ? new bytes(4096) : bytes.concat(CIPHERTEXT);
    }

    /// @dev Salted hash of what the short leaf decrypts to. Nonce: chunk 0, the last. Counter: 2 + 256 * index.
    function _salted(bytes32 contentKey, uint64 index) private pure returns (bytes32) {
        bytes16 block_ = bytes16((uint128(1) << 32) | (2 + 256 * index));
        bytes16 plaintext = CIPHERTEXT ^ TableAes.encrypt(contentKey, block_);
        bytes32 salt = sha256(abi.encodePacked("steelyard/leaf-salt/v1", contentKey, index));
        return sha256(abi.encodePacked(salt, plaintext));
    }

    function _leaf(uint64 index, bytes memory ciphertext, bytes32 salted) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0), index, sha256(ciphertext), salted));
    }

    function _keyProof(Model memory m, address publisher) internal view returns (IAssets.KeyProof memory) {
        bytes32 digest = keccak256(
            abi.encode(keccak256("steelyard/key-proof/v1"), block.chainid, address(assets), m.id, publisher)
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(m.kappa, digest);
        return IAssets.KeyProof(v, r, s);
    }

    // --- names ------------------------------------------------------------------------------------------

    function _assetOf(address creator, bytes32 name) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(assets), creator, name))
            & bytes32(type(uint256).max >> 1);
    }

    function _offerOf(bytes32 asset, IOffers.Terms memory terms) internal pure returns (bytes32) {
        return keccak256(abi.encode(asset, terms));
    }

    function _orderOf(IPurchases.Order memory o) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(market), o.buyer, o.salt, o.key.x, o.key.y));
    }

    function _purchaseOf(IPurchases.Order memory o) internal view returns (bytes32) {
        bytes32 version = keccak256(abi.encode(o.version));
        return keccak256(abi.encode(version, _offerOf(o.version.asset, o.terms), _orderOf(o)));
    }

    function _requestOf(IKeyRequests.KeyRequest memory r) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(market), r));
    }

    function _nodeOf(bytes32 salt, ITreasury.Position[] memory positions) internal pure returns (bytes32) {
        return bytes32(uint256(keccak256(abi.encode(salt, positions))) | NODE_BIT);
    }

    function _word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    /// @dev Root of an allow-list of two, as OpenZeppelin's StandardMerkleTree makes it, and the leaf of one: the proof of the other.
    function _allowList(address a, address b) internal pure returns (bytes32) {
        (bytes32 x, bytes32 y) = (_allowLeaf(a), _allowLeaf(b));
        return keccak256(x < y ? abi.encode(x, y) : abi.encode(y, x));
    }

    function _allowLeaf(address account) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(account))));
    }

    // --- proofs -----------------------------------------------------------------------------------------

    function _deliveryContext(bytes32 purchase) internal view returns (bytes32) {
        return
            keccak256(
                abi.encode(keccak256("steelyard/delivery/v1"), block.chainid, address(market), purchase)
            );
    }

    function _keyContext(bytes32 request) internal view returns (bytes32) {
        return keccak256(abi.encode(keccak256("steelyard/key/v1"), block.chainid, address(market), request));
    }

    /// @dev `D = kappa*Q` for `Q = P + b*G`, and its proof. The nonce is 1, so the commitments are G and Q: the verifier cannot tell.
    function _delivery(Model memory m, bytes32 context, uint256 b, Point memory q)
        internal
        returns (Point memory d, Proof memory proof)
    {
        d = Curve.add(m.keyPoint, _base(mulmod(m.kappa, b, Curve.N)));
        address a1 = vm.addr(1);
        uint256 c = _challenge(context, [m.version.key, q, d], a1, q);
        proof = _respond(c, m.kappa, a1, q, Curve.mul(c, d));
    }

    /// @dev What the buyer shows who knows `b`.
    function _fraud(Model memory m, IPurchases.Order memory o, uint256 b, uint64 index)
        internal
        returns (IFraudChecker.Fraud memory f)
    {
        bytes32 purchase = _purchaseOf(o);
        (f.delivered, f.delivery) = _delivery(m, _deliveryContext(purchase), b, o.key);
        f.opening = _base(mulmod(b, m.kappa, Curve.N));
        // Again the nonce 1: the commitments are G and V.
        address a1 = vm.addr(1);
        bytes32 context = keccak256(
            abi.encode(keccak256("steelyard/dispute/v1"), block.chainid, address(market), purchase, m.id)
        );
        uint256 c = _challenge(context, [_base(b), m.version.key, f.opening], a1, m.version.key);
        Point memory hint = _base(mulmod(c, mulmod(b, m.kappa, Curve.N), Curve.N));
        f.opened = _respond(c, b, a1, m.version.key, hint);
        f.index = index;
        f.ciphertext = _ciphertext(index, m.honest);
        f.plaintextHash = m.salted[index];
        f.path = new bytes32[](m.honest ? 0 : 1);
        if (!m.honest) f.path[0] = m.leaves[1 - index];
    }

    function _challenge(bytes32 context, Point[3] memory statement, address a1, Point memory a2)
        private
        pure
        returns (uint256)
    {
        uint256 bits = statement[0].y % 2 + 2 * (statement[1].y % 2) + 4 * (statement[2].y % 2);
        return uint256(
            keccak256(
            bytes.concat(
            abi.encode(context, statement[0].x, statement[1].x, statement[2].x),
            abi.encodePacked(uint8(bits), a1, a2.x, a2.y)
        )
        )
        ) % Curve.N;
    }

    function _respond(uint256 c, uint256 secret, address a1, Point memory a2, Point memory hint)
        private
        view
        returns (Proof memory)
    {
        return Proof({
            a1: a1,
            a2: a2,
            s: addmod(1, mulmod(c, secret, Curve.N), Curve.N),
            cY: hint,
            inverse: Curve.inverse(addmod(hint.x, Curve.F - a2.x, Curve.F))
        });
    }

    // --- money ------------------------------------------------------------------------------------------

    function _holding(address account, address currency) internal view returns (uint256) {
        return currency == address(0) ? account.balance : Coin(currency).balanceOf(account);
    }

    /// @dev Gives an account what it is about to pay to `spender`; returns the value to send along.
    function _fund(address account, address currency, uint256 amount, address spender)
        internal
        returns (uint256 value)
    {
        if (currency == address(0)) {
            vm.deal(account, account.balance + amount);
            return amount;
        }
        Coin(currency).mint(account, amount);
        vm.prank(account);
        if (currency == address(quiet)) quiet.approve(spender, amount);
        else Coin(currency).approve(spender, amount);
    }

    // --- terms ------------------------------------------------------------------------------------------

    /// @dev A perpetual licence of the version bought, for a price, without a window.
    function _plainTerms(address seller, address currency, uint128 price)
        internal
        pure
        returns (IOffers.Terms memory t)
    {
        t.seller = seller;
        t.currency = currency;
        t.price = price;
        t.kind = IOffers.Kind.Perpetual;
        t.scope = ILicences.Scope.One;
        t.transferable = true;
        t.deliverWithin = 1 days;
        t.text = keccak256("text");
    }
}
