#include "ingest/line_reader.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "ingest/split_record.h"

namespace bounced::ingest {

namespace {

constexpr std::size_t kSkipBytes = std::size_t{256} << 10;
constexpr std::int64_t kGrowthPollUs = 10'000;

}  // namespace

LineReader::LineReader(std::unique_ptr<Input> input, const std::string& path, Options options)
    : input_(std::move(input)), path_(path), options_(std::move(options)) {
  // Compressed data and pipes have an end; only a plain file can grow.
  if (!input_->plain()) options_.file.live = false;
}

Result<std::unique_ptr<LineReader>> LineReader::open(std::unique_ptr<Input> input,
                                                     const std::string& path, Options options,
                                                     const PositionBook& known,
                                                     PositionBook& keys) {
  std::unique_ptr<LineReader> reader(new LineReader(std::move(input), path, std::move(options)));
  if (auto peeked = reader->take_peek(); !peeked) return tl::unexpected(std::move(peeked.error()));
  const bool has_position = path != "-" && reader->input_->regular();
  if (has_position && !reader->options_.file.fresh) {
    if (auto found = reader->find_position(known); !found) {
      return tl::unexpected(std::move(found.error()));
    }
  }
  Position& position = reader->position_;
  if (has_position && !reader->resumed_) position.file = keys.next_file_key();
  position.source = reader->options_.file.source_name;
  position.path = path;
  position.device = reader->input_->info().device;
  position.inode = reader->input_->info().inode;
  position.finished = false;
  reader->start_offset_ = reader->offset_;
  return reader;
}

Result<void> LineReader::take_peek() {
  const std::size_t size = std::max(options_.peek_bytes, limits::kHeadHashBytes);
  peek_.resize(size);
  std::size_t have = 0;
  while (have < size) {
    auto got = input_->read(peek_.data() + have, size - have, have);
    if (!got) {
      // What was decoded before the damage is still handed out; the reader tells the error then.
      if (got.error().code != ErrorCode::data) return tl::unexpected(std::move(got.error()));
      error_ = std::move(got.error());
      break;
    }
    if (*got == 0) break;
    have += *got;
    if (input_->idle()) break;
  }
  peek_.resize(have);
  if (!input_->plain()) carry_ = peek_;
  learn_first_line(peek(), false);
  return {};
}

/// Keeps the first line of what the file begins with, once it is there as a whole.
void LineReader::learn_first_line(std::string_view text, bool ended) {
  const std::size_t newline = text.find('\n');
  const std::size_t size = newline == std::string_view::npos && ended ? text.size() : newline;
  if (size > limits::kFirstLineBytesMax) return;
  first_line_ = std::make_shared<const std::string>(text.substr(0, size));
}

std::string_view LineReader::peek() const {
  const std::size_t text = peek_.find_first_not_of('\0');
  return std::string_view(peek_).substr(text == std::string::npos ? peek_.size() : text);
}

Result<void> LineReader::find_position(const PositionBook& known) {
  std::optional<Error> trouble;
  const auto read_at = [&](std::uint64_t offset, std::size_t size) -> std::string {
    if (trouble.has_value()) return {};
    auto bytes = bytes_at(offset, size);
    if (bytes) return std::move(*bytes);
    trouble = std::move(bytes.error());
    return {};
  };
  PositionBook::Match match = known.match(options_.file.source_name, read_at,
                                          {input_->info().device, input_->info().inode});
  if (trouble.has_value()) return tl::unexpected(std::move(*trouble));
  beyond_end_ = match.beyond_end;
  if (!match.found) return offset_ == 0 ? Result<void>() : place(0);
  position_ = std::move(match.position);
  resumed_ = true;
  if (auto placed = place(position_.offset); !placed) return placed;
  return {};
}

/// Goes to an offset of a regular input, so that head_ and tail_ are what lies before it. When the
/// byte before it ends no line, that line's start was handed out already: its rest is skipped.
Result<void> LineReader::place(std::uint64_t offset) {
  if (input_->plain()) {
    auto head = bytes_at(0, std::min<std::uint64_t>(offset, limits::kHeadHashBytes));
    if (!head) return tl::unexpected(std::move(head.error()));
    const auto size = std::min<std::uint64_t>(offset, limits::kTailHashBytes);
    auto tail = bytes_at(offset - size, size);
    if (!tail) return tl::unexpected(std::move(tail.error()));
    head_ = std::move(*head);
    std::memcpy(tail_, tail->data(), tail->size());
    tail_size_ = tail->size();
    offset_ = offset;
  } else if (auto moved = forward(offset); !moved) {
    return moved;
  }
  skipping_line_ = tail_size_ != 0 && tail_[tail_size_ - 1] != '\n';
  pending_skipped_ = 0;
  return {};
}

/// Decodes a stream up to `offset`, or to its end; from the start when it lies behind.
Result<void> LineReader::forward(std::uint64_t offset) {
  if (offset < offset_) {
    if (auto again = input_->rewind(); !again) return again;
    head_.clear();
    tail_size_ = 0;
    offset_ = 0;
    carry_.clear();
    carry_used_ = 0;
    error_.reset();
  }
  std::string scratch;
  while (offset_ < offset) {
    if (carry_used_ == carry_.size()) {
      if (error_.has_value()) return tl::unexpected(*error_);
      scratch.resize(kSkipBytes);
      auto got = input_->read(scratch.data(), scratch.size(), 0);
      if (!got) return tl::unexpected(std::move(got.error()));
      if (*got == 0) break;
      carry_.assign(scratch, 0, *got);
      carry_used_ = 0;
    }
    const std::size_t take = std::min<std::uint64_t>(carry_.size() - carry_used_, offset - offset_);
    advance(carry_.data() + carry_used_, take);
    carry_used_ += take;
  }
  return {};
}

Result<std::string> LineReader::bytes_at(std::uint64_t offset, std::size_t size) {
  std::string bytes;
  if (!input_->plain()) {
    if (offset == 0 && size <= peek_.size()) return peek_.substr(0, size);
    if (auto moved = forward(offset + size); !moved)
      return tl::unexpected(std::move(moved.error()));
    if (offset == 0) return head_.substr(0, size);
    if (offset_ < offset + size || size > tail_size_) return bytes;
    bytes.assign(tail_ + tail_size_ - size, size);
    return bytes;
  }
  bytes.resize(size);
  std::size_t have = 0;
  while (have < size) {
    auto got = input_->read(bytes.data() + have, size - have, offset + have);
    if (!got) return tl::unexpected(std::move(got.error()));
    if (*got == 0) break;
    have += *got;
  }
  bytes.resize(have);
  return bytes;
}

void LineReader::advance(const char* data, std::size_t size) {
  if (head_.size() < limits::kHeadHashBytes) {
    head_.append(data, std::min(size, limits::kHeadHashBytes - head_.size()));
  }
  if (size >= sizeof tail_) {
    std::memcpy(tail_, data + size - sizeof tail_, sizeof tail_);
    tail_size_ = sizeof tail_;
  } else {
    const std::size_t stay = std::min(tail_size_, sizeof tail_ - size);
    std::memmove(tail_, tail_ + tail_size_ - stay, stay);
    std::memcpy(tail_ + stay, data, size);
    tail_size_ = stay + size;
  }
  offset_ += size;
}

/// Reads on behind `have` bytes of the block until it is full; true at the end of the input.
/// An error is kept for later: what came before it counts first.
bool LineReader::fill(Block& block, std::size_t& have) {
  while (have < block.capacity) {
    const std::size_t room = block.capacity - have;
    if (carry_used_ < carry_.size()) {
      const std::size_t take = std::min(room, carry_.size() - carry_used_);
      std::memcpy(block.data + have, carry_.data() + carry_used_, take);
      carry_used_ += take;
      have += take;
      continue;
    }
    if (error_.has_value()) return true;
    if (have != 0 && input_->idle() && whole_records(block, have) != 0) return false;
    auto got = input_->read(block.data + have, room, offset_ + have);
    if (!got) {
      error_ = std::move(got.error());
      return true;
    }
    if (*got == 0) return true;
    have += *got;
  }
  return false;
}

/// Whether a plain file that ends within a line, `have` bytes on, is being written now.
bool LineReader::grows(std::size_t have) {
  if (options_.file.settle_us == 0 || !input_->plain()) return false;
  const std::int64_t begun = monotonic_us();
  while (input_->refresh()) {
    if (input_->info().size > offset_ + have) return true;
    const std::int64_t quiet_us = system_clock().now_us() - input_->info().mtime_us;
    if (std::max(quiet_us, monotonic_us() - begun) >= options_.file.settle_us) break;
    std::this_thread::sleep_for(std::chrono::microseconds(kGrowthPollUs));
  }
  return false;
}

/// How many bytes at the front are to be skipped: the rest of an oversize line, or a NUL run.
std::size_t LineReader::unwanted(const Block& block, std::size_t have, bool ended) {
  if (have == 0) return 0;
  if (skipping_line_) {
    const auto* newline = static_cast<const char*>(std::memchr(block.data, '\n', have));
    if (newline == nullptr) return have;
    skipping_line_ = false;
    return static_cast<std::size_t>(newline - block.data) + 1;
  }
  if (block.data[0] != '\0') return 0;
  const char* text = std::find_if(block.data, block.data + have, [](char c) { return c != '\0'; });
  const auto run = static_cast<std::size_t>(text - block.data);
  // A live file that ends in NULs: their bytes may still be on their way.
  if (run == have && ended && options_.file.live) return 0;
  return run;
}

/// Gives the end of what a block took back to the stream; a plain file is simply read again.
void LineReader::keep(const char* data, std::size_t size) {
  if (input_->plain()) return;
  if (carry_used_ < carry_.size()) {
    // The whole block came out of carry_, so its end lies there already.
    carry_used_ -= size;
    return;
  }
  carry_.assign(data, size);
  carry_used_ = 0;
}

/// How many of the bytes are whole lines, or whole records where those are of several lines (but
/// for one that is larger than a block).
std::size_t LineReader::whole_records(const Block& block, std::size_t have) const {
  const auto after_last = [&](std::string_view end) {
    const std::size_t at = std::string_view(block.data, have).rfind(end);
    return at == std::string_view::npos ? 0 : at + end.size();
  };
  const std::string_view begin = first_line_ != nullptr        ? std::string_view(*first_line_)
                                 : offset_ == pending_skipped_ ? std::string_view(block.data, have)
                                                               : std::string_view();
  if (is_journal_export(begin)) {
    const std::size_t records = after_last("\n\n");
    if (records != 0 || have < block.capacity) return records;
  }
  if (have == 0) return 0;
  const auto* newline = static_cast<const char*>(memrchr(block.data, '\n', have));
  return newline == nullptr ? 0 : static_cast<std::size_t>(newline - block.data) + 1;
}

Result<ReadStatus> LineReader::next(Block& block) {
  if (ended_) return ReadStatus::end;
  if (announce_) {
    announce_ = false;
    describe(block, 0, false);
    block.oversize_lines = 0;
    return ReadStatus::data;
  }
  std::size_t have = 0;
  bool ended = false;
  for (;;) {
    ended = fill(block, have);
    const std::size_t drop = unwanted(block, have, ended);
    if (drop == 0) break;
    advance(block.data, drop);
    pending_skipped_ += drop;
    have -= drop;
    std::memmove(block.data, block.data + drop, have);
  }
  std::size_t size = whole_records(block, have);
  const bool ends = ended && !error_.has_value() && !options_.file.live;
  const bool oversize = size == 0 && have == block.capacity;
  if (ends && (size == have || !grows(have))) size = have;
  if (oversize) size = std::min(have, limits::kLineBytesMax);
  if (size != 0 && !oversize && !ends && !error_.has_value()) {
    const std::size_t before = before_split_record({block.data, size});
    // A block that is one record has no better place to be cut.
    if (before != 0 || have < block.capacity) size = before;
  }
  if (size == 0 && !ends) {
    keep(block.data, have);
    if (error_.has_value()) return tl::unexpected(*error_);
    return ReadStatus::again;
  }
  if (ends) {
    ended_ = true;
    if (size == 0 && resumed_ && sequence_ == 0 && !options_.mark_end) return ReadStatus::end;
  }
  describe(block, size, ends);
  block.oversize_lines = oversize ? 1 : 0;
  if (oversize) {
    // None of what follows in the buffer ends the line.
    skipping_line_ = true;
    advance(block.data + size, have - size);
    pending_skipped_ = have - size;
  } else {
    keep(block.data + size, have - size);
  }
  return ReadStatus::data;
}

void LineReader::describe(Block& block, std::size_t size, bool ends) {
  // A live file may have been empty when it was opened.
  if (first_line_ == nullptr && size != 0 && offset_ == pending_skipped_) {
    learn_first_line({block.data, size}, ends);
  }
  block.first_line = first_line_;
  std::memcpy(block.data - tail_size_, tail_, tail_size_);
  block.headroom = static_cast<std::uint32_t>(tail_size_);
  block.size = static_cast<std::uint32_t>(size);
  block.offset = offset_;
  block.starts_file = sequence_ == 0;
  block.ends_file = ends;
  block.sequence = sequence_++;
  block.skipped_bytes = pending_skipped_;
  pending_skipped_ = 0;
  advance(block.data, size);

  if (position_.head_size != head_.size() || sequence_ == 1) {
    position_.head_size = static_cast<std::uint32_t>(head_.size());
    position_.head_hash = hash64(head_);
  }
  position_.offset = offset_;
  position_.tail_size = static_cast<std::uint32_t>(tail_size_);
  position_.tail_hash = hash64({tail_, tail_size_});
  position_.finished = ends;

  block.lane = options_.file.lane;
  block.source = options_.file.source;
  block.format = options_.file.format;
  block.file = position_.file;
  block.head_size = position_.head_size;
  block.head_hash = position_.head_hash;
  block.device = position_.device;
  block.inode = position_.inode;
  block.mtime_us = 0;
  block.file_size = 0;
  if (input_->refresh()) {
    block.mtime_us = input_->info().mtime_us;
    if (input_->plain()) block.file_size = input_->info().size;
  }
}

Result<bool> LineReader::at_end() {
  if (input_->plain()) {
    if (auto refreshed = input_->refresh(); !refreshed) {
      return tl::unexpected(std::move(refreshed.error()));
    }
    return input_->info().size <= offset_;
  }
  if (carry_used_ < carry_.size()) return false;
  if (error_.has_value()) return tl::unexpected(*error_);
  std::string scratch(kSkipBytes, '\0');
  auto got = input_->read(scratch.data(), scratch.size(), 0);
  if (!got) return tl::unexpected(std::move(got.error()));
  carry_.assign(scratch, 0, *got);
  carry_used_ = 0;
  return *got == 0;
}

Result<void> LineReader::start_at_end() {
  if (auto refreshed = input_->refresh(); !refreshed) return refreshed;
  if (auto placed = place(input_->info().size); !placed) return placed;
  start_offset_ = offset_;
  announce_ = true;
  return {};
}

Result<bool> LineReader::intact(const Trace& trace) {
  if (!input_->plain()) return true;
  auto head = bytes_at(0, head_.size());
  if (!head) return tl::unexpected(std::move(head.error()));
  if (*head != head_) return false;
  if (trace.offset <= head_.size()) return true;
  auto tail = bytes_at(trace.offset - trace.tail.size(), trace.tail.size());
  if (!tail) return tl::unexpected(std::move(tail.error()));
  return *tail == trace.tail;
}

}  // namespace bounced::ingest
