#include "ingest/mbox_tail.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <deque>
#include <optional>

#include "base/hash.h"
#include "base/log.h"
#include "base/mbox.h"
#include "base/text.h"
#include "base/time.h"
#include "ingest/input.h"
#include "ingest/lines.h"
#include "ingest/mbox_file.h"
#include "ingest/siblings.h"

namespace bounced::ingest {
namespace {

/// Of one look: mails that share a synced write.
constexpr std::size_t kMailsMax = 256, kBytesMax = std::size_t{4} << 20;
/// Room for what without_client_fields() takes away, so that a cut mail has the same bytes with it.
constexpr std::size_t kFieldsMax = 4096;
constexpr std::int64_t kStaleLockUs = 600 * kSecondUs;

/// Shared locks of both kinds on an open file, as long as it lives; held() tells whether it got
/// them. A file system without locks has no writers that lock either.
class SharedLock {
 public:
  explicit SharedLock(int fd) : fd_(fd) {
    if (::flock(fd_, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) return;
    struct flock region {};
    region.l_type = F_RDLCK;
    region.l_whence = SEEK_SET;
    const bool busy =
        ::fcntl(fd_, F_OFD_SETLK, &region) != 0 && (errno == EAGAIN || errno == EACCES);
    held_ = !busy;
  }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;
  ~SharedLock() {
    struct flock region {};
    region.l_type = F_UNLCK;
    region.l_whence = SEEK_SET;
    (void)::fcntl(fd_, F_OFD_SETLK, &region);
    (void)::flock(fd_, LOCK_UN);
  }
  [[nodiscard]] bool held() const { return held_; }

 private:
  int fd_;
  bool held_ = false;
};

std::int64_t mtime_us(const struct stat& status) {
  return std::int64_t{status.st_mtim.tv_sec} * kSecondUs + status.st_mtim.tv_nsec / 1000;
}

struct ReadFile {
  MboxFile* file;
  Result<std::size_t> operator()(char* out, std::size_t size, std::uint64_t offset) const {
    return file->read(out, size, offset);
  }
};

/// Whether a packer is at work: it removes the plain file when the compressed one is whole.
bool plain_is_there(const Sibling& sibling, const std::vector<Sibling>& siblings) {
  if (!has_compressed_name(sibling.path)) return false;
  const std::string_view plain = std::string_view(sibling.path).substr(0, sibling.path.rfind('.'));
  return std::any_of(siblings.begin(), siblings.end(),
                     [&](const Sibling& other) { return other.path == plain; });
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of("\r\n") == std::string_view::npos;
}

/// Of a header line: a field that mail readers write into an mbox.
bool is_client_field(std::string_view line) {
  static constexpr std::array<std::string_view, 10> kNames = {
      "status:",           "x-status:",         "x-keywords:", "x-uid:",
      "x-imap:",           "x-imapbase:",       "lines:",      "content-length:",
      "x-mozilla-status:", "x-mozilla-status2:"};
  return std::any_of(kNames.begin(), kNames.end(), [&](std::string_view name) {
    return line.size() >= name.size() &&
           std::equal(name.begin(), name.end(), line.begin(),
                      [](char a, char b) { return a == ascii_lower(b); });
  });
}

}  // namespace

std::string without_client_fields(std::string_view mail) {
  std::string out;
  out.reserve(mail.size());
  bool dropping = false;
  while (!mail.empty()) {
    const std::size_t newline = mail.find('\n');
    const std::string_view line =
        mail.substr(0, newline == std::string_view::npos ? newline : newline + 1);
    if (is_blank(line)) break;
    const bool folded = line.front() == ' ' || line.front() == '\t';
    dropping = folded ? dropping : is_client_field(line);
    if (!dropping) out += line;
    mail.remove_prefix(line.size());
  }
  out += mail;
  const std::size_t end = out.find_last_not_of("\r\n");
  if (end != std::string::npos && end + 1 < out.size())
    out.replace(end + 1, std::string::npos, "\n");
  return out;
}

std::int64_t separator_time(std::string_view line) {
  // The last place where a day's name stands tells the time; a sender may hold one as well.
  static constexpr std::array<std::string_view, 7> kDays = {" Sun ", " Mon ", " Tue ", " Wed ",
                                                            " Thu ", " Fri ", " Sat "};
  std::size_t at = std::string_view::npos;
  for (const std::string_view day : kDays) {
    const std::size_t found = line.rfind(day);
    if (found != std::string_view::npos && (at == std::string_view::npos || found > at)) at = found;
  }
  if (at == std::string_view::npos) return 0;
  const std::string text(line.substr(at + 5, 64));
  std::tm time{};
  if (::strptime(text.c_str(), "%b %e %H:%M:%S %Y", &time) == nullptr) return 0;
  return std::int64_t{::timegm(&time)} * kSecondUs;
}

struct MboxTail::Impl {
  Impl(Options o, PositionBook& b) : options(std::move(o)), book(b) {
    // A source has one key, and one place where it goes on.
    book.visit([this](const Position& stored) {
      if (stored.source == options.source && stored.file > position.file) position = stored;
    });
    known = position.offset != 0;
    next = position;
  }

  Options options;
  PositionBook& book;
  std::optional<MboxFile> file;
  std::deque<MboxFile> earlier;  ///< to be read before the file at the path, oldest first
  bool search = true;            ///< for these, before a file is opened
  std::optional<MboxFile> left;  ///< was read to its end; held, so that its inode stays its own
  bool begun = false;            ///< the position is one of the open file
  bool packed_end = false;       ///< of a compressed file: `next` is where it ends
  Position position;
  Position next;              ///< behind what was read last, not yet taken
  std::uint64_t size = 0;     ///< at the last look
  std::int64_t grown_us = 0;  ///< when it was first seen with that size
  bool known = false;         ///< the position continues what was taken before
  bool full = false;          ///< the last look ended at its bound
  Stats stats;

  Result<void> open();
  void find_earlier();
  void find(const FileInfo& info);
  [[nodiscard]] bool replaced(std::int64_t now_us) const;
  void leave();
  [[nodiscard]] bool fits(MboxFile& box) const;
  void begin();
  void note_size(std::uint64_t now_size, std::int64_t now_us);
  void set_next(std::uint64_t offset);
  Result<void> look(std::vector<Mail>& out, std::int64_t now_us);
  Result<void> split(std::vector<Mail>& out, std::int64_t now_us);
  Result<bool> read_mail(Lines<ReadFile>& lines, std::string& line, Mail& mail,
                         std::int64_t now_us);
  void keep(Mail& mail, std::string_view separator, std::vector<Mail>& out, std::int64_t now_us);
  [[nodiscard]] bool whole(bool blank, std::int64_t now_us) const;
  [[nodiscard]] bool has_dotlock(std::int64_t now_us) const;
};

MboxTail::MboxTail(Options options, PositionBook& book)
    : impl_(std::make_unique<Impl>(std::move(options), book)) {}
MboxTail::~MboxTail() = default;

/// The file holds what was before the position.
bool MboxTail::Impl::fits(MboxFile& box) const {
  if (position.offset == 0) return true;
  const std::string head = box.bytes(0, position.head_size);
  if (head.size() < position.head_size || hash64(head) != position.head_hash) return false;
  const std::string tail = box.bytes(position.offset - position.tail_size, position.tail_size);
  return tail.size() == position.tail_size && hash64(tail) == position.tail_hash;
}

/// From the start of the file. A source has one key: what its last file was is of no use any more.
void MboxTail::Impl::begin() {
  const std::uint64_t key = position.file;
  position = Position{};
  position.file = key != 0 ? key : book.next_file_key();
  position.source = options.source;
  position.path = options.path;
  known = false;
}

/// What was renamed (or copied, and emptied) while nobody looked: the file beside the path that the
/// position fits, unless it was read to its end, and what was rotated after it. When that one is
/// gone, too: what was rotated and has changed since.
void MboxTail::Impl::find_earlier() {
  const auto left_info = left ? left->info().value_or(FileInfo{}) : FileInfo{};
  const bool settled = look_at_siblings(options.path, [&](const std::vector<Sibling>& siblings) {
    earlier.clear();
    std::deque<MboxFile> changed;
    bool found = false;
    for (const Sibling& sibling : siblings) {
      const bool is_left = left && left_info.same_file(sibling.info);
      if (is_left || plain_is_there(sibling, siblings)) {
        found = found || is_left;
        continue;
      }
      if (found && !sibling.rotation_name) continue;
      auto box = MboxFile::open(sibling.path, true);
      if (!box) continue;
      const bool holds = position.offset != 0 && fits(*box);
      if (holds ? !left : found) {
        earlier.push_back(std::move(*box));
      } else if (left && !holds && sibling.rotation_name &&
                 sibling.info.mtime_us >= left_info.mtime_us) {
        changed.push_back(std::move(*box));
      }
      found = found || holds;
    }
    if (left && !found) earlier = std::move(changed);
  });
  if (!settled) {
    spdlog::warn("bounced: read: {}: the files beside it do not stand still", options.path);
  }
  if (!earlier.empty()) {
    spdlog::info("bounced: read: {}: {} beside it to be read first", options.path, earlier.size());
  }
}

/// The next file to be read.
Result<void> MboxTail::Impl::open() {
  Result<MboxFile> box = MboxFile::open(options.path, false);
  if (!box && box.error().code != ErrorCode::not_found) return tl::unexpected(box.error());
  if (search && (left || (position.offset != 0 && !(box && fits(*box))))) {
    find_earlier();
    if (earlier.empty() && !left && box) {
      spdlog::info("bounced: read: {}: neither it nor a file beside it holds what was read before",
                   options.path);
    }
  }
  if (!earlier.empty()) {
    box = std::move(earlier.front());
    earlier.pop_front();
  }
  if (!box) return tl::unexpected(box.error());
  file = std::move(*box);
  search = false;
  left.reset();
  begun = packed_end = false;
  size = 0;
  grown_us = 0;
  return {};
}

/// Where to go on in the open file.
void MboxTail::Impl::find(const FileInfo& info) {
  if (position.file == 0 || !fits(*file)) begin();
  position.device = info.device;
  position.inode = info.inode;
  begun = true;
}

void MboxTail::Impl::note_size(std::uint64_t now_size, std::int64_t now_us) {
  if (now_size == size && grown_us != 0) return;
  size = now_size;
  grown_us = now_us;
}

bool MboxTail::Impl::has_dotlock(std::int64_t now_us) const {
  struct stat status {};
  return ::lstat((options.path + ".lock").c_str(), &status) == 0 &&
         now_us - mtime_us(status) < kStaleLockUs;
}

/// Whether the last mail of the file, which ends with a blank line or not, will grow no more.
bool MboxTail::Impl::whole(bool blank, std::int64_t now_us) const {
  return file->packed() || now_us - grown_us >= (blank ? options.settle_us : options.torn_us);
}

/// The mail behind the separator `line`; then `line` is the next separator, or empty at the end of
/// the file. False: its end may still come.
Result<bool> MboxTail::Impl::read_mail(Lines<ReadFile>& lines, std::string& line, Mail& mail,
                                       std::int64_t now_us) {
  constexpr std::size_t kRoom = MailReader::kBytesMax + kFieldsMax;
  bool blank = false, begins = true;
  std::uint64_t length = 0;
  for (;;) {
    auto more = lines.next();
    if (!more) return tl::unexpected(more.error());
    const bool ended = more->empty();
    if (ended || (begins && blank && is_mbox_separator(*more))) {
      line.assign(*more);
      if (ended && !whole(blank, now_us)) return false;
      stats.torn += ended && !blank;
      stats.oversize += length > kRoom;
      return true;
    }
    blank = begins && is_blank(*more) && more->back() == '\n';
    begins = more->back() == '\n';
    length += more->size();
    if (mail.bytes.size() < kRoom) mail.bytes.append(more->substr(0, kRoom - mail.bytes.size()));
  }
}

void MboxTail::Impl::keep(Mail& mail, std::string_view separator, std::vector<Mail>& out,
                          std::int64_t now_us) {
  mail.arrived_us = separator_time(separator);
  if (mail.arrived_us == 0 || mail.arrived_us > now_us + kDayUs) mail.arrived_us = now_us;
  next.updated_us = std::max(next.updated_us, mail.arrived_us);
  if (!known && options.old_us != 0 && now_us - mail.arrived_us > options.old_us) {
    ++stats.old;
    return;
  }
  mail.bytes = without_client_fields(mail.bytes);
  if (mail.bytes.size() > MailReader::kBytesMax) mail.bytes.resize(MailReader::kBytesMax);
  mail.path = options.path;
  out.push_back(std::move(mail));
}

/// While the file is locked: what is hashed is what was read.
void MboxTail::Impl::set_next(std::uint64_t offset) {
  next.offset = offset;
  const std::string head = file->bytes(0, std::min<std::uint64_t>(offset, limits::kHeadHashBytes));
  const auto tail_size = std::min<std::uint64_t>(offset, limits::kTailHashBytes);
  const std::string tail = file->bytes(offset - tail_size, tail_size);
  next.head_size = static_cast<std::uint32_t>(head.size());
  next.head_hash = hash64(head);
  next.tail_size = static_cast<std::uint32_t>(tail.size());
  next.tail_hash = hash64(tail);
}

Result<void> MboxTail::Impl::split(std::vector<Mail>& out, std::int64_t now_us) {
  Lines<ReadFile> lines(ReadFile{&*file}, position.offset);
  std::uint64_t begin = position.offset;
  std::size_t held = 0, mails = 0;
  std::string line;
  auto first = lines.next();
  if (!first) return tl::unexpected(first.error());
  line.assign(*first);
  // Blank lines may stand between. A line that begins no mail is the rest of one that was taken: it
  // is passed over once it has ended, lest its second half be taken for a beginning.
  bool blank = true, rest = false;
  while (!line.empty() && !(blank && is_mbox_separator(line))) {
    blank = is_blank(line);
    rest = rest || !blank;
    if (blank && line.back() == '\n') begin = lines.offset();
    auto more = lines.next();
    if (!more) return tl::unexpected(more.error());
    line.assign(*more);
  }
  if (line.empty() && whole(false, now_us)) begin = lines.offset();
  stats.torn += rest && begin != position.offset;
  while (is_mbox_separator(line) && line.back() == '\n') {
    if (mails == kMailsMax || held > kBytesMax) {
      full = true;
      break;
    }
    Mail mail;
    mail.offset = begin;
    const std::string separator = line;
    auto done = read_mail(lines, line, mail, now_us);
    if (!done) return tl::unexpected(done.error());
    if (!*done) break;
    ++mails;
    held += mail.bytes.size();
    keep(mail, separator, out, now_us);
    begin = lines.offset() - line.size();
  }
  set_next(begin);
  packed_end = !full;
  return {};
}

/// Reads the open file, unless somebody writes to it.
Result<void> MboxTail::Impl::look(std::vector<Mail>& out, std::int64_t now_us) {
  const SharedLock lock(file->fd());
  if (!lock.held() || has_dotlock(now_us)) {
    ++stats.locked;
    return {};
  }
  const auto info = file->info();
  if (!info) return tl::unexpected(info.error());
  if (file->packed()) file->look(*info, now_us, options.torn_us);
  if (begun && !file->packed() && !fits(*file)) {
    // What it held may be beside it (copied, then emptied).
    ++stats.restarts;
    file.reset();
    search = full = true;
    return {};
  }
  if (!begun) find(*info);
  next = position;
  note_size(file->packed() ? std::max(size, position.offset) : info->size, now_us);
  return !file->packed() && size <= position.offset ? Result<void>() : split(out, now_us);
}

/// Another file has taken the name of the open one, of which nothing more will come.
bool MboxTail::Impl::replaced(std::int64_t now_us) const {
  if (!begun) return false;
  const auto open = file->info();
  struct stat here {};
  if (!open || (::stat(options.path.c_str(), &here) == 0 && open->same_file(info_of(here)))) {
    return false;
  }
  if (file->packed()) return packed_end && next.offset == position.offset;
  // To its end first, unless that is only the start of a mail whose writer has gone.
  return open->size <= position.offset || (open->size == size && whole(false, now_us));
}

/// What has taken the name of the open file may have lost it, too. Where it was emptied before
/// that, it was not read to its end.
void MboxTail::Impl::leave() {
  if (file->packed() || fits(*file)) left = std::move(file);
  file.reset();
  begun = false;
  size = 0;
  search = true;
  ++stats.replaced;
}

Result<void> MboxTail::read(std::vector<Mail>& out, std::int64_t now_us) {
  Impl& m = *impl_;
  out.clear();
  m.full = false;
  if (m.file && m.replaced(now_us)) m.leave();
  m.next = m.position;
  if (!m.file) {
    if (auto opened = m.open(); !opened) return opened;
  }
  auto looked = m.look(out, now_us);
  if (!looked) out.clear();
  return looked;
}

bool MboxTail::taken() {
  Impl& m = *impl_;
  if (m.next.offset == m.position.offset) return false;
  m.position = m.next;
  // A file that is read again is known when its end was reached: until then a crash must begin it
  // again, lest old mails be taken for new ones.
  if (!m.full) m.known = true;
  return m.known;
}

const Position& MboxTail::position() const {
  return impl_->position;
}
std::uint64_t MboxTail::size() const {
  return impl_->size;
}
bool MboxTail::more() const {
  return impl_->full;
}
const MboxTail::Stats& MboxTail::stats() const {
  return impl_->stats;
}

}  // namespace bounced::ingest
