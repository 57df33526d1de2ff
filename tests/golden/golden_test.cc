// Runs every tests/golden/<format>/*.log through that format's row and compares the events and
// notes, written as text, with the .expected file beside it. BOUNCED_GOLDEN_OUT=DIR writes what
// came out to DIR/<format>/ instead (tools/golden-update).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/block.h"
#include "base/time.h"
#include "parse/parse.h"

namespace bounced {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string_view note_name(NoteKind kind) {
  switch (kind) {
    case NoteKind::begin:
      return "begin";
    case NoteKind::message_id:
      return "message_id";
    case NoteKind::sasl_user:
      return "sasl_user";
    case NoteKind::client:
      return "client";
    case NoteKind::campaign:
      return "campaign";
    case NoteKind::expired:
      return "expired";
    case NoteKind::removed:
      return "removed";
    case NoteKind::mx_failure:
      return "mx_failure";
    case NoteKind::notification:
      return "notification";
  }
  return "?";
}

/// Queue keys are hashes; in the text they are numbered as they appear.
class Renderer {
 public:
  explicit Renderer(const Batch& batch) : batch_(batch) {}

  std::string all() {
    std::size_t note = 0;
    for (std::size_t i = 0; i <= batch_.events.size(); ++i) {
      for (; note < batch_.notes.size() && batch_.notes[note].before_event == i; ++note) {
        add(batch_.notes[note]);
      }
      if (i < batch_.events.size()) add(batch_.events[i]);
    }
    EXPECT_EQ(note, batch_.notes.size());
    const ParseCounts& n = batch_.counts;
    out_ += fmt::format(
        "lines={} ignored={} unparsed={} foreign={} bad_recipient={} oversize={} lost={}{}\n",
        n.lines, n.ignored, n.unparsed, n.foreign, n.bad_recipient, n.oversize, n.lost_messages,
        n.loss_alarms != 0 ? fmt::format(" loss_alarms={}", n.loss_alarms) : "");
    return out_;
  }

 private:
  std::uint64_t line_of(std::uint64_t offset) const {
    const std::string_view before = batch_.block->text().substr(0, offset);
    return 1 + static_cast<std::uint64_t>(std::count(before.begin(), before.end(), '\n'));
  }
  void head(std::string_view what, std::uint64_t offset, std::int64_t time, TimeForm form,
            std::uint16_t origin, std::uint64_t key) {
    out_ += fmt::format("{} {} {}{}", line_of(offset), what, format_time(time),
                        form == TimeForm::utc     ? ""
                        : form == TimeForm::local ? "(local)"
                                                  : "(yearless)");
    if (const Origin* from = batch_.origin(origin); from != nullptr) {
      out_ += fmt::format(" {}/{}", batch_.view(from->host), batch_.view(from->instance));
    }
    const auto [at, fresh] = keys_.try_emplace(key, keys_.size() + 1);
    out_ += fmt::format(" Q{}", at->second);
  }
  void add(const Note& note) {
    head(note_name(note.kind), note.offset, note.time_us, note.time_form, note.origin,
         note.queue_key);
    if (!note.text.empty()) out_ += fmt::format(" | {}", batch_.view(note.text));
    if (note.number != 0) out_ += fmt::format(" n={}", note.number);
    out_ += '\n';
  }
  void add(const Event& event) {
    head(to_string(event.kind), event.offset, event.time_us, event.time_form, event.origin,
         event.queue_key);
    out_ += fmt::format("={} to={}", batch_.view(event.queue_id), batch_.view(event.recipient));
    if (!event.mta_host.empty() || !event.mta_ip.empty()) {
      out_ += fmt::format(" mta={}[{}]:{}", batch_.view(event.mta_host), batch_.view(event.mta_ip),
                          event.mta_port);
    }
    out_ += fmt::format(" delay={}ms", event.delay_ms);
    if (event.smtp_code != 0) out_ += fmt::format(" code={}", event.smtp_code);
    if (event.enhanced.present()) {
      out_ += fmt::format(" enhanced={}.{}.{}", event.enhanced.klass, event.enhanced.subject,
                          event.enhanced.detail);
    }
    if (event.phase != Phase::none) out_ += fmt::format(" phase={}", to_string(event.phase));
    static constexpr std::pair<std::uint8_t, const char*> kFlags[] = {
        {EventFlags::kNotAttempted, " not-attempted"},
        {EventFlags::kTruncated, " truncated"},
        {EventFlags::kSoftBounce, " soft-bounce"},
        {EventFlags::kSession, " session"}};
    for (const auto& [flag, name] : kFlags) {
      if (event.has(flag)) out_ += name;
    }
    add_own_texts(event);
    out_ += fmt::format(" | {}\n", batch_.view(event.diagnostic));
  }

  /// Of formats whose records tell all of their message; Postfix's events get these later.
  void add_own_texts(const Event& event) {
    const auto text = [&](const char* name, Text at) {
      if (!at.empty()) out_ += fmt::format(" {}={}", name, batch_.view(at));
    };
    if (event.has(EventFlags::kNullSender)) out_ += " from=<>";
    text("from", event.sender);
    text("id", event.message_id);
    text("campaign", event.campaign);
    text("source", event.sending_ip);
    static constexpr const char* kHints[] = {"",    "hard",      "soft",      "blocked",  "full",
                                             "dns", "transient", "autoreply", "challenge"};
    if (event.hint != ProviderHint::none) {
      out_ += fmt::format(" hint={}", kHints[static_cast<std::size_t>(event.hint)]);
    }
  }

  const Batch& batch_;
  std::string out_;
  std::map<std::uint64_t, std::size_t> keys_;
};

std::string render(std::string_view text, int format) {
  BlockPool pool(1, text.size() + 1);
  const AddressHasher hasher;
  parse::Context context;
  context.hasher = &hasher;
  context.smarthosts.names = {"smarthost.example"};
  context.relays.networks = {"10.1.0.0/16"};
  Batch batch;
  batch.block = pool.take();
  std::memcpy(batch.block->data, text.data(), text.size());
  batch.block->size = static_cast<std::uint32_t>(text.size());
  batch.block->format = format;
  parse::parse(context, batch);
  std::string out = Renderer(batch).all();
  batch.clear();
  return out;
}

struct Case {
  fs::path log;
  int format = -1;
};

std::vector<Case> cases() {
  std::vector<Case> found;
  for (const auto& folder : fs::directory_iterator(fs::path(BOUNCED_SOURCE_DIR) / "tests/golden")) {
    if (!folder.is_directory()) continue;
    const int format = parse::find_format(folder.path().filename().string());
    if (format < 0) continue;  // other tests' data
    for (const auto& file : fs::directory_iterator(folder)) {
      if (file.path().extension() == ".log") found.push_back({file.path(), format});
    }
  }
  std::sort(found.begin(), found.end(), [](const Case& a, const Case& b) { return a.log < b.log; });
  return found;
}

void PrintTo(const Case& given, std::ostream* out) {
  *out << given.log;
}

class Golden : public testing::TestWithParam<Case> {};

TEST_P(Golden, Case) {
  const Case& given = GetParam();
  const std::string actual = render(read_file(given.log), given.format);
  fs::path expected = given.log;
  expected.replace_extension(".expected");
  if (const char* out = std::getenv("BOUNCED_GOLDEN_OUT"); out != nullptr) {
    const fs::path folder = fs::path(out) / given.log.parent_path().filename();
    fs::create_directories(folder);
    std::ofstream(folder / expected.filename(), std::ios::binary) << actual;
    return;
  }
  EXPECT_EQ(actual, read_file(expected)) << "tools/golden-update shows the difference and takes it";
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, testing::ValuesIn(cases()), [](const auto& given) {
  std::string name =
      given.param.log.parent_path().filename().string() + "_" + given.param.log.stem().string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
});

}  // namespace
}  // namespace bounced
