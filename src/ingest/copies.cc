// Files of one replay that are copies of each other.
#include <algorithm>
#include <optional>

#include "bounced/limits.h"
#include "ingest/ingest.h"

namespace bounced::ingest {

namespace {

std::string_view start_of(const FileReader& reader) {
  return reader.head().substr(0, limits::kHeadHashBytes);
}

/// Whether both have a start, and the shorter one is the start of the other.
bool begin_alike(const FileReader& a, const FileReader& b) {
  const std::size_t size = std::min(start_of(a).size(), start_of(b).size());
  return size != 0 && start_of(a).substr(0, size) == start_of(b).substr(0, size);
}

/// The position at the end of a file, or at the last line that can be read of it.
Position end_of(const std::string& path) {
  FileOptions options;
  options.fresh = true;
  PositionBook keys;
  BlockPool pool(1);
  auto reader = FileReader::open(path, options, keys);
  if (!reader) return {};
  for (;;) {
    const BlockPtr block = pool.take();
    const auto status = (*reader)->next(*block);
    if (!status || *status != ReadStatus::data) return (*reader)->position();
  }
}

bool goes_on(const std::string& path, const Position& end) {
  PositionBook book;
  book.load({end});
  const auto reader = FileReader::open(path, FileOptions{}, book);
  return reader && (*reader)->resumed();
}

}  // namespace

std::vector<std::size_t> find_copies(const std::vector<std::unique_ptr<FileReader>>& readers) {
  std::vector<std::size_t> copy_of(readers.size(), kNoCopy);
  std::vector<std::optional<Position>> ends(readers.size());
  const auto holds = [&](std::size_t whole, std::size_t part) {
    if (!ends[part].has_value()) ends[part] = end_of(readers[part]->path());
    return goes_on(readers[whole]->path(), *ends[part]);
  };
  for (std::size_t j = 0; j < readers.size(); ++j) {
    for (std::size_t i = 0; i < j && copy_of[j] == kNoCopy; ++i) {
      if (copy_of[i] != kNoCopy || readers[i]->position().file == 0 ||
          readers[j]->position().file == 0 || !begin_alike(*readers[i], *readers[j])) {
        continue;
      }
      if (holds(i, j)) {
        copy_of[j] = i;
      } else if (holds(j, i)) {
        copy_of[i] = j;
      }
    }
  }
  return copy_of;
}

}  // namespace bounced::ingest
