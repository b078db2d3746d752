// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Dleq} from "../../contracts/libraries/Dleq.sol";
import {Point} from "../../contracts/types/Point.sol";
import {Proof} from "../../contracts/types/Proof.sol";
import {Prover} from "./utils/Prover.sol";
import {Test} from "./utils/Test.sol";

/// @dev Gives the library its calldata.
contract DleqHarness {
    uint256 public gasUsed;

    function verify(bytes32 context, Point memory x, Point memory b, Point memory y, Proof calldata proof)
        external
        pure
    {
        Dleq.verify(context, x, b, y, proof);
    }

    function verifyEquations(uint256 c, Point memory x, Point memory b, Point memory y, Proof calldata proof)
        external
        pure
    {
        Dleq.verifyEquations(c, x, b, y, proof);
    }

    function challenge(
        bytes32 context,
        Point memory x,
        Point memory b,
        Point memory y,
        address a1,
        Point calldata a2
    ) external pure returns (uint256) {
        return Dleq.challenge(context, x, b, y, a1, a2);
    }

    function measure(bytes32 context, Point memory x, Point memory b, Point memory y, Proof calldata proof)
        external
    {
        uint256 before = gasleft();
        Dleq.verify(context, x, b, y, proof);
        gasUsed = before - gasleft();
    }
}

/// forge-config: default.fuzz.runs = 16
/// forge-config: long.fuzz.runs = 300
contract DleqTest is Test {
    using Prover for uint256;

    /// @dev One row of `delivery.json`, its keys in alphabetical order as the decoder needs them.
    struct Row {
        address a1;
        uint256 a2x;
        uint256 a2y;
        uint256 bx;
        uint256 by;
        uint256 challenge;
        bytes32 context;
        uint256 cyx;
        uint256 cyy;
        uint256 inverse;
        string name;
        uint256 s;
        uint256 step;
        uint256 xx;
        uint256 xy;
        uint256 yx;
        uint256 yy;
    }

    /// @dev A false statement and the parts of a proof from which each forgery starts.
    struct Scene {
        bytes32 context;
        uint256 k;
        uint256 r;
        Point[3] truth;
        Point[3] lie;
        address a1;
        Point a2;
    }

    DleqHarness private harness = new DleqHarness();

    // ---- vectors

    function test_AllHonestVectorsPass() external view {
        Row[] memory rows = _rows(".honest");
        assertEq(rows.length, 24);
        for (uint256 i = 0; i < rows.length; ++i) {
            (Point[3] memory statement, Proof memory proof) = _unpack(rows[i]);
            assertEq(bytes32(_outcome(rows[i].context, statement, proof)), bytes32(0), rows[i].name);
        }
    }

    function test_AllNegativeVectorsRevertInTheirStep() external view {
        Row[] memory rows = _rows(".negative");
        uint256[7] memory reached;
        for (uint256 i = 0; i < rows.length; ++i) {
            (Point[3] memory statement, Proof memory proof) = _unpack(rows[i]);
            assertEq(_step(_outcome(rows[i].context, statement, proof)), rows[i].step, rows[i].name);
            ++reached[rows[i].step];
        }
        for (uint256 step = 1; step <= 6; ++step) {
            assertTrue(reached[step] != 0, "a step without a negative vector");
        }
    }

    function test_TheChallengeHashesTheTranscriptOfTheVectors() external view {
        Row[] memory rows = _rows(".honest");
        for (uint256 i = 0; i < rows.length; ++i) {
            (Point[3] memory st, Proof memory proof) = _unpack(rows[i]);
            uint256 c = harness.challenge(rows[i].context, st[0], st[1], st[2], proof.a1, proof.a2);
            assertEq(c, rows[i].challenge, rows[i].name);
        }
    }

    // ---- honest

    function testFuzz_AnyHonestProofPasses(bytes32 context, uint256 k, uint256 r, uint256 logarithm)
        external
        view
    {
        Point memory b = _scalar(logarithm).mul(Prover.generator());
        (Point[3] memory statement, Proof memory proof) = Prover.prove(context, _scalar(k), _scalar(r), b);
        if (proof.s == 0 || proof.inverse == 0) return;
        assertEq(bytes32(_outcome(context, statement, proof)), bytes32(0), "honest proof");
    }

    function testFuzz_AFalseStatementNeverPasses(uint256 seed, uint256 shift, uint256 s) external view {
        Scene memory t = _scene(seed);
        t.lie[2] = Prover.add(t.truth[2], _scalar(shift).mul(Prover.generator()));
        if (t.lie[2].x | t.lie[2].y == 0) return;
        uint256 c = _challenge(t, t.lie);
        Proof memory proof = Prover.respond(c, t.lie[2], t.a1, t.a2, _scalar(s));
        _expect(t, t.lie, proof, Dleq.Dleq_WrongCommitment.selector);
        proof = Prover.forge(t.context, t.lie, t.a1, t.a2, t.k, t.r);
        _expect(t, t.lie, proof, Dleq.Dleq_WrongResponse.selector);
    }

    // ---- step 1

    function testFuzz_RevertWhen_AStatementPointIsOffTheCurve(uint256 seed) external view {
        Scene memory t = _scene(seed);
        Proof memory proof = _honest(t);
        for (uint256 i = 0; i < 3; ++i) {
            // The equations read abscissa and parity alone, so nothing but the curve equation sees this.
            uint256 y = t.truth[i].y;
            t.truth[i].y = y + 2 < Prover.F ? y + 2 : y - 2;
            _expect(t, t.truth, proof, Dleq.Dleq_OffCurve.selector);
            t.truth[i].y = y;
        }
        assertEq(bytes32(_outcome(t.context, t.truth, proof)), bytes32(0), "honest");
    }

    function testFuzz_RevertWhen_AProofPointIsOffTheCurve(uint256 seed) external view {
        Scene memory t = _scene(seed);
        Point memory a2 = t.a2;
        t.a2 = Point(a2.x, addmod(a2.y, 2, Prover.F));
        _expect(t, t.truth, _honest(t), Dleq.Dleq_OffCurve.selector);
        t.a2 = Point(0, 0);
        _expect(t, t.truth, _honest(t), Dleq.Dleq_OffCurve.selector);
        t.a2 = a2;
        Proof memory proof = _honest(t);
        proof.cY.y = addmod(proof.cY.y, 2, Prover.F);
        _expect(t, t.truth, proof, Dleq.Dleq_OffCurve.selector);
    }

    function test_RevertWhen_AnAbscissaIsOutOfRange() external view {
        Scene memory t = _scene(1);
        Proof memory proof = _honest(t);
        // The order is an abscissa of the curve itself; and the least one above it.
        Point[4] memory bad = [Point(0, 0), Point(Prover.N, 1), _from(Prover.N), _from(Prover.N + 1)];
        for (uint256 i = 0; i < 3; ++i) {
            Point memory good = t.truth[i];
            for (uint256 j = 0; j < 4; ++j) {
                t.truth[i] = bad[j];
                _expect(t, t.truth, proof, Dleq.Dleq_AbscissaOutOfRange.selector);
            }
            t.truth[i] = good;
        }
    }

    // ---- step 2

    function test_RevertWhen_TheResponseIsOutOfRange() external view {
        // An honest response of 5 has a second form, 5 + n.
        Scene memory t = _scene(2);
        uint256 c = 77;
        t.r = addmod(5, Prover.N - mulmod(c, t.k, Prover.N), Prover.N);
        t.a1 = Prover.addressOf(t.r.mul(Prover.generator()));
        t.a2 = t.r.mul(t.truth[1]);
        Proof memory proof = Prover.respond(c, t.truth[2], t.a1, t.a2, 5);
        assertEq(bytes32(_outcomeOf(c, t.truth, proof)), bytes32(0), "honest");
        uint256[4] memory bad = [0, Prover.N, 5 + Prover.N, type(uint256).max];
        for (uint256 i = 0; i < 4; ++i) {
            proof.s = bad[i];
            assertEq(
                bytes32(_outcomeOf(c, t.truth, proof)), bytes32(Dleq.Dleq_ResponseOutOfRange.selector), "s"
            );
        }
    }

    function test_RevertWhen_TheChallengeIsZero() external view {
        Scene memory t = _scene(3);
        Proof memory proof = Prover.respond(0, t.lie[2], t.a1, t.a2, t.r);
        assertEq(bytes32(_outcomeOf(0, t.lie, proof)), bytes32(Dleq.Dleq_ZeroChallenge.selector), "c");
    }

    // ---- step 3

    function testFuzz_RevertWhen_TheCommitmentIsOfAnotherPoint(uint256 seed, address a1) external view {
        Scene memory t = _scene(seed);
        if (a1 == t.a1) return;
        t.a1 = a1;
        _expect(t, t.truth, _honest(t), Dleq.Dleq_WrongCommitment.selector);
    }

    function testFuzz_RevertWhen_TheCommitmentIsInfinite(uint256 seed) external view {
        // s = c*k makes s*G - c*X infinite, for which ecrecover answers zero.
        Scene memory t = _scene(seed);
        t.a1 = address(0);
        t.r = 0;
        _expect(t, t.truth, _honest(t), Dleq.Dleq_WrongCommitment.selector);
        _expect(
            t, t.lie, Prover.forge(t.context, t.lie, t.a1, t.a2, t.k, 0), Dleq.Dleq_WrongCommitment.selector
        );
    }

    function testFuzz_RevertWhen_AFalseStatementFitsTheSecondEquationOnly(uint256 seed) external view {
        Scene memory t = _scene(seed);
        Proof memory proof = Prover.forge(t.context, t.lie, t.a1, t.a2, _next(t.k), t.r);
        _expect(t, t.lie, proof, Dleq.Dleq_WrongCommitment.selector);
    }

    function testFuzz_RevertWhen_TheContextIsAnother(uint256 seed, bytes32 context) external view {
        Scene memory t = _scene(seed);
        Proof memory proof = _honest(t);
        if (context == t.context) return;
        t.context = context;
        _expect(t, t.truth, proof, Dleq.Dleq_WrongCommitment.selector);
    }

    function testFuzz_RevertWhen_ASignIsFlipped(uint256 seed) external view {
        Scene memory t = _scene(seed);
        Proof memory proof = _honest(t);
        for (uint256 i = 0; i < 3; ++i) {
            Point memory good = t.truth[i];
            t.truth[i] = Prover.neg(good);
            _expect(t, t.truth, proof, Dleq.Dleq_WrongCommitment.selector);
            t.truth[i] = good;
        }
    }

    function testFuzz_RevertWhen_TheResponseIsAnother(uint256 seed, uint256 s) external view {
        Scene memory t = _scene(seed);
        Proof memory proof = _honest(t);
        s = _scalar(s);
        if (s == proof.s) return;
        proof.s = s;
        _expect(t, t.truth, proof, Dleq.Dleq_WrongCommitment.selector);
    }

    // ---- step 4

    function testFuzz_RevertWhen_TheHintFitsAFalseStatement(uint256 seed) external view {
        Scene memory t = _scene(seed);
        // s*B - A2 in place of c*Y: then both equations hold, and only the hint is false.
        Proof memory proof = Prover.forge(t.context, t.lie, t.a1, t.a2, t.k, t.r);
        proof.cY = Prover.add(proof.s.mul(t.lie[1]), Prover.neg(t.a2));
        proof.inverse = Prover.inverse(addmod(proof.cY.x, Prover.F - t.a2.x, Prover.F));
        _expect(t, t.lie, proof, Dleq.Dleq_WrongHint.selector);
    }

    function testFuzz_RevertWhen_TheHintHasTheWrongSign(uint256 seed) external view {
        Scene memory t = _scene(seed);
        Proof memory proof = _honest(t);
        proof.cY = Prover.neg(proof.cY);
        _expect(t, t.truth, proof, Dleq.Dleq_WrongHint.selector);
    }

    // ---- step 5

    function testFuzz_RevertWhen_TheInverseBendsTheSum(uint256 seed) external view {
        Scene memory t = _scene(seed);
        // For -Y the sum should be A2 - c*k*B. A slope through A2 and c*k*B ends in s*B, and some "inverse"
        // gives it.
        t.lie[2] = Prover.neg(t.truth[2]);
        Proof memory proof = Prover.forge(t.context, t.lie, t.a1, t.a2, t.k, t.r);
        uint256 rise = addmod(Prover.F - proof.cY.y, Prover.F - t.a2.y, Prover.F);
        uint256 slope = mulmod(rise, proof.inverse, Prover.F);
        uint256 given = addmod(proof.cY.y, Prover.F - t.a2.y, Prover.F);
        proof.inverse = mulmod(slope, Prover.inverse(given), Prover.F);
        _expect(t, t.lie, proof, Dleq.Dleq_WrongInverse.selector);
    }

    function testFuzz_RevertWhen_TheInverseIsWrong(uint256 seed, uint256 inverse) external view {
        Scene memory t = _scene(seed);
        Proof memory proof = _honest(t);
        if (inverse % Prover.F == proof.inverse) return;
        proof.inverse = inverse;
        _expect(t, t.truth, proof, Dleq.Dleq_WrongInverse.selector);
    }

    function test_RevertWhen_TheHintHasTheAbscissaOfA2() external view {
        // r = -c*k: the sum is infinite; r = c*k: it is a doubling. Neither is an addition.
        Scene memory t = _scene(4);
        uint256 c = 99;
        uint256 ck = mulmod(c, t.k, Prover.N);
        t.a1 = Prover.addressOf(ck.mul(Prover.generator()));
        t.a2 = ck.mul(t.truth[1]);
        Proof memory proof = Prover.respond(c, t.truth[2], t.a1, t.a2, addmod(ck, ck, Prover.N));
        assertEq(proof.cY.x, t.a2.x);
        assertEq(bytes32(_outcomeOf(c, t.truth, proof)), bytes32(Dleq.Dleq_WrongInverse.selector), "double");
    }

    // ---- step 6

    function testFuzz_RevertWhen_AFalseStatementFitsTheFirstEquationOnly(uint256 seed) external view {
        Scene memory t = _scene(seed);
        _expect(
            t, t.lie, Prover.forge(t.context, t.lie, t.a1, t.a2, t.k, t.r), Dleq.Dleq_WrongResponse.selector
        );
        t.lie[2] = Prover.neg(t.truth[2]);
        _expect(
            t, t.lie, Prover.forge(t.context, t.lie, t.a1, t.a2, t.k, t.r), Dleq.Dleq_WrongResponse.selector
        );
    }

    function testFuzz_RevertWhen_A2HasTheWrongSign(uint256 seed) external view {
        Scene memory t = _scene(seed);
        t.a2 = Prover.neg(t.a2);
        _expect(t, t.truth, _honest(t), Dleq.Dleq_WrongResponse.selector);
    }

    // ---- what the errors say

    function test_AnErrorNamesWhatWasGivenAndThenWhatCameOut() external {
        Scene memory t = _scene(6);
        Proof memory proof = _honest(t);
        Point memory hint = proof.cY;

        proof.cY = Prover.neg(hint);
        vm.expectRevert(
            abi.encodeWithSelector(
                Dleq.Dleq_WrongHint.selector, Prover.addressOf(proof.cY), Prover.addressOf(hint)
            )
        );
        harness.verify(t.context, t.truth[0], t.truth[1], t.truth[2], proof);

        address a1 = t.a1;
        t.a1 = address(1);
        vm.expectRevert(abi.encodeWithSelector(Dleq.Dleq_WrongCommitment.selector, address(1), a1));
        harness.verify(t.context, t.truth[0], t.truth[1], t.truth[2], _honest(t));

        t.a1 = a1;
        t.a2 = Prover.neg(t.a2);
        proof = _honest(t);
        vm.expectRevert(
            abi.encodeWithSelector(
                Dleq.Dleq_WrongResponse.selector,
                Prover.addressOf(Prover.add(t.a2, proof.cY)),
                Prover.addressOf(proof.s.mul(t.truth[1]))
            )
        );
        harness.verify(t.context, t.truth[0], t.truth[1], t.truth[2], proof);

        t.truth[2].y = 3;
        vm.expectRevert(abi.encodeWithSelector(Dleq.Dleq_OffCurve.selector, t.truth[2].x, 3));
        harness.verify(t.context, t.truth[0], t.truth[1], t.truth[2], proof);
    }

    // ---- gas

    function test_GasStaysBelowTheLimit() external {
        (Point[3] memory st, Proof memory proof) = _unpack(_rows(".honest")[0]);
        harness.measure(_rows(".honest")[0].context, st[0], st[1], st[2], proof);
        assertLt(harness.gasUsed(), 14_500, "gas of Dleq.verify");
    }

    // ---- helpers

    function _rows(string memory key) private view returns (Row[] memory) {
        return abi.decode(vm.parseJson(vm.readFile("tests/vectors/delivery.json"), key), (Row[]));
    }

    function _unpack(Row memory row) private pure returns (Point[3] memory statement, Proof memory proof) {
        statement = [Point(row.xx, row.xy), Point(row.bx, row.by), Point(row.yx, row.yy)];
        proof = Proof(row.a1, Point(row.a2x, row.a2y), row.s, Point(row.cyx, row.cyy), row.inverse);
    }

    function _scalar(uint256 value) private pure returns (uint256) {
        return 1 + value % (Prover.N - 1);
    }

    function _next(uint256 scalar) private pure returns (uint256) {
        return 1 + scalar % (Prover.N - 1);
    }

    function _square(uint256 x) private pure returns (uint256) {
        return addmod(mulmod(x, mulmod(x, x, Prover.F), Prover.F), 7, Prover.F);
    }

    /// @dev The point of the curve with the least abscissa from `x` on.
    function _from(uint256 x) private pure returns (Point memory) {
        while (Prover.power(_square(x), (Prover.F - 1) / 2) != 1) ++x;
        return Point(x, Prover.power(_square(x), (Prover.F + 1) / 4));
    }

    function _scene(uint256 seed) private pure returns (Scene memory t) {
        t.context = keccak256(abi.encode(seed, "context"));
        t.k = _scalar(uint256(keccak256(abi.encode(seed, "k"))));
        t.r = _scalar(uint256(keccak256(abi.encode(seed, "r"))));
        Point memory b = _scalar(uint256(keccak256(abi.encode(seed, "b")))).mul(Prover.generator());
        Point memory x = t.k.mul(Prover.generator());
        t.truth = [x, b, t.k.mul(b)];
        t.lie = [x, b, _next(t.k).mul(b)];
        t.a1 = Prover.addressOf(t.r.mul(Prover.generator()));
        t.a2 = t.r.mul(b);
    }

    function _honest(Scene memory t) private pure returns (Proof memory) {
        return Prover.forge(t.context, t.truth, t.a1, t.a2, t.k, t.r);
    }

    function _challenge(Scene memory t, Point[3] memory st) private pure returns (uint256) {
        return Prover.challenge(t.context, st[0], st[1], st[2], t.a1, t.a2);
    }

    /// @dev Selector of the error, or zero for none.
    function _outcome(bytes32 context, Point[3] memory st, Proof memory proof) private view returns (bytes4) {
        try harness.verify(context, st[0], st[1], st[2], proof) {
            return 0;
        } catch (bytes memory reason) {
            return bytes4(reason);
        }
    }

    function _outcomeOf(uint256 c, Point[3] memory st, Proof memory proof) private view returns (bytes4) {
        try harness.verifyEquations(c, st[0], st[1], st[2], proof) {
            return 0;
        } catch (bytes memory reason) {
            return bytes4(reason);
        }
    }

    function _expect(Scene memory t, Point[3] memory st, Proof memory proof, bytes4 selector) private view {
        assertEq(bytes32(_outcome(t.context, st, proof)), bytes32(selector), "error");
    }

    function _step(bytes4 selector) private pure returns (uint256) {
        if (selector == Dleq.Dleq_OffCurve.selector || selector == Dleq.Dleq_AbscissaOutOfRange.selector) {
            return 1;
        }
        if (selector == Dleq.Dleq_ResponseOutOfRange.selector || selector == Dleq.Dleq_ZeroChallenge.selector)
        {
            return 2;
        }
        if (selector == Dleq.Dleq_WrongCommitment.selector) return 3;
        if (selector == Dleq.Dleq_WrongHint.selector) return 4;
        if (selector == Dleq.Dleq_WrongInverse.selector) return 5;
        if (selector == Dleq.Dleq_WrongResponse.selector) return 6;
        return 0;
    }
}
