// Lane::OpenFile: a file that came under a lane's path, or lies beside it, until it is read.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <memory>
#include <string>

#include "ingest/lane.h"

namespace bounced::ingest {

struct Lane::OpenFile {
  std::string path;  // where it was found; a hint for messages
  Fd fd;             // until the reader takes it
  std::unique_ptr<LineReader> reader;
  FileInfo info;
  bool at_path = false;
  bool from_disk = false;           // a rotated sibling, found by a look at the folder
  bool exhausted = false;           // compressed, read to its end, still at the path
  bool closing = false;             // no longer live: its end is being told
  bool elsewhere = false;           // what it holds is read as another file
  std::int64_t since_us = 0;        // rotated, or taken up
  std::int64_t quiet_since_us = 0;  // last growth seen
  std::int64_t held_up_us = 0;      // since when its end is waited for; 0 = not yet
  std::int64_t retry_at_us = 0, backoff_us = 0;
  // As of the last look for siblings before it was begun.
  std::uint64_t scanned_size = UINT64_MAX;
  std::int64_t scanned_mtime_us = 0;
  std::string trouble;

  [[nodiscard]] int descriptor() const { return reader ? reader->input().fd() : fd.get(); }
  /// Forgets the reader, keeping the file open.
  void stop_reading() {
    if (reader == nullptr) return;
    fd = Fd(::fcntl(reader->input().fd(), F_DUPFD_CLOEXEC, 3));
    reader.reset();
    closing = false;
    exhausted = false;
  }
};

}  // namespace bounced::ingest
