// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Channels} from "../../../contracts/Channels.sol";
import {IChannels} from "../../../contracts/interfaces/IChannels.sol";
import {IMeteredOffers} from "../../../contracts/interfaces/IMeteredOffers.sol";
import {Receipts} from "../../../contracts/metering/Receipts.sol";
import {Vouchers} from "../../../contracts/metering/Vouchers.sol";
import {Meter} from "./support/Meter.sol";

/// @title The vectors that contract, gateway and client share
contract MeteringVectorsTest is Meter {
    string private json;
    Channels private placed;

    function setUp() external {
        _start();
        json = vm.readFile("tests/vectors/metering.json");
        // The contract at the address of the vectors.
        address place = vm.parseJsonAddress(json, ".channels[0].contract");
        vm.etch(place, address(channels).code);
        placed = Channels(place);
    }

    function test_channels() external {
        uint256 count;
        for (; vm.keyExistsJson(json, _at("channels", count, "name")); ++count) {
            IMeteredOffers.MeteredTerms memory t = _terms(count);
            IChannels.Parties memory p = IChannels.Parties(
                vm.parseJsonAddress(json, _at("channels", count, "payer")),
                vm.parseJsonAddress(json, _at("channels", count, "signer")),
                uint64(vm.parseJsonUint(json, _at("channels", count, "nonce")))
            );
            vm.chainId(vm.parseJsonUint(json, _at("channels", count, "chainId")));
            (bytes32 offer, bytes32 termsHash) = placed.offerOf(_word32("channels", count, "asset"), t);
            assertEq(termsHash, _word32("channels", count, "termsHash"), "terms");
            assertEq(offer, _word32("channels", count, "offer"), "offer");
            assertEq(placed.channelOf(offer, p), _word32("channels", count, "channel"), "channel");
            assertEq(
                _domain(block.chainid, address(placed), "1"), _word32("channels", count, "domain"), "domain"
            );
        }
        assertGe(count, 4, "rows");
    }

    function test_vouchers() external {
        vm.chainId(vm.parseJsonUint(json, ".channels[0].chainId"));
        uint256 count;
        for (; vm.keyExistsJson(json, _at("vouchers", count, "name")); ++count) {
            bytes32 digest = placed.voucherDigest(
                _word32("vouchers", count, "channel"),
                uint256(_word32("vouchers", count, "amount")),
                uint128(vm.parseJsonUint(json, _at("vouchers", count, "units"))),
                uint64(vm.parseJsonUint(json, _at("vouchers", count, "sequence"))),
                _word32("vouchers", count, "root")
            );
            assertEq(digest, _word32("vouchers", count, "digest"), "digest");
        }
        assertGe(count, 10, "rows");
    }

    function test_receipts() external {
        vm.chainId(vm.parseJsonUint(json, ".channels[0].chainId"));
        uint256 count;
        for (; vm.keyExistsJson(json, _at("receipts", count, "name")); ++count) {
            IChannels.Receipt memory r = IChannels.Receipt(
                _word32("receipts", count, "channel"),
                uint64(vm.parseJsonUint(json, _at("receipts", count, "sequence"))),
                _word32("receipts", count, "version"),
                uint64(vm.parseJsonUint(json, _at("receipts", count, "units"))),
                _word32("receipts", count, "request"),
                _word32("receipts", count, "response")
            );
            assertEq(placed.receiptDigest(r), _word32("receipts", count, "digest"), "digest");
        }
        assertGe(count, 8, "rows");
    }

    function test_proofs() external view {
        uint256 count;
        uint256 good;
        for (; vm.keyExistsJson(json, _at("proofs", count, "name")); ++count) {
            bool proved = this.proves(
                _word32("proofs", count, "root"),
                _word32("proofs", count, "digest"),
                uint64(vm.parseJsonUint(json, _at("proofs", count, "sequence"))),
                uint64(vm.parseJsonUint(json, _at("proofs", count, "count"))),
                _words(vm.parseJsonBytes(json, _at("proofs", count, "path")))
            );
            bool expected = vm.parseJsonBool(json, _at("proofs", count, "good"));
            assertEq(proved, expected, vm.parseJsonString(json, _at("proofs", count, "name")));
            if (expected) ++good;
        }
        assertGe(good, 50, "good ones");
        assertGe(count - good, 11, "bad ones");
    }

    /// @dev A signature on the wire has 65 bytes; on chain it is (r, vs). A form that does not fit in there cannot be sent at all.
    function test_signatures() external view {
        address signer_ = vm.parseJsonAddress(json, ".channels[0].signer");
        uint256 count;
        uint256 sent;
        for (; vm.keyExistsJson(json, _at("signatures", count, "name")); ++count) {
            bytes memory form = vm.parseJsonBytes(json, _at("signatures", count, "signature"));
            if (form.length != 65 || (uint8(form[64]) != 27 && uint8(form[64]) != 28)) continue;
            bytes32[] memory rs = _words(form);
            if (uint256(rs[1]) >> 255 != 0) continue;
            ++sent;
            bytes32 vs = bytes32(uint256(rs[1]) | uint256(uint8(form[64]) - 27) << 255);
            bool good = Vouchers.signs(signer_, _word32("signatures", count, "digest"), rs[0], vs);
            assertEq(good, vm.parseJsonBool(json, _at("signatures", count, "good")), "form");
        }
        assertGe(sent, 5, "forms");
    }

    function proves(bytes32 root, bytes32 digest, uint64 sequence, uint64 count, bytes32[] calldata path)
        external
        pure
        returns (bool)
    {
        return Receipts.proves(root, digest, sequence, count, path);
    }

    function _terms(uint256 i) private view returns (IMeteredOffers.MeteredTerms memory t) {
        t.payee = vm.parseJsonAddress(json, _at("channels", i, "payee"));
        t.currency = vm.parseJsonAddress(json, _at("channels", i, "currency"));
        t.price = uint128(uint256(_word32("channels", i, "price")));
        t.unit = _word32("channels", i, "unit");
        t.version = _word32("channels", i, "version");
        t.node = _word32("channels", i, "node");
        t.window = uint32(vm.parseJsonUint(json, _at("channels", i, "window")));
        t.inFlight = uint16(vm.parseJsonUint(json, _at("channels", i, "inFlight")));
        t.expiry = uint40(vm.parseJsonUint(json, _at("channels", i, "expiry")));
        t.text = _word32("channels", i, "text");
        t.salt = uint64(vm.parseJsonUint(json, _at("channels", i, "salt")));
    }

    function _word32(string memory list, uint256 i, string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, _at(list, i, key));
    }

    function _at(string memory list, uint256 i, string memory key) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(i), "].", key);
    }

    function _words(bytes memory data) private pure returns (bytes32[] memory words) {
        words = new bytes32[](data.length / 32);
        for (uint256 i; i < words.length; ++i) {
            bytes32 word;
            assembly ("memory-safe") {
                word := mload(add(data, mul(32, add(i, 1))))
            }
            words[i] = word;
        }
    }
}
