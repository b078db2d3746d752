// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "../../../../contracts/types/Point.sol";
import {Prover} from "../../utils/Prover.sol";
import {Test} from "../../utils/Test.sol";
import {Curve} from "./Curve.sol";

/// @title The fast arithmetic against the plain one
contract CurveTest is Test {
    function testFuzz_mul_isThatOfTheProver(uint256 k, uint256 j) external view {
        k = bound(k, 1, Curve.N - 1);
        j = bound(j, 1, Curve.N - 1);
        Point memory p = Prover.mul(j, Prover.generator());
        Point memory expected = Prover.mul(k, p);
        Point memory actual = Curve.mul(k, p);
        assertEq(actual.x, expected.x, "x");
        assertEq(actual.y, expected.y, "y");
    }

    function test_mul_atTheEnds() external view {
        uint256[6] memory ends = [1, 2, 3, Curve.N - 3, Curve.N - 2, Curve.N - 1];
        for (uint256 i; i < ends.length; ++i) {
            Point memory expected = Prover.mul(ends[i], Prover.generator());
            Point memory actual = Curve.mul(ends[i], Prover.generator());
            assertEq(actual.x, expected.x, "x");
            assertEq(actual.y, expected.y, "y");
        }
    }

    function testFuzz_add_isThatOfTheProver(uint256 k, uint256 j) external view {
        k = bound(k, 1, Curve.N / 2);
        j = bound(j, 1, Curve.N / 2);
        vm.assume(k != j);
        (Point memory a, Point memory b) =
            (Prover.mul(k, Prover.generator()), Prover.mul(j, Prover.generator()));
        Point memory expected = Prover.add(a, b);
        Point memory actual = Curve.add(a, b);
        assertEq(actual.x, expected.x, "x");
        assertEq(actual.y, expected.y, "y");
    }
}
