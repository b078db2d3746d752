"""Operators of TensorFlow that run programs, or read or write what their graph names. Source: the 1,910 of TensorFlow 2.21.

Not among them are those that every saved model has or may well have, and whose names of files come with it: ``SaveV2``, ``RestoreV2``,
``InitializeTableFromTextFileV2`` and their older forms.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

CODE: Final = frozenset({
    # Python, and graphs and programs of their own
    "PyFunc", "PyFuncStateless", "EagerPyFunc", "DatasetFromGraph", "MlirPassthroughOp", "XlaHostCompute",
    "_XlaHostComputeMlir",
    # files that are read
    "ReadFile", "MatchingFiles", "MatchingFilesDataset", "ExperimentalMatchingFilesDataset", "ImmutableConst",
    "LoadAndRemapMatrix", "GenerateVocabRemapping", "WholeFileReader", "WholeFileReaderV2", "TextLineReader",
    "TextLineReaderV2", "TFRecordReader", "TFRecordReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2",
    "LMDBReader", "RecordInput", "Skipgram", "TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2",
    "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "LMDBDataset", "ExperimentalLMDBDataset", "CSVDataset",
    "CSVDatasetV2", "ExperimentalCSVDataset", "SqlDataset", "ExperimentalSqlDataset", "LoadDataset", "SnapshotChunkDataset",
    "SnapshotDatasetReader", "SnapshotNestedDatasetReader", "ListSnapshotChunksDataset",
    # files that are written
    "WriteFile", "SaveDataset", "SaveDatasetV2", "DistributedSave", "DatasetToTFRecord", "ExperimentalDatasetToTFRecord",
    "SnapshotDataset", "SnapshotDatasetV2", "CacheDataset", "CacheDatasetV2", "CreateSummaryFileWriter",
    "CreateSummaryDbWriter", "DumpTensor", "CalibrationStatisticsSaver", "DebugIdentity", "DebugIdentityV2",
    "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary",
    # other machines
    "DataServiceDataset", "DataServiceDatasetV2", "DataServiceDatasetV3", "DataServiceDatasetV4", "RegisterDataset",
    "RegisterDatasetV2", "RpcServer", "RpcServerStart", "RpcServerRegister", "RpcClient", "RpcCall", "RemoteCall",
    "FileSystemSetConfiguration",
})  # fmt: skip
"""Names of operators."""

BY_SETTING: Final = {
    "PrintV2": "output_stream",
    "DecodeProtoV2": "descriptor_source",
    "EncodeProto": "descriptor_source",
    "FixedUnigramCandidateSampler": "vocab_file",
}
"""Operators that name a file in a setting, or do not."""

SUSPECT: Final = CODE | BY_SETTING.keys()
"""All of them."""
NAMES: Final = re.compile(b"|".join(name.encode() for name in sorted(SUSPECT, reverse=True)))
"""Finds one of ``SUSPECT``, the longest at its place, in bytes."""

_HARMLESS: Final = frozenset(
    (b"", b"stdout", b"stderr", b"log(info)", b"log(warning)", b"log(error)", b"local://")
)


def why(operators: Collection[str]) -> str | None:
    """Return why a graph with such operators runs code, or None if it has none."""
    if not operators:
        return None
    return f"its graph has operators that run programs or touch files: {', '.join(sorted(operators)[:8])}"


def is_harmless(setting: bytes) -> bool:
    """Whether a setting of one of ``BY_SETTING`` names no file."""
    return setting in _HARMLESS or setting.startswith(b"bytes://")
