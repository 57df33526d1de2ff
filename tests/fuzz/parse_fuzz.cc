// Every format row on any bytes: no crash, exact counts, no text outside its buffer.
// fuzz-libs: bounced_parse
// fuzz-corpus: tests/golden/postfix tests/golden/exim tests/golden/kumomta
// fuzz-corpus: tests/golden/powermta tests/golden/journald
#include <set>

#include "base/block.h"
#include "check.h"
#include "parse/parse.h"
#include "parse/push.h"

namespace {

using namespace bounced;

void check_text(const Batch& batch, Text text) {
  const std::size_t end = std::size_t{text.offset & ~Text::kArenaBit} + text.size;
  if (text.empty()) return;
  CHECK(end <= ((text.offset & Text::kArenaBit) != 0 ? batch.arena_size() : batch.block->size));
}

/// Lines with an event or a note; some have more than one.
std::size_t telling_lines(const Batch& batch) {
  std::set<std::uint64_t> offsets;
  for (const Event& event : batch.events) offsets.insert(event.offset);
  for (const Note& note : batch.notes) offsets.insert(note.offset);
  return offsets.size();
}

void check_batch(const Batch& batch, std::string_view bytes) {
  const ParseCounts& n = batch.counts;
  std::uint64_t lines = 0;
  for (const char c : bytes) lines += c == '\n';
  if (!bytes.empty() && bytes.back() != '\n') ++lines;
  // Mails and pushed bodies are no lines.
  const bool log = batch.block->format < parse::find_format("mail");
  if (log) {
    CHECK(n.lines == lines);
    CHECK(n.bytes == bytes.size());
    CHECK(n.lines == telling_lines(batch) + n.ignored + n.unparsed + n.foreign);
    CHECK(n.bad_recipient <= n.ignored);
  }
  std::uint64_t last = 0;
  for (const Event& event : batch.events) {
    CHECK(event.kind != EventKind::none);
    CHECK(event.queue_key != 0 || event.queue_id.empty());
    CHECK(event.offset >= last && event.offset < bytes.size());
    CHECK(event.origin <= batch.origins.size());
    CHECK(event.domain <= batch.domains.size() && event.host <= batch.hosts.size());
    if (event.domain != 0) CHECK(batch.domains[event.domain - 1u].id == event.domain_id);
    if (event.host != 0) {
      CHECK(batch.view(batch.hosts[event.host - 1u]) == batch.view(event.mta_host));
    }
    last = event.offset;
    for (const Text text :
         {event.recipient, event.sender, event.queue_id, event.message_id, event.mta_host,
          event.mta_ip, event.sending_ip, event.diagnostic, event.campaign}) {
      check_text(batch, text);
    }
  }
  std::uint32_t before = 0;
  for (const Note& note : batch.notes) {
    CHECK(note.before_event >= before && note.before_event <= batch.events.size());
    CHECK(note.queue_key != 0 && note.offset < bytes.size());
    before = note.before_event;
    check_text(batch, note.text);
  }
  for (const BatchDomain& domain : batch.domains) check_text(batch, domain.text);
  for (const Text host : batch.hosts) check_text(batch, host);
  for (const Origin& origin : batch.origins) {
    check_text(batch, origin.host);
    check_text(batch, origin.instance);
  }
}

void parse_as(int format, std::string_view bytes, const parse::Context& context, Batch& batch,
              BlockPool& pool) {
  batch.block = pool.take();
  if (!bytes.empty()) std::memcpy(batch.block->data, bytes.data(), bytes.size());
  batch.block->size = static_cast<std::uint32_t>(bytes.size());
  batch.block->format = format;
  parse::parse(context, batch);
}

bool same_event(const Batch& a, const Event& x, const Batch& b, const Event& y) {
  const auto same = [&](Text left, Text right) { return a.view(left) == b.view(right); };
  return x.kind == y.kind && x.phase == y.phase && x.flags == y.flags && x.time_us == y.time_us &&
         x.time_form == y.time_form && x.recipient_id == y.recipient_id &&
         x.domain_id == y.domain_id && x.domain == y.domain && x.host == y.host &&
         x.queue_key == y.queue_key && x.smtp_code == y.smtp_code && x.enhanced == y.enhanced &&
         x.mta_port == y.mta_port && x.delay_ms == y.delay_ms && x.origin == y.origin &&
         x.sender_domain == y.sender_domain && same(x.recipient, y.recipient) &&
         same(x.sender, y.sender) && same(x.queue_id, y.queue_id) && same(x.mta_host, y.mta_host) &&
         same(x.mta_ip, y.mta_ip) && same(x.sending_ip, y.sending_ip) &&
         same(x.diagnostic, y.diagnostic);
}

/// A carriage return at the end sends Exim's usual lines the long way, which must tell the same.
void check_long_way(std::string_view bytes, const AddressHasher& hasher) {
  if (bytes.find('\r') != std::string_view::npos || bytes.size() >= limits::kLineBytesMax) return;
  std::string returns;
  for (const char c : bytes) {
    if (c == '\n') returns += '\r';
    returns += c;
  }
  parse::Context context;
  context.hasher = &hasher;
  const int format = parse::find_format("exim");
  BlockPool pool(2, returns.size() + 1);
  Batch usual, long_way;
  parse_as(format, bytes, context, usual, pool);
  parse_as(format, returns, context, long_way, pool);
  CHECK(usual.events.size() == long_way.events.size());
  CHECK(usual.notes.size() == long_way.notes.size());
  CHECK(usual.counts.unparsed == long_way.counts.unparsed);
  CHECK(usual.counts.ignored == long_way.counts.ignored);
  for (std::size_t i = 0; i < usual.events.size(); ++i) {
    CHECK(same_event(usual, usual.events[i], long_way, long_way.events[i]));
  }
  for (std::size_t i = 0; i < usual.notes.size(); ++i) {
    const Note &x = usual.notes[i], &y = long_way.notes[i];
    CHECK(x.kind == y.kind && x.queue_key == y.queue_key && x.text_key == y.text_key &&
          x.time_us == y.time_us && x.before_event == y.before_event && x.origin == y.origin &&
          usual.view(x.text) == long_way.view(y.text));
  }
  usual.clear();
  long_way.clear();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const AddressHasher hasher;
  static const parse::Context context = [] {
    parse::Context made;
    made.hasher = &hasher;
    made.relays.networks = {"10.0.0.0/8"};
    return made;
  }();
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_long_way(bytes, hasher);
  const auto rows = static_cast<int>(parse::formats().size());
  for (int format = -1; format < rows; ++format) {
    // Push sources differ by name only.
    if (format > parse::find_push_format("push") &&
        parse::formats()[static_cast<std::size_t>(format)].parse == parse::parse_push) {
      continue;
    }
    BlockPool pool(1, size + 1);
    Batch batch;
    parse_as(format, bytes, context, batch, pool);
    // That row counts mails, not lines: mail_fuzz.cc.
    if (batch.block->format != parse::find_format("mail")) check_batch(batch, bytes);
    batch.clear();
    parse::explain_line(context, bytes.substr(0, bytes.find('\n')), format);
  }
  return 0;
}
