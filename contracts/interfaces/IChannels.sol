// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Permit} from "../types/Permit.sol";
import {IMeteredOffers} from "./IMeteredOffers.sol";

/// @title Channels
/// @notice Deposits for metered use: opened by a payer, spent by what his signer co-signs, claimed by the payee for the version's
/// revenue node. What is signed and how receipts are hashed is in docs/metering.md.
/// @dev Ids are hashes known before inclusion, and never reused:
///   channel = keccak256(abi.encode(chainid, this contract, offer, payer, signer, nonce)).
/// In every currency the contract's own holding is at least the sum of (deposit - claimed) over channels that are not closed, and
/// equal to it if nobody sent it money unasked.
interface IChannels {
    /// @notice Where a channel stands. None -> Open -> Closing -> Closed, or Open -> Closed.
    enum State {
        None,
        Open,
        Closing,
        Closed
    }

    /// @notice What tells a channel from others under its offer.
    struct Parties {
        // who opened it, and gets what is left
        address payer;
        // key whose vouchers count
        address signer;
        // chosen by the payer
        uint64 nonce;
    }

    /// @notice Vouchers of channels under one offer.
    struct Claim {
        bytes32 asset;
        IMeteredOffers.MeteredTerms terms;
        // packed, 168 bytes each: payer 20, signer 20, nonce 8, units 16, sequence 8, receiptsRoot 32, r 32, vs 32 (ERC-2098); the amount
        // is not sent: it is price * units
        bytes vouchers;
    }

    /// @notice What a claim paid for in one channel.
    struct Use {
        bytes32 channel;
        // paid by this claim, smallest units
        uint128 amount;
        // units co-signed in all
        uint128 units;
        // receipts co-signed in all
        uint64 sequence;
        // root of their tree
        bytes32 receiptsRoot;
    }

    /// @notice What the payee signs with each answer.
    struct Receipt {
        bytes32 channel;
        // from 1, without a gap
        uint64 sequence;
        bytes32 version;
        // of this call
        uint64 units;
        // SHA-256 of the bodies
        bytes32 request;
        bytes32 response;
    }

    /// @notice A channel was opened. A trail event of the asset.
    /// @param asset The asset.
    /// @param channel Its id.
    /// @param actor The payer.
    /// @param offer The offer.
    /// @param signer Key whose vouchers count.
    /// @param nonce In the id.
    /// @param deposit Smallest units of the offer's currency.
    event ChannelOpened(
        bytes32 indexed asset,
        bytes32 indexed channel,
        address indexed actor,
        bytes32 offer,
        address signer,
        uint64 nonce,
        uint128 deposit
    );

    /// @notice A channel's deposit grew. A trail event of the asset.
    /// @param asset The asset.
    /// @param channel Its id.
    /// @param actor Who paid.
    /// @param amount What was added, smallest units.
    /// @param deposit What it is in all now, smallest units.
    event ChannelToppedUp(
        bytes32 indexed asset, bytes32 indexed channel, address indexed actor, uint128 amount, uint128 deposit
    );

    /// @notice Metered use was paid: income of the version's node, the sum of the amounts. A trail event of the asset.
    /// @param asset The asset.
    /// @param offer The offer.
    /// @param actor The payee, whose sending it is his signature under the roots.
    /// @param uses What was paid for, a row for each channel.
    event UsageClaimed(bytes32 indexed asset, bytes32 indexed offer, address indexed actor, Use[] uses);

    /// @notice The payer began to close. A trail event of the asset.
    /// @param asset The asset.
    /// @param channel Its id.
    /// @param actor The payer.
    /// @param closesAt Unix seconds: last moment of a claim, unless the offer expires before.
    event ChannelClosing(
        bytes32 indexed asset, bytes32 indexed channel, address indexed actor, uint40 closesAt
    );

    /// @notice A channel is closed, for ever. A trail event of the asset.
    /// @param asset The asset.
    /// @param channel Its id.
    /// @param actor The payee, or anybody after the end.
    /// @param payer Whose account in the treasury got what was left.
    /// @param refunded What was left, smallest units.
    event ChannelClosed(
        bytes32 indexed asset, bytes32 indexed channel, address indexed actor, address payer, uint128 refunded
    );

    /// @notice The channel is not in the state that this needs.
    /// @param channel Its id.
    /// @param state Its state.
    error Channels_WrongState(bytes32 channel, State state);

    /// @notice A channel needs a signer.
    error Channels_NoSigner();

    /// @notice The amount is zero, or the deposit would be above `MAX_DEPOSIT`.
    /// @param deposit What it would be, smallest units.
    error Channels_BadDeposit(uint256 deposit);

    /// @notice The time in which the payee may claim has not passed.
    /// @param end Unix seconds: possible after.
    error Channels_TooEarly(uint256 end);

    /// @notice Only the offer's payee may claim.
    /// @param caller Who called.
    /// @param payee In the terms.
    error Channels_NotPayee(address caller, address payee);

    /// @notice The voucher was not signed by the channel's signer, for this chain, contract, channel, amount, units and root.
    /// @param channel Id of the channel.
    error Channels_BadVoucher(bytes32 channel);

    /// @notice The vouchers of a claim are no whole number of rows.
    /// @param length Bytes.
    error Channels_BadLength(uint256 length);

    /// @notice Largest deposit of a channel: 2^104-1 smallest units.
    /// @return most The constant.
    function MAX_DEPOSIT() external view returns (uint104 most);

    /// @notice The id of a channel.
    /// @param offer Id of its offer.
    /// @param parties The rest.
    /// @return channel Its id.
    function channelOf(bytes32 offer, Parties calldata parties) external view returns (bytes32 channel);

    /// @notice What is stored about a channel.
    /// @param channel Its id.
    /// @return deposit All that was paid in, smallest units.
    /// @return claimed What of it went to the node. What is left of a closed channel went to the payer.
    /// @return closesAt Unix seconds: end of the window, once the payer began to close; else zero.
    /// @return state Where it stands.
    function channels(bytes32 channel)
        external
        view
        returns (uint104 deposit, uint104 claimed, uint40 closesAt, State state);

    /// @notice What a signer signs: the EIP-712 digest of a voucher.
    /// @param channel Id of the channel.
    /// @param amount price * units, smallest units.
    /// @param units Units in all.
    /// @param sequence Receipts in all.
    /// @param receiptsRoot Root of their tree.
    /// @return digest 32 bytes.
    function voucherDigest(
        bytes32 channel,
        uint256 amount,
        uint128 units,
        uint64 sequence,
        bytes32 receiptsRoot
    ) external view returns (bytes32 digest);

    /// @notice What a payee signs: the EIP-712 digest of a receipt.
    /// @param receipt The receipt.
    /// @return digest 32 bytes.
    function receiptDigest(Receipt calldata receipt) external view returns (bytes32 digest);

    /// @notice Whether a receipt is under a root of receipts. That the root was co-signed, an entry `UsageClaimed` shows.
    /// @param root The root.
    /// @param receipt The receipt.
    /// @param count Number of receipts under the root.
    /// @param path Siblings from the leaf up.
    /// @return proved True if so.
    function proves(bytes32 root, Receipt calldata receipt, uint64 count, bytes32[] calldata path)
        external
        view
        returns (bool proved);

    /// @notice ERC-5267: the domain of what is signed.
    /// @return fields Which of the following count: 0x0f.
    /// @return name Steelyard Channels.
    /// @return version 1.
    /// @return chainId Of this chain.
    /// @return verifyingContract This contract.
    /// @return salt None.
    /// @return extensions None.
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        );

    /// @notice Opens a channel; the caller is its payer. Native coin: the amount is sent along. ERC-20: this contract has an allowance.
    /// @param asset The asset.
    /// @param termsHash Hash of the terms of an open metered offer.
    /// @param signer Key whose vouchers count, not zero.
    /// @param nonce Tells channels of the same parties apart.
    /// @param amount Deposit, smallest units, above zero.
    /// @return channel Its id.
    function open(bytes32 asset, bytes32 termsHash, address signer, uint64 nonce, uint128 amount)
        external
        payable
        returns (bytes32 channel);

    /// @notice `open` in an ERC-20 with the allowance by signature. A permit that was used already, by whoever, is no obstacle.
    /// @param asset As in `open`.
    /// @param termsHash As in `open`.
    /// @param signer As in `open`.
    /// @param nonce As in `open`.
    /// @param amount As in `open`.
    /// @param permit The payer's permit.
    /// @return channel As in `open`.
    function openWithPermit(
        bytes32 asset,
        bytes32 termsHash,
        address signer,
        uint64 nonce,
        uint128 amount,
        Permit calldata permit
    ) external payable returns (bytes32 channel);

    /// @notice Adds to the deposit of an open channel before its offer expires. Anybody may pay; what is left goes to the payer.
    /// @param asset The asset.
    /// @param termsHash Hash of the terms of its offer.
    /// @param parties The channel.
    /// @param amount Smallest units, above zero.
    function topUp(bytes32 asset, bytes32 termsHash, Parties calldata parties, uint128 amount)
        external
        payable;

    /// @notice `topUp` in an ERC-20 with the allowance by signature, as in `openWithPermit`.
    /// @param asset As in `topUp`.
    /// @param termsHash As in `topUp`.
    /// @param parties As in `topUp`.
    /// @param amount As in `topUp`.
    /// @param permit The caller's permit.
    function topUpWithPermit(
        bytes32 asset,
        bytes32 termsHash,
        Parties calldata parties,
        uint128 amount,
        Permit calldata permit
    ) external payable;

    /// @notice Claims what vouchers are newly worth, for the nodes of their offers. Only the payee of each group. A row is skipped if its
    /// channel is not open any more or nothing new is due; a signature that is not the signer's reverts all.
    /// @param claims Vouchers, a group for each offer.
    /// @return paid What was paid for each group, smallest units of its currency.
    function claim(Claim[] calldata claims) external returns (uint256[] memory paid);

    /// @notice The payer begins to close: the payee may claim for the offer's window still. The caller is the payer.
    /// @param asset The asset.
    /// @param terms The terms of the offer.
    /// @param signer As in `open`.
    /// @param nonce As in `open`.
    function startClosing(
        bytes32 asset,
        IMeteredOffers.MeteredTerms calldata terms,
        address signer,
        uint64 nonce
    ) external;

    /// @notice Closes a channel and gives what is left to the payer's account in the treasury. The payee at any time; anybody after
    /// the end of the window or of the offer.
    /// @param asset The asset.
    /// @param terms The terms of the offer.
    /// @param parties The channel.
    function close(bytes32 asset, IMeteredOffers.MeteredTerms calldata terms, Parties calldata parties)
        external;
}
