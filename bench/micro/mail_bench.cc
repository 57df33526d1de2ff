// Mails that come back, on one core: parse of one delivery status notification of Postfix's shape
// (4 KiB, returned message and all), and of one notice in prose.
#include <benchmark/benchmark.h>

#include <fstream>
#include <iterator>

#include "base/block.h"
#include "parse/mail/mail.h"

namespace bounced {
namespace {

std::string golden(const char* name) {
  std::ifstream in(std::string(BOUNCED_SOURCE_DIR "/tests/golden/mail/") + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void parse_mails(benchmark::State& state, const char* name, std::size_t events) {
  const AddressHasher hasher;
  parse::Context context;
  context.hasher = &hasher;
  std::string mail = golden(name);
  const std::size_t end = mail.rfind("Hello.");
  if (end != std::string::npos) {
    for (int i = 0; i < 40; ++i) mail.insert(end, "One of the lines that the returned mail has.\n");
  }
  BlockPool pool(1, 64);
  Batch batch;
  for (auto _ : state) {
    batch.clear();
    batch.block = pool.take();
    batch.block->size = 0;
    parse::take_mail(context, mail, 0, 0, batch);
    if (batch.events.size() != events) {
      state.SkipWithError("the answer is wrong");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(mail.size()));
}

BENCHMARK_CAPTURE(parse_mails, delivery_status, "dsn_mixed.log", 3);
BENCHMARK_CAPTURE(parse_mails, prose, "qmail.log", 2);
BENCHMARK_CAPTURE(parse_mails, feedback, "arf.log", 1);

}  // namespace
}  // namespace bounced
