// event_json: ns per event written as NDJSON.
#include <benchmark/benchmark.h>

#include <string>

#include "base/batch.h"
#include "base/block.h"
#include "bounced/classifier.h"
#include "report/event_json.h"

namespace bounced::report {
namespace {

void fill(Batch& batch, const RuleSet& rules, bool failing) {
  for (std::uint32_t i = 0; i < 1024; ++i) {
    const std::string number = std::to_string(i);
    Event event;
    event.time_us = 1'790'000'000'123'456 + i;
    event.kind = failing ? EventKind::bounced : EventKind::delivered;
    event.recipient = batch.add("recipient." + number + "@example.com");
    event.sender = batch.add("bounce+" + number + "@bounces.news.example.com");
    event.queue_id = batch.add("4jX4zt26H4z1c0B9");
    event.message_id = batch.add("<20261121202231." + number + "@app1.esp.example.com>");
    event.mta_host = batch.add("mx01.mail.example.com");
    event.mta_ip = batch.add("192.0.2.17");
    event.mta_port = 25;
    event.delay_ms = 1200;
    event.offset = i * 200;
    if (failing) {
      event.smtp_code = 550;
      event.enhanced = EnhancedCode{1, 1, 5};
      event.phase = Phase::rcpt;
      event.diagnostic = batch.add(
          "550 5.1.1 <recipient@example.com>: Recipient address rejected: User unknown in virtual "
          "mailbox table (in reply to RCPT TO command)");
      batch.set_verdict(event, verdict_of(rules, Cause::mailbox_unknown, Severity::permanent, 97));
    } else {
      event.diagnostic = batch.add("250 2.0.0 Ok: queued as 4XyZabcdef");
    }
    batch.events.push_back(event);
  }
}

void run(benchmark::State& state, bool failing) {
  auto rules = load_rules({});
  if (!rules) {
    state.SkipWithError(rules.error().message().c_str());
    return;
  }
  BlockPool pool(1, 4096);
  Batch batch;
  batch.block = pool.take();
  fill(batch, **rules, failing);
  store::Names names;
  EventJsonContext context;
  context.names = &names;
  context.rules = rules->get();
  std::string out;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    out.clear();
    for (const Event& event : batch.events) append_event_json(out, batch, event, context);
    bytes += static_cast<std::int64_t>(out.size());
    benchmark::DoNotOptimize(out.data());
  }
  if (out.find("\"recipient\":\"recipient.7@example.com\"") == std::string::npos) {
    state.SkipWithError("wrong output");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch.events.size()));
  state.SetBytesProcessed(bytes);
}

void BM_EventJsonDelivered(benchmark::State& state) {
  run(state, false);
}
void BM_EventJsonBounced(benchmark::State& state) {
  run(state, true);
}
BENCHMARK(BM_EventJsonDelivered);
BENCHMARK(BM_EventJsonBounced);

}  // namespace
}  // namespace bounced::report
