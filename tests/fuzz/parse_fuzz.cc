// Every format row on any bytes: no crash, exact counts, no text outside its buffer.
// fuzz-libs: bounced_parse
// fuzz-corpus: tests/golden/postfix tests/golden/exim tests/golden/kumomta
// fuzz-corpus: tests/golden/powermta tests/golden/journald
#include <cstdio>
#include <cstdlib>
#include <set>

#include "base/block.h"
#include "parse/parse.h"
#include "parse/push.h"

namespace {

using namespace bounced;

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

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
  const auto rows = static_cast<int>(parse::formats().size());
  for (int format = -1; format < rows; ++format) {
    // Push sources differ by name only.
    if (format > parse::find_push_format("push") &&
        parse::formats()[static_cast<std::size_t>(format)].parse == parse::parse_push) {
      continue;
    }
    BlockPool pool(1, size + 1);
    Batch batch;
    batch.block = pool.take();
    if (size != 0) std::memcpy(batch.block->data, data, size);
    batch.block->size = static_cast<std::uint32_t>(size);
    batch.block->format = format;
    parse::parse(context, batch);
    // That row counts mails, not lines: mail_fuzz.cc.
    if (batch.block->format != parse::find_format("mail")) check_batch(batch, bytes);
    batch.clear();
    parse::explain_line(context, bytes.substr(0, bytes.find('\n')), format);
  }
  return 0;
}
