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

#include "base/hash.h"
#include "base/log.h"
#include "base/mbox.h"
#include "base/text.h"
#include "base/time.h"
#include "ingest/input.h"
#include "ingest/lines.h"
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

/// Errors: not_found, io.
Result<Fd> open_regular(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::not_found : ErrorCode::io;
    return fail(code, "open", path, std::strerror(errno));
  }
  const auto info = file_info(fd.get(), path);
  if (!info || !info->regular) return fail(ErrorCode::io, "open", path, "is no regular file");
  return fd;
}

struct ReadFile {
  int fd;
  const std::string* path;
  Result<std::size_t> operator()(char* out, std::size_t size, std::uint64_t offset) const {
    for (;;) {
      const ssize_t got = ::pread(fd, out, size, static_cast<off_t>(offset));
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return fail(ErrorCode::io, "read", *path, std::strerror(errno));
    }
  }
};

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
  Fd file;
  std::deque<Fd> earlier;  ///< to be read before the file at the path, oldest first
  bool searched = false;   ///< for these
  bool begun = false;      ///< the position is one of the open file
  Position position;
  Position next;              ///< behind what was read last, not yet taken
  std::uint64_t size = 0;     ///< at the last look
  std::int64_t grown_us = 0;  ///< when it was first seen with that size
  bool known = false;         ///< the position continues what was taken before
  bool full = false;          ///< the last look ended at its bound
  Stats stats;

  Result<void> open();
  void find_earlier();
  void find();
  [[nodiscard]] bool replaced(std::int64_t now_us) const;
  [[nodiscard]] std::string bytes(int fd, std::uint64_t offset, std::size_t count) const;
  [[nodiscard]] bool fits(int fd) const;
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

std::string MboxTail::Impl::bytes(int fd, std::uint64_t offset, std::size_t count) const {
  std::string out(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    auto got = ReadFile{fd, &options.path}(out.data() + have, count - have, offset + have);
    if (!got || *got == 0) break;
    have += *got;
  }
  out.resize(have);
  return out;
}

/// The file holds what was before the position.
bool MboxTail::Impl::fits(int fd) const {
  if (position.offset == 0) return true;
  const std::string head = bytes(fd, 0, position.head_size);
  if (head.size() < position.head_size || hash64(head) != position.head_hash) return false;
  const std::string tail = bytes(fd, position.offset - position.tail_size, position.tail_size);
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
/// position fits, and what was rotated after it.
void MboxTail::Impl::find_earlier() {
  std::string found;
  const bool settled = look_at_siblings(options.path, [&](const std::vector<Sibling>& siblings) {
    earlier.clear();
    for (const Sibling& sibling : siblings) {
      if (!earlier.empty() && (!sibling.rotation_name || has_compressed_name(sibling.path))) {
        continue;
      }
      auto fd = open_regular(sibling.path);
      if (!fd || (earlier.empty() && !fits(fd->get()))) continue;
      if (earlier.empty()) found = sibling.path;
      earlier.push_back(std::move(*fd));
    }
  });
  if (!settled) {
    spdlog::warn("bounced: read: {}: the files beside it do not stand still", options.path);
  }
  if (earlier.empty()) {
    spdlog::info("bounced: read: {}: neither it nor a file beside it holds what was read before",
                 options.path);
  } else {
    spdlog::info("bounced: read: {}: goes on in {}", options.path, found);
  }
}

/// The next file to be read.
Result<void> MboxTail::Impl::open() {
  Result<Fd> fd = open_regular(options.path);
  if (!searched && (fd || fd.error().code == ErrorCode::not_found)) {
    searched = true;
    if (position.offset != 0 && !(fd && fits(fd->get()))) find_earlier();
  }
  if (!earlier.empty()) {
    fd = std::move(earlier.front());
    earlier.pop_front();
  }
  if (!fd) return tl::unexpected(fd.error());
  file = std::move(*fd);
  begun = false;
  size = 0;
  grown_us = 0;
  return {};
}

/// Where to go on in the open file.
void MboxTail::Impl::find() {
  if (position.file == 0 || !fits(file.get())) begin();
  struct stat status {};
  if (::fstat(file.get(), &status) == 0) {
    position.device = status.st_dev;
    position.inode = status.st_ino;
  }
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
  return now_us - grown_us >= (blank ? options.settle_us : options.torn_us);
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
  const std::string head =
      bytes(file.get(), 0, std::min<std::uint64_t>(offset, limits::kHeadHashBytes));
  const auto tail_size = std::min<std::uint64_t>(offset, limits::kTailHashBytes);
  const std::string tail = bytes(file.get(), offset - tail_size, tail_size);
  next.head_size = static_cast<std::uint32_t>(head.size());
  next.head_hash = hash64(head);
  next.tail_size = static_cast<std::uint32_t>(tail.size());
  next.tail_hash = hash64(tail);
}

Result<void> MboxTail::Impl::split(std::vector<Mail>& out, std::int64_t now_us) {
  Lines<ReadFile> lines(ReadFile{file.get(), &options.path}, position.offset);
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
  return {};
}

/// Reads the open file, unless somebody writes to it.
Result<void> MboxTail::Impl::look(std::vector<Mail>& out, std::int64_t now_us) {
  const SharedLock lock(file.get());
  if (!lock.held() || has_dotlock(now_us)) {
    ++stats.locked;
    return {};
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return fail(ErrorCode::io, "stat", options.path, std::strerror(errno));
  }
  if (begun && !fits(file.get())) {
    ++stats.restarts;
    begun = false;
  }
  if (!begun) find();
  next = position;
  note_size(static_cast<std::uint64_t>(status.st_size), now_us);
  return size <= position.offset ? Result<void>() : split(out, now_us);
}

/// Another file has taken the name of the open one, of which nothing more will come.
bool MboxTail::Impl::replaced(std::int64_t now_us) const {
  struct stat here {
  }, open{};
  if (!begun || ::fstat(file.get(), &open) != 0) return false;
  const bool same = ::stat(options.path.c_str(), &here) == 0 && here.st_ino == open.st_ino &&
                    here.st_dev == open.st_dev;
  const auto open_size = static_cast<std::uint64_t>(open.st_size);
  // To its end first, unless that is only the start of a mail whose writer has gone.
  return !same && (open_size <= position.offset || (open_size == size && whole(false, now_us)));
}

Result<void> MboxTail::read(std::vector<Mail>& out, std::int64_t now_us) {
  Impl& m = *impl_;
  out.clear();
  m.full = false;
  m.next = m.position;
  if (m.replaced(now_us)) {
    m.file.reset();
    m.begun = false;
    m.size = 0;
    ++m.stats.replaced;
  }
  if (m.file.get() < 0) {
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
