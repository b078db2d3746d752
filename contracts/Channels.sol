// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Escrow} from "./Escrow.sol";
import {IAssets} from "./interfaces/IAssets.sol";
import {IChannels} from "./interfaces/IChannels.sol";
import {ITreasury} from "./interfaces/ITreasury.sol";
import {MeteredOffers} from "./metering/MeteredOffers.sol";
import {Receipts} from "./metering/Receipts.sol";
import {Signed} from "./metering/Signed.sol";
import {Vouchers} from "./metering/Vouchers.sol";
import {Permit} from "./types/Permit.sol";

/// @title Channels
/// @notice See IChannels and IMeteredOffers. Deposits for metered use, claimed by vouchers; a contract beside the market.
/// @dev No privilege, no pause, no upgrade.
contract Channels is MeteredOffers, Escrow, IChannels {
    using Vouchers for Vouchers.Row;

    struct Channel {
        uint104 deposit;
        uint104 claimed;
        uint40 closesAt;
        State state;
    }

    uint104 public constant override MAX_DEPOSIT = type(uint104).max;

    /// @inheritdoc IChannels
    mapping(bytes32 channel => Channel) public override channels;

    /// @param assets_ Where owners, versions and roles are recorded.
    /// @param treasury_ The books.
    constructor(IAssets assets_, ITreasury treasury_) MeteredOffers(assets_) Escrow(treasury_) {}

    /// @inheritdoc IChannels
    function channelOf(bytes32 offer, Parties calldata parties) external view returns (bytes32) {
        return _channelOf(offer, parties.payer, parties.signer, parties.nonce);
    }

    /// @inheritdoc IChannels
    function voucherDigest(
        bytes32 channel,
        uint256 amount,
        uint128 units,
        uint64 sequence,
        bytes32 receiptsRoot
    ) external view returns (bytes32) {
        return Signed.voucher(Signed.domain(), channel, amount, units, sequence, receiptsRoot);
    }

    /// @inheritdoc IChannels
    function receiptDigest(Receipt calldata receipt) external view returns (bytes32) {
        return Signed.receipt(Signed.domain(), receipt);
    }

    /// @inheritdoc IChannels
    function proves(bytes32 root, Receipt calldata receipt, uint64 count, bytes32[] calldata path)
        external
        view
        returns (bool)
    {
        return Receipts.proves(root, Signed.receipt(Signed.domain(), receipt), receipt.sequence, count, path);
    }

    /// @inheritdoc IChannels
    function eip712Domain()
        external
        view
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory)
    {
        return (0x0f, Signed.NAME, Signed.VERSION, block.chainid, address(this), 0, new uint256[](0));
    }

    /// @inheritdoc IChannels
    function open(bytes32 asset, bytes32 termsHash, address signer, uint64 nonce, uint128 amount)
        external
        payable
        nonReentrant
        returns (bytes32 channel)
    {
        return _open(asset, _offerOf(asset, termsHash), signer, nonce, amount);
    }

    /// @inheritdoc IChannels
    function openWithPermit(
        bytes32 asset,
        bytes32 termsHash,
        address signer,
        uint64 nonce,
        uint128 amount,
        Permit calldata permit
    ) external payable nonReentrant returns (bytes32 channel) {
        bytes32 offer = _offerOf(asset, termsHash);
        _permit(offers[offer].currency, permit);
        return _open(asset, offer, signer, nonce, amount);
    }

    /// @inheritdoc IChannels
    function topUp(bytes32 asset, bytes32 termsHash, Parties calldata parties, uint128 amount)
        external
        payable
        nonReentrant
    {
        _topUp(asset, _offerOf(asset, termsHash), parties, amount);
    }

    /// @inheritdoc IChannels
    function topUpWithPermit(
        bytes32 asset,
        bytes32 termsHash,
        Parties calldata parties,
        uint128 amount,
        Permit calldata permit
    ) external payable nonReentrant {
        bytes32 offer = _offerOf(asset, termsHash);
        _permit(offers[offer].currency, permit);
        _topUp(asset, offer, parties, amount);
    }

    /// @inheritdoc IChannels
    function claim(Claim[] calldata claims) external nonReentrant returns (uint256[] memory paid) {
        paid = new uint256[](claims.length);
        for (uint256 i; i < claims.length; ++i) {
            Claim calldata group = claims[i];
            MeteredTerms calldata terms = group.terms;
            // Check: the payee accepted the roots: his sending them is his signature.
            if (msg.sender != terms.payee) revert Channels_NotPayee(msg.sender, terms.payee);

            // Id, check, effect
            paid[i] = _redeemAll(group.asset, terms, group.vouchers);
        }

        // Interaction: after all groups.
        for (uint256 i; i < claims.length; ++i) {
            MeteredTerms calldata terms = claims[i].terms;
            _pay(terms.node, terms.currency, uint128(paid[i]));
        }
    }

    /// @inheritdoc IChannels
    function startClosing(bytes32 asset, MeteredTerms calldata terms, address signer, uint64 nonce) external {
        // Id: only the payer can name his channel.
        bytes32 channel = _channelOf(_offerOf(asset, terms), msg.sender, signer, nonce);

        // Check
        Channel storage stored = channels[channel];
        if (stored.state != State.Open) revert Channels_WrongState(channel, stored.state);

        // Effect
        uint40 closesAt = uint40(block.timestamp) + terms.window;
        stored.closesAt = closesAt;
        stored.state = State.Closing;
        _record(asset, ChannelClosing.selector, channel, abi.encode(closesAt));
    }

    /// @inheritdoc IChannels
    function close(bytes32 asset, MeteredTerms calldata terms, Parties calldata parties)
        external
        nonReentrant
    {
        // Id
        bytes32 channel = _channelOf(_offerOf(asset, terms), parties.payer, parties.signer, parties.nonce);

        // Check: money in it, and the payee gives up his time or has had it.
        Channel storage slot = channels[channel];
        Channel memory stored = slot;
        if (!_isLive(stored.state)) revert Channels_WrongState(channel, stored.state);
        uint256 end = _endOf(stored, terms.expiry);
        if (msg.sender != terms.payee && block.timestamp <= end) revert Channels_TooEarly(end);

        // Effect
        uint128 refunded = stored.deposit - stored.claimed;
        slot.state = State.Closed;
        _record(asset, ChannelClosed.selector, channel, abi.encode(parties.payer, refunded));

        // Interaction
        _pay(_word(parties.payer), terms.currency, refunded);
    }

    function _open(bytes32 asset, bytes32 offer, address signer, uint64 nonce, uint128 amount)
        private
        returns (bytes32 channel)
    {
        // Id
        channel = _channelOf(offer, msg.sender, signer, nonce);

        // Check: never opened before, by a key that can sign, under an open offer.
        Channel storage stored = channels[channel];
        if (stored.state != State.None) revert Channels_WrongState(channel, stored.state);
        if (signer == address(0)) revert Channels_NoSigner();
        address currency = _requireOpen(asset, offer);

        // Effect
        stored.deposit = _deposit(0, amount);
        stored.state = State.Open;
        _record(asset, ChannelOpened.selector, channel, abi.encode(offer, signer, nonce, amount));

        // Interaction
        _take(currency, amount);
    }

    function _topUp(bytes32 asset, bytes32 offer, Parties calldata parties, uint128 amount) private {
        // Id
        bytes32 channel = _channelOf(offer, parties.payer, parties.signer, parties.nonce);

        // Check: open, and not for nothing. That its offer was closed meanwhile does not matter.
        Channel storage stored = channels[channel];
        if (stored.state != State.Open) revert Channels_WrongState(channel, stored.state);
        MeteredOffer memory terms = offers[offer];
        if (block.timestamp >= terms.expiry) revert MeteredOffers_NotOpen(offer);

        // Effect
        uint104 deposit = _deposit(stored.deposit, amount);
        stored.deposit = deposit;
        _record(asset, ChannelToppedUp.selector, channel, abi.encode(amount, deposit));

        // Interaction
        _take(terms.currency, amount);
    }

    /// @dev What the vouchers of a group are newly worth.
    function _redeemAll(bytes32 asset, MeteredTerms calldata terms, bytes calldata vouchers)
        private
        returns (uint128 sum)
    {
        if (vouchers.length % Vouchers.SIZE != 0) revert Channels_BadLength(vouchers.length);
        Vouchers.Row memory row = Vouchers.blank(_offerOf(asset, terms), terms.price, terms.expiry);
        bytes memory entries = Vouchers.entries(vouchers.length / Vouchers.SIZE);
        uint256 count;
        for (uint256 start; start < vouchers.length; start += Vouchers.SIZE) {
            row.read(vouchers, start);
            uint128 due = _redeem(row);
            if (due == 0) continue;
            row.amount = due;
            row.enter(entries, count++);
            sum += due;
        }
        if (count == 0) return 0;
        Vouchers.finish(entries, count);
        _record(asset, UsageClaimed.selector, row.offer, entries);
    }

    /// @dev What one voucher is newly worth. That the offer exists, and says what the terms say, follows from the channel's id.
    function _redeem(Vouchers.Row memory row) private returns (uint128 due) {
        // Check: something is due still, or the row is skipped: it was right once, and must not cost the others.
        Channel storage slot = channels[row.channel];
        Channel memory stored = slot;
        if (!_isLive(stored.state) || block.timestamp > _endOf(stored, row.expiry)) return 0;
        row.amount = row.price * row.units;
        uint256 covered = row.amount < stored.deposit ? row.amount : stored.deposit;
        if (covered <= stored.claimed) return 0;
        // Check: co-signed.
        if (!row.isSigned()) revert Channels_BadVoucher(row.channel);

        // Effect
        slot.claimed = uint104(covered);
        return uint128(covered - stored.claimed);
    }

    /// @dev keccak256(abi.encode(chainid, this contract, offer, payer, signer, nonce)), in scratch memory.
    function _channelOf(bytes32 offer, address payer, address signer, uint256 nonce)
        private
        view
        returns (bytes32 channel)
    {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, chainid())
            mstore(add(free, 0x20), address())
            mstore(add(free, 0x40), offer)
            mstore(add(free, 0x60), payer)
            mstore(add(free, 0x80), signer)
            mstore(add(free, 0xa0), nonce)
            channel := keccak256(free, 0xc0)
        }
    }

    function _deposit(uint256 before, uint128 amount) private pure returns (uint104) {
        uint256 deposit = before + amount;
        if (amount == 0 || deposit > MAX_DEPOSIT) revert Channels_BadDeposit(deposit);
        return uint104(deposit);
    }

    /// @dev The last moment of a claim.
    function _endOf(Channel memory stored, uint256 expiry) private pure returns (uint256) {
        return stored.state == State.Closing && stored.closesAt < expiry ? stored.closesAt : expiry;
    }

    function _isLive(State state) private pure returns (bool) {
        return state == State.Open || state == State.Closing;
    }
}
