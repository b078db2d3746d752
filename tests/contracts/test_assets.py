"""The registry of assets. See trees/Assets.tree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from brownie import Assets, GasBurner, Reenterer
from steelyard.crypto import delivery
from steelyard.crypto.curve import N, neg
from steelyard.crypto.secret import Secret
from steelyard.domain.types import Role, name_word
from steelyard.storage.cid import Codec, cid_from_bytes, encode_cid
from tests.contracts.support.decode import event, events, outcome, rejects
from tests.contracts.support.points import NO_KEYS
from tests.contracts.support.read import Method, read
from tests.contracts.support.rpc import now, warp
from tests.contracts.support.shop import DAY, address, number

NAME = name_word("letters")


@pytest.fixture
def draft(shop, seller):
    """A first version of an asset that is not registered yet."""
    return shop.seal(shop.asset_of(seller, "letters"), "letters 1")


@pytest.fixture
def second(shop, asset):
    """A second version of `digits`, not published yet."""
    return shop.seal(asset, "digits 2")


def _arguments(shop, draft, *, owner=None, name=NAME, kind=1, royalty=1_000, **bound):
    owner = owner or shop.roles.seller
    return (name, kind, royalty, draft.version.abi(), shop.key_proof(draft, owner, **bound))


class TestRegister:
    def test_records_asset_and_first_version(self, shop, assets, draft, seller):
        asset = draft.version.asset
        warp(now() + 60)
        assert read(assets, "register", *_arguments(shop, draft), sender=seller) == asset
        assert read(assets, "assetOf", seller, NAME) == asset
        assert read(assets, "versionOf", draft.version.abi()) == draft.id

        tx = assets.register(*_arguments(shop, draft), {"from": seller})

        assert events(tx) == [
            event("AssetRegistered", asset=asset, name=NAME, actor=seller, kind=1, royalty=1_000),
            event("Transfer", from_=bytes(20), to=seller, tokenId=number(asset)),
            event(
                "VersionPublished",
                asset=asset,
                version=draft.id,
                actor=seller,
                number=1,
                commitments=draft.version.abi(),
            ),
        ]
        assert read(assets, "assetInfo", asset) == (address(seller), 1, 1_000, 0, 1)
        assert read(assets, "release", draft.id) == (now(), 1)
        assert read(assets, "saleState", asset, draft.id) == (0, now())
        assert read(assets, "keyUsed", draft.version.key.x) is True
        assert read(assets, "ownerOf", number(asset)) == address(seller)
        assert read(assets, "balanceOf", seller) == 2

    def test_two_creators_may_use_one_name(self, shop, assets, stranger, asset):
        other = shop.register("digits", owner=stranger)
        assert other.version.asset != asset
        assert read(assets, "ownerOf", number(other.version.asset)) == address(stranger)

    def test_contract_may_create(self, shop, assets, deployer):
        """No receiver callback: the caller asked for the token."""
        owner = deployer.deploy(Reenterer)
        draft = shop.seal(shop.asset_of(owner, "letters"), "letters 1")
        data = assets.register.encode_input(*_arguments(shop, draft, owner=owner))
        owner.execute(assets, 0, data, {"from": deployer})
        assert read(assets, "ownerOf", number(draft.version.asset)) == address(owner)
        assert not read(owner, "called")

    def _rejected(self, shop, draft, *error, sender=None, **changes):
        sender = sender or shop.roles.seller
        arguments = _arguments(shop, draft, owner=sender, **changes)
        rejects(*error)(shop.assets.register, *arguments, sender=sender)

    def test_rejects_no_name(self, shop, draft):
        self._rejected(shop, draft, "Assets_NoName", name=bytes(32))

    def test_rejects_a_name_taken(self, shop, draft, seller, assets):
        assets.register(*_arguments(shop, draft), {"from": seller})
        again = shop.seal(draft.version.asset, "letters again")
        self._rejected(shop, again, "Assets_NameTaken", draft.version.asset)

    def test_name_stays_the_creators_after_a_transfer(self, shop, draft, assets, seller, stranger):
        assets.register(*_arguments(shop, draft), {"from": seller})
        assets.transferFrom(seller, stranger, number(draft.version.asset), {"from": seller})
        again = shop.seal(draft.version.asset, "letters again")
        self._rejected(shop, again, "Assets_NameTaken", draft.version.asset)

    def test_rejects_a_royalty_too_high(self, shop, draft):
        self._rejected(shop, draft, "Assets_RoyaltyTooHigh", 1_001, royalty=1_001)

    def test_rejects_an_unknown_kind(self, shop, draft):
        self._rejected(shop, draft, "", kind=2)

    def test_rejects_a_version_of_another_asset(self, shop, draft, stranger):
        expected = shop.asset_of(stranger, "letters")
        self._rejected(shop, draft, "Assets_WrongAsset", draft.version.asset, expected, sender=stranger)

    @pytest.mark.parametrize("size", [0, 2**52 + 1, 2**64 - 1])
    def test_rejects_a_size_outside_the_format(self, shop, draft, size):
        draft = replace(draft, version=replace(draft.version, size=size))
        self._rejected(shop, draft, "Assets_BadSize", size)

    @pytest.mark.parametrize("size", [1, 2**52])
    def test_passes_at_the_limits_of_size(self, shop, assets, draft, seller, size):
        draft = replace(draft, version=replace(draft.version, size=size))
        assets.register(*_arguments(shop, draft), {"from": seller})

    @pytest.mark.parametrize("scheme", [0, 2])
    def test_rejects_an_unknown_scheme(self, shop, draft, scheme):
        draft = replace(draft, version=replace(draft.version, scheme=scheme))
        self._rejected(shop, draft, "Assets_UnknownScheme", scheme)

    @pytest.mark.parametrize("node", [bytes(32), b"\x7f" + b"\xff" * 31])
    def test_rejects_what_is_no_node(self, shop, draft, node):
        draft = replace(draft, version=replace(draft.version, node=node))
        self._rejected(shop, draft, "Assets_NotANode", node)

    @pytest.mark.parametrize("key", NO_KEYS)
    def test_k6_bad_key_commitments_are_rejected(self, shop, draft, key):
        draft = replace(draft, version=replace(draft.version, key=key))
        self._rejected(shop, draft, "Assets_BadKey")


class TestPublish:
    def test_adds_a_version(self, shop, assets, asset, sealed, second, seller):
        warp(now() + DAY)
        arguments = (second.version.abi(), shop.key_proof(second, seller))
        assert read(assets, "publish", *arguments, sender=seller) == second.id

        tx = assets.publish(*arguments, {"from": seller})

        assert events(tx) == [
            event(
                "VersionPublished",
                asset=asset,
                version=second.id,
                actor=seller,
                number=2,
                commitments=second.version.abi(),
            ),
            event("MetadataUpdate", _tokenId=number(asset)),
        ]
        assert read(assets, "assetInfo", asset)[4] == 2
        assert read(assets, "release", second.id) == (now(), 2)
        assert read(assets, "release", sealed.id) == (now() - DAY, 1)
        assert read(assets, "keyUsed", second.version.key.x)

    def test_maintainer_publishes(self, shop, assets, asset, seller, maintainer):
        assets.setRole(asset, maintainer, Role.MAINTAINER, True, {"from": seller})
        assert read(assets, "release", shop.publish(asset, "second", sender=maintainer).id)[1] == 2

    def _rejected(self, shop, sealed, *error, sender=None, proof=None):
        sender = sender or shop.roles.seller
        proof = proof or shop.key_proof(sealed, sender)
        rejects(*error)(shop.assets.publish, sealed.version.abi(), proof, sender=sender)

    def test_rejects_a_stranger(self, shop, asset, second, stranger):
        self._rejected(shop, second, "Assets_NotAllowed", stranger, asset, sender=stranger)

    def test_rejects_a_seller_by_role(self, shop, assets, asset, second, seller, agent):
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        self._rejected(shop, second, "Assets_NotAllowed", agent, asset, sender=agent)

    def test_rejects_an_asset_that_does_not_exist(self, shop, seller):
        draft = shop.seal(bytes(31) + b"\x05", "nothing")
        self._rejected(shop, draft, "ERC721NonexistentToken", 5)

    def test_k13_used_key_is_rejected(self, shop, sealed, second):
        x = sealed.version.key.x
        again = replace(second, kappa=sealed.kappa, version=replace(second.version, key=sealed.version.key))
        self._rejected(shop, again, "Assets_KeyUsed", x)
        self._rejected(shop, sealed, "Assets_KeyUsed", x)

    def test_k13_mirrored_key_is_rejected(self, shop, sealed, second):
        kappa = Secret.from_scalar(N - sealed.kappa.scalar())
        assert delivery.key_commitment(kappa) == neg(sealed.version.key)
        mirrored = replace(second, kappa=kappa, version=replace(second.version, key=neg(sealed.version.key)))
        self._rejected(shop, mirrored, "Assets_KeyUsed", sealed.version.key.x)

    def test_k13_key_of_another_asset_is_rejected(self, shop, assets, sealed, stranger):
        draft = shop.seal(shop.asset_of(stranger, "letters"), "letters 1")
        copy = replace(draft, kappa=sealed.kappa, version=replace(draft.version, key=sealed.version.key))
        rejects("Assets_KeyUsed", sealed.version.key.x)(
            assets.register, *_arguments(shop, copy, owner=stranger), sender=stranger
        )

    @pytest.mark.parametrize(
        "bound",
        [{"chain_id": 1}, {"registry": bytes(20)}, {"version": bytes(32)}],
    )
    def test_c3_ownership_proof_of_another_chain_registry_or_version_is_rejected(
        self, shop, second, seller, bound
    ):
        self._rejected(shop, second, "Assets_KeyNotOwned", proof=shop.key_proof(second, seller, **bound))

    def test_c3_ownership_proof_of_another_account_is_rejected(self, shop, second, buyer):
        self._rejected(shop, second, "Assets_KeyNotOwned", proof=shop.key_proof(second, buyer))

    def test_c3_ownership_proof_of_another_deployment_is_rejected(self, shop, roles, second):
        other = roles.deployer.deploy(Assets)
        proof = shop.key_proof(second, roles.seller, registry=address(other))
        self._rejected(shop, second, "Assets_KeyNotOwned", proof=proof)

    def test_rejects_a_signature_by_another_key(self, shop, sealed, second, seller):
        forged = replace(second, kappa=sealed.kappa)
        self._rejected(shop, second, "Assets_KeyNotOwned", proof=shop.key_proof(forged, seller))

    def test_c4_malformed_signatures_are_rejected(self, shop, second, seller):
        v, r, s = shop.key_proof(second, seller)
        zero = bytes(32)
        for wrong in (
            (55 - v, r, s),
            (v - 27, r, s),
            (v, zero, s),
            (v, r, zero),
            (0, zero, zero),
            (29, r, s),
        ):
            self._rejected(shop, second, "Assets_KeyNotOwned", proof=wrong)

    def test_c4_high_s_is_another_spelling_and_gives_nothing(self, shop, assets, second, seller):
        """Nothing is keyed by the signature, so its second form neither publishes twice nor anything else."""
        v, r, s = shop.key_proof(second, seller)
        assets.publish(
            second.version.abi(),
            (55 - v, r, (N - int.from_bytes(s, "big")).to_bytes(32, "big")),
            {"from": seller},
        )
        self._rejected(shop, second, "Assets_KeyUsed", second.version.key.x)

    def test_c24_copied_key_blocks_nobody(self, shop, assets, second, seller, stranger):
        """A copy of V from the mempool, sent first under the outsider's own asset, reverts; the maker's publish passes."""
        own = shop.register("mine", owner=stranger)
        stolen = replace(second.version, asset=own.version.asset)
        for proof in (shop.key_proof(second, seller), shop.key_proof(second, seller, version=stolen.id)):
            rejects("Assets_KeyNotOwned")(assets.publish, stolen.abi(), proof, sender=stranger)
        # The very same call from another sender.
        self._rejected(shop, second, "Assets_NotAllowed", stranger, second.version.asset, sender=stranger)
        assets.publish(second.version.abi(), shop.key_proof(second, seller), {"from": seller})

    def test_c24_names_are_scoped_by_their_creator(self, shop, assets, draft, seller, stranger):
        shop.register("letters", owner=stranger)
        assets.register(*_arguments(shop, draft), {"from": seller})

    def test_a1_commitments_never_change(self, shop, asset, sealed, second):
        first = read(shop.assets, "release", sealed.id)
        shop.publish(asset, "digits 2")
        assert read(shop.assets, "release", sealed.id) == first
        assert sealed.id != second.id


class TestRoles:
    @pytest.mark.parametrize("role", list(Role))
    def test_lent_and_taken_back(self, assets, asset, seller, agent, role):
        other = Role(1 - role)
        tx = assets.setRole(asset, agent, role, True, {"from": seller})
        fields = {"asset": asset, "account": bytes(12) + address(agent), "actor": seller, "role": int(role)}
        assert events(tx) == [event("RoleSet", **fields, granted=True)]
        assert read(assets, "may", asset, agent, role)
        assert not read(assets, "may", asset, agent, other)

        tx = assets.setRole(asset, agent, role, False, {"from": seller})
        assert events(tx) == [event("RoleSet", **fields, granted=False)]
        assert not read(assets, "may", asset, agent, role)

    def test_taking_one_back_leaves_the_other(self, assets, asset, seller, agent):
        for role in Role:
            assets.setRole(asset, agent, role, True, {"from": seller})
        assets.setRole(asset, agent, Role.SELLER, False, {"from": seller})
        assert read(assets, "may", asset, agent, Role.MAINTAINER)

    def test_owner_holds_them_all(self, assets, asset, seller, stranger):
        for role in Role:
            assert read(assets, "may", asset, seller, role)
            assert not read(assets, "may", asset, stranger, role)

    def test_rejects_who_is_not_the_owner(self, assets, asset, seller, agent, stranger):
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        assets.setRole(asset, agent, Role.MAINTAINER, True, {"from": seller})
        for account in (agent, stranger):
            rejects("Assets_NotAllowed", account, asset)(
                assets.setRole, asset, stranger, Role.SELLER, True, sender=account
            )

    def test_rejects_an_approved_account(self, assets, asset, seller, agent):
        """An approval is for the token, not for the asset's business."""
        assets.setApprovalForAll(agent, True, {"from": seller})
        rejects("Assets_NotAllowed", agent, asset)(
            assets.setRole, asset, agent, Role.SELLER, True, sender=agent
        )

    def test_rejects_an_unknown_role(self, assets, asset, seller, agent):
        rejects("")(assets.setRole, asset, agent, 2, True, sender=seller)

    def test_rejects_an_asset_that_does_not_exist(self, assets, seller, agent):
        rejects("ERC721NonexistentToken", 5)(
            assets.setRole, bytes(31) + b"\5", agent, Role.SELLER, True, sender=seller
        )
        rejects("ERC721NonexistentToken", 5)(assets.may, bytes(31) + b"\5", agent, 0, sender=seller)


class TestToken:
    def test_a3_transfer_clears_roles_and_closes_offers(
        self, shop, market, assets, asset, sealed, seller, agent, stranger
    ):
        for role in Role:
            assets.setRole(asset, agent, role, True, {"from": seller})
        terms = shop.offer(sealed)

        tx = assets.transferFrom(seller, stranger, number(asset), {"from": seller})

        assert events(tx) == [
            event("Transfer", from_=seller, to=stranger, tokenId=number(asset)),
            event(
                "AssetTransferred",
                asset=asset,
                to=bytes(12) + address(stranger),
                actor=seller,
                from_=seller,
                epoch=1,
            ),
        ]
        assert read(assets, "ownerOf", number(asset)) == address(stranger)
        assert read(assets, "assetInfo", asset)[3] == 1
        assert read(assets, "assetInfo", asset)[0] == address(seller)
        for account in (seller, agent):
            for role in Role:
                assert not read(assets, "may", asset, account, role)
        order = shop.order(sealed, terms)
        rejects("Offers_NotOpen", order.offer)(
            market.buy, order.abi(), [], sender=shop.roles.buyer, value=terms.price
        )

    def test_a3_roles_and_offers_stay_closed_when_it_comes_back(
        self, shop, market, assets, asset, sealed, seller, agent, stranger
    ):
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        order = shop.order(sealed, shop.offer(sealed))
        assets.transferFrom(seller, stranger, number(asset), {"from": seller})
        assets.transferFrom(stranger, seller, number(asset), {"from": stranger})
        assert read(assets, "assetInfo", asset)[3] == 2
        assert not read(assets, "may", asset, agent, Role.SELLER)
        rejects("Offers_NotOpen", order.offer)(
            market.buy, order.abi(), [], sender=shop.roles.buyer, value=order.terms.price
        )

    def test_transfer_to_himself_starts_an_epoch_too(self, assets, asset, seller, agent):
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        assets.transferFrom(seller, seller, number(asset), {"from": seller})
        assert not read(assets, "may", asset, agent, Role.SELLER)
        assert read(assets, "may", asset, seller, Role.SELLER)

    def test_approved_account_transfers_once(self, assets, asset, seller, agent, stranger):
        tx = assets.approve(agent, number(asset), {"from": seller})
        assert events(tx) == [event("Approval", owner=seller, approved=agent, tokenId=number(asset))]
        assets.transferFrom(seller, stranger, number(asset), {"from": agent})
        rejects("ERC721InsufficientApproval", agent, number(asset))(
            assets.transferFrom, stranger, agent, number(asset), sender=agent
        )

    def test_operator_transfers(self, assets, asset, seller, agent, stranger):
        assets.setApprovalForAll(agent, True, {"from": seller})
        tx = assets.transferFrom(seller, stranger, number(asset), {"from": agent})
        assert event(
            "AssetTransferred",
            asset=asset,
            to=bytes(12) + address(stranger),
            actor=agent,
            from_=seller,
            epoch=1,
        ) in events(tx)

    def test_rejects_a_stranger(self, assets, asset, seller, stranger):
        rejects("ERC721InsufficientApproval", stranger, number(asset))(
            assets.transferFrom, seller, stranger, number(asset), sender=stranger
        )

    def test_safe_transfer(self, assets, asset, seller, deployer):
        receiver = deployer.deploy(Reenterer)
        assets.safeTransferFrom(seller, receiver, number(asset), {"from": seller})
        assert read(assets, "ownerOf", number(asset)) == address(receiver)

    def test_safe_transfer_with_data(self, assets, asset, seller, deployer):
        receiver = deployer.deploy(Reenterer)
        assets.safeTransferFrom(seller, receiver, number(asset), b"data", {"from": seller})
        assert read(assets, "ownerOf", number(asset)) == address(receiver)

    def test_rejects_a_contract_that_does_not_accept(self, assets, asset, seller, deployer):
        receiver = deployer.deploy(GasBurner)
        method = Method(assets, "safeTransferFrom", 3)
        rejects("ERC721InvalidReceiver", receiver)(method, seller, receiver, number(asset), sender=seller)

    def test_describes_itself(self, assets):
        assert (read(assets, "name"), read(assets, "symbol")) == ("Steelyard Assets", "ASSET")

    def test_uri_names_the_public_folder_of_the_newest_version(self, shop, assets, asset, sealed):
        first = read(assets, "tokenURI", number(asset))
        newest = shop.publish(asset, "digits 2")
        for uri, folder in (
            (first, sealed.version.folder),
            (read(assets, "tokenURI", number(asset)), newest.version.folder),
        ):
            scheme, rest = uri.split("://")
            text, path = rest.split("/", 1)
            assert (scheme, path, text[0]) == ("ipfs", "manifest.json", "f")
            cid = cid_from_bytes(bytes.fromhex(text[1:]))
            assert cid == encode_cid(folder, codec=Codec.DAG_PB)

    def test_royalty_goes_to_the_creator(self, assets, asset, seller, stranger):
        assets.transferFrom(seller, stranger, number(asset), {"from": seller})
        assert read(assets, "royaltyInfo", number(asset), 10**18) == (address(seller), 5 * 10**16)
        assert read(assets, "royaltyInfo", number(asset), 39) == (address(seller), 1)
        assert read(assets, "royaltyInfo", number(asset), 0) == (address(seller), 0)

    @pytest.mark.parametrize("view", ["tokenURI", "royaltyInfo", "assetInfo"])
    def test_views_reject_what_does_not_exist(self, assets, seller, view):
        arguments = {"tokenURI": (5,), "royaltyInfo": (5, 1), "assetInfo": (bytes(31) + b"\5",)}[view]
        found = outcome(Method(assets, view), *arguments, sender=seller)
        assert found == ("Assets_NoAsset", (bytes(31) + b"\5",))

    @pytest.mark.parametrize(
        ("interface", "answer"),
        [
            ("0x01ffc9a7", True),
            ("0x80ac58cd", True),
            ("0x5b5e139f", True),
            ("0x49064906", True),
            ("0x2a55205a", True),
            ("0xffffffff", False),
        ],
    )
    def test_supports(self, assets, interface, answer):
        assert read(assets, "supportsInterface", interface) is answer


def test_views_of_nothing_are_empty(assets):
    assert read(assets, "release", bytes(32)) == (0, 0)
    assert read(assets, "saleState", bytes(32), bytes(32)) == (0, 0)
    assert read(assets, "keyUsed", 5) is False


def test_constants(assets):
    assert (read(assets, "MAX_ROYALTY"), read(assets, "MAX_SIZE")) == (1_000, 2**52)


def test_no_asset_is_a_payee(shop, treasury, stranger, seller):
    """Nodes have the top bit, assets never: nobody can write income into an asset's own history."""
    names = [f"name-{i}".encode().ljust(32, b"\0") for i in range(32)]
    ids = [bytes(read(shop.assets, "assetOf", seller, name)) for name in names]
    assert all(id_[0] < 0x80 for id_ in ids) and len(set(ids)) == len(ids)
    rejects("Treasury_NotAPayee", ids[0])(treasury.move, ids[0], bytes(20), 0, sender=stranger)
