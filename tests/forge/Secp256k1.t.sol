// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Secp256k1} from "../../contracts/libraries/Secp256k1.sol";
import {Point} from "../../contracts/types/Point.sol";
import {Prover} from "./utils/Prover.sol";
import {Test} from "./utils/Test.sol";

/// forge-config: default.fuzz.runs = 32
/// forge-config: long.fuzz.runs = 300
contract Secp256k1Test is Test {
    using Prover for uint256;

    function subtract(Point memory a, Point memory b) external view returns (Point memory) {
        return Secp256k1.subtract(a, b);
    }

    function test_TheSecondGeneratorIsTheFirstPointThatItsLabelHashesTo() external pure {
        for (uint32 i = 0;; ++i) {
            uint256 x = uint256(sha256(abi.encodePacked("steelyard/nums/v1", i)));
            uint256 square = addmod(mulmod(x, mulmod(x, x, Prover.F), Prover.F), 7, Prover.F);
            uint256 y = Prover.power(square, (Prover.F + 1) / 4);
            if (x >= Prover.F || mulmod(y, y, Prover.F) != square) continue;
            if (y % 2 == 1) y = Prover.F - y;
            Point memory p = Secp256k1.nums();
            assertEq(p.x, x);
            assertEq(p.y, y);
            assertEq(i, 3);
            break;
        }
    }

    function test_TheConstantsAreThoseOfTheProver() external pure {
        Point memory g = Prover.generator();
        assertEq(Secp256k1.GENERATOR_X, g.x);
        assertEq(Secp256k1.GENERATOR_Y, g.y);
        assertEq(Secp256k1.FIELD, Prover.F);
        assertEq(Secp256k1.ORDER, Prover.N);
        Point memory infinity = Prover.N.mul(g);
        assertEq(infinity.x | infinity.y, 0);
    }

    function testFuzz_MultiplesOfTheBasePointAreOnTheCurve(uint256 k) external pure {
        Point memory a = (k % (Prover.N - 1) + 1).mul(Prover.generator());
        assertTrue(Secp256k1.isOnCurve(a.x, a.y), "point");
        assertTrue(Secp256k1.isOnCurve(a.x, Prover.F - a.y), "minus the point");
        assertTrue(!Secp256k1.isOnCurve(a.x, addmod(a.y, 2, Prover.F)), "y + 2");
        assertTrue(!Secp256k1.isOnCurve(addmod(a.x, 1, Prover.F), a.y), "x + 1");
    }

    function test_CoordinatesAreBelowThePrime() external pure {
        // x = 1: 1 + 7 is a square. y = 1: 1 - 7 is not a cube, the first y that is one is found below.
        uint256 y = Prover.power(8, (Prover.F + 1) / 4);
        assertTrue(Secp256k1.isOnCurve(1, y), "x = 1");
        assertTrue(!Secp256k1.isOnCurve(1 + Prover.F, y), "x = 1 + p");
        for (y = 1;; ++y) {
            // p = 7 modulo 9, so this power of a cube is a cube root of it.
            uint256 cube = addmod(mulmod(y, y, Prover.F), Prover.F - 7, Prover.F);
            uint256 x = Prover.power(cube, (Prover.F + 2) / 9);
            if (Prover.power(x, 3) != cube) continue;
            assertTrue(Secp256k1.isOnCurve(x, y), "small y");
            assertTrue(!Secp256k1.isOnCurve(x, y + Prover.F), "small y + p");
            break;
        }
        assertTrue(!Secp256k1.isOnCurve(0, 0), "zero");
    }

    function test_TheAddressOfTheBasePointIsThatOfTheKeyOne() external pure {
        address one = Secp256k1.toAddress(Secp256k1.GENERATOR_X, Secp256k1.GENERATOR_Y);
        assertEq(one, 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf);
    }

    function testFuzz_InverseTimesValueIsOne(uint256 value) external view {
        value = value % (Prover.F - 1) + 1;
        assertEq(mulmod(value, Secp256k1.invert(value), Prover.F), 1);
        assertEq(Secp256k1.invert(0), 0);
    }

    function testFuzz_SubtractIsTheDifference(uint256 i, uint256 j) external view {
        i = i % (Prover.N - 1) + 1;
        j = j % (Prover.N - 1) + 1;
        if (i == j) return;
        _check(i.mul(Prover.generator()), j.mul(Prover.generator()), addmod(i, Prover.N - j, Prover.N));
    }

    function testFuzz_SubtractMinusItselfIsTwice(uint256 i) external view {
        i = i % (Prover.N - 1) + 1;
        Point memory a = i.mul(Prover.generator());
        _check(a, Prover.neg(a), mulmod(2, i, Prover.N));
    }

    function testFuzz_RevertWhen_TheDifferenceIsInfinite(uint256 i) external {
        Point memory a = (i % (Prover.N - 1) + 1).mul(Prover.generator());
        vm.expectRevert(abi.encodeWithSelector(Secp256k1.Secp256k1_PointAtInfinity.selector, a.x));
        this.subtract(a, a);
    }

    function _check(Point memory a, Point memory b, uint256 logarithm) private view {
        Point memory actual = Secp256k1.subtract(a, b);
        Point memory expected = logarithm.mul(Prover.generator());
        assertEq(actual.x, expected.x);
        assertEq(actual.y, expected.y);
    }
}
