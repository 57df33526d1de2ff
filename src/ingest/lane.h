// Lane: one path of a Tail and the files that came and went under it, oldest first.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ingest/ingest.h"
#include "ingest/line_reader.h"
#include "ingest/siblings.h"

namespace bounced::ingest {

class Lane;

/// An open file's key, whether the file is at its lane's path, and whether it is a plain one.
struct Holder {
  std::uint64_t file = 0;
  bool at_path = false, plain = false;
};

/// What the lanes of one Tail share.
struct TailShared {
  TailShared(TailOptions o, PositionBook& b, const Clock& c)
      : options(std::move(o)), book(b), clock(c) {}
  TailOptions options;
  PositionBook& book;  ///< what the pipeline has applied; gives file keys
  const Clock& clock;
  PositionBook read;  ///< what was handed out, never behind `book`: blocks may be under way
  std::vector<std::unique_ptr<Lane>> lanes;
  std::set<std::string> paths;  ///< of the lanes

  std::uint64_t synced = 0;  ///< version of `book` that `read` has seen

  mutable std::mutex mutex;  ///< guards what other threads may ask for:
  Tail::Stats stats;
  std::map<std::uint64_t, TimeResolver::State> times;
  std::vector<std::vector<Tail::FileState>> states;  ///< by lane

  /// Takes over what the pipeline knows and `read` does not.
  void sync_positions();
  void add_read_to(PositionBook& known) const { add_further(read, known); }
  /// Adds positions that `known` does not have, or not so far on.
  static void add_further(const PositionBook& positions, PositionBook& known);
  void add(std::uint64_t Tail::Stats::*counter, std::uint64_t n = 1) {
    const std::lock_guard lock(mutex);
    stats.*counter += n;
  }
  /// Who reads this key now, other than the file `info` itself; nullopt = nobody.
  [[nodiscard]] std::optional<Holder> holder(std::uint64_t key, const FileInfo& info) const;
  void note_time(const Position& position, bool resumed, std::int64_t anchor_us);
};

/// Invariants: at most one of files_ is at the path, and the last one, unless it has just left it;
/// a file is read only when
/// all before it are read to their end, in trouble, or overdue; a file that was seen at the path is
/// held open until it is read. Not thread safe.
class Lane {
 public:
  Lane(std::string path, std::uint32_t number, bool first_scan, TailShared& shared);
  ~Lane();
  /// One block, when there is one; looks at the path first. `now_us` is monotonic.
  bool step(Block& block, std::int64_t now_us);
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Whether the file with this identity is the one at this lane's path.
  [[nodiscard]] bool is_at_path(const FileInfo& info) const;
  struct Held {
    bool open = false, begun = false;
  };
  [[nodiscard]] Held held(const FileInfo& info) const;
  void publish();
  void add_holders(const FileInfo& except, std::vector<Holder>& holders) const;

 private:
  struct OpenFile;
  using FilePtr = std::unique_ptr<OpenFile>;
  enum class Outcome : std::uint8_t { data, wait, pass, done, retry };

  /// The file at the path, as of the last look; nullptr = none.
  [[nodiscard]] OpenFile* live() const;
  void look(std::int64_t now_us);
  void leave_path(OpenFile& file, std::int64_t now_us);
  Outcome read(OpenFile& file, Block& block, std::int64_t now_us);
  Outcome begin(OpenFile& file, std::int64_t now_us);
  Result<std::unique_ptr<LineReader>> open_reader(const OpenFile& file, const PositionBook& known);
  Outcome at_end(OpenFile& file, const LineReader::Trace& trace, std::int64_t now_us);
  Outcome hand_out(OpenFile& file, Block& block);
  Outcome truncated(OpenFile& file, std::int64_t now_us);
  std::uint64_t forget_truncated(OpenFile& file, std::int64_t now_us);
  Outcome trouble(OpenFile& file, const Error& error, std::int64_t now_us);
  [[nodiscard]] bool settled(const OpenFile& file, std::int64_t now_us) const;
  [[nodiscard]] bool still_packed(const OpenFile& file, std::int64_t now_us) const;
  [[nodiscard]] bool overdue(OpenFile& file, std::int64_t now_us) const;
  [[nodiscard]] const Lane* other_reader(const OpenFile& file) const;

  /// waiting: open, its turn has not come; prefix: nothing to read in it.
  enum class Kind : std::uint8_t { unknown, known, open, waiting, prefix, broken };
  struct Judged {
    Kind kind = Kind::unknown;
    bool finished = false;   ///< known, read to its end, and marked so
    std::uint64_t file = 0;  ///< key of the position, when known
    Fd fd;
  };
  Judged judge(const Sibling& sibling);
  FileInfo first_look(std::int64_t now_us);
  /// Whether a position is of this source, or of a file that was read at this path.
  [[nodiscard]] bool ours(const Position& position) const;
  [[nodiscard]] std::vector<std::uint64_t> unfinished_files() const;
  void judge_siblings(const std::vector<Sibling>& siblings, std::vector<Judged>& judged,
                      std::size_t& from);
  /// Rotated files beside the path, oldest first; those before `from` were not judged.
  struct Surroundings {
    std::vector<Sibling> siblings;
    std::vector<Judged> judged;
    std::size_t from = 0;
  };
  Surroundings look_around();
  /// Puts rotated files that are still to be read where they belong; returns how many.
  /// `copied_file`: key of a file that was truncated, whose copy is looked for; 0 = none.
  std::size_t take_siblings(std::uint64_t copied_file, std::int64_t now_us);
  /// Where in files_ siblings[i] belongs: before newer files that wait, and before what is at the
  /// path.
  [[nodiscard]] std::size_t place_of(const std::vector<Sibling>& siblings, std::size_t i) const;

  std::string path_;
  std::uint32_t number_;
  bool first_scan_;
  bool looked_ = false;
  TailShared& shared_;
  std::uint64_t sequence_ = 0;
  std::deque<FilePtr> files_;
  std::string path_trouble_;
  /// Time of change of what was read last: with no known file among the siblings, only those that
  /// changed later count as unread. 0 = nothing was ever read here.
  std::int64_t read_mtime_us_ = 0;
  std::uint64_t live_file_ = 0;  // key of the file at the path, as far as known before it is read
};

}  // namespace bounced::ingest
