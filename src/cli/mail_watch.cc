#include "cli/mail_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/threads.h"
#include "base/time.h"
#include "cli/mail_input.h"
#include "ingest/mailbox.h"

namespace bounced::cli {
namespace {

/// Of one look at a folder: bounds memory; the rest is found by the next look.
constexpr std::size_t kNamesMax = 65'536;
/// Mails that share one synced write.
constexpr std::size_t kMailsPerBatch = 256;
constexpr std::size_t kArenaBytesMax = std::size_t{4} << 20;

/// What tells a file from another one that is given its name, or its inode, later.
using Identity = std::tuple<dev_t, ino_t, std::int64_t, std::int64_t>;

struct NewMail {
  std::string name;
  Identity identity;
  std::int64_t written_us = 0;
};

struct Place {
  Maildir config;
  std::unique_ptr<ingest::MboxTail> mbox;  ///< instead of a Maildir
  std::set<Identity> done;                 ///< of files that are still in new/
  std::int64_t next_us = 0;
  MailWatch::State state;
};

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

/// The regular files of a folder by name: no links, no pipes. False: it cannot be read.
bool list_new(const std::string& folder, std::vector<NewMail>& out) {
  const std::unique_ptr<DIR, CloseFolder> dir(::opendir(folder.c_str()));
  if (dir == nullptr) return false;
  while (const dirent* entry = ::readdir(dir.get())) {
    struct stat status {};
    if (entry->d_name[0] == '.' || out.size() >= kNamesMax) continue;
    if (::fstatat(::dirfd(dir.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(status.st_mode)) {
      continue;
    }
    const std::int64_t written_us =
        std::int64_t{status.st_mtim.tv_sec} * kSecondUs + status.st_mtim.tv_nsec / 1000;
    out.push_back(
        {entry->d_name, {status.st_dev, status.st_ino, written_us, status.st_size}, written_us});
  }
  std::sort(out.begin(), out.end(),
            [](const NewMail& a, const NewMail& b) { return a.name < b.name; });
  return true;
}

/// A name in cur/: flags are letters in order behind ":2,".
std::string seen_name(const std::string& name) {
  const std::size_t info = name.find(":2,");
  if (info == std::string::npos) return name + ":2,S";
  std::string flags = name.substr(info + 3);
  if (flags.find('S') == std::string::npos) {
    flags.insert(std::upper_bound(flags.begin(), flags.end(), 'S'), 'S');
  }
  return name.substr(0, info + 3) + flags;
}

/// Never over another mail. 0, or an errno.
int move_mail(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // A file system that cannot promise this.
  struct stat status {};
  if (::lstat(to.c_str(), &status) == 0) return EEXIST;
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

}  // namespace

struct MailWatch::Impl {
  pipeline::Engine* engine = nullptr;
  parse::Context context;
  pipeline::PushId source = 0;
  std::vector<Place> places;
  mutable std::mutex mutex;  ///< of Place::state and stopping
  std::condition_variable wake;
  bool stopping = false;
  std::thread thread;

  void run();
  void look(Place& place);
  void look_at_mbox(Place& place);
  bool take_mbox(Place& place, const std::vector<ingest::Mail>& found);
  bool take(Place& place, MailBatch& mails, std::vector<NewMail>& taken);
  void put_away(Place& place, const NewMail& mail);
  void tell(Place& place, std::string trouble);
  [[nodiscard]] bool stopped() const {
    const std::lock_guard lock(mutex);
    return stopping;
  }
};

void MailWatch::Impl::tell(Place& place, std::string trouble) {
  const std::lock_guard lock(mutex);
  if (!trouble.empty() && trouble != place.state.trouble) {
    spdlog::warn("{} {}: {}", place.state.what, place.config.name, trouble);
  }
  place.state.trouble = std::move(trouble);
}

void MailWatch::Impl::put_away(Place& place, const NewMail& mail) {
  place.done.insert(mail.identity);
  if (place.config.leave) return;
  const std::string from = place.config.path + "/new/" + mail.name;
  const int error = move_mail(from, place.config.path + "/cur/" + seen_name(mail.name));
  if (error == 0) place.done.erase(mail.identity);
  if (error != 0 && error != ENOENT)
    tell(place, from + ": cannot be moved: " + std::strerror(error));
}

/// False: not durable; the mails stay where they are, and are taken by a later look.
bool MailWatch::Impl::take(Place& place, MailBatch& mails, std::vector<NewMail>& taken) {
  const std::size_t events = mails.batch().events.size();
  if (events != 0) {
    if (auto accepted = engine->accept(source, mails.batch()); !accepted) {
      tell(place, accepted.error().message());
      return false;
    }
  }
  for (const NewMail& mail : taken) put_away(place, mail);
  const std::lock_guard lock(mutex);
  place.state.mails += taken.size();
  place.state.events += events;
  taken.clear();
  mails.clear();
  return true;
}

/// False: not durable; the same mails are read again by a later look.
bool MailWatch::Impl::take_mbox(Place& place, const std::vector<ingest::Mail>& found) {
  MailBatch mails(context);
  for (const ingest::Mail& mail : found) mails.add(mail.bytes, 0, mail.arrived_us);
  const std::size_t events = mails.batch().events.size();
  if (events != 0) {
    if (auto accepted = engine->accept(source, mails.batch()); !accepted) {
      tell(place, accepted.error().message());
      return false;
    }
  }
  if (place.mbox->taken()) engine->remember(place.mbox->position());
  const std::lock_guard lock(mutex);
  place.state.mails += found.size();
  place.state.events += events;
  return true;
}

void MailWatch::Impl::look_at_mbox(Place& place) {
  std::vector<ingest::Mail> found;
  do {
    const auto read = place.mbox->read(found, system_clock().now_us());
    // No file: none was delivered since somebody emptied it.
    const bool quiet = read || read.error().code == ErrorCode::not_found;
    tell(place, quiet ? std::string() : read.error().message());
    if (!read || !take_mbox(place, found)) break;
  } while (place.mbox->more() && !stopped());
  const std::lock_guard lock(mutex);
  const ingest::MboxTail::Stats before = std::exchange(place.state.mbox, place.mbox->stats());
  place.state.offset = place.mbox->position().offset;
  place.state.size = place.mbox->size();
  if (place.state.mbox.restarts != before.restarts) {
    spdlog::info("mbox {}: emptied or rewritten: read from its start", place.config.name);
  }
}

void MailWatch::Impl::look(Place& place) {
  if (place.mbox != nullptr) return look_at_mbox(place);
  std::vector<NewMail> found;
  if (!list_new(place.config.path + "/new", found)) {
    return tell(place, place.config.path + "/new: " + std::strerror(errno));
  }
  std::set<Identity> still;
  for (const NewMail& mail : found) {
    if (place.done.count(mail.identity) != 0) still.insert(mail.identity);
  }
  place.done.swap(still);
  tell(place, {});
  const std::int64_t now_us = system_clock().now_us();
  MailBatch mails(context);
  std::vector<NewMail> taken;
  for (const NewMail& mail : found) {
    if (stopped()) return;
    if (place.done.count(mail.identity) != 0) {
      if (!place.config.leave) put_away(place, mail);
      continue;
    }
    if (place.config.leave && now_us - mail.written_us > kLeftDays * kDayUs) continue;
    auto read = ingest::read_mail_file(place.config.path + "/new/" + mail.name);
    if (!read) {
      if (read.error().code != ErrorCode::not_found) tell(place, read.error().message());
      continue;
    }
    mails.add(read->bytes, 0, read->arrived_us);
    taken.push_back(mail);
    const bool large = mails.batch().arena_size() > kArenaBytesMax;
    if ((taken.size() >= kMailsPerBatch || large) && !take(place, mails, taken)) return;
  }
  if (!taken.empty()) take(place, mails, taken);
}

void MailWatch::Impl::run() {
  name_thread("mails");
  for (;;) {
    const std::int64_t now_us = monotonic_us();
    std::int64_t next_us = INT64_MAX;
    for (Place& place : places) {
      if (place.next_us <= now_us) {
        look(place);
        place.next_us = monotonic_us() + place.config.poll_us;
      }
      next_us = std::min(next_us, place.next_us);
    }
    std::unique_lock lock(mutex);
    const std::int64_t wait_us = std::max<std::int64_t>(next_us - monotonic_us(), 1000);
    wake.wait_for(lock, std::chrono::microseconds(wait_us), [this] { return stopping; });
    if (stopping) return;
  }
}

MailWatch::MailWatch() : impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<MailWatch>> MailWatch::start(pipeline::Engine& engine,
                                                    const pipeline::Options& options,
                                                    std::vector<Maildir> maildirs,
                                                    const std::vector<Mbox>& mboxes) {
  std::unique_ptr<MailWatch> watch(new MailWatch);
  Impl& m = *watch->impl_;
  auto source = mail_source(engine);
  if (!source) return tl::unexpected(source.error());
  m.engine = &engine;
  m.source = *source;
  m.context = mail_context(engine, options);
  for (const Mbox& config : mboxes) {
    Place& place = m.places.emplace_back();
    place.state.what = "mbox";
    place.state.name = place.config.name = config.name;
    place.state.path = config.path;
    place.config.poll_us = config.poll_us;
    ingest::MboxTail::Options box;
    box.source = "mbox:" + config.name;
    box.path = config.path;
    box.settle_us = config.settle_us;
    box.torn_us = std::max(box.torn_us, config.settle_us);
    box.old_us = kLeftDays * kDayUs;
    place.mbox = std::make_unique<ingest::MboxTail>(std::move(box), engine.book());
  }
  for (Maildir& config : maildirs) {
    Place& place = m.places.emplace_back();
    place.state.what = "maildir";
    place.state.name = config.name;
    place.state.path = config.path;
    place.config = std::move(config);
  }
  m.thread = std::thread([&m] { m.run(); });
  return watch;
}

MailWatch::~MailWatch() {
  if (!impl_->thread.joinable()) return;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  impl_->thread.join();
}

std::vector<MailWatch::State> MailWatch::states() const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<State> states;
  for (const Place& place : impl_->places) states.push_back(place.state);
  return states;
}

}  // namespace bounced::cli
