// LineReader: one Input cut into Blocks of whole lines, with its identity and position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ingest/ingest.h"
#include "ingest/input.h"

namespace bounced::ingest {

/// What FileReader and Tail share. Not thread safe.
/// Invariants: offset() is the number of uncompressed bytes handed out or skipped; head_ and tail_
/// are the first <= 256 and the last <= 64 of them; a plain file carries nothing over from one
/// call to the next (the partial last line is read again), a stream carries it in carry_.
class LineReader {
 public:
  struct Options {
    FileOptions file;
    std::size_t peek_bytes = std::size_t{64} << 10;
    bool mark_end = false;  ///< an input resumed at its end still gives one empty ends_file block
  };
  /// `known`: where positions are looked up; `keys`: where new file keys come from.
  static Result<std::unique_ptr<LineReader>> open(std::unique_ptr<Input> input,
                                                  const std::string& path, Options options,
                                                  const PositionBook& known, PositionBook& keys);

  Result<ReadStatus> next(Block& block);
  /// Whether nothing follows now; a stream may have to decode for the answer.
  Result<bool> at_end();
  /// Goes to the end of a plain file; a partial last line there is not handed out later. The first
  /// block is then an empty one, so that the position is stored before the first line comes.
  Result<void> start_at_end();
  /// No longer live: a last line without newline counts, and the end is told.
  void finish() { options_.file.live = false; }
  void mark_end() { options_.mark_end = true; }

  /// A plain file's bytes before an offset, for telling later that they are still the same.
  struct Trace {
    std::uint64_t offset = 0;
    std::string tail;
  };
  [[nodiscard]] Trace trace() const { return {offset_, std::string(tail_, tail_size_)}; }
  /// Reads head and tail again: false when the file was truncated or refilled since `trace`.
  Result<bool> intact(const Trace& trace);

  /// Start of the file, behind leading NULs.
  [[nodiscard]] std::string_view peek() const;
  [[nodiscard]] std::uint64_t offset() const { return offset_; }
  [[nodiscard]] std::uint64_t start_offset() const { return start_offset_; }
  [[nodiscard]] bool resumed() const { return resumed_; }
  [[nodiscard]] bool beyond_end() const { return beyond_end_; }
  [[nodiscard]] const Position& position() const { return position_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Input& input() { return *input_; }
  [[nodiscard]] const Input& input() const { return *input_; }

 private:
  LineReader(std::unique_ptr<Input> input, const std::string& path, Options options);
  Result<void> take_peek();
  Result<void> find_position(const PositionBook& known);
  Result<void> place(std::uint64_t offset);
  Result<void> forward(std::uint64_t offset);
  Result<std::string> bytes_at(std::uint64_t offset, std::size_t size);
  bool fill(Block& block, std::size_t& have);
  [[nodiscard]] bool grows(std::size_t have);
  std::size_t unwanted(const Block& block, std::size_t have, bool ended);
  void keep(const char* data, std::size_t size);
  [[nodiscard]] std::size_t whole_records(const Block& block, std::size_t have) const;
  void advance(const char* data, std::size_t size);
  void learn_first_line(std::string_view text, bool ended);
  void describe(Block& block, std::size_t size, bool ends);

  std::unique_ptr<Input> input_;
  std::string path_;
  Options options_;
  Position position_;
  std::string peek_;
  std::string head_;
  std::shared_ptr<const std::string> first_line_;  ///< null until it is known
  char tail_[limits::kTailHashBytes] = {};
  std::size_t tail_size_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t start_offset_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint64_t pending_skipped_ = 0;
  std::string carry_;  // streams only: read, not yet handed out
  std::size_t carry_used_ = 0;
  std::optional<Error> error_;  // told once what came before it is handed out
  bool skipping_line_ = false;  // the rest of a line whose start was handed out
  bool resumed_ = false;
  bool beyond_end_ = false;
  bool announce_ = false;  // an empty first block is due
  bool ended_ = false;
};

}  // namespace bounced::ingest
