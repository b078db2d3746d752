// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title The cheat codes of forge that the tests use
/// @notice Selectors are all that matters: forge answers them at the address in `Test`.
interface Vm {
    /// @notice A recorded log.
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    // --- who calls, and with what -----------------------------------------------------------------------

    function prank(address sender) external;
    function prank(address sender, address origin) external;
    function startPrank(address sender) external;
    function startPrank(address sender, address origin) external;
    function stopPrank() external;
    function deal(address account, uint256 balance) external;
    function label(address account, string calldata name) external;

    // --- the chain --------------------------------------------------------------------------------------

    function warp(uint256 timestamp) external;
    function roll(uint256 number) external;
    function fee(uint256 baseFee) external;
    function chainId(uint256 id) external;
    function getBlockTimestamp() external view returns (uint256 timestamp);
    function getBlockNumber() external view returns (uint256 number);
    function etch(address target, bytes calldata code) external;
    function store(address target, bytes32 slot, bytes32 value) external;
    function load(address target, bytes32 slot) external view returns (bytes32 value);
    function getNonce(address account) external view returns (uint64 nonce);
    function setNonce(address account, uint64 nonce) external;
    function snapshotState() external returns (uint256 id);
    function revertToState(uint256 id) external returns (bool success);
    function revertToStateAndDelete(uint256 id) external returns (bool success);

    // --- expectations -----------------------------------------------------------------------------------

    function expectRevert() external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function expectRevert(bytes4 selector, address reverter) external;
    function expectRevert(bytes calldata data, address reverter) external;
    function expectPartialRevert(bytes4 selector) external;
    function expectEmit() external;
    function expectEmit(address emitter) external;
    function expectEmit(bool topic1, bool topic2, bool topic3, bool data) external;
    function expectEmit(bool topic1, bool topic2, bool topic3, bool data, address emitter) external;
    function expectCall(address callee, bytes calldata data) external;
    function expectCall(address callee, uint256 value, bytes calldata data) external;
    function expectCall(address callee, bytes calldata data, uint64 count) external;
    function mockCall(address callee, bytes calldata data, bytes calldata answer) external;
    function clearMockedCalls() external;
    function assume(bool condition) external pure;
    function skip(bool skipTest, string calldata reason) external;

    // --- logs and storage access ------------------------------------------------------------------------

    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory logs);
    function record() external;
    function accesses(address target) external returns (bytes32[] memory reads, bytes32[] memory writes);

    // --- keys -------------------------------------------------------------------------------------------

    function addr(uint256 privateKey) external pure returns (address account);
    function sign(uint256 privateKey, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function signCompact(uint256 privateKey, bytes32 digest) external pure returns (bytes32 r, bytes32 vs);
    function publicKeyP256(uint256 privateKey) external pure returns (uint256 x, uint256 y);
    function createWallet(uint256 privateKey) external returns (Wallet memory wallet);

    /// @notice A key with its public point on secp256k1.
    struct Wallet {
        address addr;
        uint256 publicKeyX;
        uint256 publicKeyY;
        uint256 privateKey;
    }

    function computeCreateAddress(address deployer, uint256 nonce) external pure returns (address account);
    function computeCreate2Address(bytes32 salt, bytes32 initCodeHash, address deployer)
        external
        pure
        returns (address account);

    // --- files and JSON: tests/vectors may be read ------------------------------------------------------

    function readFile(string calldata path) external view returns (string memory text);
    function keyExistsJson(string calldata json, string calldata key) external view returns (bool exists);
    function parseJson(string calldata json, string calldata key) external pure returns (bytes memory encoded);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256 value);
    function parseJsonUintArray(string calldata json, string calldata key)
        external
        pure
        returns (uint256[] memory values);
    function parseJsonInt(string calldata json, string calldata key) external pure returns (int256 value);
    function parseJsonBool(string calldata json, string calldata key) external pure returns (bool value);
    function parseJsonAddress(string calldata json, string calldata key) external pure returns (address value);
    function parseJsonAddressArray(string calldata json, string calldata key)
        external
        pure
        returns (address[] memory values);
    function parseJsonBytes(string calldata json, string calldata key)
        external
        pure
        returns (bytes memory value);
    function parseJsonBytesArray(string calldata json, string calldata key)
        external
        pure
        returns (bytes[] memory values);
    function parseJsonBytes32(string calldata json, string calldata key) external pure returns (bytes32 value);
    function parseJsonBytes32Array(string calldata json, string calldata key)
        external
        pure
        returns (bytes32[] memory values);
    function parseJsonString(string calldata json, string calldata key)
        external
        pure
        returns (string memory value);
    function parseJsonStringArray(string calldata json, string calldata key)
        external
        pure
        returns (string[] memory values);
    function parseJsonKeys(string calldata json, string calldata key)
        external
        pure
        returns (string[] memory keys);

    // --- words ------------------------------------------------------------------------------------------

    function toString(uint256 value) external pure returns (string memory text);
    function toString(int256 value) external pure returns (string memory text);
    function toString(address value) external pure returns (string memory text);
    function toString(bytes32 value) external pure returns (string memory text);
    function toString(bytes calldata value) external pure returns (string memory text);
    function toString(bool value) external pure returns (string memory text);

    // --- gas --------------------------------------------------------------------------------------------

    function pauseGasMetering() external;
    function resumeGasMetering() external;
    function cool(address target) external;
    function lastCallGas() external view returns (Gas memory gas);

    /// @notice Gas of the last call.
    struct Gas {
        uint64 gasLimit;
        uint64 gasTotalUsed;
        uint64 gasMemoryUsed;
        int64 gasRefunded;
        uint64 gasRemaining;
    }
}
