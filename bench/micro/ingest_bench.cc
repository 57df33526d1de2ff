// FileReader on a page-cached file: how near it comes to pread alone (limits.md: 18 GB/s).
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/block.h"
#include "ingest/ingest.h"

namespace {

constexpr std::size_t kBytes = std::size_t{256} << 20;

/// 256 MiB of lines of about 190 bytes, written once and removed at exit.
const std::string& corpus() {
  static const struct Corpus {
    std::string path = (std::filesystem::temp_directory_path() / "bounced-bench-XXXXXX").string();
    Corpus() {
      const int fd = ::mkstemp(path.data());
      std::string chunk;
      for (int i = 0; chunk.size() < (std::size_t{1} << 20); ++i) {
        chunk += "Nov 21 20:22:31 mx postfix/smtp[7]: " + std::to_string(i) +
                 std::string(120 + i * 7 % 60, 'x') + "\n";
      }
      for (std::size_t done = 0; done < kBytes; done += chunk.size()) {
        if (::write(fd, chunk.data(), chunk.size()) < 0) std::abort();
      }
      ::close(fd);
    }
    ~Corpus() { std::filesystem::remove(path); }
  } made;
  return made.path;
}

void file_reader(benchmark::State& state) {
  bounced::ingest::PositionBook book;
  bounced::ingest::FileOptions options;
  options.fresh = true;
  const auto size = std::filesystem::file_size(corpus());
  // A pool that is gone through in turn, as in the pipeline, or one block that stays in the cache.
  bounced::BlockPool pool(static_cast<std::size_t>(state.range(0)));
  std::vector<bounced::BlockPtr> held;
  std::uint64_t total = 0;
  for (auto _ : state) {
    auto reader = bounced::ingest::FileReader::open(corpus(), options, book);
    std::uint64_t bytes = 0;
    for (;;) {
      if (held.size() == pool.size()) held.erase(held.begin());
      held.push_back(pool.take());
      const auto status = (*reader)->next(*held.back());
      if (!status || *status != bounced::ingest::ReadStatus::data) break;
      bytes += held.back()->size;
    }
    held.clear();
    if (bytes != size) state.SkipWithError("bytes were lost");
    total += bytes;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(total));
}
BENCHMARK(file_reader)->Arg(1)->Arg(32)->Unit(benchmark::kMillisecond)->UseRealTime();

void raw_pread(benchmark::State& state) {
  const auto size = std::filesystem::file_size(corpus());
  std::vector<char> buffer(std::size_t{1} << 20);
  std::uint64_t total = 0;
  for (auto _ : state) {
    const int fd = ::open(corpus().c_str(), O_RDONLY | O_CLOEXEC);
    std::uint64_t bytes = 0;
    for (ssize_t got = 1; got > 0; bytes += static_cast<std::uint64_t>(got)) {
      got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(bytes));
    }
    ::close(fd);
    if (bytes != size) state.SkipWithError("bytes were lost");
    total += bytes;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(total));
}
BENCHMARK(raw_pread)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
