//! TensorFlow's operators, sorted. A SavedModel always carries those that save and restore it; where they go is
//! judged apart.

use std::sync::LazyLock;

/// Operators that only compute, and those that save and restore at a path that they are given: one name a line, sorted.
static PLAIN: LazyLock<Vec<&'static [u8]>> =
    LazyLock::new(|| include_str!("plain.txt").lines().map(str::as_bytes).collect());

/// Whether an operator is on the list.
pub(super) fn is_plain(name: &[u8]) -> bool {
    PLAIN.binary_search(&name).is_ok()
}

/// Operators that read or write files, speak with others, or call Python. They are named for a clearer message.
pub(super) const DANGEROUS: &[&[u8]] = &[
    b"AudioSummary",
    b"BigQueryReader",
    b"CSVDataset",
    b"CSVDatasetV2",
    b"CloseSummaryWriter",
    b"CollectiveBcastRecv",
    b"CreateSummaryDbWriter",
    b"CreateSummaryFileWriter",
    b"DatasetToSingleElement",
    b"DatasetToTFRecord",
    b"DebugIdentityV2",
    b"DebugIdentityV3",
    b"DecodeProtoV2",
    b"DeleteFile",
    b"DistributedSave",
    b"DumpTensor",
    b"EagerPyFunc",
    b"EncodeProto",
    b"ExperimentalCSVDataset",
    b"ExperimentalDatasetToTFRecord",
    b"ExperimentalLMDBDataset",
    b"ExperimentalMatchingFilesDataset",
    b"ExperimentalSqlDataset",
    b"FileSystemSetConfiguration",
    b"FixedLengthRecordDataset",
    b"FixedLengthRecordDatasetV2",
    b"FixedLengthRecordReaderV2",
    b"GeneratorDataset",
    b"IdentityReaderV2",
    b"ImmutableConst",
    b"ImportEvent",
    b"InitializeTableFromTextFile",
    b"InitializeTableFromTextFileV2",
    b"IteratorFromStringHandleV2",
    b"LMDBDataset",
    b"LMDBReader",
    b"ListSnapshotChunksDataset",
    b"LoadAndRemapMatrix",
    b"LoadDataset",
    b"MapDefun",
    b"MatchingFiles",
    b"MatchingFilesDataset",
    b"Print",
    b"PrintV2",
    b"PyFunc",
    b"PyFuncStateless",
    b"ReadFile",
    b"ReaderReadV2",
    b"RegisterDataset",
    b"RemoteCall",
    b"Restore",
    b"RestoreSlice",
    b"Rpc",
    b"RpcCall",
    b"RpcClient",
    b"RpcServer",
    b"RpcServerStart",
    b"Save",
    b"SaveDataset",
    b"SaveDatasetV2",
    b"SaveSlices",
    b"SendTPUEmbeddingGradients",
    b"ShardDataset",
    b"SnapshotChunkDataset",
    b"SnapshotDataset",
    b"SnapshotDatasetV2",
    b"SqlDataset",
    b"TFRecordDataset",
    b"TFRecordDatasetV2",
    b"TFRecordReaderV2",
    b"TextLineDataset",
    b"TextLineReaderV2",
    b"TryRpc",
    b"WholeFileReader",
    b"WholeFileReaderV2",
    b"WriteFile",
    b"WriteRawProtoSummary",
    b"WriteScalarSummary",
    b"WriteSummary",
    b"XlaLaunch",
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_is_sorted_and_holds_nothing_dangerous() {
        assert!(super::PLAIN.is_sorted());
        assert!(!super::DANGEROUS.iter().any(|name| super::is_plain(name)));
    }
}
