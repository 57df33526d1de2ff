// Every limit of bounced in one place, with the sum of memory spelled out.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bounced::limits {

// --- ingest ---------------------------------------------------------------------------------
/// Bytes read by one pread; a Block holds whole lines of at most this many bytes.
inline constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
/// Blocks in the pool: the bound of everything between ingest and apply (32 MiB of text).
inline constexpr std::size_t kBlocksMax = 32;
/// Readable bytes before Block::data (tail hash of a position inside the block's first line).
inline constexpr std::size_t kBlockHeadroom = 64;
/// Readable bytes behind the last byte of a block (SIMD loads, simdjson padding).
inline constexpr std::size_t kBlockPadding = 64;
/// A longer line is parsed by its first kLineBytesMax bytes and counted as oversize.
inline constexpr std::size_t kLineBytesMax = std::size_t{64} << 10;
/// A file's first line is kept beside its blocks when it is not longer (formats with columns).
inline constexpr std::size_t kFirstLineBytesMax = std::size_t{16} << 10;
/// Bytes hashed at the head of a file and before an offset to recognise it by content.
inline constexpr std::size_t kHeadHashBytes = 256;
inline constexpr std::size_t kTailHashBytes = 64;

/// A live file that grows by this much while no line of it can be parsed is in trouble.
inline constexpr std::size_t kSilentBytesMax = std::size_t{1} << 20;
/// Positions of files that were read to their end are kept this long (log time): a copy of the file
/// that turns up later would be read again.
inline constexpr std::int64_t kPositionAgeMaxUs = std::int64_t{400} * 86'400 * 1'000'000;

// --- parse, classify ------------------------------------------------------------------------
/// Longer recipients are counted as malformed (RFC 5321 section 4.5.3.1: 64 + 1 + 255).
inline constexpr std::size_t kAddressBytesMax = 320;
/// Only this much of a diagnostic is classified; MTAs cut their text near 2 KiB anyway.
inline constexpr std::size_t kDiagnosticBytesMax = 4096;
/// Recipients taken from one record (RFC 5321 section 4.5.3.1.8 asks for 100 at least).
inline constexpr std::size_t kRecipientsMax = 10'000;
/// Memo entries per classifying thread.
inline constexpr std::size_t kMemoEntries = 16384;

// --- correlate ------------------------------------------------------------------------------
inline constexpr std::size_t kOpenMessagesMax = std::size_t{4} << 20;
/// Enrichment-only entries older than this (log time) are dropped:
/// maximal_queue_lifetime 5 d + 1 d.
inline constexpr std::int64_t kOpenMessageAgeMaxUs = std::int64_t{6} * 86'400 * 1'000'000;

// --- state ----------------------------------------------------------------------------------
/// Final failures kept per address; older ones live on in totals only.
inline constexpr std::size_t kFailuresMax = 8;
inline constexpr std::size_t kBlocksPerAddressMax = 32;
/// Evidence records kept per address (key + n mod kEvidenceMax).
inline constexpr std::size_t kEvidenceMax = 10;
/// Default bound of the RAM table of address states.
inline constexpr std::size_t kStateTableBytes = std::size_t{4} << 30;

// --- commit ---------------------------------------------------------------------------------
inline constexpr std::int64_t kCutIntervalUs = 1'000'000;
/// A cut leaves early when this much is dirty: it bounds memory, and large cuts cost less.
inline constexpr std::size_t kDirtyBytesMax = std::size_t{48} << 20;
/// Fewer dirty records go in one WriteBatch, more as ingested sorted files.
inline constexpr std::size_t kSmallCutRecords = 20'000;

}  // namespace bounced::limits
