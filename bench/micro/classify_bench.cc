// classify: normaliser, memo, scan at 100 / 1,000 / 10,000 rules, whole calls with memo on and off.
// Each benchmark first checks its answer. items = diagnostics, bytes = their raw bytes.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "bounced/classifier.h"
#include "classify/matcher.h"
#include "classify/normalise.h"
#include "classify/rule_file.h"
#include "classify/rule_set.h"

namespace {

using namespace bounced;

/// Replies in the styles of big servers; %a address, %i IP, %q queue id, %g session id.
const std::vector<std::string> kTemplates = {
    "550 5.1.1 <%a>: Recipient address rejected: User unknown in virtual mailbox table",
    "550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 "
    "double-checking the recipient's email address for typos or 550-5.1.1 unnecessary spaces. For "
    "more "
    "information, go to 550 5.1.1 https://support.google.com/mail/?p=NoSuchUser %g - gsmtp",
    "452-4.2.2 The recipient's inbox is out of storage space. Please direct the recipient to 452 "
    "4.2.2 "
    "https://support.google.com/mail/?p=OverQuotaTemp %g - gsmtp",
    "550 5.7.1 Unfortunately, messages from [%i] weren't sent. Please contact your Internet "
    "service "
    "provider since part of their network is on our block list (S3150).",
    "421 4.7.0 [TSS04] Messages from %i temporarily deferred due to unexpected volume or user "
    "complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
    "554 5.7.1 Service unavailable; Client host [%i] blocked using zen.spamhaus.org",
    "552 5.2.2 <%a>: user is over quota",
    "450 4.2.0 <%a>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/",
    "451 4.3.0 Temporary lookup failure, queue id %q",
    "554 delivery error: dd This user doesn't have a yahoo.com account (%a) [0] - "
    "mta1061.mail.ne1.yahoo.com",
    "host mx.shop.example[%i] said: 550 No such user here (in reply to RCPT TO command)",
    "connect to mx.shop.example[%i]:25: Connection timed out",
};

std::vector<std::string> diagnostics(std::size_t count) {
  std::mt19937 random(20261121);
  const auto number = [&](unsigned below) { return std::to_string(random() % below); };
  std::vector<std::string> out;
  for (std::size_t i = 0; i < count; ++i) {
    std::string text;
    const std::string& from = kTemplates[random() % kTemplates.size()];
    for (std::size_t at = 0; at < from.size(); ++at) {
      if (from[at] != '%') {
        text += from[at];
        continue;
      }
      switch (from[++at]) {
        case 'a':
          text += "user" + number(1000000) + "@shop" + number(1000) + ".example";
          break;
        case 'i':
          text += "198.18." + number(256) + "." + number(256);
          break;
        case 'q':
          text += "4jX42z" + number(100000) + "z1c0Ht";
          break;
        default:
          text += "a" + number(90) + "-20020a056402354f00b0" + number(1000000) + "si" +
                  number(100000) + "edd." + number(900);
      }
    }
    out.push_back(std::move(text));
  }
  return out;
}

const std::vector<std::string>& corpus() {
  static const std::vector<std::string> texts = diagnostics(4096);
  return texts;
}

std::size_t corpus_bytes() {
  std::size_t bytes = 0;
  for (const std::string& text : corpus()) bytes += text.size();
  return bytes;
}

/// `count` rules of two-word phrases that servers might say, the templates' own among them.
std::shared_ptr<const RuleSet> generated(std::size_t count) {
  static const std::vector<std::string> kWords = {
      "mailbox", "recipient", "sender",  "message", "policy",  "rejected",
      "blocked", "listed",    "quota",   "account", "address", "domain",
      "refused", "denied",    "closed",  "limit",   "unknown", "disabled",
      "server",  "delivery",  "content", "spam",    "virus",   "connection"};
  std::ifstream in(BOUNCED_SOURCE_DIR "/rules/causes.toml");
  const std::string causes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  std::string text =
      "[[rule]]\nid = \"b/unknown\"\ncause = \"mailbox.unknown\"\nany = [\"user unknown\", \"no "
      "such "
      "user\", \"does not exist\"]\n[[rule]]\nid = \"b/full\"\ncause = \"mailbox.full\"\nany = "
      "[\"over "
      "quota\", \"out of storage space\"]\n";
  std::mt19937 random(7);
  for (std::size_t i = 2; i < count; ++i) {
    text += "[[rule]]\nid = \"b/" + std::to_string(i) + "\"\ncause = \"policy.local\"\nany = [\"" +
            kWords[random() % kWords.size()] + " " + kWords[random() % kWords.size()] + " " +
            kWords[random() % kWords.size()] + " q" +
            std::string(1, static_cast<char>('a' + i % 26)) +
            std::string(1, static_cast<char>('a' + i / 26 % 26)) +
            std::string(1, static_cast<char>('a' + i / 676 % 26)) + "\"]\n";
  }
  classify::RuleFiles files;
  classify::read_rule_text(causes, "causes.toml", 0, files);
  classify::read_rule_text(text, "bench.toml", 0, files);
  RuleSet::validate(files);
  for (const auto& problem : files.problems) {
    std::cerr << problem.text() << "\n";
    std::exit(3);
  }
  auto rules = RuleSet::build(std::move(files), "");
  if (!rules) std::exit(3);
  return *rules;
}

void finish(benchmark::State& state) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * corpus().size()));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * corpus_bytes()));
  state.counters["ns/item"] =
      benchmark::Counter(static_cast<double>(state.iterations() * corpus().size()) / 1e9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void normalise(benchmark::State& state) {
  classify::Normaliser normaliser;
  classify::Normalised out;
  normaliser.run("550 5.1.1 <a@b.example>: User unknown", 0, out);
  if (out.text != "<{addr}>: user unknown") state.SkipWithError("wrong normal form");
  for (auto _ : state) {
    for (const std::string& text : corpus()) {
      normaliser.run(text, 0, out);
      benchmark::DoNotOptimize(out.text.data());
    }
  }
  finish(state);
}
BENCHMARK(normalise);

void classify_memo(benchmark::State& state) {
  Classifier classifier(generated(static_cast<std::size_t>(state.range(0))));
  Classifier plain(generated(static_cast<std::size_t>(state.range(0))), {false, {}});
  for (const std::string& text : corpus()) {
    Failure f;
    f.diagnostic = text;
    if (classifier.classify(f).rule != plain.classify(f).rule) state.SkipWithError("memo differs");
  }
  for (auto _ : state) {
    for (const std::string& text : corpus()) {
      Failure f;
      f.diagnostic = text;
      f.mta_host = "mx.shop.example";
      benchmark::DoNotOptimize(classifier.classify(f));
    }
  }
  state.counters["hits%"] = 100.0 * static_cast<double>(classifier.stats().memo_hits) /
                            static_cast<double>(classifier.stats().calls);
  finish(state);
}
BENCHMARK(classify_memo)->Arg(100)->Arg(1000)->Arg(10000);

void classify_no_memo(benchmark::State& state) {
  Classifier classifier(generated(static_cast<std::size_t>(state.range(0))), {false, {}});
  Failure first;
  first.diagnostic = "550 5.1.1 user unknown";
  if (classifier.classify(first).cause != Cause::mailbox_unknown)
    state.SkipWithError("wrong cause");
  for (auto _ : state) {
    for (const std::string& text : corpus()) {
      Failure f;
      f.diagnostic = text;
      benchmark::DoNotOptimize(classifier.classify(f));
    }
  }
  finish(state);
}
BENCHMARK(classify_no_memo)->Arg(100)->Arg(1000)->Arg(10000);

/// The shipped rules; skipped while they do not load.
void classify_shipped(benchmark::State& state) {
  const auto rules = load_rules({});
  if (!rules) {
    state.SkipWithError(rules.error().message().c_str());
    return;
  }
  Classifier classifier(*rules, {state.range(0) != 0, {}});
  for (auto _ : state) {
    for (const std::string& text : corpus()) {
      Failure f;
      f.diagnostic = text;
      benchmark::DoNotOptimize(classifier.classify(f));
    }
  }
  finish(state);
}
BENCHMARK(classify_shipped)->ArgName("memo")->Arg(0)->Arg(1);

}  // namespace
