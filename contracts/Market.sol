// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Escrow} from "./Escrow.sol";
import {IAssets} from "./interfaces/IAssets.sol";
import {IFraudChecker} from "./interfaces/IFraudChecker.sol";
import {ITreasury} from "./interfaces/ITreasury.sol";
import {KeyRequests} from "./market/KeyRequests.sol";
import {Licences} from "./market/Licences.sol";
import {Offers} from "./market/Offers.sol";
import {Purchases} from "./market/Purchases.sol";

/// @title Market
/// @notice Sells licences of assets: offers, escrowed purchases with verified key delivery, licences, key requests, disputes. One
/// concept a file, in `market/`; the interfaces are the manual.
/// @dev No privilege, no pause, no upgrade.
contract Market is KeyRequests {
    /// @param assets_ Where owners, versions and roles are recorded.
    /// @param treasury_ The books.
    /// @param fraudChecker_ Judges disputes.
    /// @param minBond_ Wei: what a dispute costs at the gas price stated for this chain.
    constructor(IAssets assets_, ITreasury treasury_, IFraudChecker fraudChecker_, uint128 minBond_)
        Licences(assets_)
        Offers(minBond_)
        Escrow(treasury_)
        Purchases(fraudChecker_)
    {}
}
