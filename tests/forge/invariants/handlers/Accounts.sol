// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IPurchases} from "../../../../contracts/interfaces/IPurchases.sol";
import {Reenterer} from "../../../../contracts/test/Reenterer.sol";
import {Permit} from "../../../../contracts/types/Permit.sol";
import {Ledger} from "./Ledger.sol";

/// @title Accounts
/// @notice How accounts act: those with a key call and sign, contracts make their calls themselves, and one more when they are paid.
abstract contract Accounts is Ledger {
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    mapping(address account => uint256) internal _keys;

    /// @dev Number 1, an owner and seller, and number 4, on every allow-list, are contracts.
    function _makeActors() internal {
        for (uint256 i; i < 6; ++i) {
            string memory name = string.concat("actor ", vm.toString(i));
            if (i % 3 == 1) {
                actors[i] = address(new Reenterer());
                vm.label(actors[i], name);
            } else {
                (address account, uint256 key) = makeAccount(name);
                (actors[i], _keys[account]) = (account, key);
            }
        }
    }

    function _isContract(address account) internal view returns (bool) {
        return account.code.length != 0;
    }

    function _call(address target, bytes memory data) internal {
        _call(target, 0, data);
    }

    function _call(address target, uint256 value, bytes memory data) internal {
        (bool success, bytes memory answer) = target.call{value: value}(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    /// @dev A call by an account, with coin of its own.
    function _as(address account, address target, uint256 value, bytes memory data) internal {
        if (_isContract(account)) {
            Reenterer(payable(account)).execute(target, value, data);
            return;
        }
        vm.prank(account);
        _call(target, value, data);
    }

    // --- what contracts do when they are paid -----------------------------------------------------------

    /// @dev A withdrawal of coin to a contract, which tries to withdraw once more from within.
    function _reenter(address account, address to, uint256 amount) internal {
        Reenterer thief = Reenterer(payable(to));
        thief.setCall(address(treasury), abi.encodeCall(treasury.withdraw, (to, address(0), 1)));
        _as(account, address(treasury), 0, abi.encodeCall(treasury.withdraw, (to, address(0), amount)));
        thief.setCall(address(0), "");
        assertTrue(thief.called() && !thief.succeeded(), "C1: not from within a withdrawal");
        bytes4 reason = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        assertEq(bytes32(bytes4(thief.answer())), bytes32(reason), "C1: by the guard");
        ++count["re-entered from a withdrawal"];
    }

    /// @dev A licence goes safely to a contract, which passes it on to `next` from within, if there is one.
    function _handOver(address from, address to, address next, uint256 licence) internal {
        Reenterer taker = Reenterer(payable(to));
        if (next != address(0)) {
            taker.setCall(address(market), abi.encodeCall(market.transferFrom, (to, next, licence)));
            ++count["licence passed on at once"];
        }
        bytes memory data =
            abi.encodeWithSignature("safeTransferFrom(address,address,uint256)", from, to, licence);
        _as(from, address(market), 0, data);
        taker.setCall(address(0), "");
        ++count["licence taken by a contract"];
        assertEq(market.ownerOf(licence), next == address(0) ? to : next, "L1: handed over");
    }

    // --- permits ----------------------------------------------------------------------------------------

    /// @dev ERC-2612, for the market, by any key.
    function _permitBy(uint256 key, address owner, uint256 value, uint256 deadline)
        internal
        view
        returns (Permit memory p)
    {
        bytes32 content =
            keccak256(abi.encode(PERMIT, owner, address(market), value, coin.nonces(owner), deadline));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", coin.DOMAIN_SEPARATOR(), content));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return Permit(value, deadline, v, r, s);
    }

    /// @dev Gives an account what it is about to pay. Mode 0, and a contract: no permit but an allowance. 1: a permit that somebody
    /// has used already. 2: a permit that the market uses.
    function _fundByPermit(address buyer, uint256 price, uint256 mode) internal returns (Permit memory p) {
        _fund(buyer, address(coin), price, address(market));
        if (_isContract(buyer) || mode == 0) {
            ++count["no permit but an allowance"];
            return p;
        }
        _disallow(buyer);
        p = _permitBy(_keys[buyer], buyer, price, _now());
        if (mode == 1) {
            coin.permit(buyer, address(market), price, p.deadline, p.v, p.r, p.s);
            ++count["permit used before"];
        } else {
            ++count["permit used by the market"];
        }
    }

    /// @dev What a purchase that failed has left.
    function _disallow(address buyer) internal {
        vm.prank(buyer);
        coin.approve(address(market), 0);
    }
}
