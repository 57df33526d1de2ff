#include "cli/mail_input.h"

#include <algorithm>

#include "base/clock.h"
#include "base/hash.h"
#include "base/time.h"
#include "ingest/mailbox.h"
#include "parse/mail/mail.h"

namespace bounced::cli {
namespace {

/// Mails that share one synced write.
constexpr std::size_t kMailsPerBatch = 256;
constexpr std::size_t kArenaBytesMax = std::size_t{4} << 20;
constexpr std::size_t kHeadBytes = std::size_t{16} << 10;
/// Who asks for a file's format wants to be sure that it is no log.
constexpr int kSure = 90;
/// A mail may come again for so long: MTAs keep what they could not hand over.
constexpr std::int64_t kHorizonUs = 14 * kDayUs;

}  // namespace

MailBatch::MailBatch(const parse::Context& context) : context_(context), pool_(1, 64) {
  begin();
}

void MailBatch::begin() {
  batch_.block = pool_.take();
  batch_.block->size = 0;
  batch_.block->file = 0;
  mails_ = 0;
}

void MailBatch::clear() {
  batch_.clear();
  begin();
}

void MailBatch::add(std::string_view mail, std::uint64_t offset, std::int64_t arrived_us) {
  const AddressId whole = hash128(mail, public_secret());
  batch_.block->file = whole.hi;  // what tells its events from those of another mail
  parse::take_mail(context_, mail, offset, arrived_us, batch_);
  ++mails_;
  for (std::size_t n = 0; batch_.keys.size() < batch_.events.size(); ++n) {
    batch_.keys.push_back({whole.hi, whole.lo + n});  // by event
  }
}

parse::Context mail_context(const pipeline::Engine& engine, const pipeline::Options& options) {
  parse::Context context;
  context.hasher = &engine.hasher();
  context.campaign_header = options.campaign_header;
  context.verp = options.verp;
  return context;
}

Result<pipeline::PushId> mail_source(pipeline::Engine& engine) {
  parse::PushSource source;
  source.name = "mail";
  source.format = "mail";
  source.horizon_us = kHorizonUs;
  return engine.add_push(std::move(source));
}

std::vector<std::string> take_mail_files(std::vector<std::string>& files, std::string_view format) {
  if (format != "auto" && format != "mail") return {};
  std::vector<std::string> mails;
  const auto is_mail = [&](const std::string& path) {
    const bool found = format == "mail" || ingest::is_maildir(path) || [&] {
      const std::string head = ingest::read_head(path, kHeadBytes);
      const int mail = parse::find_format("mail");
      return parse::probe_format(head) == mail && parse::probe_mail(head) >= kSure;
    }();
    if (found) mails.push_back(path);
    return found;
  };
  files.erase(std::remove_if(files.begin(), files.end(), is_mail), files.end());
  return mails;
}

Result<void> read_mails(const std::vector<std::string>& paths, const parse::Context& context,
                        const std::function<Result<void>(Batch&)>& full) {
  MailBatch mails(context);
  Result<void> result;
  const auto hand_on = [&]() -> Result<void> {
    auto taken = full(mails.batch());
    mails.clear();
    return taken;
  };
  for (const std::string& path : paths) {
    auto reader = ingest::MailReader::open(path);
    ingest::Mail mail;
    for (bool more = static_cast<bool>(reader); more;) {
      auto next = (*reader)->next(mail);
      if (!next && result) result = tl::unexpected(next.error());
      more = next && *next;
      if (!more) break;
      mails.add(mail.bytes, mail.offset, mail.arrived_us);
      const bool large = mails.batch().arena_size() > kArenaBytesMax;
      if (mails.mails() < kMailsPerBatch && !large) continue;
      if (auto taken = hand_on(); !taken) return taken;
    }
    if (!reader && result) result = tl::unexpected(reader.error());
  }
  if (auto taken = hand_on(); !taken) return taken;
  return result;
}

}  // namespace bounced::cli
