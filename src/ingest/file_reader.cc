#include <glob.h>

#include <algorithm>

#include "ingest/line_reader.h"

namespace bounced::ingest {

struct FileReader::Impl {
  std::unique_ptr<LineReader> reader;
};

FileReader::FileReader() : impl_(std::make_unique<Impl>()) {}
FileReader::~FileReader() = default;

Result<std::unique_ptr<FileReader>> FileReader::open(const std::string& path,
                                                     const FileOptions& options,
                                                     const PositionBook& known,
                                                     PositionBook& keys) {
  auto input = Input::open(path, options.cancelled);
  if (!input) return tl::unexpected(std::move(input.error()));
  LineReader::Options line_options;
  line_options.file = options;
  auto reader = LineReader::open(std::move(*input), path, std::move(line_options), known, keys);
  if (!reader) return tl::unexpected(std::move(reader.error()));
  std::unique_ptr<FileReader> file(new FileReader);
  file->impl_->reader = std::move(*reader);
  return file;
}

Result<ReadStatus> FileReader::next(Block& block) {
  return impl_->reader->next(block);
}
std::string_view FileReader::head() const {
  return impl_->reader->peek();
}
std::uint64_t FileReader::offset() const {
  return impl_->reader->offset();
}
std::uint64_t FileReader::start_offset() const {
  return impl_->reader->start_offset();
}
bool FileReader::plain() const {
  return impl_->reader->input().plain();
}
bool FileReader::resumed() const {
  return impl_->reader->resumed();
}
bool FileReader::beyond_end() const {
  return impl_->reader->beyond_end();
}
const Position& FileReader::position() const {
  return impl_->reader->position();
}
const std::string& FileReader::path() const {
  return impl_->reader->path();
}

std::uint64_t FileReader::compressed_offset() const {
  const Input& input = impl_->reader->input();
  return input.plain() ? impl_->reader->offset() : input.raw_offset();
}

std::uint64_t FileReader::file_bytes() const {
  const Input& input = impl_->reader->input();
  return input.regular() ? input.info().size : 0;
}

Result<void> scan_files(const std::vector<std::string>& paths,
                        const std::function<bool(const Block&)>& visit) {
  PositionBook nothing;
  BlockPool pool(1);
  FileOptions options;
  options.fresh = true;
  for (const std::string& path : paths) {
    auto reader = FileReader::open(path, options, nothing);
    if (!reader) return tl::unexpected(std::move(reader.error()));
    for (;;) {
      // One block over and over: it stays in the second-level cache.
      const BlockPtr block = pool.take();
      auto status = (*reader)->next(*block);
      if (!status) return tl::unexpected(std::move(status.error()));
      if (*status != ReadStatus::data) break;
      if (!visit(*block)) return {};
    }
  }
  return {};
}

std::vector<std::string> expand_globs(const std::vector<std::string>& patterns) {
  std::vector<std::string> paths;
  for (const std::string& pattern : patterns) {
    if (pattern.find_first_of("*?[") == std::string::npos) {
      paths.push_back(pattern);
      continue;
    }
    glob_t found{};
    if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
      paths.insert(paths.end(), found.gl_pathv, found.gl_pathv + found.gl_pathc);
    }
    ::globfree(&found);
  }
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

}  // namespace bounced::ingest
