// ingest: files (plain, compressed, stdin) to Blocks of whole lines; positions by content.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/block.h"
#include "base/clock.h"
#include "base/time.h"
#include "bounced/result.h"
#include "store/store.h"

namespace bounced::ingest {

/// Where a file has been read and applied to (DESIGN 4.4). Stored under its `file` key.
struct Position {
  std::uint64_t file = 0;  ///< key; never reused within a store
  std::string source;      ///< the source's name
  std::string path;        ///< where it was last seen; a hint
  std::uint32_t head_size = 0;
  std::uint64_t head_hash = 0;
  std::uint32_t tail_size = 0;  ///< bytes before `offset` that tail_hash covers
  std::uint64_t tail_hash = 0;
  std::uint64_t offset = 0;  ///< uncompressed; end of the last applied whole line
  std::uint64_t device = 0, inode = 0;
  std::int64_t updated_us = 0;  ///< event time of the last applied record
  bool finished = false;        ///< rotated or compressed input read to its end
  TimeResolver::State time;
};
std::string encode(const Position& position);  ///< versioned codec; value only, key = file
Result<Position> decode_position(std::uint64_t file, std::string_view value);

/// All positions of a store. Errors: data, I/O.
Result<std::vector<Position>> load_positions(const store::Store& store);

/// All known positions. Thread safety: all methods. The pipeline owns the stored truth; this is
/// the copy that readers consult when a file appears.
class PositionBook {
 public:
  void load(std::vector<Position> positions);
  void update(const Position& position);
  /// The position whose head and tail match these bytes: `read_at(offset, size)` returns the bytes
  /// of the file (uncompressed) at offset, fewer at its end. Of several the one with the hinted
  /// device and inode (equal contents at two places), else the one furthest on.
  struct Match {
    bool found = false;
    Position position;
    /// A head matched, but the stored offset lies past the end: the file lost bytes. To be alarmed.
    bool beyond_end = false;
  };
  using ReadAt = std::function<std::string(std::uint64_t offset, std::size_t size)>;
  struct Hint {
    std::uint64_t device = 0, inode = 0;
  };
  [[nodiscard]] Match match(std::string_view source, const ReadAt& read_at) const {
    return match(source, read_at, Hint());
  }
  [[nodiscard]] Match match(std::string_view source, const ReadAt& read_at, Hint hint) const;
  [[nodiscard]] std::uint64_t next_file_key();
  [[nodiscard]] std::vector<Position> all() const;
  /// All of them, without a copy; `see` must not come back to this book.
  void visit(const std::function<void(const Position&)>& see) const;
  /// Changes with every update.
  [[nodiscard]] std::uint64_t version() const;

 private:
  [[nodiscard]] std::vector<Position> with_head(std::string_view head) const;
  struct Impl;
  std::shared_ptr<Impl> impl_;

 public:
  PositionBook();
};

enum class ReadStatus : std::uint8_t {
  /// The block holds at least one record, or ends the file, or (a Tail that starts at the end)
  /// only tells where reading begins.
  data,
  again,  ///< nothing whole to read now (live file)
  end,    ///< nothing follows; the block was not filled
};

struct FileOptions {
  std::uint32_t source = 0;  ///< Names id
  std::string source_name;
  std::uint32_t lane = 0;
  int format = -1;
  bool live = false;   ///< a last line without newline waits for its end
  bool fresh = false;  ///< ignore known positions: read from the start
  /// A plain file that ends within a line and was written less than this ago is given so much time
  /// to grow. If it does, it is live, and the rest of it is left for later.
  std::int64_t settle_us = 0;
  /// Asked while a pipe has nothing to say: true calls the reading off, with Error{cancelled}.
  std::function<bool()> cancelled;
};

/// One file, or stdin ("-"), read front to back; compression recognised by content. Not thread
/// safe. Errors name the file.
class FileReader {
 public:
  static Result<std::unique_ptr<FileReader>> open(const std::string& path,
                                                  const FileOptions& options, PositionBook& book) {
    return open(path, options, book, book);
  }
  /// `known`: where positions are looked up; `keys`: where new file keys come from.
  static Result<std::unique_ptr<FileReader>> open(const std::string& path,
                                                  const FileOptions& options,
                                                  const PositionBook& known, PositionBook& keys);
  ~FileReader();
  /// Fills `block` (data, size, headroom and all file fields; sequence counts from 0). After
  /// Error{data} for a truncated compressed file all whole lines before it were handed out.
  Result<ReadStatus> next(Block& block);
  /// Start of the text, for probing format and first time stamp; at most 64 KiB, not consumed.
  /// Always the start of the file (behind leading NULs), also when a position was taken up.
  [[nodiscard]] std::string_view head() const;
  [[nodiscard]] std::uint64_t offset() const;             ///< uncompressed bytes handed out
  [[nodiscard]] std::uint64_t start_offset() const;       ///< where this run began (position found)
  [[nodiscard]] std::uint64_t compressed_offset() const;  ///< for progress against file_bytes()
  [[nodiscard]] std::uint64_t file_bytes() const;         ///< size on disk; 0 = unknown (stdin)
  [[nodiscard]] bool plain() const;                       ///< neither compressed nor a pipe
  [[nodiscard]] bool resumed() const;                     ///< a known position was taken up
  /// A known head, but the stored offset lies past the end: read from the start; worth an alarm.
  [[nodiscard]] bool beyond_end() const;
  /// Identity, and time state when resumed; offset and tail follow what was handed out.
  /// file == 0: no position (stdin, pipes).
  [[nodiscard]] const Position& position() const;
  [[nodiscard]] const std::string& path() const;

 private:
  friend class Tail;
  FileReader();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct TailOptions {
  std::string name;
  std::vector<std::string> paths;  ///< globs
  std::uint32_t source = 0;
  int format = -1;
  std::int64_t poll_us = 250'000;  ///< fallback, and the longest wait without inotify news
  bool use_inotify = true;
  /// A file found by the first scan that no position belongs to: from its start, else from its
  /// end. Files that appear later are always read from their start.
  bool from_start = true;
  std::int64_t rotated_wait_us =
      5'000'000;  ///< a renamed file is watched this long for late writers
};

/// Follows the files of one [[tail]]: every path is a lane of its own; a rotated file is finished
/// before its successor is begun. Rename, copytruncate, truncation, deletion. Thread: one caller
/// of next(); wake() from any thread.
class Tail {
 public:
  Tail(TailOptions options, PositionBook& book, const Clock& clock);
  ~Tail();
  /// The next block of any file; waits up to timeout_us for news. `again` = nothing came.
  /// Fills Block::lane with a number that is stable per path (from 0).
  Result<ReadStatus> next(Block& block, std::int64_t timeout_us);
  void wake();
  struct FileState {
    std::string path;
    std::uint64_t file = 0, offset = 0, size = 0;
    std::uint64_t device = 0, inode = 0;
    std::uint32_t lane = 0;
    bool rotated = false, readable = true;
    std::string trouble;  ///< last error, empty when well
  };
  [[nodiscard]] std::vector<FileState> files() const;  ///< any thread
  /// Whether this file is open here, or about to be.
  [[nodiscard]] bool follows(const Position& position) const;
  /// Adds to `known` how far files were read here, which may be further than was applied.
  void add_positions(PositionBook& known) const;
  /// Time state with which a file's resolver starts: as stored, or anchored at the clock.
  [[nodiscard]] TimeResolver::State time_state(std::uint64_t file) const;
  struct Stats {
    std::uint64_t rotations = 0, truncations = 0, copies_recognised = 0, io_errors = 0;
    std::uint64_t bytes = 0, blocks = 0;
    std::uint64_t beyond_end = 0;  ///< stored offset past the end of the file: lines were lost
    std::uint64_t siblings = 0;    ///< rotated files taken up from disk
  };
  [[nodiscard]] Stats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Of files that are read together: which hold nothing that another of them does not (copies,
/// links, earlier states of one log), as the place of that other; kNoCopy = none. Told as positions
/// are, by the head and by what precedes the end. Files that begin alike are read for it.
inline constexpr std::size_t kNoCopy = SIZE_MAX;
std::vector<std::size_t> find_copies(const std::vector<std::unique_ptr<FileReader>>& readers);

/// Hands every block of the files, in order and from their start, to `visit` until it returns
/// false; knows and changes no positions. Stops at the first error, after what came before it.
Result<void> scan_files(const std::vector<std::string>& paths,
                        const std::function<bool(const Block&)>& visit);

/// Expands globs; sorted; a pattern without wildcard stays although nothing is there.
std::vector<std::string> expand_globs(const std::vector<std::string>& patterns);

}  // namespace bounced::ingest
