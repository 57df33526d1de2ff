// One mail of any bytes: no crash, every text inside its buffer, no event proven by itself.
// fuzz-libs: bounced_parse
// fuzz-corpus: tests/golden/mail

#include "base/block.h"
#include "check.h"
#include "parse/mail/mail.h"

namespace {

using namespace bounced;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const AddressHasher hasher;
  static const parse::Context context = [] {
    parse::Context made;
    made.hasher = &hasher;
    made.verp.secrets = {"a secret that nobody guesses"};
    return made;
  }();
  BlockPool pool(1, 64);
  Batch batch;
  batch.block = pool.take();
  batch.block->size = 0;
  parse::take_mail(context, {reinterpret_cast<const char*>(data), size}, 7, 0, batch);
  CHECK(batch.counts.lines == 1);
  CHECK(batch.counts.ignored + batch.counts.unparsed <= 1);
  for (const Event& event : batch.events) {
    CHECK(event.kind != EventKind::none && event.has(EventFlags::kUnproven));
    for (const Text text : {event.recipient, event.sender, event.queue_id, event.message_id,
                            event.mta_host, event.mta_ip, event.diagnostic, event.campaign}) {
      if (text.empty()) continue;
      CHECK((text.offset & Text::kArenaBit) != 0);
      CHECK(std::size_t{text.offset & ~Text::kArenaBit} + text.size <= batch.arena_size());
    }
  }
  batch.clear();
  return 0;
}
