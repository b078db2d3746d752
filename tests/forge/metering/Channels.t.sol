// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Channels} from "../../../contracts/Channels.sol";
import {IAssets} from "../../../contracts/interfaces/IAssets.sol";
import {IChannels} from "../../../contracts/interfaces/IChannels.sol";
import {IMeteredOffers} from "../../../contracts/interfaces/IMeteredOffers.sol";
import {Vm} from "../utils/Vm.sol";
import {Meter} from "./support/Meter.sol";

/// @title Channels: offers, deposits, claims, and their ends to the second
contract ChannelsTest is Meter {
    bytes32 private constant ROOT = keccak256("root");

    IMeteredOffers.MeteredTerms private terms;

    function setUp() external {
        _start();
        terms = _metered(address(0));
        _offer(terms);
    }

    // --- offers -----------------------------------------------------------------------------------------

    function test_makeOffer_storesAndLogs() external {
        terms.salt = 2;
        terms.currency = address(coin);
        vm.recordLogs();
        bytes32 offer = _offer(terms);
        assertEq(offer, _meteredOffer(asset, terms), "id");
        (address currency, uint32 epoch, uint40 expiry, bool closed) = channels.offers(offer);
        assertEq(currency, address(coin), "currency");
        assertEq(epoch, 0, "epoch");
        assertEq(expiry, terms.expiry, "expiry");
        assertFalse(closed, "open");
        _requireLog(IMeteredOffers.MeteredOffered.selector, offer, seller, abi.encode(terms));
    }

    function test_makeOffer_byASellerOfTheAsset() external {
        vm.prank(seller);
        assets.setRole(asset, stranger, IAssets.Role.Seller, true);
        terms.salt = 2;
        vm.prank(stranger);
        channels.makeOffer(model.version, terms);
    }

    function test_makeOffer_refusesAnother() external {
        terms.salt = 2;
        vm.expectRevert(
            abi.encodeWithSelector(IMeteredOffers.MeteredOffers_NotAllowed.selector, stranger, asset)
        );
        vm.prank(stranger);
        channels.makeOffer(model.version, terms);
    }

    function test_makeOffer_refusesAVersionThatIsNotPublished() external {
        Model memory other = _model(asset, _scalar(9), node, true);
        (terms.version, terms.salt) = (other.id, 2);
        vm.expectRevert(abi.encodeWithSelector(IMeteredOffers.MeteredOffers_WrongVersion.selector, other.id));
        vm.prank(seller);
        channels.makeOffer(other.version, terms);
    }

    function test_makeOffer_refusesAnotherVersionThanTheTerms() external {
        (terms.version, terms.salt) = (keccak256("other"), 2);
        _refuse(abi.encodeWithSelector(IMeteredOffers.MeteredOffers_WrongVersion.selector, model.id));
    }

    /// @dev The version of another asset is offered by that asset's side alone.
    function test_makeOffer_refusesAVersionOfAnotherAsset() external {
        Model memory theirs = _register(stranger, "theirs", 5, node);
        (terms.version, terms.salt) = (theirs.id, 2);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMeteredOffers.MeteredOffers_NotAllowed.selector, seller, theirs.version.asset
            )
        );
        vm.prank(seller);
        channels.makeOffer(theirs.version, terms);
    }

    function test_makeOffer_refusesAnotherNode() external {
        bytes32 other = bytes32(uint256(keccak256("other")) | NODE_BIT);
        (terms.node, terms.salt) = (other, 2);
        _refuse(abi.encodeWithSelector(IMeteredOffers.MeteredOffers_WrongNode.selector, other));
    }

    function test_makeOffer_refusesWhatIsIncomplete() external {
        bytes memory incomplete = abi.encodeWithSelector(IMeteredOffers.MeteredOffers_Incomplete.selector);
        terms = _metered(address(0));
        terms.payee = address(0);
        _refuse(incomplete);
        terms = _metered(address(0));
        terms.price = 0;
        _refuse(incomplete);
        terms = _metered(address(0));
        terms.unit = 0;
        _refuse(incomplete);
        terms = _metered(address(0));
        terms.inFlight = 0;
        _refuse(incomplete);
    }

    function test_makeOffer_windowToTheSecond() external {
        terms.salt = 2;
        terms.window = 1 days - 1;
        _refuse(abi.encodeWithSelector(IMeteredOffers.MeteredOffers_BadWindow.selector, 1 days - 1));
        terms.window = 30 days + 1;
        _refuse(abi.encodeWithSelector(IMeteredOffers.MeteredOffers_BadWindow.selector, 30 days + 1));
        terms.window = 30 days;
        _offer(terms);
    }

    function test_makeOffer_expiryToTheSecond() external {
        terms.salt = 2;
        terms.expiry = START + 1 days - 1;
        _refuse(abi.encodeWithSelector(IMeteredOffers.MeteredOffers_BadExpiry.selector, terms.expiry));
        terms.expiry = START + 1 days;
        _refuse(abi.encodeWithSelector(IMeteredOffers.MeteredOffers_BadExpiry.selector, terms.expiry));
        terms.expiry = START + 3650 days + 1;
        _refuse(abi.encodeWithSelector(IMeteredOffers.MeteredOffers_BadExpiry.selector, terms.expiry));
        terms.expiry = START + 1 days + 1;
        _offer(terms);
        terms.expiry = START + 3650 days;
        _offer(terms);
    }

    function test_makeOffer_once() external {
        bytes32 offer = _meteredOffer(asset, terms);
        bytes memory exists = abi.encodeWithSelector(IMeteredOffers.MeteredOffers_Exists.selector, offer);
        _refuse(exists);
        _closeOffer(seller);
        _refuse(exists);
    }

    function test_makeOffer_refusesDirtyBits() external {
        terms.salt = 2;
        bytes memory data = abi.encodeCall(channels.makeOffer, (model.version, terms));
        // The payee is the first word of the terms, behind the eight of the version.
        data[4 + 8 * 32] = 0x01;
        vm.prank(seller);
        (bool success,) = address(channels).call(data);
        assertFalse(success, "dirty");
    }

    function test_closeOffer_endsItAndChannelsGoOn() external {
        _openChannel(terms, 1, 1 ether);
        vm.recordLogs();
        _closeOffer(seller);
        _requireLog(IMeteredOffers.MeteredOfferClosed.selector, _meteredOffer(asset, terms), seller, "");
        (,,, bool closed) = channels.offers(_meteredOffer(asset, terms));
        assertTrue(closed, "closed");
        _refuseOpen();
        _topUp(1, 1 ether);
        assertEq(_claim(terms, _voucher(terms, 1, 5, ROOT)), 5 * PRICE, "goes on");
    }

    function test_closeOffer_refuses() external {
        bytes32 offer = _meteredOffer(asset, terms);
        bytes32 hash = _termsHash(terms);
        vm.expectRevert(
            abi.encodeWithSelector(IMeteredOffers.MeteredOffers_NotAllowed.selector, payee, asset)
        );
        vm.prank(payee);
        channels.closeOffer(asset, hash);
        _closeOffer(seller);
        vm.expectRevert(abi.encodeWithSelector(IMeteredOffers.MeteredOffers_NotOpen.selector, offer));
        vm.prank(seller);
        channels.closeOffer(asset, hash);
        vm.expectPartialRevert(IMeteredOffers.MeteredOffers_NotOpen.selector);
        vm.prank(seller);
        channels.closeOffer(asset, ROOT);
    }

    // --- opening and topping up -------------------------------------------------------------------------

    function test_open_keepsAndLogs() external {
        vm.recordLogs();
        bytes32 channel = _openChannel(terms, 7, 3 ether);
        assertEq(channel, _channel(asset, terms, _parties(7)), "id");
        _requireChannel(channel, 3 ether, 0, 0, IChannels.State.Open);
        assertEq(address(channels).balance, 3 ether, "holding");
        _requireLog(
            IChannels.ChannelOpened.selector,
            channel,
            payer,
            abi.encode(_meteredOffer(asset, terms), signer, 7, 3 ether)
        );
    }

    function test_open_refusesWhatIsNotOpen() external {
        bytes32 hash = keccak256("unknown");
        vm.expectPartialRevert(IMeteredOffers.MeteredOffers_NotOpen.selector);
        vm.prank(payer);
        channels.open(asset, hash, signer, 1, 1);

        // Of another asset: another offer.
        hash = _termsHash(terms);
        vm.expectPartialRevert(IMeteredOffers.MeteredOffers_NotOpen.selector);
        vm.prank(payer);
        channels.open(keccak256("asset"), hash, signer, 1, 1);

        vm.prank(seller);
        assets.transferFrom(seller, stranger, uint256(asset));
        _refuseOpen();
    }

    function test_open_toTheSecond() external {
        vm.warp(terms.expiry - 1);
        _openChannel(terms, 1, 1);
        vm.warp(terms.expiry);
        _refuseOpen();
        vm.warp(terms.expiry + 1);
        _refuseOpen();
    }

    function test_open_once() external {
        bytes32 channel = _openChannel(terms, 1, 1 ether);
        _refuseAgain(channel, IChannels.State.Open);
        _startClosing(1);
        _refuseAgain(channel, IChannels.State.Closing);
        _close(payee, 1);
        _refuseAgain(channel, IChannels.State.Closed);
    }

    function test_open_refusesNoSigner() external {
        bytes32 hash = _termsHash(terms);
        vm.deal(payer, 1);
        vm.expectRevert(IChannels.Channels_NoSigner.selector);
        vm.prank(payer);
        channels.open{value: 1}(asset, hash, address(0), 1, 1);
    }

    function test_open_depositToTheUnit() external {
        uint128 most = channels.MAX_DEPOSIT();
        assertEq(most, 2 ** 104 - 1, "constant");
        bytes32 hash = _termsHash(terms);
        vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_BadDeposit.selector, 0));
        vm.prank(payer);
        channels.open(asset, hash, signer, 1, 0);

        vm.deal(payer, type(uint128).max);
        vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_BadDeposit.selector, most + 1));
        vm.prank(payer);
        channels.open{value: most + 1}(asset, hash, signer, 1, most + 1);

        vm.prank(payer);
        bytes32 channel = channels.open{value: most}(asset, hash, signer, 1, most);
        IChannels.Parties memory p = _parties(1);
        vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_BadDeposit.selector, uint256(most) + 1));
        vm.prank(payer);
        channels.topUp{value: 1}(asset, hash, p, 1);
        _requireChannel(channel, most, 0, 0, IChannels.State.Open);
        // The most that the books can take: all of it.
        assertEq(_claim(terms, _voucher(terms, 1, type(uint128).max, ROOT)), most, "all");
    }

    function test_topUp_addsWhoeverPays() external {
        bytes32 channel = _openChannel(terms, 1, 1 ether);
        vm.deal(stranger, 2 ether);
        bytes32 hash = _termsHash(terms);
        IChannels.Parties memory p = _parties(1);
        vm.recordLogs();
        vm.prank(stranger);
        channels.topUp{value: 2 ether}(asset, hash, p, 2 ether);
        _requireChannel(channel, 3 ether, 0, 0, IChannels.State.Open);
        _requireLog(IChannels.ChannelToppedUp.selector, channel, stranger, abi.encode(2 ether, 3 ether));
    }

    function test_topUp_refuses() external {
        bytes32 hash = _termsHash(terms);
        IChannels.Parties memory p = _parties(1);
        bytes32 channel = _channel(asset, terms, p);
        vm.deal(payer, 9 ether);
        _refuseTopUp(hash, p, _wrong(channel, IChannels.State.None));
        _openChannel(terms, 1, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_BadDeposit.selector, 1 ether));
        vm.prank(payer);
        channels.topUp(asset, hash, p, 0);
        uint256 saved = vm.snapshotState();
        for (uint256 late; late < 2; ++late) {
            vm.warp(terms.expiry + late);
            _refuseTopUp(
                hash,
                p,
                abi.encodeWithSelector(
                    IMeteredOffers.MeteredOffers_NotOpen.selector, _meteredOffer(asset, terms)
                )
            );
        }
        vm.revertToState(saved);
        _startClosing(1);
        _refuseTopUp(hash, p, _wrong(channel, IChannels.State.Closing));
        _close(payee, 1);
        _refuseTopUp(hash, p, _wrong(channel, IChannels.State.Closed));
    }

    // --- claims -----------------------------------------------------------------------------------------

    function test_claim_paysTheNodeAndLogs() external {
        bytes32 channel = _openChannel(terms, 1, 1 ether);
        vm.recordLogs();
        assertEq(_claim(terms, _voucher(terms, 1, 30, ROOT)), 30 * PRICE, "paid");
        _requireChannel(channel, 1 ether, 30 * PRICE, 0, IChannels.State.Open);
        IChannels.Use[] memory uses = new IChannels.Use[](1);
        uses[0] = IChannels.Use(channel, 30 * PRICE, 30, 30, ROOT);
        _requireLog(IChannels.UsageClaimed.selector, _meteredOffer(asset, terms), payee, abi.encode(uses));
        assertEq(treasury.balanceOf(node, address(0)), 30 * PRICE, "node");
        // The next one pays the difference, and says so.
        vm.recordLogs();
        assertEq(_claim(terms, _voucher(terms, 1, 50, ROOT)), 20 * PRICE, "difference");
        uses[0] = IChannels.Use(channel, 20 * PRICE, 50, 50, ROOT);
        _requireLog(IChannels.UsageClaimed.selector, _meteredOffer(asset, terms), payee, abi.encode(uses));
        assertEq(address(channels).balance, 1 ether - 50 * PRICE, "holding");
    }

    function test_claim_upToTheDepositAndMoreAfterATopUp() external {
        bytes32 channel = _openChannel(terms, 1, 10 * PRICE);
        Voucher memory v = _voucher(terms, 1, 15, ROOT);
        vm.recordLogs();
        assertEq(_claim(terms, v), 10 * PRICE, "the deposit");
        IChannels.Use[] memory uses = new IChannels.Use[](1);
        uses[0] = IChannels.Use(channel, 10 * PRICE, 15, 15, ROOT);
        _requireLog(IChannels.UsageClaimed.selector, _meteredOffer(asset, terms), payee, abi.encode(uses));
        assertEq(_claim(terms, v), 0, "no more");
        _topUp(1, 3 * PRICE);
        assertEq(_claim(terms, v), 3 * PRICE, "the same voucher");
        _topUp(1, 100 * PRICE);
        assertEq(_claim(terms, v), 2 * PRICE, "its whole worth");
        _requireChannel(channel, 113 * PRICE, 15 * PRICE, 0, IChannels.State.Open);
    }

    function test_claim_skipsWhatIsNotDue() external {
        _openChannel(terms, 1, 1 ether);
        _openChannel(terms, 2, 1 ether);
        _openChannel(terms, 3, 1 ether);
        _claim(terms, _voucher(terms, 1, 5, ROOT));
        _close(payee, 2);
        bytes memory rows = bytes.concat(
            _packed(_voucher(terms, 1, 5, ROOT)),
            _packed(_voucher(terms, 2, 5, ROOT)),
            _packed(_voucher(terms, 4, 5, ROOT)),
            _packed(_voucher(terms, 1, 4, ROOT))
        );
        // What has nothing to pay is not even looked at: its signature may be anything.
        Voucher memory unsigned = _voucher(terms, 1, 5, ROOT);
        unsigned.r = 0;
        rows = bytes.concat(rows, _packed(unsigned));
        bytes32 head = channels.head(asset);
        vm.recordLogs();
        assertEq(_claimPacked(terms, rows), 0, "nothing");
        assertEq(vm.getRecordedLogs().length, 0, "no payment either");
        assertEq(channels.head(asset), head, "no entry");
        vm.recordLogs();
        rows = bytes.concat(rows, _packed(_voucher(terms, 3, 6, ROOT)), rows);
        assertEq(_claimPacked(terms, rows), 6 * PRICE, "the one that is due");
        IChannels.Use[] memory uses = new IChannels.Use[](1);
        uses[0] = IChannels.Use(_channel(asset, terms, _parties(3)), 6 * PRICE, 6, 6, ROOT);
        _requireLog(IChannels.UsageClaimed.selector, _meteredOffer(asset, terms), payee, abi.encode(uses));
    }

    /// @dev The entry of many rows, to the byte; among them one that pays nothing.
    function test_claim_entersEachRow() external {
        IChannels.Use[] memory uses = new IChannels.Use[](12);
        bytes memory rows = _packed(_voucher(terms, 99, 1, ROOT));
        for (uint64 i; i < 12; ++i) {
            bytes32 channel = _openChannel(terms, i, 1 ether);
            uint128 units = 5 + i;
            bytes32 root = keccak256(abi.encode("root", i));
            uses[i] = IChannels.Use(channel, units * PRICE, units, uint64(units), root);
            rows = bytes.concat(rows, _packed(_voucher(terms, i, units, root)));
        }
        vm.recordLogs();
        assertEq(_claimPacked(terms, rows), 126 * PRICE, "paid");
        _requireLog(IChannels.UsageClaimed.selector, _meteredOffer(asset, terms), payee, abi.encode(uses));
    }

    /// @dev Whatever lies behind the rows in the call data is not one of them: here, a voucher that would pay.
    function test_claim_readsNothingBehindTheRows() external {
        _openChannel(terms, 1, 1 ether);
        _openChannel(terms, 2, 1 ether);
        bytes memory data = abi.encodeCall(
            channels.claim,
            (_claims(
                    terms,
                    bytes.concat(_packed(_voucher(terms, 1, 5, ROOT)), _packed(_voucher(terms, 2, 6, ROOT)))
                ))
        );
        // The length of the rows: behind selector, three offsets of the array, asset, terms, and the offset of the rows.
        uint256 place = 4 + 32 * (3 + 1 + 11 + 1);
        assertEq(uint8(data[place + 30]), 1, "336 is 0x0150");
        assertEq(uint8(data[place + 31]), 0x50, "336 is 0x0150");
        (data[place + 30], data[place + 31]) = (0, 0xa8);
        vm.prank(payee);
        (bool success, bytes memory answer) = address(channels).call(data);
        assertTrue(success, "claimed");
        assertEq(abi.decode(answer, (uint256[]))[0], 5 * PRICE, "the first alone");
        _requireChannel(_channel(asset, terms, _parties(2)), 1 ether, 0, 0, IChannels.State.Open);
    }

    /// @dev U2: permutations of vouchers, stale ones and repetitions among them.
    function testFuzz_claim_U2_anyOrderPaysTheBestOnce(uint256 seed, uint64[6] calldata units, uint96 deposit)
        external
    {
        uint128 amount = uint128(bound(deposit, 1, type(uint96).max));
        _openChannel(terms, 1, amount);
        uint256 best;
        uint256 paid;
        for (uint256 i; i < 12; ++i) {
            uint128 u = units[uint256(keccak256(abi.encode(seed, i))) % 6];
            if (u > best) best = u;
            paid += _claim(terms, _voucher(terms, 1, u, ROOT));
            assertEq(paid, _least(best * PRICE, amount), "U2");
        }
        assertEq(treasury.balanceOf(node, address(0)), paid, "node");
        _close(payee, 1);
        assertEq(treasury.balanceOf(_word(payer), address(0)), amount - paid, "U3");
        assertEq(address(channels).balance, 0, "U1");
    }

    /// @dev C3: a signature made for one cell counts in no other.
    function test_claim_refusesReplay() external {
        bytes32 channel = _openChannel(terms, 1, 1 ether);
        Voucher memory v = _voucher(terms, 1, 5, ROOT);
        bytes32 inner = _voucherStruct(channel, 5 * PRICE, v);
        address self = address(channels);
        bytes32[6] memory digests = [
            _joined(_domain(block.chainid + 1, self, "1"), inner),
            _joined(_domain(block.chainid, address(market), "1"), inner),
            _joined(_domain(block.chainid, self, "2"), inner),
            _joined(_domain(block.chainid, self, "1"), _voucherStruct(keccak256("channel"), 5 * PRICE, v)),
            _joined(_domain(block.chainid, self, "1"), _voucherStruct(channel, 5 * PRICE + 1, v)),
            // Under the type of a receipt, of as many words.
            _joined(
                _domain(block.chainid, self, "1"),
                keccak256(
                    abi.encode(
                        keccak256(
                            "Receipt(bytes32 channel,uint64 sequence,bytes32 version,uint64 units,bytes32 request,bytes32 response)"
                        ),
                        channel,
                        5 * PRICE,
                        v.units,
                        v.sequence,
                        v.receiptsRoot
                    )
                )
            )
        ];
        for (uint256 i; i < digests.length; ++i) {
            (v.r, v.vs) = vm.signCompact(signerKey, digests[i]);
            _refuseVoucher(v);
        }
        // What was signed for the cell itself counts.
        (v.r, v.vs) = vm.signCompact(signerKey, _joined(_domain(block.chainid, self, "1"), inner));
        assertEq(_claim(terms, v), 5 * PRICE, "its own");
    }

    /// @dev The same address on another chain: ids and domain follow the chain id.
    function test_claim_refusesAfterAFork() external {
        _openChannel(terms, 1, 1 ether);
        Voucher memory v = _voucher(terms, 1, 5, ROOT);
        vm.chainId(block.chainid + 1);
        assertEq(_claim(terms, v), 0, "there is no such channel");
        // Even of the same id: opened on the fork, and signed before it.
        _openChannel(terms, 1, 1 ether);
        _refuseVoucher(v);
        assertEq(_claim(terms, _voucher(terms, 1, 5, ROOT)), 5 * PRICE, "signed anew");
    }

    function test_claim_refusesAVoucherOfAnotherChannelOrOffer() external {
        _openChannel(terms, 1, 1 ether);
        _openChannel(terms, 2, 1 ether);
        Voucher memory v = _voucher(terms, 1, 5, ROOT);
        v.parties.nonce = 2;
        _refuseVoucher(v);
        IMeteredOffers.MeteredTerms memory other = _metered(address(0));
        other.salt = 99;
        _offer(other);
        _openChannel(other, 1, 1 ether);
        v = _voucher(terms, 1, 5, ROOT);
        IChannels.Claim[] memory claims = _claims(other, _packed(v));
        vm.expectRevert(
            abi.encodeWithSelector(IChannels.Channels_BadVoucher.selector, _channel(asset, other, v.parties))
        );
        vm.prank(payee);
        channels.claim(claims);
    }

    function test_claim_refusesChangedFields() external {
        _openChannel(terms, 1, 1 ether);
        for (uint256 i; i < 3; ++i) {
            Voucher memory v = _voucher(terms, 1, 5, ROOT);
            if (i == 0) ++v.units;
            if (i == 1) ++v.sequence;
            if (i == 2) v.receiptsRoot = 0;
            _refuseVoucher(v);
        }
    }

    /// @dev C4: every other form of a good signature.
    function test_claim_refusesMalleableSignatures() external {
        bytes32 channel = _openChannel(terms, 1, 1 ether);
        Voucher memory v = _voucher(terms, 1, 5, ROOT);
        (uint8 sv, bytes32 r, bytes32 s) = vm.sign(signerKey, _voucherDigest(channel, 5 * PRICE, v));
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        uint256 high = order - uint256(s);
        bytes32 parity = bytes32(uint256(sv - 27) << 255);
        bytes32 other = parity ^ bytes32(uint256(1) << 255);
        bytes32[2][7] memory forms = [
            [r, bytes32(high & (type(uint256).max >> 1)) | other],
            [r, bytes32(high & (type(uint256).max >> 1)) | parity],
            [r, s | other],
            [bytes32(0), s | parity],
            [r, parity],
            [bytes32(0), bytes32(0)],
            [bytes32(order), s | parity]
        ];
        for (uint256 i; i < forms.length; ++i) {
            (v.r, v.vs) = (forms[i][0], forms[i][1]);
            _refuseVoucher(v);
        }
        (v.r, v.vs) = (r, s | parity);
        assertEq(_claim(terms, v), 5 * PRICE, "the good one");
    }

    function testFuzz_claim_onlyTheSignerCounts(uint256 key) external {
        key = bound(key, 1, type(uint128).max);
        vm.assume(key != signerKey);
        bytes32 channel = _openChannel(terms, 1, 1 ether);
        Voucher memory v = _voucher(terms, 1, 5, ROOT);
        (v.r, v.vs) = vm.signCompact(key, _voucherDigest(channel, 5 * PRICE, v));
        _refuseVoucher(v);
    }

    function test_claim_refusesOthersThanThePayee() external {
        _openChannel(terms, 1, 1 ether);
        IChannels.Claim[] memory claims = _claims(terms, _packed(_voucher(terms, 1, 5, ROOT)));
        address[3] memory others = [payer, seller, signer];
        for (uint256 i; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_NotPayee.selector, others[i], payee));
            vm.prank(others[i]);
            channels.claim(claims);
        }
    }

    /// @dev A second group of another payee is refused, however good the first.
    function test_claim_asksEachGroupsPayee() external {
        _openChannel(terms, 1, 1 ether);
        IMeteredOffers.MeteredTerms memory other = _metered(address(0));
        other.payee = stranger;
        _offer(other);
        IChannels.Claim[] memory claims = new IChannels.Claim[](2);
        claims[0] = _claims(terms, _packed(_voucher(terms, 1, 5, ROOT)))[0];
        claims[1] = _claims(other, "")[0];
        vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_NotPayee.selector, payee, stranger));
        vm.prank(payee);
        channels.claim(claims);
    }

    function testFuzz_claim_refusesABrokenRow(uint256 length) external {
        _openChannel(terms, 1, 1 ether);
        bytes memory rows =
            bytes.concat(_packed(_voucher(terms, 1, 5, ROOT)), _packed(_voucher(terms, 1, 6, ROOT)));
        length = bound(length, 0, rows.length);
        assembly ("memory-safe") {
            mstore(rows, length)
        }
        if (length % 168 == 0) {
            assertEq(_claimPacked(terms, rows), length / 168 == 0 ? 0 : (4 + length / 168) * PRICE, "whole");
            return;
        }
        IChannels.Claim[] memory claims = _claims(terms, rows);
        vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_BadLength.selector, length));
        vm.prank(payee);
        channels.claim(claims);
    }

    function test_claim_severalAssetsAndCurrencies() external {
        // Another asset of another node, paid in a token; the payee is the same.
        bytes32 node2 = bytes32(uint256(keccak256("node2")) | NODE_BIT);
        Model memory second = _register(seller, "second", 2, node2);
        IMeteredOffers.MeteredTerms memory t = _metered(address(coin));
        (t.version, t.node, t.price) = (second.id, node2, 3);
        vm.prank(seller);
        channels.makeOffer(second.version, t);

        _openChannel(terms, 1, 1 ether);
        _openChannel(terms, 2, 1 ether);
        IChannels.Claim[] memory claims = new IChannels.Claim[](2);
        claims[0] = _claims(
            terms, bytes.concat(_packed(_voucher(terms, 1, 5, ROOT)), _packed(_voucher(terms, 2, 7, ROOT)))
        )[0];
        bytes32 first = asset;
        asset = second.version.asset;
        _openChannel(t, 1, 1000);
        claims[1] = _claims(t, _packed(_voucher(t, 1, 100, ROOT)))[0];

        vm.recordLogs();
        vm.prank(payee);
        uint256[] memory paid = channels.claim(claims);
        assertEq(paid.length, 2, "groups");
        assertEq(paid[0], 12 * PRICE, "first");
        assertEq(paid[1], 300, "second");
        assertEq(treasury.balanceOf(node, address(0)), 12 * PRICE, "first node");
        assertEq(treasury.balanceOf(node2, address(coin)), 300, "second node");
        assertEq(coin.balanceOf(address(channels)), 700, "the rest");
        assertNotEq(channels.head(first), 0, "head of the first");
        assertNotEq(channels.head(asset), 0, "head of the second");
        // One entry and one payment for each group.
        uint256 entries;
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == IChannels.UsageClaimed.selector) ++entries;
        }
        assertEq(entries, 2, "entries");
    }

    /// @dev Not one row takes fresh memory, so a row of a large batch costs no more than one of a small one.
    function test_claim_gasOfABatchIsLinear() external {
        for (uint64 i; i < 300; ++i) {
            _openChannel(terms, i, 1 ether);
        }
        bytes memory hundred;
        bytes memory all;
        for (uint64 i; i < 300; ++i) {
            all = bytes.concat(all, _packed(_voucher(terms, i, 5, ROOT)));
            if (i == 99) hundred = all;
        }
        uint256 saved = vm.snapshotState();
        uint256 small = _gasOf(hundred);
        vm.revertToState(saved);
        // A batch of nothing: what is there but for the rows.
        uint256 fixed_ = _gasOf("");
        vm.revertToState(saved);
        uint256 large = _gasOf(all);
        assertLt((large - fixed_) * 100, (small - fixed_) * 306, "2 % at most");
    }

    function _gasOf(bytes memory rows) private returns (uint256) {
        IChannels.Claim[] memory claims = _claims(terms, rows);
        vm.prank(payee);
        channels.claim(claims);
        return vm.lastCallGas().gasTotalUsed;
    }

    // --- closing ----------------------------------------------------------------------------------------

    function test_startClosing_setsTheEnd() external {
        bytes32 channel = _openChannel(terms, 1, 1 ether);
        vm.recordLogs();
        _startClosing(1);
        _requireChannel(channel, 1 ether, 0, START + 1 days, IChannels.State.Closing);
        _requireLog(IChannels.ChannelClosing.selector, channel, payer, abi.encode(START + 1 days));
    }

    function test_startClosing_refuses() external {
        bytes32 channel = _openChannel(terms, 1, 1 ether);
        // Anybody else names a channel of his own, that is not there.
        vm.expectPartialRevert(IChannels.Channels_WrongState.selector);
        vm.prank(stranger);
        channels.startClosing(asset, terms, signer, 1);
        _startClosing(1);
        vm.expectRevert(_wrong(channel, IChannels.State.Closing));
        _startClosing(1);
        _close(payee, 1);
        vm.expectRevert(_wrong(channel, IChannels.State.Closed));
        _startClosing(1);
    }

    function test_close_byThePayeeAtOnce() external {
        bytes32 channel = _openChannel(terms, 1, 1 ether);
        _claim(terms, _voucher(terms, 1, 5, ROOT));
        vm.recordLogs();
        _close(payee, 1);
        uint256 rest = 1 ether - 5 * PRICE;
        _requireChannel(channel, 1 ether, 5 * PRICE, 0, IChannels.State.Closed);
        _requireLog(IChannels.ChannelClosed.selector, channel, payee, abi.encode(payer, rest));
        assertEq(treasury.balanceOf(_word(payer), address(0)), rest, "refund");
        assertEq(address(channels).balance, 0, "nothing left");
        assertEq(_claim(terms, _voucher(terms, 1, 50, ROOT)), 0, "no claim any more");
    }

    /// @dev Nothing is left: closing pays nothing, in a token too.
    function test_close_withNothingLeft() external {
        IMeteredOffers.MeteredTerms memory t = _metered(address(coin));
        _offer(t);
        _openChannel(t, 1, 5 * PRICE);
        _claim(t, _voucher(t, 1, 5, ROOT));
        vm.recordLogs();
        vm.prank(payee);
        channels.close(asset, t, _parties(1));
        assertEq(vm.getRecordedLogs().length, 1, "no payment");
        assertEq(treasury.balanceOf(_word(payer), address(coin)), 0, "nothing");
    }

    function test_close_refuses() external {
        IChannels.Parties memory p = _parties(1);
        bytes32 channel = _channel(asset, terms, p);
        vm.expectRevert(_wrong(channel, IChannels.State.None));
        _close(payee, 1);
        _openChannel(terms, 1, 1 ether);
        address[4] memory others = [payer, seller, signer, stranger];
        for (uint256 i; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_TooEarly.selector, terms.expiry));
            _close(others[i], 1);
        }
        _close(payee, 1);
        vm.expectRevert(_wrong(channel, IChannels.State.Closed));
        _close(payee, 1);
    }

    /// @dev U5, C14: the end of the window to the second, the payee having been down until then.
    function test_end_ofTheWindowToTheSecond() external {
        _openChannel(terms, 1, 1 ether);
        _startClosing(1);
        _requireEnd(START + 1 days);
    }

    function test_end_ofTheOfferToTheSecond() external {
        _openChannel(terms, 1, 1 ether);
        _requireEnd(terms.expiry);
    }

    /// @dev The payer begins to close when less than a window is left: the offer's expiry stays the end.
    function test_end_isTheEarlierOfBoth() external {
        _openChannel(terms, 1, 1 ether);
        vm.warp(terms.expiry - 1 hours);
        _startClosing(1);
        _requireEnd(terms.expiry);
    }

    function test_end_isNotMovedByOthers() external {
        _openChannel(terms, 1, 1 ether);
        _startClosing(1);
        vm.warp(START + 12 hours);
        _claim(terms, _voucher(terms, 1, 1, ROOT));
        _closeOffer(seller);
        vm.prank(seller);
        assets.transferFrom(seller, stranger, uint256(asset));
        _requireEnd(START + 1 days);
    }

    function _requireEnd(uint40 end) private {
        uint256 saved = vm.snapshotState();
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_TooEarly.selector, end));
        _close(payer, 1);
        assertGt(_claim(terms, _voucher(terms, 1, 9, ROOT)), 0, "at the end");
        vm.revertToState(saved);

        vm.warp(end + 1);
        assertEq(_claim(terms, _voucher(terms, 1, 9, ROOT)), 0, "a second later");
        uint256 before = treasury.balanceOf(_word(payer), address(0));
        (uint256 deposit, uint256 claimed,,) = channels.channels(_channel(asset, terms, _parties(1)));
        _close(stranger, 1);
        assertEq(treasury.balanceOf(_word(payer), address(0)), before + deposit - claimed, "the payer's");
    }

    // --- names ------------------------------------------------------------------------------------------

    function test_domain() external view {
        (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address self,
            bytes32 salt,
            uint256[] memory extensions
        ) = channels.eip712Domain();
        assertEq(bytes32(fields), bytes32(bytes1(0x0f)), "fields");
        assertEq(name, "Steelyard Channels", "name");
        assertEq(version, "1", "version");
        assertEq(chainId, block.chainid, "chain");
        assertEq(self, address(channels), "contract");
        assertEq(salt, 0, "salt");
        assertEq(extensions.length, 0, "extensions");
    }

    function test_constants() external view {
        assertEq(channels.MIN_WINDOW(), 1 days, "MIN_WINDOW");
        assertEq(channels.MAX_WINDOW(), 30 days, "MAX_WINDOW");
        assertEq(channels.MAX_LIFE(), 3650 days, "MAX_LIFE");
        assertEq(address(channels.assets()), address(assets), "assets");
        assertEq(address(channels.treasury()), address(treasury), "treasury");
    }

    /// @dev Every channel id has its own fields: one changed, and it is another.
    function testFuzz_channelOf(address p, address s, uint64 n, bytes32 offer) external view {
        bytes32 id = channels.channelOf(offer, IChannels.Parties(p, s, n));
        assertEq(id, keccak256(abi.encode(block.chainid, address(channels), offer, p, s, n)), "as documented");
    }

    // --- helpers ----------------------------------------------------------------------------------------

    function _least(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    function _joined(bytes32 domain, bytes32 inner) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain, inner));
    }

    function _wrong(bytes32 channel, IChannels.State state) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IChannels.Channels_WrongState.selector, channel, state);
    }

    function _refuse(bytes memory reason) private {
        vm.expectRevert(reason);
        _offer(terms);
    }

    function _refuseOpen() private {
        bytes32 hash = _termsHash(terms);
        vm.deal(payer, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IMeteredOffers.MeteredOffers_NotOpen.selector, _meteredOffer(asset, terms))
        );
        vm.prank(payer);
        channels.open{value: 1}(asset, hash, signer, 1_000, 1);
    }

    function _refuseAgain(bytes32 channel, IChannels.State state) private {
        bytes32 hash = _termsHash(terms);
        vm.deal(payer, 1);
        vm.expectRevert(_wrong(channel, state));
        vm.prank(payer);
        channels.open{value: 1}(asset, hash, signer, 1, 1);
    }

    function _refuseTopUp(bytes32 hash, IChannels.Parties memory p, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(payer);
        channels.topUp{value: 1}(asset, hash, p, 1);
    }

    function _refuseVoucher(Voucher memory v) private {
        bytes32 channel = _channel(asset, terms, v.parties);
        IChannels.Claim[] memory claims = _claims(terms, _packed(v));
        vm.expectRevert(abi.encodeWithSelector(IChannels.Channels_BadVoucher.selector, channel));
        vm.prank(payee);
        channels.claim(claims);
    }

    function _closeOffer(address who) private {
        bytes32 hash = _termsHash(terms);
        vm.prank(who);
        channels.closeOffer(asset, hash);
    }

    function _topUp(uint64 nonce, uint128 amount) private {
        bytes32 hash = _termsHash(terms);
        IChannels.Parties memory p = _parties(nonce);
        vm.deal(payer, amount);
        vm.prank(payer);
        channels.topUp{value: amount}(asset, hash, p, amount);
    }

    function _startClosing(uint64 nonce) private {
        vm.prank(payer);
        channels.startClosing(asset, terms, signer, nonce);
    }

    function _close(address who, uint64 nonce) private {
        vm.prank(who);
        channels.close(asset, terms, _parties(nonce));
    }

    function _requireChannel(
        bytes32 channel,
        uint256 deposit,
        uint256 claimed,
        uint256 closesAt,
        IChannels.State state
    ) private view {
        (uint104 d, uint104 c, uint40 at_, IChannels.State s) = channels.channels(channel);
        assertEq(d, deposit, "deposit");
        assertEq(c, claimed, "claimed");
        assertEq(at_, closesAt, "closesAt");
        assertEq(uint256(s), uint256(state), "state");
    }

    /// @dev Of what was recorded, the contract logged this entry alone, and folded it into the asset's head.
    function _requireLog(bytes32 topic, bytes32 id, address actor, bytes memory data) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 found;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(channels)) continue;
            ++found;
            assertEq(logs[i].topics[0], topic, "event");
            assertEq(logs[i].topics[1], asset, "subject");
            assertEq(logs[i].topics[2], id, "id");
            assertEq(logs[i].topics[3], _word(actor), "actor");
            assertEq(logs[i].data, data, "data");
        }
        assertEq(found, 1, "entries");
    }
}
