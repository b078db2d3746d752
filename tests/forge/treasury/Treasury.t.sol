// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Treasury} from "../../../contracts/Treasury.sol";
import {ITreasury} from "../../../contracts/interfaces/ITreasury.sol";
import {Coin} from "../../../contracts/test/Coin.sol";
import {FeeCoin} from "../../../contracts/test/FeeCoin.sol";
import {GasBurner} from "../../../contracts/test/GasBurner.sol";
import {LargeAnswer} from "../../../contracts/test/LargeAnswer.sol";
import {LyingCoin} from "../../../contracts/test/LyingCoin.sol";
import {TestPayer} from "../../../contracts/test/TestPayer.sol";
import {Test} from "../utils/Test.sol";

/// @title The books: splits by any order of claims, positions that move, transfers that lie
contract TreasuryTest is Test {
    bytes32 private constant SALT = "salt";

    Treasury private treasury = new Treasury();
    Coin private coin = new Coin(18);
    address private alice = makeAddr("alice");
    address private bob = makeAddr("bob");

    // --- one node ---------------------------------------------------------------------------------------

    /// @dev Deposits of any size between claims of any order; then all claim, in another order. Oracle: floor(IN * weight / 10,000).
    function testFuzz_claim_M3_anyOrderPaysTheSame(uint256 seed, uint256 count, uint128[8] calldata amounts)
        external
    {
        ITreasury.Position[] memory positions = _positions(seed, bound(count, 1, 32));
        bytes32 node = treasury.nodeOf(SALT, positions);
        uint256 income;
        for (uint256 k; k < amounts.length; ++k) {
            _deposit(node, address(coin), amounts[k]);
            income += amounts[k];
            for (uint256 j; j < 4; ++j) {
                uint256 index = _draw(seed, k, j) % positions.length;
                uint256 before = treasury.paid(node, index, address(coin));
                uint256 amount = treasury.claim(SALT, positions, index, address(coin));
                assertEq(before + amount, income * positions[index].weight / 10_000, "claimed");
                assertEq(treasury.claim(SALT, positions, index, address(coin)), 0, "twice is nothing");
            }
        }
        uint256 paid;
        uint256 start = seed % positions.length;
        for (uint256 i; i < positions.length; ++i) {
            uint256 index = (start + i) % positions.length;
            treasury.claim(SALT, positions, index, address(coin));
            uint256 due = income * positions[index].weight / 10_000;
            assertEq(treasury.paid(node, index, address(coin)), due, "paid");
            assertEq(treasury.balanceOf(positions[index].payee, address(coin)), due, "balance");
            paid += due;
        }
        assertEq(treasury.balanceOf(node, address(coin)), income, "income stays");
        assertLe(paid, income, "no more than came in");
        assertLt(income, paid + positions.length, "dust");
        assertEq(coin.balanceOf(address(treasury)), income, "nothing left");
    }

    function test_claim_aClaimAfterEveryWeiGainsNothing() external {
        ITreasury.Position[] memory positions = new ITreasury.Position[](3);
        positions[0] = ITreasury.Position(_word(alice), 3_333);
        positions[1] = ITreasury.Position(_word(bob), 3_333);
        positions[2] = ITreasury.Position(_word(address(this)), 3_334);
        bytes32 node = treasury.nodeOf(SALT, positions);
        for (uint256 i; i < 100; ++i) {
            _deposit(node, address(0), 1);
            treasury.claim(SALT, positions, 0, address(0));
        }
        assertEq(treasury.balanceOf(_word(alice), address(0)), 33, "33.33 rounded down once");
        treasury.claim(SALT, positions, 1, address(0));
        treasury.claim(SALT, positions, 2, address(0));
        assertEq(treasury.balanceOf(_word(bob), address(0)), 33, "the same");
        assertEq(treasury.balanceOf(_word(address(this)), address(0)), 33, "33.34 rounded down");
    }

    function testFuzz_claim_currenciesAreApart(uint128 native, uint128 tokens) external {
        ITreasury.Position[] memory positions = _positions(1, 2);
        bytes32 node = treasury.nodeOf(SALT, positions);
        _deposit(node, address(0), native);
        _deposit(node, address(coin), tokens);
        uint256 weight = positions[0].weight;
        assertEq(treasury.claim(SALT, positions, 0, address(0)), uint256(native) * weight / 10_000, "native");
        uint256 due = uint256(tokens) * weight / 10_000;
        assertEq(treasury.claim(SALT, positions, 0, address(coin)), due, "tokens");
        assertEq(treasury.claim(SALT, positions, 0, address(1)), 0, "a currency that never came in");
    }

    function test_claim_gasAtTheCap() external {
        ITreasury.Position[] memory positions = _positions(7, 32);
        bytes32 node = treasury.nodeOf(SALT, positions);
        _deposit(node, address(coin), type(uint128).max);
        for (uint256 i; i < 32; ++i) {
            uint256 before = gasleft();
            treasury.claim(SALT, positions, i, address(coin));
            assertLt(before - gasleft(), 200_000, "one claim");
        }
        // What all 32 cost together, had they one transaction.
        _deposit(node, address(coin), type(uint128).max);
        uint256 sum = gasleft();
        for (uint256 i; i < 32; ++i) {
            treasury.claim(SALT, positions, i, address(coin));
        }
        assertLt(sum - gasleft(), 2_000_000, "all claims");
    }

    function test_deposit_costsTheSameHoweverManyPositions() external {
        bytes32 small = treasury.nodeOf(SALT, _positions(1, 1));
        bytes32 large = treasury.nodeOf(SALT, _positions(2, 32));
        vm.deal(address(this), 4);
        treasury.deposit{value: 1}(small, address(0), 1);
        treasury.deposit{value: 1}(large, address(0), 1);
        assertEq(_gasOfDeposit(large), _gasOfDeposit(small), "flat");
    }

    function _gasOfDeposit(bytes32 node) private returns (uint256) {
        uint256 before = gasleft();
        treasury.deposit{value: 1}(node, address(0), 1);
        return before - gasleft();
    }

    // --- nodes in nodes ---------------------------------------------------------------------------------

    /// @dev A tree with a diamond: top -> left, right, alice; left, right -> bottom and an account. Oracle: floors along the paths.
    function testFuzz_claim_diamondsInAnyOrder(uint256 seed, uint128[4] calldata amounts) external {
        uint16[4] memory w = [_weight(seed, 0), _weight(seed, 1), _weight(seed, 2), _weight(seed, 3)];
        bytes32[4] memory nodes;
        ITreasury.Position[][4] memory lists;
        lists[0] = _pair(_word(alice), w[0], _word(bob));
        nodes[0] = treasury.nodeOf(SALT, lists[0]);
        lists[1] = _pair(nodes[0], w[1], _word(alice));
        nodes[1] = treasury.nodeOf(SALT, lists[1]);
        lists[2] = _pair(nodes[0], w[2], _word(bob));
        nodes[2] = treasury.nodeOf(SALT, lists[2]);
        lists[3] = _pair(nodes[1], w[3], nodes[2]);
        nodes[3] = treasury.nodeOf(SALT, lists[3]);

        for (uint256 k; k < 4; ++k) {
            _deposit(nodes[k], address(coin), amounts[k]);
            for (uint256 j; j < 6; ++j) {
                uint256 r = _draw(seed, k, j);
                treasury.claim(SALT, lists[r % 4], (r >> 8) % 2, address(coin));
            }
        }
        for (uint256 k = 8; k > 0; --k) {
            treasury.claim(SALT, lists[(k - 1) / 2], (k - 1) % 2, address(coin));
        }

        uint256[4] memory income;
        income[3] = amounts[3];
        income[1] = uint256(amounts[1]) + income[3] * w[3] / 10_000;
        income[2] = uint256(amounts[2]) + income[3] * (10_000 - w[3]) / 10_000;
        income[0] = uint256(amounts[0]) + income[1] * w[1] / 10_000 + income[2] * w[2] / 10_000;
        for (uint256 k; k < 4; ++k) {
            assertEq(treasury.balanceOf(nodes[k], address(coin)), income[k], "income along all paths");
        }
        uint256 dueAlice = income[0] * w[0] / 10_000 + income[1] * (10_000 - w[1]) / 10_000;
        uint256 dueBob = income[0] * (10_000 - w[0]) / 10_000 + income[2] * (10_000 - w[2]) / 10_000;
        assertEq(treasury.balanceOf(_word(alice), address(coin)), dueAlice, "alice");
        assertEq(treasury.balanceOf(_word(bob), address(coin)), dueBob, "bob");
        assertLe(dueAlice + dueBob, coin.balanceOf(address(treasury)), "M1");
        assertLt(coin.balanceOf(address(treasury)), dueAlice + dueBob + 8, "dust of eight positions");
    }

    function test_claim_aChainOfSixtyFourNodes() external {
        bytes32 node = treasury.nodeOf(SALT, _whole(_word(alice)));
        bytes32[] memory chain = new bytes32[](64);
        for (uint256 i; i < 64; ++i) {
            chain[i] = node;
            node = treasury.nodeOf(SALT, _whole(node));
        }
        _deposit(node, address(coin), type(uint128).max);
        for (uint256 i = 64; i > 0; --i) {
            treasury.claim(SALT, _whole(chain[i - 1]), 0, address(coin));
        }
        treasury.claim(SALT, _whole(_word(alice)), 0, address(coin));
        assertEq(treasury.balanceOf(_word(alice), address(coin)), type(uint128).max, "nothing on the way");
    }

    // --- positions --------------------------------------------------------------------------------------

    /// @dev All that is not claimed goes with the position, what was claimed stays.
    function testFuzz_movePosition_theRestGoesAlong(uint128 first, uint128 second, uint16 weight) external {
        weight = uint16(bound(weight, 1, 9_999));
        ITreasury.Position[] memory positions = _pair(_word(alice), weight, _word(bob));
        bytes32 node = treasury.nodeOf(SALT, positions);
        address carol = makeAddr("carol");
        _deposit(node, address(coin), first);
        treasury.claim(SALT, positions, 0, address(coin));
        uint256 claimed = uint256(first) * weight / 10_000;
        _deposit(node, address(coin), second);
        vm.prank(alice);
        treasury.movePosition(SALT, positions, 0, carol);
        treasury.claim(SALT, positions, 0, address(coin));
        uint256 due = (uint256(first) + second) * weight / 10_000;
        assertEq(treasury.balanceOf(_word(alice), address(coin)), claimed, "alice keeps what she claimed");
        assertEq(treasury.balanceOf(_word(carol), address(coin)), due - claimed, "carol has the rest");
        assertEq(treasury.holder(node, 0), carol, "holder");
        assertEq(treasury.holder(node, 1), address(0), "the other position stays");
        vm.prank(carol);
        treasury.movePosition(SALT, positions, 0, alice);
        assertEq(treasury.holder(node, 0), alice, "and back");
    }

    function testFuzz_RevertWhen_movePosition_NotTheHolder(address caller) external {
        vm.assume(caller != alice);
        ITreasury.Position[] memory positions = _pair(_word(alice), 1, _word(bob));
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_NotHolder.selector, caller));
        treasury.movePosition(SALT, positions, 0, caller);
    }

    function test_RevertWhen_movePosition_ItWasGivenAway() external {
        ITreasury.Position[] memory positions = _pair(_word(alice), 1, _word(bob));
        vm.startPrank(alice);
        treasury.movePosition(SALT, positions, 0, bob);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_NotHolder.selector, alice));
        treasury.movePosition(SALT, positions, 0, alice);
    }

    function test_RevertWhen_movePosition_ToNobody() external {
        ITreasury.Position[] memory positions = _pair(_word(alice), 1, _word(bob));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_NotAPayee.selector, bytes32(0)));
        treasury.movePosition(SALT, positions, 0, address(0));
    }

    function test_RevertWhen_movePosition_OfANode() external {
        bytes32 inner = treasury.nodeOf(SALT, _whole(_word(alice)));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_NotHolder.selector, alice));
        treasury.movePosition(SALT, _whole(inner), 0, alice);
    }

    function testFuzz_RevertWhen_NoSuchPosition(uint256 index) external {
        ITreasury.Position[] memory positions = _whole(_word(alice));
        index = bound(index, 1, type(uint256).max);
        bytes memory reason = abi.encodeWithSelector(ITreasury.Treasury_NoPosition.selector, index, 1);
        vm.expectRevert(reason);
        treasury.claim(SALT, positions, index, address(0));
        vm.prank(alice);
        vm.expectRevert(reason);
        treasury.movePosition(SALT, positions, index, bob);
    }

    // --- nodes ------------------------------------------------------------------------------------------

    function testFuzz_nodeOf_isTheHashWithTheTopBit(bytes32 salt, uint256 seed, uint256 count) external view {
        ITreasury.Position[] memory positions = _positions(seed, bound(count, 1, 32));
        uint256 digest = uint256(keccak256(abi.encode(salt, positions)));
        assertEq(treasury.nodeOf(salt, positions), bytes32(digest | (1 << 255)), "node");
    }

    function testFuzz_nodeOf_otherPositionsHaveNoMoney(uint256 seed, uint128 amount) external {
        ITreasury.Position[] memory positions = _positions(seed, 4);
        bytes32 node = treasury.nodeOf(SALT, positions);
        _deposit(node, address(coin), amount);
        positions[0].payee = _word(address(this));
        assertEq(treasury.claim(SALT, positions, 0, address(coin)), 0, "another node");
        assertEq(treasury.paid(node, 0, address(coin)), 0, "untouched");
    }

    function test_RevertWhen_nodeOf_BadPositions() external {
        ITreasury.Position[] memory p = new ITreasury.Position[](0);
        _bad(p);
        _bad(_positions(1, 33));
        p = _pair(_word(alice), 5_000, _word(bob));
        p[1].weight = 4_999;
        _bad(p);
        p[1].weight = 5_001;
        _bad(p);
        (p[0].weight, p[1].weight) = (10_000, 0);
        _bad(p);
        p = _whole(0);
        _bad(p);
        _bad(_whole(bytes32(uint256(1) << 160)));
        _bad(_whole(bytes32(type(uint256).max >> 1)));
    }

    function _bad(ITreasury.Position[] memory positions) private {
        vm.expectRevert(ITreasury.Treasury_BadPositions.selector);
        treasury.nodeOf(SALT, positions);
        vm.expectRevert(ITreasury.Treasury_BadPositions.selector);
        treasury.claim(SALT, positions, 0, address(0));
        vm.prank(alice);
        vm.expectRevert(ITreasury.Treasury_BadPositions.selector);
        treasury.movePosition(SALT, positions, 0, bob);
    }

    // --- in, across and out -----------------------------------------------------------------------------

    function testFuzz_M5_aPaymentTouchesOneBalance(uint128 amount, uint128 part, bool native) external {
        address currency = native ? address(0) : address(coin);
        amount = uint128(bound(amount, 1, type(uint128).max));
        part = uint128(bound(part, 0, amount));
        _deposit(_word(bob), currency, 5);
        _deposit(_word(alice), currency, amount);
        vm.startPrank(alice);
        treasury.move(_word(address(this)), currency, part);
        address to = address(0xBEEF);
        treasury.withdraw(to, currency, amount - part);
        vm.stopPrank();
        assertEq(treasury.balanceOf(_word(alice), currency), 0, "alice");
        assertEq(treasury.balanceOf(_word(address(this)), currency), part, "moved");
        assertEq(treasury.balanceOf(_word(bob), currency), 5, "bob");
        assertEq(_holding(to, currency), amount - part, "arrived");
        assertEq(_holding(address(treasury), currency), uint256(part) + 5, "M1");
    }

    function testFuzz_RevertWhen_TheBalanceIsTooSmall(uint128 amount, uint256 more) external {
        more = bound(more, uint256(amount) + 1, type(uint256).max);
        _deposit(_word(alice), address(coin), amount);
        bytes memory reason =
            abi.encodeWithSelector(ITreasury.Treasury_InsufficientBalance.selector, amount, more);
        vm.startPrank(alice);
        vm.expectRevert(reason);
        treasury.withdraw(alice, address(coin), more);
        if (more > type(uint128).max) return;
        vm.expectRevert(reason);
        treasury.move(_word(bob), address(coin), uint128(more));
    }

    function testFuzz_RevertWhen_TheValueIsNotTheAmount(uint128 amount, uint128 value) external {
        vm.assume(amount != value);
        vm.deal(address(this), value);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_WrongValue.selector, value, amount));
        treasury.deposit{value: value}(_word(alice), address(0), amount);
    }

    function testFuzz_RevertWhen_CoinIsSentWithTokens(uint128 value) external {
        value = uint128(bound(value, 1, type(uint128).max));
        vm.deal(address(this), value);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_WrongValue.selector, value, 0));
        treasury.deposit{value: value}(_word(alice), address(coin), 1);
    }

    function testFuzz_RevertWhen_NotAPayee(uint256 word) external {
        word = bound(word, 1 << 160, (1 << 255) - 1);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_NotAPayee.selector, bytes32(word)));
        treasury.deposit(bytes32(word), address(0), 0);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_NotAPayee.selector, bytes32(0)));
        treasury.move(0, address(0), 0);
    }

    function testFuzz_RevertWhen_ATokenKeepsAFee(uint128 amount) external {
        amount = uint128(bound(amount, 100, type(uint128).max));
        FeeCoin fee = new FeeCoin();
        fee.mint(address(this), amount);
        fee.approve(address(treasury), amount);
        vm.expectPartialRevert(ITreasury.Treasury_WrongTransfer.selector);
        treasury.deposit(_word(alice), address(fee), amount);
    }

    function test_RevertWhen_APayerPaysAnotherAmount() external {
        TestPayer payer = new TestPayer();
        coin.mint(address(payer), 100);
        uint256[3] memory wrong = [uint256(0), 9, 11];
        for (uint256 i; i < 3; ++i) {
            payer.setPays(wrong[i]);
            vm.expectRevert(
                abi.encodeWithSelector(ITreasury.Treasury_WrongTransfer.selector, coin, wrong[i], 10)
            );
            payer.collect(treasury, _word(alice), address(coin), 10);
        }
        payer.setPays(10);
        payer.collect(treasury, _word(alice), address(coin), 10);
        assertEq(treasury.balanceOf(_word(alice), address(coin)), 10, "as measured");
    }

    function test_aLyingTokenHarmsItsOwnColumnAlone() external {
        LyingCoin liar = new LyingCoin();
        _deposit(_word(bob), address(coin), 7);
        // It says that the treasury held nothing before: then it cannot have lost anything either.
        _depositOf(Coin(address(liar)), _word(alice), 10);
        liar.setLie(address(treasury), 1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_WrongTransfer.selector, liar, 0, 10));
        treasury.withdraw(alice, address(liar), 10);
        vm.prank(bob);
        treasury.withdraw(bob, address(coin), 7);
        assertEq(coin.balanceOf(bob), 7, "others get out");
    }

    function test_RevertWhen_TheReceiverRefuses() external {
        _deposit(_word(alice), address(0), 3);
        address[2] memory refusers = [address(new GasBurner()), address(new LargeAnswer(true))];
        for (uint256 i; i < 2; ++i) {
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(ITreasury.Treasury_TransferRefused.selector, refusers[i]));
            treasury.withdraw{gas: 1_000_000}(refusers[i], address(0), 1);
        }
        vm.prank(alice);
        treasury.withdraw(bob, address(0), 3);
        assertEq(bob.balance, 3, "and takes it elsewhere");
    }

    function test_withdraw_aMegabyteOfAnswerIsNotCopied() external {
        address large = address(new LargeAnswer(false));
        _deposit(_word(alice), address(0), 1);
        vm.prank(alice);
        uint256 before = gasleft();
        treasury.withdraw(large, address(0), 1);
        // The receiver itself pays 2.2 million for its memory; a copy would cost as much again.
        assertLt(before - gasleft(), 2_400_000, "gas");
    }

    // --- helpers ----------------------------------------------------------------------------------------

    function _deposit(bytes32 to, address currency, uint128 amount) private {
        if (currency != address(0)) return _depositOf(Coin(currency), to, amount);
        vm.deal(address(this), amount);
        treasury.deposit{value: amount}(to, currency, amount);
    }

    function _depositOf(Coin token, bytes32 to, uint128 amount) private {
        token.mint(address(this), amount);
        token.approve(address(treasury), amount);
        treasury.deposit(to, address(token), amount);
    }

    function _holding(address account, address currency) private view returns (uint256) {
        return currency == address(0) ? account.balance : Coin(currency).balanceOf(account);
    }

    /// @dev `count` accounts whose weights are any that sum to 10,000.
    function _positions(uint256 seed, uint256 count)
        private
        pure
        returns (ITreasury.Position[] memory positions)
    {
        positions = new ITreasury.Position[](count);
        uint256 rest = 10_000;
        for (uint256 i; i < count; ++i) {
            // Each of the others keeps at least one.
            uint256 weight = i + 1 == count ? rest : 1 + _draw(seed, i, 99) % (rest - (count - 1 - i));
            positions[i] = ITreasury.Position(bytes32(uint256(0x1000 + i)), uint16(weight));
            rest -= weight;
        }
    }

    function _pair(bytes32 a, uint16 weight, bytes32 b) private pure returns (ITreasury.Position[] memory p) {
        p = new ITreasury.Position[](2);
        p[0] = ITreasury.Position(a, weight);
        p[1] = ITreasury.Position(b, 10_000 - weight);
    }

    function _whole(bytes32 payee) private pure returns (ITreasury.Position[] memory p) {
        p = new ITreasury.Position[](1);
        p[0] = ITreasury.Position(payee, 10_000);
    }

    function _weight(uint256 seed, uint256 k) private pure returns (uint16) {
        return uint16(1 + _draw(seed, k, 77) % 9_999);
    }

    function _draw(uint256 seed, uint256 a, uint256 b) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, a, b)));
    }

    function _word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
