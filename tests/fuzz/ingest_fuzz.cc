// Readers of files on any bytes: plain, compressed (.gz .zst .xz .bz2, cut or not), read at once,
// in small steps as they grow, and from any line on: the same lines at the same offsets. Mails of
// an mbox likewise. Positions as they are stored.
// fuzz-libs: bounced_ingest bounced_store
#include <unistd.h>

#include <string>
#include <vector>

#include "base/block.h"
#include "check.h"
#include "ingest/ingest.h"
#include "ingest/mailbox.h"
#include "ingest/mbox_tail.h"

namespace {

using namespace bounced;

constexpr std::int64_t kNowUs = 1'763'640'000'000'000;

/// A file in memory that goes with the process.
struct Scratch {
  std::string path;
  Scratch() {
    path = "/dev/shm/bounced-ingest-fuzz-" + std::to_string(::getpid());
    write({});
  }
  ~Scratch() { ::unlink(path.c_str()); }
  void write(std::string_view bytes) const { put(bytes, "wb"); }
  void append(std::string_view bytes) const { put(bytes, "ab"); }

 private:
  void put(std::string_view bytes, const char* how) const {
    std::FILE* file = std::fopen(path.c_str(), how);
    CHECK(file != nullptr);
    CHECK(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
    std::fclose(file);
  }
};

/// What a reader hands out, with where it said that it was.
struct Read {
  std::string text;
  std::uint64_t begin = 0, end = 0;
  ingest::Position position;
  bool damaged = false, plain = false;
};

/// `whole`: the block before ended with a whole line, as all do but the last, and pieces of a line
/// that is longer than a block.
void check_block(const Block& block, const Read& read, bool& whole) {
  CHECK(block.offset >= read.end);  // runs of NULs are passed over
  CHECK(block.size <= limits::kBlockBytes);
  if (block.size == 0) return;
  CHECK(whole);
  whole = block.oversize_lines != 0 || block.data[block.size - 1] == '\n';
}

/// Reads on from the book's position to the end, and leaves the new one there. `plain`: the bytes
/// of the file.
Read read_all(const std::string& path, std::string_view plain, ingest::PositionBook& book,
              bool live) {
  ingest::FileOptions options;
  options.source_name = "fuzz";
  options.live = live;
  Read read;
  auto reader = ingest::FileReader::open(path, options, book);
  if (!reader) {
    read.damaged = true;
    return read;
  }
  read.begin = read.end = (*reader)->start_offset();
  static BlockPool pool(1);
  BlockPtr block = pool.take();
  bool whole = true;
  for (;;) {
    const auto status = (*reader)->next(*block);
    if (!status) {
      read.damaged = true;
      break;
    }
    if (*status != ingest::ReadStatus::data) break;
    check_block(*block, read, whole);
    read.text.append(block->data, block->size);
    if ((*reader)->plain()) {
      CHECK(plain.substr(block->offset, block->size) == std::string_view(block->data, block->size));
    }
    read.end = block->offset + block->size;
    CHECK(read.end <= (*reader)->offset());
  }
  read.position = (*reader)->position();
  CHECK(read.position.offset <= (*reader)->offset());
  read.plain = (*reader)->plain();
  if (read.position.file != 0) book.update(read.position);
  return read;
}

void check_position(const ingest::Position& position) {
  const auto again = ingest::decode_position(position.file, ingest::encode(position));
  CHECK(again && ingest::encode(*again) == ingest::encode(position));
  CHECK(again->offset == position.offset && again->head_hash == position.head_hash &&
        again->tail_hash == position.tail_hash && again->path == position.path);
}

/// Without NULs where a line begins: a run of them is passed over where reading begins, and is part
/// of a line elsewhere.
std::string without_runs(std::string_view text) {
  std::string out;
  bool begins = true;
  for (const char c : text) {
    if (begins && c == '\0') continue;
    begins = c == '\n';
    out += c;
  }
  return out;
}

/// A plain file, all at once, and while it grows at a cut: the same bytes.
void grow(const Scratch& file, std::string_view bytes, std::size_t cut) {
  ingest::PositionBook at_once, in_steps;
  file.write(bytes);
  const Read whole = read_all(file.path, bytes, at_once, false);
  check_position(whole.position);
  file.write(bytes.substr(0, cut));
  Read first = read_all(file.path, bytes.substr(0, cut), in_steps, true);
  if (first.plain) CHECK(first.end <= cut);
  // Not a part of a line, whose rest may come (nor a part of a split record).
  if (first.plain && !first.text.empty()) CHECK(first.text.back() == '\n');
  file.append(bytes.substr(cut));
  const Read rest = read_all(file.path, bytes, in_steps, false);
  if (whole.damaged || first.damaged || rest.damaged) return;
  const std::string_view head = bytes.substr(0, std::min(cut, limits::kHeadHashBytes));
  if (!first.plain || !rest.plain || head.find_first_not_of('\0') == std::string_view::npos) return;
  if (!first.text.empty()) CHECK(rest.begin == first.position.offset);
  CHECK(without_runs(first.text) + without_runs(rest.text) == without_runs(whole.text));
  if (whole.text.find('\0') == std::string::npos) CHECK(rest.end == whole.end);
}

void stored(std::string_view bytes) {
  const auto position = ingest::decode_position(1, bytes);
  if (!position) return;
  CHECK(position->tail_size <= position->offset);
  check_position(*position);
}

std::vector<std::string> mails_of(const Scratch& file) {
  std::vector<std::string> mails;
  auto reader = ingest::MailReader::open(file.path);
  if (!reader) return mails;
  ingest::Mail mail;
  for (auto more = (*reader)->next(mail); more && *more; more = (*reader)->next(mail)) {
    CHECK(mail.bytes.size() <= ingest::MailReader::kBytesMax);
    mails.push_back(mail.bytes);
  }
  return mails;
}

void follow(ingest::MboxTail& tail, std::int64_t now_us, std::vector<std::string>& mails) {
  std::vector<ingest::Mail> found;
  std::uint64_t before = tail.position().offset;
  do {
    CHECK(tail.read(found, now_us));
    for (const ingest::Mail& mail : found) {
      CHECK(mail.offset >= before && mail.bytes.size() <= ingest::MailReader::kBytesMax);
      before = mail.offset;
      mails.push_back(mail.bytes);
    }
    tail.taken();
  } while (tail.more());
}

/// An mbox that grows at a cut has the mails that it has at once, whatever the cut.
void mbox(const Scratch& file, std::string_view bytes, std::size_t cut) {
  file.write(bytes);
  ingest::MboxTail::Options options;
  options.source = "mbox:fuzz";
  options.path = file.path;
  std::vector<std::string> whole, parts;
  ingest::PositionBook one, two;
  ingest::MboxTail at_once(options, one), in_steps(options, two);
  follow(at_once, kNowUs, whole);
  follow(at_once, kNowUs + options.torn_us, whole);
  CHECK(at_once.position().offset <= bytes.size());
  file.write(bytes.substr(0, cut));
  follow(in_steps, kNowUs, parts);
  file.append(bytes.substr(cut));
  follow(in_steps, kNowUs + 1, parts);
  follow(in_steps, kNowUs + 1 + options.torn_us, parts);
  CHECK(parts == whole);
}

}  // namespace

/// The first two bytes say where to cut, the rest is the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Scratch file;
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t cut = (std::size_t{data[0]} << 8 | data[1]) % (bytes.size() + 1);
  stored(bytes);
  grow(file, bytes, cut);
  file.write(bytes);
  mails_of(file);
  mbox(file, bytes, cut);
  return 0;
}
